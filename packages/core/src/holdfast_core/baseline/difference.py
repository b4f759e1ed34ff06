"""What differs between two baselines: of two models, of two versions of one, or under two catalogues."""

from __future__ import annotations

import msgspec

from holdfast_core.baseline.model import Baseline, ControlId, Line


class Differing(msgspec.Struct, frozen=True, omit_defaults=True):
    """One control of which other things are asked; `None`: that catalogue has no such control."""

    control: ControlId
    title: str
    before: Line | None
    after: Line | None


def difference(before: Baseline, after: Baseline) -> tuple[Differing, ...]:
    """The controls whose demand, severity or stand-ins differ, in the order of `after`; those it lacks come last.

    A reason in other words alone is no difference: it names the model.
    """
    known = {line.control: line for line in before.lines}
    found = [
        Differing(line.control, line.title, known.get(line.control), line)
        for line in after.lines
        if _asked(known.get(line.control)) != _asked(line)
    ]
    names = {line.control for line in after.lines}
    found += [Differing(line.control, line.title, line, None) for line in before.lines if line.control not in names]
    return tuple(found)


def _asked(line: Line | None) -> tuple[object, ...]:
    return () if line is None else (line.demand, line.severity, line.by)
