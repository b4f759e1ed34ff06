"""What a probe that walks is made of: a collector that hunts for offenders, and how it comes to its result.

1. A hunt holds a bounded tally, nothing per file.
2. What fails, fails also when the walk was cut short; what found nothing passes only on a whole walk.
3. Owners and setuid bits that an extraction lost prove nothing: without a hit the result is `unknown`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from holdfast_core.baseline.probes import Simple
from holdfast_probe.bookmark import Carried
from holdfast_probe.case import Case
from holdfast_probe.roots import Root, shown
from holdfast_probe.sight import Sight, Tally, failed_by, passed, unknown
from holdfast_probe.walk import Collector, Walked

_LOST = "This tree was extracted without root: owners and setuid bits are not the device's."


class Hunt(Collector):
    """A collector that looks for offenders; none on a whole walk passes."""

    praise = "nothing found"
    carried: tuple[str, ...] = ("found",)
    """The attributes in which it keeps what it saw: tallies, numbers, texts, truth values."""

    def __init__(self) -> None:
        self.found = Tally()

    def put_down(self) -> dict[str, Carried | bool | int | str]:
        """What it saw so far."""
        kept = {name: getattr(self, name) for name in self.carried}
        return {name: _put_down(value) for name, value in kept.items()}

    def take_up(self, kept: Mapping[str, Carried | bool | int | str]) -> None:
        """Go on from what it saw before."""
        for name in self.carried:
            value = kept[name]
            setattr(self, name, Tally.taken_up(value) if isinstance(value, Carried) else value)

    def result(self, walked: Walked) -> Sight:
        """The outcome after the walk."""
        if self.found.count:
            return failed_by(self.found)
        return unknown(walked.gap) if walked.gap else passed(self.praise)


def _put_down(value: Any) -> Carried | int | str:
    if isinstance(value, Tally):
        return value.put_down()
    kept: int | str = shown(value) if isinstance(value, str) else value
    return kept


class OwnersHunt(Hunt):
    """A hunt that means nothing where owners and setuid bits were lost."""

    def __init__(self, root: Root) -> None:
        super().__init__()
        self._kept = root.owners_kept

    def result(self, walked: Walked) -> Sight:
        """As for any hunt, but no pass on a tree that lost what is looked for."""
        return super().result(walked) if self._kept or self.found.count else unknown(_LOST)


MakeHunt: TypeAlias = Callable[[Case, Any], Hunt]
"""Makes the hunt of one probe; may raise as a `Look` may."""
Hunts: TypeAlias = Mapping[type[Simple], MakeHunt]
