"""The hardware that a machine was built with, and what a boot finds instead.

1. A component is known by what it is and where it sits; what must not change of it is its identity.
2. A component that nobody expects is never harmless. One that is missing or changed stops the boot only if it is
   essential: a broken sensor shall not keep a pump from running, a swapped modem shall.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Component(msgspec.Struct, frozen=True, order=True):
    """One component: its place (``spi0/modem``), what it is, and its identity, such as a serial number."""

    place: str
    kind: str
    identity: str
    essential: bool = True


class Difference(msgspec.Struct, frozen=True):
    """How the hardware differs: ``missing``, ``unexpected`` or ``changed``, at a place; `fatal` stops the boot."""

    what: str
    place: str
    fatal: bool

    def __str__(self) -> str:
        return f"hardware {self.what}: {self.place}"


def table(components: Sequence[Component]) -> bytes:
    """The data of EV_TABLE_OF_DEVICES: a line for each component, in the order of their places."""
    return "".join(f"{each.place} {each.kind} {each.identity}\n" for each in sorted(components)).encode()


def differences(expected: Sequence[Component], found: Sequence[Component]) -> tuple[Difference, ...]:
    """What of `found` is not as `expected`, in the order of the places."""
    wanted, there = ({each.place: each for each in side} for side in (expected, found))
    result: list[Difference] = []
    for place in sorted(wanted.keys() | there.keys()):
        one, other = wanted.get(place), there.get(place)
        if one is None:
            result.append(Difference("unexpected", place, fatal=True))
        elif other is None:
            result.append(Difference("missing", place, fatal=one.essential))
        elif (one.kind, one.identity) != (other.kind, other.identity):
            result.append(Difference("changed", place, fatal=one.essential))
    return tuple(result)
