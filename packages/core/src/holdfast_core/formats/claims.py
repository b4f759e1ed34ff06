"""One claim of a token, and the forms that its value may have.

1. Every refusal is the standard's code and the claim's name, ``eat.ueid``, so that it says by itself what to correct.
2. True and false are no integers, whatever Python holds.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from holdfast_core.formats.cbor import Value
from holdfast_core.kernel.errors import HostileData, LimitExceeded

LONGEST_TEXT = 512
"""Characters of any one text."""
_REMEDIES = {
    "eat": "Send the claim as RFC 9711 section 4 describes it, or leave it out.",
    "psa": "Send the claim as RFC 9783 section 4 describes it; a token of PSA_IOT_PROFILE_1 as that profile does.",
}


class Claim(msgspec.Struct, frozen=True):
    """A value that came under a claim's name. `standard` is ``eat`` or ``psa``."""

    standard: str
    name: str
    value: Value

    def part(self, value: Value) -> Claim:
        """A value within this claim."""
        return Claim(self.standard, self.name, value)

    def octets(self, shortest: int, longest: int) -> bytes:
        """A byte string of so many bytes."""
        if not isinstance(self.value, bytes) or not shortest <= len(self.value) <= longest:
            raise self.refused(f"it is not {shortest} to {longest} bytes" if shortest < longest else _exactly(shortest))
        return self.value

    def text(self) -> str:
        """Text of at most `LONGEST_TEXT` characters."""
        if not isinstance(self.value, str) or len(self.value) > LONGEST_TEXT:
            raise self.refused(f"it is not text of at most {LONGEST_TEXT} characters")
        return self.value

    def integer(self) -> int:
        """An integer."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.refused("what should be an integer is none")
        return self.value

    def integer_in(self, lowest: int, highest: int) -> int:
        """An integer between the two, both included."""
        number = self.integer()
        if not lowest <= number <= highest:
            raise self.refused(f"{number} is not between {lowest} and {highest}")
        return number

    def boolean(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.refused("it is neither true nor false")
        return self.value

    def entries(self, most: int) -> tuple[Claim, ...]:
        """What an array holds: at least one entry."""
        if not isinstance(self.value, tuple) or not self.value:
            raise self.refused("it is not an array with entries")
        self._at_most(most, len(self.value))
        return tuple(self.part(each) for each in self.value)

    def named(self, most: int) -> tuple[tuple[str, Claim], ...]:
        """What a map from names holds: at least one entry."""
        if not isinstance(self.value, Mapping) or not self.value:
            raise self.refused("it is not a map with entries")
        self._at_most(most, len(self.value))
        return tuple((self.part(name).text(), self.part(each)) for name, each in self.value.items())

    def refused(self, why: str) -> HostileData:
        """The refusal of this claim."""
        return HostileData(
            f"{self.standard}.{self.name}",
            f"The token's claim {self.name} could not be taken: {why}.",
            remedy=_REMEDIES[self.standard],
        )

    def _at_most(self, most: int, count: int) -> None:
        if count > most:
            raise LimitExceeded(
                f"{self.standard}.{self.name}",
                f"The token's claim {self.name} has {count} entries; {most} are taken.",
                remedy=f"Send at most {most}.",
            )


def _exactly(size: int) -> str:
    return f"it is not exactly {size} bytes"
