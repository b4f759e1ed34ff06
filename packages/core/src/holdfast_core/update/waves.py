"""Which devices a rollout is for, and in which wave each of them is.

1. The order within a percentage is by a digest of rollout and device: nobody chose who goes first, and anybody can
   compute it again. The same devices are not the canaries of every release.
2. A wave that names devices or labels takes them wherever they would have been else. Percentages count all devices of
   the rollout, those named included; a wave of a percentage has at least one member while any are left.
3. A device that no wave takes, or that comes later, is in the last wave.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from math import ceil

import msgspec

from holdfast_core.inventory.lifecycle import Labels
from holdfast_core.kernel.errors import HostileData
from holdfast_core.update.model import Rollout, Selection, Wave


class Candidate(msgspec.Struct, frozen=True):
    """What decides over a device's place: its id, model (name only), site and labels."""

    device: str
    model: str
    site: str = ""
    labels: Labels = ()


def selects(selection: Selection, candidate: Candidate) -> bool:
    """Whether a device is among those that a rollout is for."""
    if candidate.model != selection.model:
        return False
    if selection.sites and candidate.site not in selection.sites:
        return False
    if selection.devices and candidate.device not in selection.devices:
        return False
    return set(selection.labels) <= set(candidate.labels)


def place(rollout: str, waves: Sequence[Wave], candidates: Sequence[Candidate]) -> Mapping[str, int]:
    """The wave of every candidate, by device."""
    placed: dict[str, int] = {}
    left = sorted(candidates, key=lambda candidate: _rank(rollout, candidate.device))
    for number, wave in enumerate(waves):
        if wave.devices or wave.labels:
            named, labels = frozenset(wave.devices), set(wave.labels)
            taken = [c for c in left if c.device in named or (labels and labels <= set(c.labels))]
        else:
            wanted = max(1, _share(len(candidates), wave.percent) - len(placed))
            taken = left[:wanted]
        placed.update((candidate.device, number) for candidate in taken)
        left = [candidate for candidate in left if candidate.device not in placed]
    placed.update((candidate.device, len(waves) - 1) for candidate in left)
    return placed


def _share(whole: int, percent: float) -> int:
    """`percent` of `whole`, rounded up; what floating point adds to a whole number is not rounded up."""
    return ceil(round(whole * percent / 100, 6))


def _rank(rollout: str, device: str) -> bytes:
    return hashlib.sha256(f"{rollout}\0{device}".encode()).digest()


def check(rollout: Rollout) -> None:
    """Refuse what cannot be rolled out as it is written.

    Raises:
        HostileData: ``rollout.waves``, ``rollout.thresholds``.
    """
    shares = [wave.percent for wave in rollout.waves if not (wave.devices or wave.labels)]
    if shares != sorted(shares):
        raise _refused("waves", "The percentages of the waves fall.", "Each wave's percentage counts all before it.")
    if any(min(wave.soak_s, wave.at_once, wave.per_hour) < 0 for wave in rollout.waves):
        raise _refused("waves", "A wave has a negative number.", "0 means: no bound.")
    if len({wave.name for wave in rollout.waves}) < len(rollout.waves):
        raise _refused("waves", "Two waves have one name.", "Name each wave by itself.")
    limits = rollout.thresholds
    if limits.sample < 1 or limits.least < 1 or limits.deadline_s < 1 or limits.patience_s < 0:
        raise _refused("thresholds", "A threshold is below its least.", "sample and least are at least 1.")
    if not 0 < limits.failed <= 100 or not 0 < limits.silent <= 100:  # noqa: PLR2004  (percent)
        raise _refused("thresholds", "A failure threshold of 0 would halt before anything begins.", "Give a share.")
    if not 0 < limits.succeeded <= 100:  # noqa: PLR2004  (percent)
        raise _refused("thresholds", "The next wave would open though nobody is done.", "succeeded is above 0.")


def check_filled(rollout: Rollout, placed: Mapping[str, int]) -> None:
    """Refuse to begin where a wave that names devices or labels takes nobody: its trial would be skipped.

    Raises:
        HostileData: ``rollout.empty_wave``.
    """
    filled = set(placed.values())
    for number, wave in enumerate(rollout.waves):
        if (wave.devices or wave.labels) and number not in filled:
            raise _refused(
                "empty_wave",
                f"No device of the rollout is in wave {wave.name!r}.",
                "Correct the names or labels of the wave, or leave it out.",
            )


def _refused(name: str, sentence: str, remedy: str) -> HostileData:
    return HostileData(f"rollout.{name}", sentence, remedy=remedy)
