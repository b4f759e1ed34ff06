"""Where releases run: what a scope's devices say of themselves, what they proved, and what they were given.

1. *Running* is a device's own word. *Proved* is that its last affirming evidence was of the same release.
2. *Given* counts devices that were directed to a release and may have it, whatever became of them.
3. One look goes over every device once and lets others work in between: it is for people, not for check-ins.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping

import msgspec

from holdfast.ports.attested import state_of
from holdfast.ports.store import DeviceFilter, Store
from holdfast_core.attestation.model import FEATURE
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.trust.posture import Posture
from holdfast_core.update.model import Assignment
from holdfast_core.wire.update import SECTION

GROUP = 500
"""Devices that are looked at before others may work."""


class Spread(msgspec.Struct, frozen=True):
    """How far one release has come."""

    running: int = 0
    proved: int = 0
    given: int = 0


class Survey(msgspec.Struct, frozen=True):
    """One look at a scope; its maps are by the name of a release or of a model (without its version)."""

    spreads: Mapping[str, Spread]
    devices: Mapping[str, int]
    """Devices of a model whose life goes on."""
    sites: Mapping[str, frozenset[str]]
    """Where they stand."""

    def of(self, release: str) -> Spread:
        """How far a release has come."""
        return self.spreads.get(release, Spread())


class _Running(msgspec.Struct):
    release: str = ""


class _Report(msgspec.Struct):
    running: _Running


class _Memory(msgspec.Struct):
    """As much of `memory.UpdateMemory` as is counted; the rest is skipped unread."""

    report: _Report | None = None


_decode = msgspec.msgpack.Decoder(_Memory).decode


def runs(posture: Posture | None) -> str:
    """The release that a device says it runs; empty where it says none."""
    known = posture.sections.get(SECTION) if posture is not None else None
    report = _decode(known.body).report if known is not None and known.body else None
    return report.running.release if report is not None else ""


def proves(posture: Posture | None, now: Instant) -> str:
    """The release that a device's evidence affirms now; empty where it affirms none."""
    appraisal = posture.appraisal(FEATURE) if posture is not None else None
    if posture is None or appraisal is None or appraisal.at(now).tier is not Tier.AFFIRMING:
        return ""
    return state_of(posture).release


async def survey(store: Store, scope: Scope, now: Instant) -> Survey:
    """Look at every device of a scope whose life goes on."""
    running: Counter[str] = Counter()
    proved: Counter[str] = Counter()
    devices: Counter[str] = Counter()
    sites: defaultdict[str, set[str]] = defaultdict(set)
    after = ""
    while page := store.devices(scope, DeviceFilter(after=after, limit=GROUP)):
        after = page[-1].key.device
        for device in page:
            if not device.lifecycle.is_over:
                model = model_of(device)
                devices[model] += 1
                sites[model].add(device.site)
                posture = store.posture(device.key)
                running[said := runs(posture)] += 1
                proved[said] += bool(said) and proves(posture, now) == said
        await asyncio.sleep(0)
    given = Counter(each.release for each in store.all_kept(Assignment, scope) if each.stage.is_exposed)
    names = (running.keys() | given.keys()) - {""}
    return Survey(
        {name: Spread(running[name], proved[name], given[name]) for name in names},
        devices,
        {model: frozenset(found) for model, found in sites.items()},
    )


def model_of(device: Device) -> str:
    """The name of a device's model, without its version."""
    return device.model.partition("@")[0]
