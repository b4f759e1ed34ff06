"""What comes to a device once it is directed, as a plan takes it: it is well, it fails loudly, or it falls silent."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast_core.update.calls import next_call
from holdfast_core.update.model import Rollout
from holdfast_core.update.pacing import Kind
from holdfast_core.update.plan_model import Assumptions, PlanFact
from holdfast_core.update.windows import until_open

Events = tuple[int, tuple[tuple[int, Kind], ...]]
"""When the device sets out, and what comes to it when."""


class Ground(msgspec.Struct, frozen=True):
    """What all courses stand on; `begins` is the second of the day, in UTC, at which the plan begins."""

    rollout: Rollout
    facts: Sequence[PlanFact]
    assumed: Assumptions
    begins: int

    def sets_out(self, number: int, now: int) -> int:
        """When a device that is directed at `now` begins to fetch."""
        fact = self.facts[number]
        if fact.window is None:
            return now
        return now + until_open(fact.window, (self.begins + now + 60 * fact.offset_min) % 86_400)

    def booted(self, number: int) -> int:
        """Seconds from setting out until it runs the release."""
        assumed, bound = self.assumed, self.rollout.guards.kbit_s
        line = self.facts[number].kbit_s or assumed.kbit_s
        line = min(line, bound) if bound else line
        return -(-8 * assumed.size // (1_000 * line)) + assumed.install_s + assumed.reboot_s

    def patience_s(self, number: int) -> int:
        """Of a device's silence."""
        rollout = self.rollout
        own = self.assumed.missed_calls * self.facts[number].contact_s + rollout.guards.confirm_s
        return rollout.thresholds.patience_s or own


def well(ground: Ground, late: int, number: int, now: int) -> Events:
    """The course of a device that is well; `late`: calls that it misses each time, and how much slower it is."""
    fact = ground.facts[number]
    sets_out = ground.sets_out(number, now + late * fact.contact_s)
    proved = sets_out + (1 + late) * (ground.booted(number) + ground.assumed.proof_s)
    soaked = proved + ground.rollout.waves[fact.wave].soak_s
    done = next_call(now, fact.contact_s, soaked) + late * fact.contact_s
    return sets_out, ((proved, Kind.PROVED), (done, Kind.DONE))


def loud(ground: Ground, number: int, now: int) -> Events:
    """The course of a device that fails as late as it can: it is tried, never confirmed, and says that it fell back."""
    sets_out = ground.sets_out(number, now)
    trial = ground.rollout.guards.confirm_s + ground.assumed.reboot_s
    return sets_out, ((sets_out + ground.booted(number) + trial, Kind.FAILED),)


def mute(ground: Ground, number: int, now: int) -> Events:
    """The course of a device that says nothing from when it set out."""
    sets_out = ground.sets_out(number, now)
    return sets_out, ((sets_out + ground.patience_s(number), Kind.SILENT),)
