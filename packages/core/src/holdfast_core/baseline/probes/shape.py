"""What every probe is made of: the base classes, and the bounded lists they are written with."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Annotated

import msgspec

from holdfast_core.kernel.errors import HostileData

PathGlob = Annotated[str, msgspec.Meta(pattern=r"^/", max_length=512)]
Paths = Annotated[tuple[PathGlob, ...], msgspec.Meta(min_length=1, max_length=64)]
Names = Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=64)]
Values = Annotated[tuple[str, ...], msgspec.Meta(max_length=64)]

_ITEMS = re.compile(r"[,;:\s]+")


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", omit_defaults=True):
    """Base of the probes."""


class Wanting(Probe, frozen=True):
    """A probe of one value: `one_of` the accepted spellings, a whole number in a range, or a list without some items.

    Spellings are compared without case; ``*``, ``?`` and ``[...]`` in them match. With `none_of`, the value is a list
    (separated by commas, colons, semicolons or space) and is accepted when no item is one of those.
    """

    one_of: Values = ()
    none_of: Values = ()
    minimum: int | None = None
    maximum: int | None = None

    def __post_init__(self) -> None:
        """Refuse a probe that accepts nothing."""
        if not self.one_of and not self.none_of and self.minimum is None and self.maximum is None:
            raise HostileData(
                "probe.wants_nothing",
                f"A {type(self).__name__} probe has neither 'one_of', 'none_of', 'minimum' nor 'maximum'.",
                remedy="Say which values pass.",
            )

    def accepts(self, value: str) -> bool:
        """Whether `value` is one of the accepted spellings, within the range, or a list without a refused item."""
        text = value.strip().lower()
        if any(fnmatchcase(text, wanted.lower()) for wanted in self.one_of):
            return True
        if self.none_of:
            return not any(
                fnmatchcase(item, refused.lower()) for item in _ITEMS.split(text) if item for refused in self.none_of
            )
        if self.minimum is None and self.maximum is None:
            return False
        try:
            number = int(text, 0)
        except ValueError:
            return False
        return (self.minimum is None or number >= self.minimum) and (self.maximum is None or number <= self.maximum)

    @property
    def wanted(self) -> str:
        """What passes, in words."""
        parts = [" or ".join(self.one_of)] if self.one_of else []
        if self.none_of:
            parts.append(f"none of {', '.join(self.none_of)}")
        if self.minimum is not None and self.maximum is not None:
            parts.append(f"{self.minimum} to {self.maximum}")
        elif self.minimum is not None:
            parts.append(f"at least {self.minimum}")
        elif self.maximum is not None:
            parts.append(f"at most {self.maximum}")
        return " or ".join(parts)

    @property
    def example(self) -> str | None:
        """A value that passes, for a fix to write; `None` where no single value does."""
        plain = next((wanted for wanted in self.one_of if not any(sign in wanted for sign in "*?[")), None)
        if plain is not None:
            return plain
        number = self.minimum if self.minimum is not None else self.maximum
        return None if number is None else str(number)
