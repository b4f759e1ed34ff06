"""A network of its own for every device: Linux network namespaces, made and removed with ``ip``.

1. A device gets the namespace ``hf-<run>-<device>`` and one link to the root namespace. Every link has the same address
   on the root side, where the server listens; devices have no link to each other.
2. Addresses come from a free /24 of 10.213.0.0/16: one that overlaps no route of this machine.
3. A run's name is ``<pid>-<start of that process>``, so what a run left behind can be told from what a living one uses,
   also when the pid was given out again; the next run removes it.
4. Without root there are no namespaces: `NoNamespaces` runs devices as plain processes on loopback. Their
   ``/proc/net`` is then this machine's, so listeners of a device cannot be told from the machine's own; it says so.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypedDict, Unpack

import msgspec

from holdfast_core.kernel.errors import WorldError

RANGE = ipaddress.IPv4Network("10.213.0.0/16")
_NAME = re.compile(r"hf-(?P<pid>\d+)-(?P<start>\d+)-[a-z0-9._-]+")
_FIRST_HOST = 10
MAX_DEVICES = 200
_IP_SECONDS = 30


class Start(TypedDict, total=False):
    """What a caller may say of a process's start; as `subprocess.Popen` has it."""

    env: Mapping[str, str] | None
    cwd: Path | str | None
    stdin: int | None
    stdout: int | None
    stderr: int | None


class Seat(msgspec.Struct, frozen=True):
    """Where a device sits: the namespace's name, the root side's interface, the device's own address."""

    device: str
    namespace: str
    interface: str
    address: str


class NamespacePlan(msgspec.Struct, frozen=True):
    """What is to be made; nothing of it exists yet."""

    run: str
    server_address: str
    seats: tuple[Seat, ...]


class World(Protocol):
    """Where the devices of a demo or test run."""

    isolated: bool
    """Whether every device has a network of its own."""
    explanation: str
    """One sentence for the person who watches."""
    server_address: str
    """Where the server must listen for the devices to reach it."""

    def address(self, device: str) -> str:
        """The device's own IPv4 address."""

    def start(self, device: str, argv: Sequence[str], **how: Unpack[Start]) -> subprocess.Popen[bytes]:
        """Start a program where the device is; the process's pid is the program's own."""

    def close(self) -> None:
        """End what still runs there and remove everything that was made."""


def this_run() -> str:
    """The name of this process's run: ``<pid>-<start time in clock ticks since boot>``."""
    return f"{os.getpid()}-{start_of(os.getpid())}"


def plan(run: str, devices: Iterable[str], taken: Iterable[ipaddress.IPv4Network]) -> NamespacePlan:
    """Lay out `devices` in a free /24.

    Args:
        run: as from `this_run`.
        devices: at most `MAX_DEVICES` device ids.
        taken: the networks that this machine already has a route to; the default route left out.

    Raises:
        WorldError: ``world.no_addresses`` when every /24 is taken, or there are too many devices.
    """
    names = tuple(devices)
    busy = tuple(taken)
    free = next((net for net in RANGE.subnets(new_prefix=24) if not any(net.overlaps(b) for b in busy)), None)
    if free is None or len(names) > MAX_DEVICES:
        raise WorldError(
            "world.no_addresses",
            f"There is no free /24 of {RANGE} for {len(names)} devices.",
            remedy=f"Remove routes within {RANGE}, or ask for at most {MAX_DEVICES} devices.",
        )
    seats = tuple(
        Seat(
            device=name,
            namespace=f"hf-{run}-{name}",
            # An interface's name has at most 15 characters.
            interface="hf" + hashlib.sha256(f"{run}/{name}".encode()).hexdigest()[:10],
            address=str(free[_FIRST_HOST + index]),
        )
        for index, name in enumerate(names)
    )
    return NamespacePlan(run, str(free[1]), seats)


