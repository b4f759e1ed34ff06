"""Answers python-tuf over HTTP, with one deadline for each whole exchange.

1. python-tuf's own fetcher waits 30 s for each piece, so that a byte a second holds it for ever. Here a file has
   `EXCHANGE_S` and the time that its length takes at `SLOWEST`, from the first byte of the request to the last of the
   answer; all metadata together has `WHOLE_S`.
2. Redirects are not followed: where a repository lies is said once, by whoever runs the command.
3. Plain HTTP will do: TUF trusts no transport.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO
from urllib.parse import quote, urlsplit

from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.ngclient.fetcher import FetcherInterface

from holdfast_agent.transport import Timed

EXCHANGE_S = 30.0
SLOWEST = 64 * 1024
"""Bytes a second."""
WHOLE_S = 900.0
_CHUNK = 64 * 1024
_OK = 200
_AS_IT_IS = "/%:=&?~+!$,;'@()*[]-._"
"""What stands in a URL without being quoted; a ``%`` is one that was quoted already."""


class WebFetcher(FetcherInterface):
    """Fetches over HTTP and HTTPS.

    Args:
        exchange_s: seconds for each exchange, beside what its length takes.
        slowest: bytes a second that a line must carry.
        whole_s: seconds for everything until `allow`.
    """

    def __init__(self, *, exchange_s: float = EXCHANGE_S, slowest: int = SLOWEST, whole_s: float = WHOLE_S) -> None:
        self._exchange_s = exchange_s
        self._slowest = slowest
        self._ends = time.monotonic() + whole_s
        self._until = self._ends
        self.asked = ""

    def allow(self, length: int) -> None:
        """Allow the time that a target of `length` bytes takes, beyond that for metadata."""
        self._ends = max(self._ends, time.monotonic() + self._exchange_s + length / self._slowest)

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """As the interface says, in bounded time."""
        self._until = min(time.monotonic() + self._exchange_s + max_length / self._slowest, self._ends)
        self.asked = url.rpartition("/")[2]
        with super().download_file(url, max_length) as file:
            yield file

    def _fetch(self, url: str) -> Iterator[bytes]:
        opened = ExitStack()
        try:
            connection, path = self._connection(url)
            opened.callback(connection.close)
            self._connect(connection)
            connection.request("GET", path, headers={"User-Agent": "holdfast-agent"})
            response = opened.enter_context(connection.getresponse())
            if response.status != _OK:
                raise DownloadHTTPError(f"the answer was {response.status}", response.status)
        except (DownloadError, OSError, http.client.HTTPException, ValueError) as error:
            opened.close()
            raise _told(error) from error
        return _chunks(response, opened)

    def _connection(self, url: str) -> tuple[http.client.HTTPConnection, str]:
        parts = urlsplit(url)
        left = self._until - time.monotonic()
        if left <= 0:
            raise SlowRetrievalError("there is no time left")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DownloadError("it is no address")
        path = quote(parts.path or "/", safe=_AS_IT_IS) + (f"?{parts.query}" if parts.query else "")
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=left), path
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=left, context=context), path

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        connection.connect()
        timed = Timed(connection.sock)
        timed.at = self._until
        connection.sock = timed


def _told(error: Exception) -> DownloadError:
    """What kept a file from coming, as python-tuf tells it."""
    if isinstance(error, DownloadError):
        return error
    if isinstance(error, TimeoutError):
        return SlowRetrievalError("it did not come in time")
    return DownloadError(str(error) or type(error).__name__)


def _chunks(response: http.client.HTTPResponse, opened: ExitStack) -> Iterator[bytes]:
    try:
        while chunk := response.read(_CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _told(error) from error
    finally:
        opened.close()
