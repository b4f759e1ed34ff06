"""DER, as far as keys and certificates need it: elements one after another. Parsing, no cryptography.

Nothing is trusted: every length stays inside its element, the number of elements is capped, and whatever is not DER to
the last byte is `None`.
"""

from __future__ import annotations

SEQUENCE, SET, INTEGER, BITS, OCTETS, OID, BOOLEAN = 0x30, 0x31, 0x02, 0x03, 0x04, 0x06, 0x01
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
_MOST = 64
_WIDTH = 3
"""Length bytes: three hold any key and any certificate."""

Element = tuple[int, bytes]
"""Tag and content."""


def elements(data: bytes) -> list[Element] | None:
    """The elements that `data` consists of, to its last byte; `None` if it does not."""
    found: list[Element] = []
    position = 0
    while position < len(data):
        if len(found) == _MOST:
            return None
        step = element_at(data, position)
        if step is None:
            return None
        element, position = step
        found.append(element)
    return found


def element_at(data: bytes, position: int) -> tuple[Element, int] | None:
    """The element that begins at `position` and where it ends; `None` if there is no whole one."""
    if position + 2 > len(data):
        return None
    tag, length = data[position], data[position + 1]
    position += 2
    if length & 0x80:
        width = length & 0x7F
        if not 1 <= width <= _WIDTH:
            return None
        length = int.from_bytes(data[position : position + width], "big")
        position += width
    if position + length > len(data):
        return None
    return (tag, data[position : position + length]), position + length


def inside(element: Element, tag: int) -> list[Element] | None:
    """The elements inside one of this tag; `None` if it is another, or holds something else."""
    return elements(element[1]) if element[0] == tag else None


def oid(data: bytes) -> str:
    """The dotted form of an object identifier's content; empty if it has none."""
    numbers: list[int] = []
    value = 0
    for byte in data[:64]:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    if not numbers:
        return ""
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
