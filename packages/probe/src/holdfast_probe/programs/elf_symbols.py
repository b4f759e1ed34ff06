"""What an ELF file takes from its libraries, as far as that tells of how it was built.

1. Only undefined dynamic symbols count: what a file calls and does not have. A static file has none and says nothing.
2. The number of symbols stands nowhere in what is loaded; it is taken from the hash tables or, failing those, from
   where the string table begins, as linkers lay it out. No section header is needed: devices strip them.
3. Bounded in symbols and in bytes of a name; a table that is larger or leads nowhere makes the answer `None`.

Layouts: System V gABI, chapters 4 and 5; DT_GNU_HASH as binutils and the dynamic loaders have it; the MIPS supplement.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

GUARDS = frozenset({"__stack_chk_fail", "__stack_chk_fail_local", "__stack_chk_guard", "__stack_smash_handler"})
"""What a function with a stack canary calls or compares with."""
SPILLS = frozenset({
    "gets", "fgets", "strcpy", "stpcpy", "strcat", "sprintf", "vsprintf", "scanf", "sscanf", "fscanf", "recv",
    "recvfrom", "__isoc99_scanf", "__isoc99_sscanf", "__isoc99_fscanf", "__isoc23_scanf", "__isoc23_sscanf",
    "__isoc23_fscanf",
})  # fmt: skip
"""What is called with a buffer of a fixed size, which almost always lies on the stack."""
FORMATS = frozenset({
    "printf", "fprintf", "vprintf", "vfprintf", "dprintf", "vdprintf", "asprintf", "vasprintf", "syslog", "vsyslog",
})  # fmt: skip
"""What glibc's headers replace wherever FORTIFY is on; a compiler never turns it back into these."""
CHECKED = frozenset({
    "__printf_chk", "__fprintf_chk", "__vprintf_chk", "__vfprintf_chk", "__sprintf_chk", "__snprintf_chk",
    "__vsprintf_chk", "__vsnprintf_chk", "__dprintf_chk", "__vdprintf_chk", "__asprintf_chk", "__vasprintf_chk",
    "__syslog_chk", "__vsyslog_chk", "__memcpy_chk", "__memmove_chk", "__memset_chk", "__mempcpy_chk", "__strcpy_chk",
    "__strncpy_chk", "__stpcpy_chk", "__strcat_chk", "__strncat_chk", "__fgets_chk", "__gets_chk", "__read_chk",
    "__pread_chk", "__pread64_chk", "__recv_chk", "__recvfrom_chk", "__fread_chk", "__realpath_chk", "__readlink_chk",
    "__getcwd_chk", "__poll_chk", "__fdelt_chk", "__longjmp_chk", "__explicit_bzero_chk", "__strlcpy_chk",
    "__strlcat_chk", "__wcscpy_chk", "__wmemcpy_chk", "__mbstowcs_chk", "__fwprintf_chk", "__swprintf_chk",
    "__gethostname_chk", "__confstr_chk", "__getgroups_chk", "__ttyname_r_chk", "__obstack_printf_chk",
})  # fmt: skip
"""What FORTIFY puts in their place."""
TELLING = GUARDS | SPILLS | FORMATS | CHECKED

_EM_MIPS = 8
_DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_GNU_HASH, _DT_MIPS_SYMTABNO = 4, 5, 6, 0x6FFFFEF5, 0x70000011
_WIDE_SYMBOL = 24
"""Bytes of an Elf64_Sym."""
_MAX_SYMBOLS = 262_144
_MAX_CHAIN = 1024
_MAX_NAME = 4096
_SHORT_NAME = 64
"""No telling name is longer; for names that are only looked up."""
_WHOLE = 512 * 1024
"""A string table up to this size is read at once; a larger one name by name."""

ReadAt = Callable[[int, int], bytes]


