"""Reaching the operator API: a running server over its Unix socket, else the same application in this process.

1. A server that runs is always asked, so that what it holds in memory is never wrong.
2. With no server, the data folder is opened under its lock, and the same routes answer: there is one code path.
3. A problem that the API answers with is raised as the error it was, so that both look alike on the terminal.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec

from holdfast_core.kernel.errors import Bug, HoldfastError, HostileData, WorldError

if TYPE_CHECKING:
    import httpx

BASE = "http://holdfast/api/v1"
SOCKET = "operator.sock"
TIMEOUT_SECONDS = 60.0
PAGE = 500

T = TypeVar("T")


class Api:
    """The operator API. Paths are relative to ``/api/v1``; use `connected`."""

    def __init__(self, client: httpx.AsyncClient, runner: asyncio.Runner) -> None:
        self._client = client
        self._runner = runner

    def get(self, path: str, **query: object) -> Any:
        """The JSON document at `path`; empty query values are left out."""
        wanted = {name: str(value) for name, value in query.items() if value not in (None, "")}
        return self._decoded(self._client.get(BASE + path, params=wanted))

    def post(self, path: str, body: object = None, *, content: bytes = b"", media: str = "application/json") -> Any:
        """Post `body` as JSON, or `content` as `media`; the answer's document, `None` when it has none."""
        data = content or msgspec.json.encode({} if body is None else body)
        return self._decoded(self._client.post(BASE + path, content=data, headers={"content-type": media}))

    def put(self, path: str, content: bytes, **headers: str) -> Any:
        """Put `content`; a header is named as its keyword, with ``_`` for ``-``."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._decoded(self._client.put(BASE + path, content=content, headers=sent))

    def delete(self, path: str) -> Any:
        """Delete what is at `path`."""
        return self._decoded(self._client.delete(BASE + path))

    def pages(self, path: str, *, limit: int | None = None, **query: object) -> Iterator[dict[str, Any]]:
        """Every item of a paged list, or the first `limit`."""
        after, left = None, limit
        while left is None or left > 0:
            page = self.get(path, after=after, limit=PAGE if left is None else min(left, PAGE), **query)
            yield from page["items"]
            left = None if left is None else left - len(page["items"])
            after = page.get("next")
            if after is None or not page["items"]:
                return

    def lines(self, path: str, take: Callable[[bytes], object]) -> None:
        """Hand every line of a streamed answer to `take`, its newline included."""
        self._runner.run(self._lines(path, take))

    async def _lines(self, path: str, take: Callable[[bytes], object]) -> None:
        with _told():
            async with self._client.stream("GET", BASE + path) as answer:
                if answer.is_error:
                    _raise(answer.status_code, await answer.aread())
                rest = b""
                async for chunk in answer.aiter_bytes():
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        take(line + b"\n")
                if rest:
                    take(rest)

    def _decoded(self, call: Coroutine[Any, Any, httpx.Response]) -> Any:
        with _told():
            answer = self._runner.run(call)
        if answer.is_error:
            _raise(answer.status_code, answer.content)
        return msgspec.json.decode(answer.content) if answer.content else None


def part(name: str) -> str:
    """`name` as one segment of a path."""
    return quote(name, safe="@")


@contextmanager
def connected(folder: Path) -> Iterator[Api]:
    """The operator API of the control plane whose data lies in `folder`.

    Raises:
        WorldError: ``config.missing``, ``data.in_use``, ``store.*``, ``server.gone``.
    """
    with asyncio.Runner() as runner:
        opened = _over_socket(folder / SOCKET) if server_runs(folder) else _in_process(folder)
        client = runner.run(opened.__aenter__())
        try:
            yield Api(client, runner)
        finally:
            runner.run(opened.__aexit__(*sys.exc_info()))


@dataclass(frozen=True)
class Export:
    """The whole record: `size` leaves now, and what hands every line of the export to its argument."""

    size: int
    each: Callable[[Callable[[bytes], object]], None]


@contextmanager
def exported(folder: Path) -> Iterator[Export]:
    """The record's export, line by line: from a running server, else from the folder itself.

    The exception to rule 2: an answer within one process comes whole; a record of twenty years is too large.
    """
    if server_runs(folder):
        with connected(folder) as api:
            size = int(api.get("/log/checkpoint")["size"])
            yield Export(size, lambda take: api.lines("/log/export", take))
        return
    from holdfast.bootstrap import Plane  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.config import load  # noqa: PLC0415  (same)

    config = load(folder, os.environ)
    plane = Plane.open(config, folder)

    def each(take: Callable[[bytes], object]) -> None:
        for line in plane.record.export(config.scope):
            take(line)

    try:
        yield Export(plane.store.log_size(), each)
    finally:
        asyncio.run(plane.close())


def server_runs(folder: Path) -> bool:
    """Whether somebody answers on the folder's socket; the file alone may be left over from a crash."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(TIMEOUT_SECONDS)
        try:
            probe.connect(str(folder / SOCKET))
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return False
        except PermissionError as error:
            raise WorldError(
                "server.not_yours",
                f"The server that works on {folder} belongs to another user.",
                remedy="Run the command as that user, for a packaged server: sudo -u holdfast holdfast ….",
            ) from error
        except OSError as error:
            if "too long" in str(error):
                return False
            raise
    return True


