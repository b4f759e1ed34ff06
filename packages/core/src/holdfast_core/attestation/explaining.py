"""In words: how what a device booted differs from what releases say, event by event, and since when.

1. Every unexpected event is looked up in all releases, also those that are over: "the kernel of 1.1.0, retired in May"
   tells more than a digest.
2. What a log says of itself is told as what the log says, never as what is so.
3. A log may be long: so many differences are told as `comparison.UNEXPECTED` allows, and how many there are in all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from holdfast_core.attestation.comparison import Gap, Measured
from holdfast_core.attestation.reference import Judged, Measurement, Standing

SHOWN_DIGEST = 16


class Difference(msgspec.Struct, frozen=True):
    """One way in which a boot differs, in a sentence; `digest` is of the event or of what is missing."""

    register: int
    digest: str
    sentence: str
    event: int | None = None
    known_as: tuple[str, ...] = ()
    """Where else the digest is known: what, of which release, and what that is worth."""


class Explanation(msgspec.Struct, frozen=True):
    """How a boot differs from its nearest release; none where it is of that release."""

    release: str
    standing: str
    summary: str
    differences: tuple[Difference, ...]


def explain(found: Sequence[Gap], judged: Sequence[Judged]) -> Explanation:
    """The explanation of a boot that was compared with releases (`comparison.gaps`); see the module's rules."""
    if not found:
        return Explanation("", "", "No release says anything of the registers that this device quotes.", ())
    nearest = found[0]
    name, standing = nearest.judged.statement.id, nearest.judged.standing
    if not nearest.size:
        worth = "which is current" if standing is Standing.CURRENT else f"which is {standing.value}"
        return Explanation(name, standing.value, f"The device booted {name}, {worth}.", ())
    places = _places(judged)
    differences = (
        *(_unexpected(event, nearest.judged, places) for event in nearest.unexpected),
        *(_missing(each, nearest.judged) for each in nearest.missing),
        *(_other_value(register, nearest.judged) for register in nearest.registers),
    )
    registers = sorted({difference.register for difference in differences})
    told = f", of which {len(differences)} are told" if nearest.untold else ""
    summary = (
        f"The device booted no release that is known. Nearest is {name} ({standing.value}): {nearest.size} "
        f"difference{'s' if nearest.size > 1 else ''}{told} in register {', '.join(map(str, registers))}."
    )
    return Explanation(name, standing.value, summary, differences)


_Places = Mapping[str, tuple[str, ...]]


def _places(judged: Sequence[Judged]) -> _Places:
    """Every digest that a release names: what it is there."""
    known: dict[str, list[str]] = {}
    for each in judged:
        for measurement in each.statement.measurements:
            told = f"{measurement.what} of {each.statement.id} ({each.standing.value})"
            known.setdefault(measurement.digest, []).append(told)
    return {digest: tuple(told) for digest, told in known.items()}


def _unexpected(event: Measured, nearest: Judged, places: _Places) -> Difference:
    known = places.get(event.digest, ())
    name = nearest.statement.id
    said = f", which the log calls {event.said!r}," if event.said else ""
    if known:
        sentence = f"Event {event.number}{said} extended register {event.register}. It is {known[0]}, not of {name}."
    else:
        sentence = (
            f"Event {event.number}{said} extended register {event.register} with {event.digest[:SHOWN_DIGEST]}…, "
            "which no release here names."
        )
    return Difference(event.register, event.digest, sentence, event.number, known)


def _missing(each: Measurement, nearest: Judged) -> Difference:
    sentence = (
        f"{each.what} of {nearest.statement.id} ({each.digest[:SHOWN_DIGEST]}…) was not measured into register "
        f"{each.register}: it was not loaded, or something else was in its place."
    )
    return Difference(each.register, each.digest, sentence)


def _other_value(register: int, nearest: Judged) -> Difference:
    value = next(golden.value for golden in nearest.statement.golden if golden.register == register)
    sentence = (
        f"Register {register} does not hold what it holds with {nearest.statement.id} ({value[:SHOWN_DIGEST]}…). "
        "Without an event log nobody can say why."
    )
    return Difference(register, value, sentence)


def diff(before: Sequence[Measurement], after: Sequence[Measurement]) -> tuple[tuple[str, Measurement], ...]:
    """What changed from one release's measurements to another's: ``-`` and ``+`` with each, by register and name."""
    old, new = set(before), set(after)
    changed = [("-", each) for each in old - new] + [("+", each) for each in new - old]
    return tuple(sorted(changed, key=lambda pair: (pair[1].register, pair[1].what, pair[0] == "+")))
