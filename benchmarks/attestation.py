"""Whole attestations a second and core: from a check-in's bytes to the stored verdict and its leaf of the log.

Method: 1,000 devices with a TPM in memory and real certificates attest with the event log of a real machine (41 KB,
Secure Boot on). Every check-in carries a quote that answers the nonce of the last reply, health, metrics and the digest
of its audit, and ends in a verdict that is committed with ``synchronous=FULL`` before the reply. Quotes are signed
between rounds, outside the clock; a reply that wants more or brings another verdict than it must ends the benchmark.
In process: `check_in` is called with 64 at once, everything on one core, rates against this process's CPU time, the
store's writer included. Over mutual TLS: the real ``holdfast serve`` on one core, the devices on the other, rates
against the server's own CPU time.

Four cases, and what each owes: *unchanged*, the log's digest only and the same result, so no leaf; *changing*, the
log's digest and another result than the last each time (a debug port opens and closes), so leaves of result and
verdict; *whole*, all 41 KB though the server has them; *new*, all 41 KB of a log that no other device has, read,
compared and stored anew, and another release than the last, so a leaf.

Memory: devices that check in with everything but evidence, and then half of them with it, and then the others: what
the process grew by with these, for each.
Then the parts, beside the functions of another verifier on the same inputs: see `benchmarks.attestation_parts`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks import attestation_parts
from benchmarks.attestation_fleet import Attester, bind, boots, own
from benchmarks.ground import CLIENT_CORE, SERVER_CORE, Ground, client_context, holdfast, prepare
from benchmarks.load import Connection, percentile, press
from holdfast.bootstrap import DATABASE, Plane
from holdfast_core.wire.attestation import Debug
from holdfast_core.wire.frame import Level, Reply

FLEET, IN_FLIGHT, ROUNDS = 1_000, 64, 4
MANY = 4_000
Ask = Callable[[int, bytes], Awaitable[bytes]]
Next = Callable[[Attester, int], bytes]
"""From a device and the number of a round to the device's next check-in."""


@dataclass(frozen=True)
class Case:
    """One way to attest: its name, what is sent, what must come out, and the rate that is aimed at."""

    name: str
    next: Next
    target: int
    levels: tuple[Level, Level] = (Level.TRUSTED, Level.TRUSTED)


def _cases(run: str) -> tuple[Case, ...]:
    """The cases; `run` is in the logs of the last, so that no other run left them at the server."""
    both = boots()
    first = both[0]
    ports = (Debug.DISABLED, Debug.ENABLED)
    return (
        Case("unchanged", lambda device, _: device.evidence(first, log=False), 400),
        Case(
            "changing",
            lambda device, turn: device.evidence(first, log=False, debug=ports[turn % 2]),
            400,
            (Level.TRUSTED, Level.RESTRICTED),
        ),
        Case("whole", lambda device, _: device.evidence(first, log=True), 150),
        Case(
            "new",
            lambda device, turn: device.evidence(own(both[turn % 2], f"{run} {device.name} {turn}"), log=True),
            150,
        ),
    )


class Meter:
    """Rounds of check-ins of a whole fleet, and what they took."""

    def __init__(self, devices: Sequence[Attester], ask: Ask, cpu: Callable[[], float]) -> None:
        self._devices, self._ask, self._cpu = devices, ask, cpu
        self.done, self.wall, self.used = 0, 0.0, 0.0
        self.latencies: list[float] = []

    async def round(self, following: Next, turn: int, level: Level | None = None) -> None:
        """Every device checks in once. What it says was made before the clock runs, its reply is read after."""
        messages = [following(device, turn) for device in self._devices]
        replies = [b""] * len(messages)

        async def one(number: int) -> None:
            replies[number] = await self._ask(number, messages[number])

        before = self._cpu()
        wall, latencies = await press(len(messages), IN_FLIGHT, one)
        self.used += self._cpu() - before
        self.wall += wall
        self.done += len(messages)
        self.latencies += latencies
        for device, reply in zip(self._devices, replies, strict=True):
            _must(device.heard(reply), level)

    def line(self) -> str:
        """The rates."""
        p50, p99 = (1000 * percentile(self.latencies, share) for share in (0.5, 0.99))
        return (
            f"{self.done / self.used:6,.0f} per core-second  {self.done / self.wall:6,.0f} per wall second  "
            f"p50 {p50:6.1f} ms  p99 {p99:6.1f} ms"
        )


def _must(reply: Reply, level: Level | None) -> None:
    if level is not None and (reply.wants or reply.verdict.level is not level):
        codes = [reason.code for reason in reply.verdict.reasons]
        raise SystemExit(f"a device was not {level.value}: {reply.verdict.level.value}, {codes}, wants {reply.wants}")


async def _greeted(devices: Sequence[Attester], ask: Ask) -> None:
    """Every device's first contacts, which are not measured: the audit, and the first evidence with its log."""
    first, _ = boots()
    meter = Meter(devices, ask, time.process_time)
    await meter.round(lambda device, _: device.greeting(), 0)
    await meter.round(lambda device, _: device.evidence(first, log=True), 1, Level.TRUSTED)


