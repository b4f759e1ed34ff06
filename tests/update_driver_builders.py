"""A device that updates itself from a small plain server: slots in files, its driver, stand-ins for the rest."""

from __future__ import annotations

import http.client
import http.server
import re
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from holdfast_agent.transport import Server, Timed
from holdfast_agent.update.download import entity_tag
from holdfast_agent.update.driver import Driver, Identity
from holdfast_agent.update.installers.file_ab import FileAB
from holdfast_agent.update.line import DirectLine
from holdfast_agent.update.ports import Ports
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import Instant
from holdfast_core.update.agreement import Exemption, Target
from holdfast_core.update.install import Install, Phase
from holdfast_core.update.time import Sense, Source
from holdfast_core.wire.confirm import Moment
from holdfast_core.wire.frame import DirectiveReport, Health
from holdfast_core.wire.orders import Order
from holdfast_core.wire.update import Order as Verdict
from holdfast_core.wire.update import Power, UpdateAnswer, UpdateArgs, UpdateReport
from holdfast_sim.updating import bootloader
from install_builders import NEW, OLD, target

OLD_IMAGE, NEW_IMAGE = b"old release " * 4_000, bytes(range(256)) * 800
NOON = Instant(1_800_000_000_000)


class Payloads:
    """Serves payloads by path, and misbehaves as told.

    `cut`: bytes after which an answer breaks off; `whole_only`: Range is not understood; `says`: another
    Content-Length (0: none); `more`: bytes sent beyond, again and again; `status`: another answer.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.asked: list[str] = []
        self.starts: dict[str, list[int]] = {}
        """Where each answer began, by path."""
        self.sent = 0
        self.cut: int | None = None
        self.whole_only = False
        self.says: int | None = None
        self.more = b""
        self.status = 200
        self.pause: Callable[[], None] | None = None
        self.port = 0

    def put(self, wanted: Target, content: bytes) -> None:
        folder, _, name = wanted.path.rpartition("/")
        digest = wanted.digest.removeprefix("sha256:")
        path = f"/v1/update/targets/{folder}/{digest}.{name}"
        self.files[path] = content
        self.etags[path] = entity_tag(wanted)


class _Handler(http.server.BaseHTTPRequestHandler):
    payloads: Payloads
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.payloads.asked.append(self.headers.get("Range", ""))
        content = self.payloads.files.get(self.path)
        if content is None or self.payloads.status != 200:
            self.send_response(self.payloads.status if self.payloads.status != 200 else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = self._start(len(content))
        self.payloads.starts.setdefault(self.path, []).append(start)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        length = len(content) - start if self.payloads.says is None else self.payloads.says
        if length:
            self.send_header("Content-Length", str(length))
        self.send_header("ETag", self.payloads.etags[self.path])
        self.end_headers()
        self._pour(content[start:])
        self.close_connection = True

    def _start(self, length: int) -> int:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        etag = self.payloads.etags[self.path]
        fresh = self.headers.get("If-Range", etag) == etag
        return int(match[1]) if match and fresh and not self.payloads.whole_only and int(match[1]) < length else 0

    def _pour(self, content: bytes) -> None:
        end = len(content) if self.payloads.cut is None else self.payloads.cut
        try:
            for at in range(0, min(end, len(content)), 16_384):
                if self.payloads.pause is not None:
                    self.payloads.pause()
                piece = content[at : min(end, at + 16_384)]
                self.wfile.write(piece)
                self.payloads.sent += len(piece)
            while self.payloads.more and self.payloads.cut is None:
                self.wfile.write(self.payloads.more)
                self.payloads.sent += len(self.payloads.more)
        except OSError:
            return  # the device has had enough

    def log_message(self, *_: object) -> None:
        """Nothing: a test's output is its result."""


class _Listener(http.server.ThreadingHTTPServer):
    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, *_: object) -> None:
        """A connection that a test breaks on purpose is no news."""


@contextmanager
def serving(payloads: Payloads, context: ssl.SSLContext | None = None) -> Iterator[Payloads]:
    """Serve `payloads` on a loopback port while the context lasts, with TLS where there is one."""

    listener = _Listener(("127.0.0.1", 0), type("Handler", (_Handler,), {"payloads": payloads}))
    if context is not None:
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
    payloads.port = listener.server_port
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield payloads
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