class Namespaces:
    """The namespaces of one plan; use it as a context manager, or `close` it."""

    isolated = True
    explanation = "Every device runs in a network namespace of its own."

    def __init__(self, layout: NamespacePlan) -> None:
        self._seats = {seat.device: seat for seat in layout.seats}
        self.server_address = layout.server_address
        try:
            for seat in layout.seats:
                _make(seat, layout.server_address)
        except BaseException:
            # Half a world must not stay behind, whatever ended its making.
            self.close()
            raise

    def address(self, device: str) -> str:
        """The device's own IPv4 address."""
        return self._seats[device].address

    def start(self, device: str, argv: Sequence[str], **how: Unpack[Start]) -> subprocess.Popen[bytes]:
        """Start a program in the device's namespace; ``ip`` becomes the program, so the pid is the program's own."""
        return run_in(self._seats[device].namespace, argv, **how)

    def close(self) -> None:
        """End what still runs in the namespaces and remove them with their links; a second call does nothing."""
        present = _namespaces()
        for seat in self._seats.values():
            if seat.namespace in present:
                _remove(seat.namespace, seat.interface)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class NoNamespaces:
    """Plain processes on loopback, where there is no root to make namespaces."""

    isolated = False
    server_address = "127.0.0.1"

    def __init__(self, why: str) -> None:
        self.explanation = (
            f"Devices run as plain processes on loopback, because {why}; "
            "their listening ports are this machine's and are not judged."
        )
        self._started: list[subprocess.Popen[bytes]] = []

    def address(self, device: str) -> str:  # noqa: ARG002  (all devices are here)
        """Loopback, whichever the device."""
        return "127.0.0.1"

    def start(self, device: str, argv: Sequence[str], **how: Unpack[Start]) -> subprocess.Popen[bytes]:  # noqa: ARG002  (same)
        """Start a plain process."""
        process = subprocess.Popen(argv, **how)  # noqa: S603  (the caller's own program)
        self._started.append(process)
        return process

    def close(self) -> None:
        """End what still runs."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait()


def open_world(devices: Iterable[str]) -> Namespaces | NoNamespaces:
    """The best world this machine allows; what dead runs left behind is removed first.

    Raises:
        WorldError: ``world.no_addresses``; every other hindrance leads to `NoNamespaces`, which says which.
    """
    if sys.platform != "linux":
        return NoNamespaces("this is not Linux")
    if os.geteuid() != 0:
        return NoNamespaces("making network namespaces needs root")
    if shutil.which("ip") is None:
        return NoNamespaces("the program ip is missing (Debian: iproute2)")
    try:
        remove_stale()
        return Namespaces(plan(this_run(), devices, taken_networks()))
    except WorldError as error:
        if error.code != "world.ip":
            raise
        return NoNamespaces(f"this machine refuses network namespaces ({error.sentence})")


def run_in(namespace: str, argv: Sequence[str], **how: Unpack[Start]) -> subprocess.Popen[bytes]:
    """Start a program in a namespace. The caller waits for it or ends it."""
    return subprocess.Popen(["ip", "netns", "exec", namespace, *argv], **how)  # noqa: S603, S607  (ours; iproute2 is on PATH)


def taken_networks() -> tuple[ipaddress.IPv4Network, ...]:
    """The IPv4 networks this machine has a route to, the default route left out."""
    routes = msgspec.json.decode(_ip("-4", "-j", "route", "show", "table", "all"), type=list[dict[str, object]])
    found = []
    for route in routes:
        # "default" is no network, and a route of type "unreachable" may have an odd destination.
        with suppress(ValueError):
            found.append(ipaddress.IPv4Network(str(route.get("dst", "")), strict=False))
    return tuple(network for network in found if network.prefixlen > 0)


def remove_stale() -> tuple[str, ...]:
    """Remove the namespaces of runs whose process is gone; returns their names."""
    stale = []
    for name in _namespaces():
        match = _NAME.fullmatch(name)
        if match and start_of(int(match["pid"])) != match["start"]:
            # Its link on the root side goes with it.
            _remove(name)
            stale.append(name)
    return tuple(stale)


def _make(seat: Seat, server_address: str) -> None:
    _ip("netns", "add", seat.namespace)
    _ip("link", "add", seat.interface, "type", "veth", "peer", "name", "eth0", "netns", seat.namespace)
    # The root side has the same address on every link; the peer's /32 tells which link leads to whom.
    _ip("address", "add", server_address, "peer", seat.address, "dev", seat.interface)
    _ip("link", "set", seat.interface, "up")
    inside = ("-n", seat.namespace)
    _ip(*inside, "link", "set", "lo", "up")
    _ip(*inside, "address", "add", seat.address, "peer", server_address, "dev", "eth0")
    _ip(*inside, "link", "set", "eth0", "up")


def _remove(namespace: str, interface: str | None = None) -> None:
    """Only processes in a namespace that a run of ours made are ended, each by its id."""
    with suppress(WorldError):
        for pid in _ip("netns", "pids", namespace).split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    # The kernel takes a namespace's links down some time later; a link that is named goes at once.
    if interface is not None:
        with suppress(WorldError):
            _ip("link", "del", interface)
    with suppress(WorldError):
        _ip("netns", "del", namespace)


def _namespaces() -> tuple[str, ...]:
    return tuple(line.split()[0] for line in _ip("netns", "list").decode().splitlines() if line.strip())


def start_of(pid: int) -> str:
    """When the process started, in clock ticks since boot; empty when it is gone, or has ended and nobody looked."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The program's name may hold spaces and parentheses: count from the last one. Field 22 of proc(5).
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in {"Z", "X"} else fields[19]


def _ip(*words: str) -> bytes:
    try:
        return subprocess.run(  # noqa: S603  (words of our own)
            ["ip", *words],  # noqa: S607  (iproute2 is on PATH)
            check=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_IP_SECONDS,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        detail = (getattr(error, "stderr", b"") or b"").decode(errors="replace").strip()
        raise WorldError(
            "world.ip",
            f"ip {' '.join(words[:4])} failed: {detail or error}",
            remedy="Run as root on Linux with network namespaces, or do without them.",
        ) from error
