"""A control plane that serves artefacts over real TLS, as badly as a test wants, and a cache between it and devices."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import http.server
import random
import re
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent_builders import Authority
from holdfast_agent.state import CONFIG, IDENTITY, ROOT, STATE, Config, Folder, Stored
from holdfast_core.kernel.errors import HoldfastError
from holdfast_gateway.bounds import Bounds
from holdfast_gateway.cache import Cache
from holdfast_gateway.request import Target, parse_target
from holdfast_gateway.upstream import Upstream

QUICK = Bounds(
    header_s=2.0, wait_s=30.0, ending_s=0.5, chunk_s=2.0, first_pause_s=0.01, longest_pause_s=0.02, stall_s=2.0,
    exchange_s=5.0, window_s=1.0, failed_s=0.2, absent_s=0.2, progress=1024, status_s=0.05,
)  # fmt: skip
"""Bounds that a test does not have to wait for."""
MIB = 1024 * 1024


def payload(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311  (the same bytes each time)


def target_of(data: bytes, name: str = "fw.raucb", release: str = "site-gateway/2.3.1") -> Target:
    return parse_target(f"/v1/update/targets/{release}/{hashlib.sha256(data).hexdigest()}.{name}")


class FakeControlPlane:
    """Artefacts by path, and every way in which a server can serve them badly.

    `sent` counts the bytes of bodies by path, `asked` keeps each request's path, Range and If-Range.
    """

    def __init__(self) -> None:
        self.authority = Authority()
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.peers: list[str] = []
        self.sent: dict[str, int] = {}
        self.cuts: list[int] = []
        """After how many bytes of the body the next connections break."""
        self.status: tuple[int, dict[str, str]] | None = None
        self.declared: int | None = None
        """A Content-Length that is not the body's."""
        self.resumes = True
        self.etag: str | None = None
        self.endless = ""
        """``chunked``, or ``close``: a body without a length that does not end."""
        self.raw: bytes | None = None
        """Sent in place of an answer; nothing is sent and nothing closed where it is empty."""
        self.claims: str | None = None
        """A Content-Range that is not the part's."""
        self.silence = threading.Event()
        self.per_s = 0
        """Bytes each second, where it is slow."""
        self.gate = threading.Event()
        """Cleared, bodies wait after their first byte."""
        self.gate.set()
        self.url = ""
        self._guard = threading.Lock()

    def add(self, data: bytes, **words: str) -> Target:
        target = target_of(data, **words)
        self.files[target.path] = data
        return target

    def counted(self, path: str, number: int) -> None:
        with self._guard:
            self.sent[path] = self.sent.get(path, 0) + number

    def gateway(self, folder: Path) -> Folder:
        """The state folder of an agent that is enrolled here."""
        folder.mkdir(mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        chain = [self.authority.issue("gateway-1", key.public_key()), self.authority.issuing]
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        pem += b"".join(each.public_bytes(Encoding.PEM) for each in chain)
        (folder / IDENTITY).write_bytes(pem)
        (folder / ROOT).write_bytes(self.authority.root.public_bytes(Encoding.PEM))
        (folder / CONFIG).write_bytes(msgspec.json.encode(Config(server=self.url, device="gateway-1")))
        (folder / STATE).write_bytes(msgspec.json.encode(Stored()))
        return Folder(folder)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    plane: FakeControlPlane

    def setup(self) -> None:
        self.request.do_handshake()
        super().setup()

    def do_GET(self) -> None:
        plane, path = self.plane, self.path
        wanted, condition = self.headers.get("Range", ""), self.headers.get("If-Range", "")
        plane.asked.append((path, wanted, condition))
        plane.peers.append(dict(each[0] for each in self.request.getpeercert()["subject"])["commonName"])
        if plane.raw is not None:
            self.close_connection = True
            self.wfile.write(plane.raw)
            plane.silence.wait(0 if plane.raw else 30)
            return
        data = plane.files.get(path)
        if plane.status is not None or data is None:
            code, headers = plane.status or (404, {})
            self.head(code, {**headers, "Content-Length": "0"})
            return
        etag = plane.etag if plane.etag is not None else f'"{hashlib.sha256(data).hexdigest()}"'
        start = self.start_of(wanted, condition, etag)
        if start >= len(data):
            self.head(416, {"Content-Length": "0"})
            return
        headers = {"ETag": etag} if etag else {}
        if plane.endless:
            self.pour(headers)
            return
        length = plane.declared if plane.declared is not None else len(data) - start
        headers["Content-Length"] = str(length)
        if start:
            headers["Content-Range"] = plane.claims or f"bytes {start}-{start + length - 1}/{start + length}"
        self.head(206 if start else 200, headers)
        self.body(path, data[start:])

    def start_of(self, wanted: str, condition: str, etag: str) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", wanted)
        return int(found[1]) if found and self.plane.resumes and condition in ("", etag) else 0

    def head(self, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def body(self, path: str, data: bytes) -> None:
        plane = self.plane
        end = plane.cuts.pop(0) if plane.cuts else len(data)
        self.close_connection = True
        self.push(path, data[:1])
        plane.gate.wait(30)
        step = max(1, plane.per_s // 20) if plane.per_s else 64 * 1024
        for at in range(1, min(end, len(data)), step):
            self.push(path, data[at : min(at + step, end)])
            if plane.per_s:
                time.sleep(step / plane.per_s)

    def push(self, path: str, data: bytes) -> None:
        self.wfile.write(data)
        self.plane.counted(path, len(data))

    def pour(self, headers: dict[str, str]) -> None:
        """A body that does not end."""
        chunked = self.plane.endless == "chunked"
        self.close_connection = True
        self.head(200, {**headers, **({"Transfer-Encoding": "chunked"} if chunked else {"Connection": "close"})})
        piece = b"10000\r\n" + bytes(65_536) + b"\r\n" if chunked else bytes(65_536)
        while True:
            self.push(self.path, piece)

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing: a test's output is its result."""


class _Quiet(http.server.ThreadingHTTPServer):
    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # http.server's own would ask the DNS for its name
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, *_: object) -> None:
        """A connection that a test breaks on purpose is no news."""


@contextmanager
def control_plane(folder: Path) -> Iterator[FakeControlPlane]:
    """A control plane on a loopback port that demands the gateway's certificate."""
    plane = FakeControlPlane()
    listener = _Quiet(("127.0.0.1", 0), type("Handler", (_Handler,), {"plane": plane}))
    context = plane.authority.context(folder)
    context.verify_mode = ssl.CERT_REQUIRED
    listener.socket = context.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
    plane.url = f"https://127.0.0.1:{listener.server_port}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield plane
    finally:
        plane.gate.set()
        plane.silence.set()
        listener.shutdown()
        thread.join()
        listener.server_close()


class RunningCache:
    """A cache in a thread of its own, and a device's way to it."""

    def __init__(self, cache: Cache, said: list[str]) -> None:
        self.cache, self.said = cache, said

    @property
    def place(self) -> tuple[str, int]:
        return self.cache.places[0]

    def ask(
        self, path: str, headers: dict[str, str] | None = None, method: str = "GET"
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(*self.place, timeout=60)
        try:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()


@contextmanager
def caching(
    plane: FakeControlPlane, folder: Path, *, bounds: Bounds = QUICK, size: int = 64 * MIB, daily: int = 1024 * MIB,
    keep_free: int = 0,
) -> Iterator[RunningCache]:  # fmt: skip
    """A cache in `folder`; its agent's state lies beside it and is made when it is missing."""
    state = folder.parent / "agent"
    agent = Folder(state) if state.exists() else plane.gateway(state)
    said: list[str] = []
    source = Upstream(agent, exchange_s=bounds.exchange_s, stall_s=bounds.stall_s)
    cache = Cache(folder, source, size=size, keep_free=keep_free, daily=daily, say=said.append, bounds=bounds)
    stops: list[Callable[[], None]] = []
    ready = threading.Event()

    async def run() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        await cache.run(["127.0.0.1:0"], stop, ready.set)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(30)
    try:
        yield RunningCache(cache, said)
    finally:
        stops[0]()
        thread.join(30)
        assert not thread.is_alive()


def until(done: Callable[[], bool]) -> None:
    """Wait for what is bound to happen."""
    for _ in range(1500):
        if done():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen within 30 s")


def problem_code(body: bytes) -> str:
    return str(msgspec.json.decode(body)["code"])


def code_of(error: HoldfastError) -> str:
    return error.code