class _Plain(http.client.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock: Any = Timed(self.sock)

    def deadline(self, at: float) -> None:
        self.sock.at = at


def plain_line(port: int) -> DirectLine:
    """A line without TLS, to a server on this machine."""
    return DirectLine(Server("127.0.0.1", port), connection=_Plain("127.0.0.1", port))


@dataclass
class Trusted:
    """Two repositories that say what they are told to say."""

    directs: dict[str, Target] = field(default_factory=dict)
    images: dict[str, Target] = field(default_factory=dict)
    named: str = "cam-1"
    frozen: bool = False
    director_version: int = 3
    source: Source = Source.SIGNED
    now: Instant = NOON
    refuses: HostileData | None = None
    exempt: tuple[Exemption, ...] = ()
    refreshed: int = 0

    def refresh(self, channel: object, nonce: str | None = None) -> None:
        del channel, nonce
        self.refreshed += 1
        if self.refuses is not None:
            raise self.refuses

    def directed(self, path: str) -> Target | None:
        return self.directs.get(path)

    def imaged(self, path: str) -> Target | None:
        return self.images.get(path)

    def exemptions(self, release: str) -> tuple[Exemption, ...]:
        del release
        return self.exempt

    def sense(self) -> Sense:
        return Sense(self.now, self.source)


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.boot, self.up_s = 1, 5

    def now(self) -> Moment:
        return Moment(f"boot-{self.boot}", self.up_s)


class Device:
    """One device: its folders, its boot loader, its driver, and what becomes of what it asks for."""

    def __init__(self, folder: Path, payloads: Payloads) -> None:
        self.slots, self.state = folder / "slots", folder / "state"
        self.payloads = payloads
        self.clock = Clock()
        self.trusted = Trusted()
        self.installer: Any = FileAB(self.slots)
        self.well: Health | None = Health(ok=True)
        self.power: Power | None = None
        self.said: list[str] = []
        self.reboots = 0
        self.seq = 1
        self.slice_s = 45.0
        self.hardware: tuple[str, ...] = ("board-1",)
        self.model = ""
        if not (self.slots / "boot.json").exists():
            bootloader.found(self.slots, OLD_IMAGE, release=OLD, counter=1)
        self.driver = self._driver()

    def _driver(self) -> Driver:
        ports = Ports(
            self.clock,  # type: ignore[arg-type]
            self.trusted,
            self.installer,
            lambda: plain_line(self.payloads.port),
            self._reboot,
            lambda: self.well,
            lambda: self.power,
            self.said.append,
        )
        return Driver(self.state, Identity("cam-1", self.hardware, self.model), ports, slice_s=self.slice_s)

    def _reboot(self) -> None:
        self.reboots += 1

    def offer(self, content: bytes = NEW_IMAGE, release: str = NEW, counter: int = 2) -> Target:
        """Have a release in both repositories, and its payload served."""
        wanted = target(release, counter, payload=content)
        self.trusted.directs[wanted.path] = self.trusted.images[wanted.path] = wanted
        self.payloads.put(wanted, content)
        return wanted

    def order(self, number: int = 7, release: str = NEW, **more: Any) -> Order:
        model, _, version = release.partition(":")
        args = UpdateArgs(release, path=f"{model}/{version}/image.img", **more)
        return Order(number, "update", msgspec.json.encode(args).decode())

    def take(self, *orders: Order) -> list[DirectiveReport]:
        return self.driver.reports(orders)

    def turns(self, most: int = 500) -> int:
        """Take turns until there is nothing to do right away; how many."""
        for count in range(most):
            if not self.driver.turn(self.seq):
                return count
        raise AssertionError("it never rests")

    def boot(self) -> None:
        """Begin a new boot, with whatever the boot loader chooses."""
        bootloader.boot(self.slots)
        self.clock.boot += 1
        self.clock.up_s = 5
        self.restart()

    def restart(self) -> None:
        """Begin a new process of the agent."""
        self.driver = self._driver()

    def settle(self) -> None:
        """Take turns, past a reboot that they ask for, until something has to come from outside."""
        self.turns()
        if self.phase in (Phase.ARMED, Phase.REVERTED):
            self.boot()
            self.turns()

    def answer(self, order: Verdict, directive: int = 7) -> None:
        """Check in, and hear this of it."""
        self.seq += 1
        self.driver.heard(msgspec.json.encode(UpdateAnswer(directive, order)), self.seq)

    @property
    def install(self) -> Install:
        install = self.driver.journal.install
        assert install is not None
        return install

    @property
    def phase(self) -> Phase:
        return self.install.phase

    @property
    def runs(self) -> bytes:
        """What the running slot holds."""
        return bootloader.content(self.slots)

    def report(self) -> UpdateReport:
        part = self.driver.part()
        assert part is not None
        return msgspec.json.decode(part.body, type=UpdateReport)