async def _warmed(case: Case, devices: Sequence[Attester], ask: Ask) -> range:
    """Bring every device into the state that the case alternates from; the numbers of the rounds that follow."""
    meter = Meter(devices, ask, time.process_time)
    await meter.round(case.next, 0, case.levels[0])
    return range(1, ROUNDS + 1)


async def _measured(
    case: Case, turns: Iterable[int], devices: Sequence[Attester], ask: Ask, cpu: Callable[[], float]
) -> Meter:
    meter = Meter(devices, ask, cpu)
    for turn in turns:
        await meter.round(case.next, turn, case.levels[turn % 2])
    return meter


async def _in_process(ground: Ground, devices: Sequence[Attester]) -> None:
    plane = Plane.open(ground.config, ground.folder)
    try:

        def ask(number: int, data: bytes) -> Awaitable[bytes]:
            return plane.check_ins.check_in(devices[number].fingerprint, data)

        await _greeted(devices, ask)
        for case in _cases("in process"):
            turns = await _warmed(case, devices, ask)
            before, disk = plane.store.log_size(), _on_disk(ground.folder)
            meter = await _measured(case, turns, devices, ask, time.process_time)
            leaves = (plane.store.log_size() - before) / meter.done
            stored = (_on_disk(ground.folder) - disk) / meter.done
            print(
                f"{case.name:10} {meter.line()}  {leaves:.1f} leaves and {stored / 1024:.1f} KiB on disk each  "
                f"(target {case.target} per core-second)"
            )
    finally:
        await plane.close()


def _on_disk(folder: Path) -> int:
    """Bytes of the database and what is not merged into it yet."""
    return sum(path.stat().st_size for path in folder.glob(f"{DATABASE}*"))


async def _over_tls(ground: Ground, devices: Sequence[Attester]) -> None:
    server = holdfast(ground)
    try:
        contexts = [client_context(ground, member) for member in ground.members]
        connections = [await Connection.open(server.port, context) for context in contexts]

        def ask(number: int, data: bytes) -> Awaitable[bytes]:
            return connections[number].ask(data)

        await _greeted(devices, ask)
        for case in _cases("over TLS"):
            turns = await _warmed(case, devices, ask)
            meter = await _measured(case, turns, devices, ask, server.cpu_seconds)
            print(f"{case.name:10} {meter.line()}  (target {case.target} per core-second)")
        for connection in connections:
            connection.close()
    finally:
        server.stop()


async def _memory(ground: Ground, devices: Sequence[Attester]) -> None:
    """What the control plane grows by for each device that begins to attest, once others do."""
    tracemalloc.start()
    plane = Plane.open(ground.config, ground.folder)
    try:

        def meter(some: Sequence[Attester]) -> Meter:
            def ask(number: int, data: bytes) -> Awaitable[bytes]:
                return plane.check_ins.check_in(some[number].fingerprint, data)

            return Meter(some, ask, time.process_time)

        every = meter(devices)
        await every.round(lambda device, _: device.greeting(), 0)
        await every.round(lambda device, _: device.plain(), 1)
        # The first half pays for what is there once: the log, the ground, the database's own pages.
        half, first = len(devices) // 2, boots()[0]
        held = []
        for some in (devices[:half], devices[half:]):
            attesting = meter(some)
            for turn in range(2):
                await attesting.round(lambda device, _: device.evidence(first, log=False), turn)
            held.append(_held())
    finally:
        await plane.close()
        tracemalloc.stop()
    own_account, resident = ((after - before) / (len(devices) - half) for before, after in zip(*held, strict=True))
    print(
        f"memory: {own_account:,.0f} bytes each in Python's own account, {resident:,.0f} of resident memory, "
        f"{len(devices) - half:,} devices after as many  (target 2,048)"
    )


def _held() -> tuple[int, int]:
    """Bytes in Python's own account, and resident without what keeps that account."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return tracemalloc.get_traced_memory()[0], resident - tracemalloc.get_tracemalloc_memory()


async def _bound(ground: Ground) -> list[Attester]:
    plane = Plane.open(ground.config, ground.folder)
    try:
        first, second = boots()
        return await bind(plane, ground, (first.release("1.0.0"), second.release("2.0.0")))
    finally:
        await plane.close()


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        ground = prepare(Path(name) / "data", fleet=FLEET, connecting=FLEET)
        devices = asyncio.run(_bound(ground))
        os.sched_setaffinity(0, {SERVER_CORE})
        print("in process, one core:")
        uvloop.run(_in_process(ground, devices))
        os.sched_setaffinity(0, {CLIENT_CORE})
        print("over mutual TLS, kept alive:")
        uvloop.run(_over_tls(ground, devices))
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        ground = prepare(Path(name) / "data", fleet=MANY, connecting=MANY)
        uvloop.run(_memory(ground, asyncio.run(_bound(ground))))
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    attestation_parts.main()
