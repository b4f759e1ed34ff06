"""What the readers of parts have in common: where they are, and how they say what they saw."""

from __future__ import annotations

import msgspec

from holdfast_probe.images.limits import Damaged
from holdfast_probe.images.source import Source
from holdfast_probe.images.survey import Part, Survey


class Place(msgspec.Struct, frozen=True):
    """Where a source is: the names of what is around it, and the partition that it is."""

    names: tuple[str, ...] = ()
    partition: int = 0
    partuuid: str = ""

    def inside(self, name: str) -> Place:
        """The place of what is in a part."""
        return Place((*self.names, name), self.partition, self.partuuid)

    def name(self, kind: str, offset: int) -> str:
        """The name of a part."""
        return " > ".join((*self.names, f"{kind} at {offset:#x}"))


class Finds:
    """One source, and the way to say what is in it.

    Args:
        survey: where everything found goes.
        source: the bytes.
        place: where the source is.
    """

    def __init__(self, survey: Survey, source: Source, place: Place) -> None:
        self.survey = survey
        self.source = source
        self.place = place
        self.position = 0
        """What lies before it is settled."""
        self.began = 0
        """Where the part being read begins, if that is before what it was found by."""
        self.named = ""
        """What was last seen that is known by name only; empty when something else came after it."""
        self.kernel = False
        """Whether this is, or holds, a kernel unpacked: then what is between its parts is program."""
        self.no_environment_before = 0

    def run(self) -> None:
        """Find everything."""
        raise NotImplementedError

    def explore(self, source: Source, place: Place) -> None:
        """Find everything in what was found here."""
        type(self)(self.survey, source, place).run()

    def say(self, kind: str, offset: int, size: int, sentence: str) -> None:
        """Name a part that is understood."""
        self.named = ""
        self.survey.part(self.part(kind, offset, size, sentence, understood=True))

    def unknown(self, kind: str, offset: int, size: int, sentence: str) -> None:
        """Name a part that is not understood; it is a gap."""
        self.survey.part(self.part(kind, offset, size, sentence, understood=False))

    def damaged(self, kind: str, offset: int, size: int, error: Damaged) -> None:
        """Name a part that is known and does not read."""
        self.survey.truncated = self.survey.truncated or "ends" in error.sentence
        self.unknown(kind, offset, size, f"It is damaged: {error.sentence.rstrip('.')}.")

    def too_long(self, kind: str, offset: int, end: int) -> None:
        """Say so where a part reaches behind the end of the source."""
        if end > self.source.size:
            self.survey.truncated = True
            self.survey.gap(f"{self.place.name(kind, offset)}: it is longer than the image.")

    def part(self, kind: str, offset: int, size: int, sentence: str, *, understood: bool) -> Part:
        """A part of this source."""
        name = self.place.name(kind, offset)
        return Part(name=name, kind=kind, offset=offset, size=size, understood=understood, sentence=sentence)
