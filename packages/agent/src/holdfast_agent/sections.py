"""The evidence a device gathers at every check-in: the essential function's health, the installed release, metrics.

1. Everything here is cheap: no walk, no import that costs, a few reads of /proc.
2. What cannot be said is left out, never made up: without a probe there is no ``health`` section at all.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from holdfast_agent.clock import Clock
from holdfast_agent.state import Config
from holdfast_core.baseline.model import Findings
from holdfast_core.inventory.model import HealthProbe
from holdfast_core.kernel.digests import canonical, digest_of
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.device import Part
from holdfast_core.wire.frame import Health, InstalledRelease
from holdfast_probe.health import health as ask_health

SMALL_FILE = 64 * 1024
_OS_RELEASE = ("etc/os-release", "usr/lib/os-release")


def health(probe: HealthProbe, config: Config, clock: Clock) -> Health | None:
    """Whether the essential function goes on; `None` where the agent has no way to tell."""
    return ask_health(probe, root=Path(config.root), proc=Path(config.proc), wall_s=clock.wall_s())


def release(config: Config) -> InstalledRelease | None:
    """What the device says it runs, from the file named at enrollment or from os-release; `None` where neither says."""
    if config.release_file:
        data = small_file(Path(config.release_file))
        try:
            return msgspec.json.decode(data or b"", type=InstalledRelease)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
    for name in _OS_RELEASE:
        data = small_file(Path(config.root, name))
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


def small_file(path: Path) -> bytes | None:
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
    probe: HealthProbe | None,
    found: tuple[Findings, int] | None,
    sent: Findings | None,
    config: Config,
    clock: Clock,
) -> tuple[tuple[Part, ...], bool | None]:
    """All sections of a check-in, and whether the essential function goes on.

    Args:
        probe: how to tell that, once the plan said so.
        found: the last findings and their age in seconds.
        sent: earlier findings that the server holds.
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
        parts.append(_baseline(findings, age_s, sent))
    return tuple(parts), state.ok if state is not None else None


def _baseline(findings: Findings, age_s: int, sent: Findings | None) -> Part:
    """The audit, and what changed since the one that the server holds."""
    body = fitting(findings)
    if sent is None:
        return Part("baseline", body, age_s)
    from holdfast_core.baseline.delta import delta_of  # noqa: PLC0415  (only a changed audit pays for it)

    held = fitting(sent)
    changes = delta_of(msgspec.json.decode(held, type=Findings), msgspec.json.decode(body, type=Findings))
    return Part("baseline", body, age_s, digest_of(held), canonical(changes))


def fitting(findings: Findings, limit: int = LIMITS.section_bytes) -> bytes:
    """The canonical bytes of `findings`, with as many proofs each as fit into `limit` bytes."""
    for proofs in range(LIMITS.proof_items, -1, -1):
        shortened = [msgspec.structs.replace(entry, proof=entry.proof[:proofs]) for entry in findings.findings]
        body = canonical(Findings(findings.plan, tuple(shortened)))
        if len(body) <= limit:
            break
    return body
