"""Comparing what a device measured with what releases say: which release it runs, or why none.

1. A register is compared whole: every event in it must be one that the release names, and every one that the release
   names must be there. A register that a release says nothing of is not compared with it.
2. All of it must be of one release. Parts of two are a mixture that nobody tested, and are refused.
3. Events whose digest is of a text that firmware always writes (`Measured.structural`) are of no release.
4. Whole registers (`golden`) are compared where there is no event log, or where nothing better is known.
5. Without an event log only a release can be told that names no single event: else a device would be of the release by
   half, once it keeps its log back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    @property
    def size(self) -> int:
        """0 where the boot is of this release."""
        return len(self.unexpected) + len(self.missing) + len(self.registers)


def gaps(
    events: Sequence[Measured] | None, values: Mapping[int, bytes], policy: Policy, judged: Sequence[Judged]
) -> tuple[Gap, ...]:
    """How the boot differs from each release that can be compared, the nearest first, in the order of `judged`."""
    found = [_gap(events, values, policy, each) for each in judged if _comparable(each.statement, events, policy)]
    return tuple(sorted(found, key=lambda gap: gap.size))


def _comparable(statement: Statement, events: Sequence[Measured] | None, policy: Policy) -> bool:
    """Whether the release says anything of the registers that are quoted, in their bank."""
    if statement.bank != policy.bank:
        return False
    asked = set(policy.registers)
    named = {m.register for m in statement.measurements} & asked
    whole = {g.register for g in statement.golden} & asked
    return bool(named | whole) if events is not None else bool(whole) and named <= whole


def needs_log(policy: Policy, judged: Sequence[Judged]) -> bool:
    """Whether the releases can only be told by an event log: some of them with one, none of them without."""
    with_log, without = (any(_comparable(each.statement, events, policy) for each in judged) for events in ((), None))
    return with_log and not without


def _gap(events: Sequence[Measured] | None, values: Mapping[int, bytes], policy: Policy, judged: Judged) -> Gap:
    statement = judged.statement
    golden = {g.register: g.value for g in statement.golden if g.register in policy.registers}
    differing = tuple(register for register, value in golden.items() if values.get(register, b"").hex() != value)
    if events is None:
        return Gap(judged, (), (), differing)
    named = {m.register for m in statement.measurements} & set(policy.registers)
    wanted = {(m.register, m.digest) for m in statement.measurements}
    compared = [event for event in events if event.register in named and not event.structural]
    seen = {(event.register, event.digest) for event in compared}
    unexpected = tuple(event for event in compared if (event.register, event.digest) not in wanted)
    missing = tuple(
        m for m in statement.measurements
        if m.register in named and not m.optional and (m.register, m.digest) not in seen
    )  # fmt: skip
    return Gap(judged, unexpected, missing, differing)


def told_gap(gap: Gap) -> Reason:
    """Why a boot is of no release, by its nearest one."""
    name = gap.judged.statement.id
    parts = []
    if gap.unexpected:
        first = gap.unexpected[0]
        more = f" and {len(gap.unexpected) - 1} more" if len(gap.unexpected) > 1 else ""
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