@asynccontextmanager
async def _over_socket(path: Path) -> AsyncIterator[httpx.AsyncClient]:
    import httpx  # noqa: PLC0415  (rule 3 of the package)

    transport = httpx.AsyncHTTPTransport(uds=str(path))
    async with httpx.AsyncClient(transport=transport, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        yield client


@asynccontextmanager
async def _in_process(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    import httpx  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.bootstrap import Plane  # noqa: PLC0415  (same)
    from holdfast.config import load  # noqa: PLC0415  (same)
    from holdfast.serving import services_of  # noqa: PLC0415  (same)
    from holdfast.web.api.app import operator_app  # noqa: PLC0415  (same)

    config = load(folder, os.environ)
    async with Plane.open(config, folder) as plane:
        app = operator_app(services_of(plane, config.device_port), local=True)
        transport = httpx.ASGITransport(_as_own_user(app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, timeout=None, trust_env=False) as client:  # noqa: S113  (no network)
            yield client


def _as_own_user(app: Any) -> Any:
    """`app`, told who calls as the local socket tells it: this process's own user."""
    from holdfast.web.device.protocol import as_local_user  # noqa: PLC0415  (rule 3 of the package)

    async def called(scope: Any, receive: Any, send: Any) -> None:
        await app(as_local_user(scope, os.geteuid()), receive, send)

    return called


def own_name() -> str:
    """Who the record says did it, where no API is in between: ``os-user:<name>``."""
    try:
        return f"os-user:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"os-user:{os.geteuid()}"


@contextmanager
def _told() -> Iterator[None]:
    """Transport failures as errors of ours."""
    import httpx  # noqa: PLC0415  (rule 3 of the package)

    try:
        yield
    except httpx.TransportError as error:
        raise WorldError(
            "server.gone",
            f"The server went away while it was asked ({type(error).__name__}).",
            remedy="Look at its log (journalctl -u holdfast), start it again, then repeat the command.",
        ) from error


def _raise(status: int, content: bytes) -> None:
    """Raise what a problem document says."""
    try:
        told = msgspec.json.decode(content, type=dict[str, Any])
    except msgspec.MsgspecError:
        told = {}
    code, sentence = str(told.get("code", "")), str(told.get("detail", ""))
    if not code:
        raise Bug("api.not_a_problem", f"The API answered {status} without saying why.", remedy="Run holdfast doctor.")
    kinds: dict[bool, type[HoldfastError]] = {True: Bug, False: HostileData}
    kind = WorldError if status in {503, 507} else kinds[status >= 500]  # noqa: PLR2004  (RFC 9110 classes)
    raise kind(code, sentence, remedy=str(told.get("remedy", "")), http_status=status)
