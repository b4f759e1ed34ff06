"""A reader of just so much ELF as hardening shows in: both widths, both byte orders, no library.

1. Facts, not judgements: `read_elf` says what the headers say, `None` where they are silent.
2. A file that lies about its offsets is `None` as a whole, never an exception and never a long loop.

Layouts: System V gABI, chapters 4 and 5; PT_GNU_* and DT_FLAGS_1 from the GNU and Solaris extensions (elf.h).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgspec

from holdfast_probe.programs.elf_symbols import Strings, calls

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_PT_GNU_STACK, _PT_GNU_RELRO = 0x6474E551, 0x6474E552
_PF_X = 1
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_RPATH, _DT_BIND_NOW, _DT_RUNPATH = 1, 5, 10, 15, 24, 29
_DT_FLAGS, _DT_FLAGS_1 = 30, 0x6FFFFFFB
_DF_BIND_NOW, _DF_1_NOW, _DF_1_PIE = 8, 1, 0x08000000
_MAX_HEADERS = 128
_MAX_DYNAMIC = 4096
_MAX_NEEDED = 256

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
    needed: tuple[str, ...]
    """The libraries it is loaded with."""
    calls: frozenset[str] | None
    """What it takes from libraries, of what tells of hardening (`elf_symbols.TELLING`); `None`: it does not say."""

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
    kind, machine = struct.unpack_from(layout.order + "HH", head, 16)
    segments = _segments(head, read_at, layout)
    entries = _dynamic(segments, read_at, layout)
    values = dict(reversed(entries))
    strings = _strings(values, segments, read_at)
    flags_1 = values.get(_DT_FLAGS_1, 0)
    stacks = [s.flags for s in segments if s.kind == _PT_GNU_STACK]
    facts = ElfFacts(
        kind=kind,
        interpreter=any(s.kind == _PT_INTERP for s in segments),
        dynamic=any(s.kind == _PT_DYNAMIC for s in segments),
        executable_stack=bool(stacks[-1] & _PF_X) if stacks else None,
        relro=any(s.kind == _PT_GNU_RELRO for s in segments),
        bind_now=_DT_BIND_NOW in values or bool(values.get(_DT_FLAGS, 0) & _DF_BIND_NOW) or bool(flags_1 & _DF_1_NOW),
        pie_flag=bool(flags_1 & _DF_1_PIE),
        search_paths=tuple(_search_paths(entries, strings)),
        needed=tuple(_named(entries, strings, _DT_NEEDED))[:_MAX_NEEDED],
        calls=None,
    )
    if strings is None or (facts.program and not facts.needed):  # static: what it calls is inside
        return facts
    found = calls(
        values, strings, lambda address: _offset(segments, address), read_at, (layout.order, layout.wide, machine)
    )
    return msgspec.structs.replace(facts, calls=found)


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


def _strings(values: dict[int, int], segments: list[_Segment], read_at: ReadAt) -> Strings | None:
    """The string table of the dynamic section, where there is one."""
    if _DT_STRTAB not in values:
        return None
    base = _offset(segments, values[_DT_STRTAB])
    return None if base is None else Strings(read_at, base, values.get(_DT_STRSZ, 0))


def _named(entries: list[tuple[int, int]], strings: Strings | None, *tags: int) -> list[str]:
    """The names that the entries with these tags point to."""
    wanted = [value for tag, value in entries if tag in tags]
    if wanted and strings is None:
        raise struct.error
    return [strings.at(value).decode("utf-8", "surrogateescape") for value in wanted] if strings else []


def _search_paths(entries: list[tuple[int, int]], strings: Strings | None) -> list[str]:
    return [part for text in _named(entries, strings, _DT_RPATH, _DT_RUNPATH) for part in text.split(":")]


def _offset(segments: list[_Segment], address: int) -> int | None:
    """Where in the file a loaded address lies."""
    for segment in segments:
        if segment.kind == _PT_LOAD and segment.address <= address < segment.address + segment.size:
            return segment.offset + address - segment.address
    return None
