"""Reading the data of events: little-endian integers, GUIDs and UTF-16, as UEFI lays them out.

1. Nothing is read beyond the end. What does not fit is one error, ``eventlog.content``, which ends as an `Unread`
   (`contents`) and never leaves a log unreadable: firmware writes odd data, and the event's digest counts all the same.

Source: UEFI Specification 2.10, sections 2.3.1 and appendix A.
"""

from __future__ import annotations

import msgspec

from holdfast_core.kernel.errors import HostileData

GUID_BYTES = 16


class Unread(msgspec.Struct, frozen=True, tag="unread"):
    """Data that could not be read, and why."""

    why: str


class Reader:
    """A position in bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        """The next `size` bytes. Raises HostileData ``eventlog.content``."""
        if size > self.left:
            raise odd(f"it ends {size - self.left} bytes too early")
        start, self._at = self._at, self._at + size
        return self._data[start : self._at]

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.left)

    def number(self, size: int) -> int:
        """An unsigned integer of `size` bytes."""
        return int.from_bytes(self.take(size), "little")

    def guid(self) -> str:
        """A GUID, in its text form of 36 signs."""
        return guid_text(self.take(GUID_BYTES))

    def wide(self) -> str:
        """A string of 16-bit characters up to its NUL, which is taken too."""
        signs = bytearray()
        while (sign := self.take(2)) != b"\0\0":
            signs += sign
        return utf16(bytes(signs))


def guid_text(data: bytes) -> str:
    """The text form of an EFI_GUID: its first three fields are little-endian."""
    first, second, third = data[3::-1], data[5:3:-1], data[7:5:-1]
    return "-".join(part.hex() for part in (first, second, third, data[8:10], data[10:16]))


def utf16(data: bytes) -> str:
    """Text in UTF-16LE; what is none becomes U+FFFD."""
    return data.decode("utf-16-le", "replace")


def odd(why: str) -> HostileData:
    """The refusal of an event's data."""
    return HostileData(
        "eventlog.content",
        f"The event's data could not be read: {why}.",
        remedy="Nothing has to be done: the event's digest counts without it.",
    )
