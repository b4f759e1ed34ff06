"""Which part of a payload a request asks for: ``Range`` and ``If-Range``.

1. One range of bytes is served. What is malformed, of another unit or of several ranges is ignored, as the standard
   allows, and the whole is served: parts in parts would multiply what one request costs.
2. A range that begins behind the end is refused (`Unsatisfiable`), for there is nothing to resume.
3. A part is served only of the very payload that the client began with: any other ``If-Range`` gets the whole.

Source: RFC 9110, 13.1.5, 14.1.2, 14.2 and 15.5.17.
"""

from __future__ import annotations

import re

import msgspec

from holdfast_core.kernel.errors import HostileData

LONGEST_HEADER = 100
_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})", re.ASCII)


class Part(msgspec.Struct, frozen=True):
    """`length` bytes from `start`; `partial` where they were asked for as a range."""

    start: int
    length: int
    partial: bool = False


class Unsatisfiable(HostileData):
    """A range that begins behind the end."""

    default_http_status = 416


def part_of(size: int, wanted: str, condition: str, etag: str) -> Part:
    """What to serve of a payload.

    Args:
        size: bytes of the payload, at least 1.
        wanted: the header ``Range``, or nothing.
        condition: the header ``If-Range``, or nothing.
        etag: the payload's entity tag, with its quotes.

    Raises:
        Unsatisfiable: ``http.range`` (416).
    """
    whole = Part(0, size)
    if len(wanted) > LONGEST_HEADER or (condition and condition.strip() != etag):
        return whole
    found = _RANGE.fullmatch(wanted.replace(" ", "").lower())
    if found is None or found[0] == "bytes=-":
        return whole
    first, last = found.groups()
    if not first:
        length = min(int(last), size)
        return Part(size - length, length, partial=True) if length else _refuse(size)
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        return whole
    return Part(start, end - start + 1, partial=True) if start < size else _refuse(size)


def _refuse(size: int) -> Part:
    raise Unsatisfiable(
        "http.range",
        f"The payload has {size} bytes; none of them was asked for.",
        remedy="Compare what you have with the signed size: it may be whole, or not of this payload.",
    )
