"""The evidence a device gathers at every check-in: the essential function's health, the installed release, metrics.

1. Everything here is cheap: no walk, no import that costs, a few reads of /proc.
2. What cannot be said is left out, never made up: without a probe there is no ``health`` section at all.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec

from holdfast_agent.clock import Clock
from holdfast_agent.state import Config
from holdfast_core.baseline.model import Findings
from holdfast_core.inventory.model import HealthProbe
from holdfast_core.kernel.digests import canonical
from holdfast_core.kernel.errors import HoldfastError
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.device import Part
from holdfast_core.wire.frame import Health, InstalledRelease

CONNECT_S = 2.0
PROCESSES = 32_768
"""Processes that are looked through, at most."""
SMALL_FILE = 64 * 1024
COMM_LENGTH = 15
"""The kernel cuts a process's name to this."""
_OS_RELEASE = ("etc/os-release", "usr/lib/os-release")


def health(probe: HealthProbe, config: Config, clock: Clock) -> Health | None:
    """Whether the essential function goes on; `None` where the agent has no way to tell."""
    match probe.kind:
        case "tcp":
            return _accepts(probe.port)
        case "file-fresh":
            return _fresh(probe, config, clock)
        case "process":
            return _runs(probe.process, Path(config.proc))
    return None


def _accepts(port: int) -> Health:
    try:
        socket.create_connection(("127.0.0.1", port), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        return Health(ok=False, detail=f"Nothing answers on port {port}: {getattr(error, 'strerror', None) or error}.")
    return Health(ok=True)


def _fresh(probe: HealthProbe, config: Config, clock: Clock) -> Health:
    from holdfast_probe.roots import LiveRoot  # noqa: PLC0415  (only models with such a probe pay for it)

    try:
        changed = LiveRoot(Path(config.root)).status(probe.path).st_mtime
    except HoldfastError as error:
        return Health(ok=False, detail=error.sentence[: LIMITS.text])
    age = clock.wall_s() - changed
    if age < -probe.max_age_s:
        # After a lost clock, the file is from before the loss: nothing was written since.
        return Health(ok=False, detail=f"{probe.path} was changed in the future of this device's clock.")
    if age > probe.max_age_s:
        return Health(ok=False, detail=f"{probe.path} has not changed for {int(age)} s.")
    return Health(ok=True)


def _runs(name: str, proc: Path) -> Health:
    wanted = name[:COMM_LENGTH]
    with os.scandir(proc) as entries:
        for _, entry in zip(range(PROCESSES), (e for e in entries if e.name.isdigit()), strict=False):
            try:
                comm = Path(entry.path, "comm").read_text("utf-8", "replace").rstrip("\n")
                if comm == wanted and not _is_zombie(Path(entry.path)):
                    return Health(ok=True)
            except OSError:
                continue  # it ended while we looked
    return Health(ok=False, detail=f"No process named {name} runs.")


def _is_zombie(process: Path) -> bool:
    return (process / "stat").read_bytes().rpartition(b")")[2].split()[:1] == [b"Z"]


def release(config: Config) -> InstalledRelease | None:
    """What the device says it runs, from the file named at enrollment or from os-release; `None` where neither says."""
    if config.release_file:
        data = _small(Path(config.release_file))
        try:
            return msgspec.json.decode(data or b"", type=InstalledRelease)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
    for name in _OS_RELEASE:
        data = _small(Path(config.root, name))
        if data is not None:
            return _from_os_release(data)
    return None


def _from_os_release(data: bytes) -> InstalledRelease | None:
    values: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        key, sign, value = line.partition("=")
        if sign and not key.startswith("#"):
            values[key.strip()] = value.strip().strip("\"'")
    build = "-".join(values[key] for key in ("ID", "VERSION_ID", "BUILD_ID", "IMAGE_VERSION") if values.get(key))
    if not build:
        return None
    version = values.get("IMAGE_VERSION") or values.get("VERSION_ID", "")
    return InstalledRelease(build[: LIMITS.text], version[: LIMITS.text])


def _small(path: Path) -> bytes | None:
    """A small regular file; a link is not followed, for in an unpacked root it could lead out of it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        try:
            return file.read(SMALL_FILE)
        except OSError:
            return None


def metrics(config: Config, clock: Clock) -> dict[str, int | float]:
    """A few numbers about the device."""
    numbers: dict[str, int | float] = {"uptime-s": clock.now().up_s}
    proc = Path(config.proc)
    try:
        numbers["load1"] = float((proc / "loadavg").read_text("ascii").split()[0])
        available = next(x for x in (proc / "meminfo").read_text("ascii").splitlines() if x.startswith("MemAvailable:"))
        numbers["memory-available-kib"] = int(available.split()[1])
        disk = os.statvfs(config.root)
        numbers["disk-free-kib"] = disk.f_bavail * disk.f_frsize // 1024
    except (OSError, ValueError, StopIteration, IndexError):
        pass  # a kernel that does not tell is no reason not to check in
    return numbers


def gather(
    probe: HealthProbe | None, found: tuple[Findings, int] | None, config: Config, clock: Clock
) -> tuple[tuple[Part, ...], bool | None]:
    """All sections of a check-in, and whether the essential function goes on.

    Args:
        probe: how to tell that, once the plan said so.
        found: the last findings and their age in seconds.
        config: where to look.
        clock: for ages.
    """
    parts: list[Part] = []
    state = health(probe, config, clock) if probe else None
    if state is not None:
        parts.append(Part("health", msgspec.json.encode(state)))
    installed = release(config)
    if installed is not None:
        parts.append(Part("release", msgspec.json.encode(installed)))
    parts.append(Part("metrics", msgspec.json.encode(metrics(config, clock))))
    if found is not None:
        findings, age_s = found
        parts.append(Part("baseline", fitting(findings), age_s))
    return tuple(parts), state.ok if state is not None else None


def fitting(findings: Findings, limit: int = LIMITS.section_bytes) -> bytes:
    """The canonical bytes of `findings`, with as many proofs each as fit into `limit` bytes."""
    for proofs in range(LIMITS.proof_items, -1, -1):
        shortened = [msgspec.structs.replace(entry, proof=entry.proof[:proofs]) for entry in findings.findings]
        body = canonical(Findings(findings.plan, tuple(shortened)))
        if len(body) <= limit:
            break
    return body
