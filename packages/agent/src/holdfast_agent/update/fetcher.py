"""Answers python-tuf from what one request brought, so that it never touches the network.

1. What was not brought is answered from what is kept, where python-tuf insists on asking (the timestamp); the rest is
   not there (404), and its name is remembered.
2. Nothing is copied to a temporary file: it is in memory already, and bounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tuf.api.exceptions import DownloadHTTPError, DownloadLengthMismatchError
from tuf.ngclient.fetcher import FetcherInterface

BASE = "brought:/"
_NOT_FOUND = 404


class BroughtFetcher(FetcherInterface):
    """Serves `files` by the names by which a TUF repository does.

    `asked` is the name that was asked for last, `missed` are those that were not there.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = dict(files)
        self.asked = ""
        self.missed: list[str] = []

    def served(self, name: str) -> bytes:
        """The file, or nothing."""
        return self._files.get(name, b"")

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """The file. Raises DownloadHTTPError, DownloadLengthMismatchError."""
        data = b"".join(self._fetch(url))
        if len(data) > max_length:
            raise DownloadLengthMismatchError(f"{self.asked} has {len(data)} bytes; {max_length} are allowed")
        return data

    def _fetch(self, url: str) -> Iterator[bytes]:
        self.asked = url.removeprefix(BASE)
        data = self._files.get(self.asked)
        if data is None:
            self.missed.append(self.asked)
            raise DownloadHTTPError(f"{self.asked} was not brought", _NOT_FOUND)
        return iter((data,))

    def forget(self, name: str) -> None:
        """Serve a file no more."""
        self._files.pop(name, None)
