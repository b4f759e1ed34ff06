"""Reading and writing the TPM's byte form: big-endian integers, and sized buffers that state their length in 16 bits.

1. Nothing is read beyond the end; what is left over where nothing may be is refused.
2. A sized buffer is at most `LARGEST_BUFFER` bytes, whatever its 16 bits say.
3. Every refusal is one code, ``tpm.malformed``, with the part that did not fit.
"""

from __future__ import annotations

from holdfast_core.kernel.errors import HostileData

LARGEST_BUFFER = 2048
"""More than any structure holds that is read here: an RSA 4096 key has 512 bytes, a quote's selection a few dozen."""


class Reader:
    """A position in bytes.

    Args:
        data: what to read.
        what: the structure's name, for the error.
    """

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._at = 0
        self._what = what

    def take(self, size: int) -> bytes:
        """The next `size` bytes. Raises HostileData ``tpm.malformed``."""
        end = self._at + size
        if end > len(self._data):
            raise malformed(self._what, "it ends too early")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def number(self, size: int) -> int:
        """An unsigned integer of `size` bytes."""
        return int.from_bytes(self.take(size), "big")

    def sized(self, largest: int = LARGEST_BUFFER) -> bytes:
        """A TPM2B: two bytes of length, then so many bytes."""
        size = self.number(2)
        if size > largest:
            raise malformed(self._what, f"one of its parts has {size} bytes")
        return self.take(size)

    def end(self) -> None:
        """Refuse what is left. Raises HostileData ``tpm.malformed``."""
        if self._at != len(self._data):
            raise malformed(self._what, f"{len(self._data) - self._at} bytes are left over")


def u16(number: int) -> bytes:
    """A UINT16."""
    return number.to_bytes(2, "big")


def u32(number: int) -> bytes:
    """A UINT32."""
    return number.to_bytes(4, "big")


def tpm2b(data: bytes) -> bytes:
    """`data` as a TPM2B."""
    return u16(len(data)) + data


def malformed(what: str, why: str) -> HostileData:
    """The refusal of a structure that cannot be read."""
    return HostileData(
        "tpm.malformed",
        f"The {what} could not be read: {why}.",
        remedy="Send the structure as the TPM made it (TPM 2.0 Library, Part 2), and nothing else.",
    )
