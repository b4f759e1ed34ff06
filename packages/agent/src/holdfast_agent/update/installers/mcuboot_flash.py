"""The flash of a microcontroller that MCUboot boots: two slots, and the trailer at the end of each.

1. The trailer's fields lie before the slot's end, each padded to the flash's alignment: swap info, copy done, image ok,
   magic. A field that was never written is erased; a flag that is set is 1.
2. A request to try the other image is the magic in the secondary slot's trailer; it is written last, for it alone
   counts. In the primary slot, copy done without image ok is an image on trial.
3. The flash is a file or a block device (mtdblock) that erases by itself; of the bytes behind an image nothing is kept.

Source: MCUboot 2.x, docs/design.md ("Image trailer"), boot/bootutil/src/bootutil_public.c; scripts/imgtool/image.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

import msgspec

from holdfast_agent.update.installers.medium import PIECE, forget, opened
from holdfast_core.formats.mcuboot import LARGEST
from holdfast_core.kernel.errors import WorldError

DEFAULT_ALIGN = 8
MAGIC_BYTES = 16
_MAGIC = bytes.fromhex("77c295f360d2ef7f3552500f2cb67980")
_MAGIC_ALIGNED = bytes.fromhex("2de15d29410b8d77679c110f1f8a")
"""Behind the alignment in two bytes, where that is not the default."""
_SET = 1
_FLAGS = 4
_STATES = 3


class Swap(IntEnum):
    """Kinds of swaps, as the trailer's swap info names them."""

    TEST = 2
    PERMANENT = 3
    REVERT = 4


class Layout(msgspec.Struct, frozen=True):
    """Where a flash has its slots: offsets and size in bytes, as the board's device tree or partition file says."""

    path: str
    primary: int
    secondary: int
    size: int
    align: int = DEFAULT_ALIGN
    """The write size of the flash; at least 8, for MCUboot's trailer."""
    sectors: int = 128
    """The most sectors of a slot: the trailer keeps the state of each."""
    erased: int = 0xFF

    def __post_init__(self) -> None:
        """Refuse a layout that cannot be one."""
        apart = abs(self.primary - self.secondary) >= self.size
        power = self.align in (8, 16, 32)
        if not (apart and power and min(self.primary, self.secondary) >= 0 and self.room <= LARGEST and self.room > 0):
            raise WorldError(
                "installer.layout",
                "The layout of the flash cannot be right: slots overlap, or hold no image.",
                remedy="Copy offsets, size and alignment from the board's device tree.",
            )

    @property
    def magic(self) -> bytes:
        """What marks a trailer as written."""
        return _MAGIC if self.align == DEFAULT_ALIGN else self.align.to_bytes(2, "little") + _MAGIC_ALIGNED

    @property
    def image_ok(self) -> int:
        """Offset of the flag in a slot."""
        return self.size - -(-MAGIC_BYTES // self.align) * self.align - self.align

    @property
    def copy_done(self) -> int:
        """Offset of the flag in a slot."""
        return self.image_ok - self.align

    @property
    def swap_info(self) -> int:
        """Offset of the kind of swap in a slot."""
        return self.copy_done - self.align

    @property
    def room(self) -> int:
        """The most bytes of an image: what the trailer leaves."""
        return self.image_ok + self.align - self.align * (_FLAGS + self.sectors * _STATES)


class Trailer(msgspec.Struct, frozen=True):
    """What a slot's trailer says."""

    magic: bool
    copy_done: bool
    image_ok: bool


class Flash:
    """An open flash."""

    def __init__(self, layout: Layout, handle: int) -> None:
        self._layout, self._handle = layout, handle

    def trailer(self, slot: int) -> Trailer:
        """What the trailer of the slot at this offset says."""
        layout = self._layout
        flags = (self._read(slot + at, 1) == bytes([_SET]) for at in (layout.copy_done, layout.image_ok))
        return Trailer(self._read(slot + layout.size - MAGIC_BYTES, MAGIC_BYTES) == layout.magic, *flags)

    def content(self, slot: int) -> bytes:
        """A slot without its trailer, as it lies on the medium."""
        forget(self._handle)
        return self._read(slot, self._layout.room)

    def write(self, slot: int, data: bytes) -> Iterator[int]:
        """Erase a slot, its trailer first, and write an image; how many bytes are written, piece after piece."""
        self.erase_trailer(slot)
        view = memoryview(data.ljust(self._layout.room, bytes([self._layout.erased])))
        for at in range(0, len(view), PIECE):
            self._write(slot + at, view[at : at + PIECE])
            yield min(at + PIECE, len(view))
        os.fsync(self._handle)

    def erase_trailer(self, slot: int) -> None:
        """Nothing is asked of the boot loader any more."""
        layout = self._layout
        self._write(slot + layout.room, bytes([layout.erased]) * (layout.size - layout.room))
        os.fsync(self._handle)

    def set_flag(self, slot: int, at: int, value: int = _SET) -> None:
        """Write one field of a trailer."""
        layout = self._layout
        self._write(slot + at, bytes([value]).ljust(layout.align, bytes([layout.erased])))
        os.fsync(self._handle)

    def set_magic(self, slot: int) -> None:
        """Mark a trailer as written."""
        self._write(slot + self._layout.size - MAGIC_BYTES, self._layout.magic)
        os.fsync(self._handle)

    def _read(self, at: int, length: int) -> bytes:
        parts = []
        while length:
            part = os.pread(self._handle, min(length, PIECE), at)
            if not part:
                raise WorldError(
                    "installer.layout",
                    f"The flash ends at {at} bytes, within a slot.",
                    remedy="Correct the layout of the flash in the agent's configuration.",
                )
            parts.append(part)
            at, length = at + len(part), length - len(part)
        return b"".join(parts)

    def _write(self, at: int, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            done = os.pwrite(self._handle, view, at)
            view, at = view[done:], at + done


@contextmanager
def flash(layout: Layout) -> Iterator[Flash]:
    """Open the flash.

    Raises:
        WorldError: ``installer.medium``, ``installer.layout``.
    """
    with opened(Path(layout.path), writable=True) as handle:
        yield Flash(layout, handle)
