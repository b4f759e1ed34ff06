"""Comparing what a device measured with what releases say: which release it runs, or why none.

1. A register is compared whole: every event in it must be one that the release names, and every one that the release
   names must be there. A register that a release says nothing of is not compared with it.
2. All of it must be of one release. Parts of two are a mixture that nobody tested, and are refused.
3. Events whose digest is of a text that firmware always writes (`Measured.structural`) are of no release.
4. Whole registers (`golden`) are compared where there is no event log, or where nothing better is known.
5. Without an event log only a release can be told that names no single event: else a device would be of the release by
   half, once it keeps its log back.
6. A device writes its log, and a model has many releases: the log is sorted once, and what a release costs depends on
   what it names, not on how long the log is. `UNEXPECTED` events are told of each; the others are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from types import MappingProxyType

import msgspec

from holdfast_core.attestation.model import (
    APPROVED_BOOT,
    CONTRAINDICATED_RUNTIME,
    UNRECOGNIZED_RUNTIME,
    Policy,
)
from holdfast_core.attestation.reference import Judged, Measurement, Standing, Statement
from holdfast_core.kernel.reasons import Reason

UNEXPECTED = 64
"""Events told of a boot that a release does not name."""
TELL_WHOLE = (
    "holdfast reference explain DEVICE tells the whole difference. "
    "If it is a release of yours, add its values first: holdfast reference add."
)


class Measured(msgspec.Struct, frozen=True):
    """One measured event: its number in the log, register, digest in hexadecimal, and what the log says that it is.

    `said` is only the log's word; where it is told to a person it is told as that.
    """

    number: int
    register: int
    digest: str
    said: str
    structural: bool = False


class Gap(msgspec.Struct, frozen=True):
    """How a boot differs from one release: events it does not name, and what it names and is not there."""

    judged: Judged
    unexpected: tuple[Measured, ...]
    missing: tuple[Measurement, ...]
    registers: tuple[int, ...]
    """Registers whose value is another one, where whole registers were compared."""
    untold: int = 0
    """Further unexpected events, which are only counted."""

    @property
    def size(self) -> int:
        """0 where the boot is of this release."""
        return len(self.unexpected) + self.untold + len(self.missing) + len(self.registers)


class _Seen(msgspec.Struct):
    """What was measured into one register, by digest, and how often; each in the order of the log."""

    events: dict[str, list[Measured]] = {}
    total: int = 0

    def note(self, event: Measured) -> None:
        self.events.setdefault(event.digest, []).append(event)
        self.total += 1

    def beyond(self, digests: frozenset[str]) -> tuple[list[Measured], int]:
        """The first events of other digests than these, and how many there are in all.

        Only `digests` and what is told are walked over, however much was measured.
        """
        count = self.total - sum(len(self.events.get(digest, ())) for digest in digests)
        others = (event for digest, found in self.events.items() if digest not in digests for event in found)
        return (list(islice(others, UNEXPECTED)) if count else []), count


def gaps(
    events: Sequence[Measured] | None, values: Mapping[int, bytes], policy: Policy, judged: Sequence[Judged]
) -> tuple[Gap, ...]:
    """How the boot differs from each release that can be compared, the nearest first, in the order of `judged`."""
    seen = _sorted_out(events, policy) if events is not None else None
    asked = frozenset(policy.registers)
    compared = [each for each in judged if _comparable(each.statement, asked, policy.bank, log=seen is not None)]
    return tuple(sorted((_gap(seen, values, asked, each) for each in compared), key=lambda gap: gap.size))


def _sorted_out(events: Sequence[Measured], policy: Policy) -> dict[int, _Seen]:
    seen = {register: _Seen() for register in policy.registers}
    for event in events:
        if event.register in seen and not event.structural:
            seen[event.register].note(event)
    return seen


def _comparable(statement: Statement, asked: frozenset[int], bank: str, *, log: bool) -> bool:
    """Whether the release says anything of the registers that are quoted, in their bank."""
    if statement.bank != bank:
        return False
    if log:
        return not asked.isdisjoint(statement.registers)
    whole = {g.register for g in statement.golden} & asked
    return bool(whole) and asked & statement.named.keys() <= whole


def needs_log(policy: Policy, judged: Sequence[Judged]) -> bool:
    """Whether the releases can only be told by an event log: some of them with one, none of them without."""
    asked = frozenset(policy.registers)
    with_log, without = (
        any(_comparable(each.statement, asked, policy.bank, log=log) for each in judged) for log in (True, False)
    )
    return with_log and not without


def _gap(seen: Mapping[int, _Seen] | None, values: Mapping[int, bytes], asked: frozenset[int], judged: Judged) -> Gap:
    statement = judged.statement
    differing = tuple(
        each.register for each in statement.golden
        if each.register in asked and values.get(each.register, b"").hex() != each.value
    )  # fmt: skip
    if seen is None:
        return Gap(judged, (), (), differing)
    unexpected: list[Measured] = []
    count = 0
    for register in asked & statement.named.keys():
        strange, more = seen[register].beyond(statement.named[register])
        unexpected, count = [*unexpected, *strange], count + more
    told = tuple(sorted(unexpected, key=lambda event: event.number)[:UNEXPECTED])
    missing = tuple(
        each for each in statement.measurements
        if not each.optional and each.register in asked and each.digest not in seen[each.register].events
    )  # fmt: skip
    return Gap(judged, told, missing, differing, count - len(told))


def told_gap(gap: Gap) -> Reason:
    """Why a boot is of no release, by its nearest one."""
    name = gap.judged.statement.id
    parts = []
    if gap.unexpected:
        first = gap.unexpected[0]
        others = len(gap.unexpected) + gap.untold - 1
        more = f" and {others} more" if others else ""
        parts.append(
            f"event {first.number} in register {first.register} ({first.said or 'no words'}){more} is not of it"
        )
    if gap.missing:
        first_missing = gap.missing[0]
        more = f" and {len(gap.missing) - 1} more" if len(gap.missing) > 1 else ""
        parts.append(f"its {first_missing.what}{more} was not measured")
    if gap.registers:
        parts.append(f"register {', '.join(map(str, gap.registers))} has another value")
    return Reason(
        "attestation.unrecognized_boot",
        f"What was booted is of no release that is known; compared with {name}: {'; '.join(parts)}."[:500],
        TELL_WHOLE,
    )


WORTH: Mapping[Standing, int] = MappingProxyType(
    {
        Standing.CURRENT: APPROVED_BOOT,
        Standing.RETIRED: UNRECOGNIZED_RUNTIME,
        Standing.SUPERSEDED: CONTRAINDICATED_RUNTIME,
        Standing.REVOKED: CONTRAINDICATED_RUNTIME,
    }
)
"""What a boot of a release claims about the executables, by what the release is worth."""


def best_of(fitting: Sequence[Judged]) -> Judged:
    """Of releases that a boot fits, the one of best standing, and of those the one that says most."""
    order = list(Standing)
    return min(fitting, key=lambda judged: (order.index(judged.standing), -len(judged.statement.registers)))


NO_REFERENCE = Reason(
    "attestation.no_reference",
    "The evidence is genuine, but there are no reference values to compare it with.",
    "Build them where the release is built: holdfast reference build, then holdfast reference add.",
)


def told_standing(judged: Judged) -> Reason | None:
    """What is wrong with the release that a device runs; `None` while it is current."""
    name = judged.statement.id
    match judged.standing:
        case Standing.CURRENT:
            return None
        case Standing.RETIRED:
            return Reason(
                "attestation.release_retired",
                f"The device runs {name}, whose time is over.",
                "Update it to a current release.",
            )
        case Standing.SUPERSEDED:
            return Reason(
                "attestation.release_superseded",
                f"The device runs {name}, whose security version number ({judged.statement.svn}) is below all current "
                "releases', however well it is signed.",
                "Update it. If it ran a newer one before, somebody may have put the old one back.",
            )
        case Standing.REVOKED:
            return Reason(
                "attestation.release_revoked",
                f"The device runs {name}, which was revoked.",
                "Update it to a current release; look at the reason: holdfast reference show " + name + ".",
            )
