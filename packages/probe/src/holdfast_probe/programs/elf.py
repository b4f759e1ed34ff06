"""A reader of just so much ELF as hardening shows in: both widths, both byte orders, no library.

1. Facts, not judgements: `read_elf` says what the headers say, `None` where they are silent.
2. A file that lies about its offsets is `None` as a whole, never an exception and never a long loop.

Layouts: System V gABI, chapters 4 and 5; PT_GNU_* and DT_FLAGS_1 from the GNU and Solaris extensions (elf.h).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgspec

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_PT_GNU_STACK, _PT_GNU_RELRO = 0x6474E551, 0x6474E552
_PF_X = 1
_DT_STRTAB, _DT_RPATH, _DT_BIND_NOW, _DT_RUNPATH, _DT_FLAGS, _DT_FLAGS_1 = 5, 15, 24, 29, 30, 0x6FFFFFFB
_DF_BIND_NOW, _DF_1_NOW, _DF_1_PIE = 8, 1, 0x08000000
_MAX_HEADERS = 128
_MAX_DYNAMIC = 4096
_MAX_PATH = 4096

ReadAt = Callable[[int, int], bytes]
"""``(offset, size)`` to at most `size` bytes of the file."""


class ElfFacts(msgspec.Struct, frozen=True):
    """What one ELF file says of its hardening."""

    kind: int
    """``e_type``."""
    interpreter: bool
    dynamic: bool
    executable_stack: bool | None
    """`None`: no PT_GNU_STACK, the architecture decides."""
    relro: bool
    bind_now: bool
    pie_flag: bool
    """DF_1_PIE: a position-independent program even without an interpreter (static PIE)."""
    search_paths: tuple[str, ...]
    """RPATH and RUNPATH, split at colons."""

    @property
    def program(self) -> bool:
        """Whether this is started as a program, rather than loaded as a library or a module."""
        return self.kind == ET_EXEC or (self.kind == ET_DYN and (self.interpreter or self.pie_flag))

    @property
    def pie(self) -> bool:
        """Whether it is a position-independent program."""
        return self.kind == ET_DYN and self.program


class _Layout(msgspec.Struct, frozen=True):
    order: str
    wide: bool

    @property
    def program_header(self) -> struct.Struct:
        return struct.Struct(self.order + ("IIQQQQQQ" if self.wide else "IIIIIIII"))

    @property
    def dynamic(self) -> struct.Struct:
        return struct.Struct(self.order + ("qQ" if self.wide else "iI"))


class _Segment(msgspec.Struct, frozen=True):
    kind: int
    flags: int
    offset: int
    address: int
    size: int


def read_elf(head: bytes, read_at: ReadAt) -> ElfFacts | None:
    """The facts of an ELF file, or `None` if it is none or is broken.

    Args:
        head: at least the first 64 bytes of the file.
        read_at: reads more of it; may raise OSError, which is passed on.
    """
    try:
        return _read(head, read_at)
    except (struct.error, OverflowError):
        return None


def _read(head: bytes, read_at: ReadAt) -> ElfFacts | None:
    if head[:4] != b"\x7fELF" or head[4] not in (1, 2) or head[5] not in (1, 2):
        return None
    layout = _Layout("<" if head[5] == 1 else ">", wide=head[4] == 2)  # noqa: PLR2004  (ELFCLASS64)
    (kind,) = struct.unpack_from(layout.order + "H", head, 16)
    segments = _segments(head, read_at, layout)
    flags = 0
    flags_1 = 0
    bind_now = False
    paths: list[str] = []
    entries = _dynamic(segments, read_at, layout)
    for tag, value in entries:
        if tag == _DT_FLAGS:
            flags = value
        elif tag == _DT_FLAGS_1:
            flags_1 = value
        elif tag == _DT_BIND_NOW:
            bind_now = True
    if any(tag in (_DT_RPATH, _DT_RUNPATH) for tag, _ in entries):
        paths = _search_paths(entries, segments, read_at)
    stacks = [s.flags for s in segments if s.kind == _PT_GNU_STACK]
    return ElfFacts(
        kind=kind,
        interpreter=any(s.kind == _PT_INTERP for s in segments),
        dynamic=any(s.kind == _PT_DYNAMIC for s in segments),
        executable_stack=bool(stacks[-1] & _PF_X) if stacks else None,
        relro=any(s.kind == _PT_GNU_RELRO for s in segments),
        bind_now=bind_now or bool(flags & _DF_BIND_NOW) or bool(flags_1 & _DF_1_NOW),
        pie_flag=bool(flags_1 & _DF_1_PIE),
        search_paths=tuple(paths),
    )


def _segments(head: bytes, read_at: ReadAt, layout: _Layout) -> list[_Segment]:
    if layout.wide:
        (table,) = struct.unpack_from(layout.order + "Q", head, 32)
        size, count = struct.unpack_from(layout.order + "HH", head, 54)
    else:
        (table,) = struct.unpack_from(layout.order + "I", head, 28)
        size, count = struct.unpack_from(layout.order + "HH", head, 42)
    shape = layout.program_header
    if not count:
        return []
    if count > _MAX_HEADERS or size < shape.size:
        raise struct.error
    end = table + size * count
    data = head[table:end] if end <= len(head) else read_at(table, size * count)
    segments = []
    for position in range(0, size * count, size):
        values = shape.unpack_from(data, position)
        if layout.wide:
            kind, flags, offset, address, _, file_size, _, _ = values
        else:
            kind, offset, address, _, file_size, _, flags, _ = values
        segments.append(_Segment(kind, flags, offset, address, file_size))
    return segments


def _dynamic(segments: list[_Segment], read_at: ReadAt, layout: _Layout) -> list[tuple[int, int]]:
    shape = layout.dynamic
    for segment in segments:
        if segment.kind == _PT_DYNAMIC:
            data = read_at(segment.offset, min(segment.size, _MAX_DYNAMIC * shape.size))
            whole = len(data) - len(data) % shape.size
            entries = []
            for tag, value in shape.iter_unpack(data[:whole]):
                if tag == 0:
                    break
                entries.append((tag, value))
            return entries
    return []


def _search_paths(entries: list[tuple[int, int]], segments: list[_Segment], read_at: ReadAt) -> list[str]:
    strings = next((value for tag, value in entries if tag == _DT_STRTAB), None)
    base = (
        next(
            (s.offset + strings - s.address for s in segments if s.kind == _PT_LOAD and _holds(s, strings)),
            None,
        )
        if strings is not None
        else None
    )
    if base is None:
        raise struct.error
    paths: list[str] = []
    for tag, value in entries:
        if tag in (_DT_RPATH, _DT_RUNPATH):
            text = read_at(base + value, _MAX_PATH).split(b"\0", 1)[0]
            paths += text.decode("utf-8", "surrogateescape").split(":")
    return paths


def _holds(segment: _Segment, address: int | None) -> bool:
    return address is not None and segment.address <= address < segment.address + segment.size