class Strings:
    """A string table in the file."""

    def __init__(self, read_at: ReadAt, base: int, size: int) -> None:
        self._read_at = read_at
        self._base = base
        self._size = size
        self._whole: bytes | None = None

    def at(self, offset: int, limit: int = _MAX_NAME) -> bytes:
        """The string at `offset`, cut at `limit`."""
        return self._read_at(self._base + offset, limit).split(b"\0", 1)[0]

    def short(self, offset: int) -> bytes:
        """The same for a short name, from memory where the table is small."""
        if not 0 < self._size <= _WHOLE:
            return self.at(offset, _SHORT_NAME)
        if self._whole is None:
            self._whole = self._read_at(self._base, self._size)
        end = self._whole.find(b"\0", offset, offset + _SHORT_NAME)
        return self._whole[offset : end if end >= 0 else offset + _SHORT_NAME]


def calls(
    values: Mapping[int, int],
    strings: Strings,
    offset_of: Callable[[int], int | None],
    read_at: ReadAt,
    shape: tuple[str, bool, int],
) -> frozenset[str] | None:
    """Those of `TELLING` that the file takes from libraries, or `None` if its symbols cannot be read.

    Args:
        values: the entries of the dynamic section.
        strings: its string table.
        offset_of: where in the file a loaded address lies.
        read_at: reads the file.
        shape: byte order, whether it is 64 bits wide, and ``e_machine``.
    """
    order, wide, machine = shape
    table = offset_of(values[_DT_SYMTAB]) if _DT_SYMTAB in values else None
    if table is None:
        return None
    symbol = struct.Struct(order + ("IBBHQQ" if wide else "IIIBBH"))
    section = 3 if wide else 5
    try:
        count = _count(values, offset_of, read_at, (order, machine, symbol.size))
    except struct.error:
        return None
    if count is None or count > _MAX_SYMBOLS:
        return None
    data = read_at(table, count * symbol.size)
    if len(data) < count * symbol.size:
        return None
    names = {strings.short(entry[0]) for entry in symbol.iter_unpack(data) if not entry[section] and entry[0]}
    return frozenset(name for name in (raw.decode("latin-1") for raw in names) if name in TELLING)


def _count(
    values: Mapping[int, int],
    offset_of: Callable[[int], int | None],
    read_at: ReadAt,
    shape: tuple[str, int, int],
) -> int | None:
    """How many symbols must be looked at to see all undefined ones."""
    order, machine, size = shape
    if machine == _EM_MIPS and _DT_MIPS_SYMTABNO in values:
        return values[_DT_MIPS_SYMTABNO]
    if (at := offset_of(values.get(_DT_HASH, -1))) is not None:
        number: int = struct.unpack(order + "II", read_at(at, 8))[1]
        return number
    if (at := offset_of(values.get(_DT_GNU_HASH, -1))) is not None:
        last = _last_hashed(at, order, 8 if size == _WIDE_SYMBOL else 4, read_at)
        if last:
            return last + 1
    space = values[_DT_STRTAB] - values[_DT_SYMTAB]
    return space // size if space > 0 else None


def _last_hashed(at: int, order: str, word: int, read_at: ReadAt) -> int:
    """The last symbol of a GNU hash table, which is the last of all; 0 where nothing is hashed.

    It is in the chain of the bucket that begins last; the low bit ends a chain.
    """
    buckets, first, bloom, _ = struct.unpack(order + "IIII", read_at(at, 16))
    start = at + 16 + bloom * word
    if buckets > _MAX_SYMBOLS:
        raise struct.error
    last: int = max(struct.unpack(f"{order}{buckets}I", read_at(start, 4 * buckets)), default=0)
    if last < first:
        return 0
    chain = read_at(start + 4 * buckets + 4 * (last - first), 4 * _MAX_CHAIN)
    for step, (value,) in enumerate(struct.iter_unpack(order + "I", chain[: len(chain) & ~3])):
        if value & 1:
            return last + step
    raise struct.error
