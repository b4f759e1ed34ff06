"""A slice of a measurement list, in either of the kernel's forms.

1. A slice begins and ends where an entry does. One that was cut inside an entry is refused, never read in part.
2. The binary form (``binary_runtime_measurements``) says every length. The text (``ascii_runtime_measurements``) does
   not: a name with a line break reads as two lines. Then the template digest does not fit and the slice is refused, so
   nobody is deceived; but whoever may name a file can have a device refused so. Hence the binary form is to be sent.
3. Which form it is shows in the first byte: a register's number in 32 bits is below any printable character.
4. Of the binary form the little-endian one is read (on big-endian machines: ``ima_canonical_fmt``).

Source: Linux, security/integrity/ima/ima_fs.c.
"""

from __future__ import annotations

from binascii import Error, unhexlify
from collections.abc import Iterator
from struct import Struct

from holdfast_core.formats.ima.entries import (
    BANKS,
    COLUMNS,
    LARGEST_DATA,
    LEGACY,
    SLICE_BYTES,
    SLICE_ENTRIES,
    ImaEntry,
    malformed,
)
from holdfast_core.formats.ima.fields import LENGTH, entry_of, joined, legacy_data, split, template_named
from holdfast_core.kernel.errors import HostileData, LimitExceeded

_TEXT = b" 0123456789"
_REGISTERS = {str(number).encode(): number for number in range(24)}
_PARTS = 4
_LONGEST_TEMPLATE = 16


def parse_ima(data: bytes, *, column: str = "sha1") -> tuple[ImaEntry, ...]:
    """The entries of a slice.

    Args:
        data: whole entries, in either form.
        column: the hash of the template column in the binary form: ``sha1`` but in the lists for one bank.

    Raises:
        HostileData: ``ima.malformed``, ``ima.incomplete``, ``ima.template``, ``ima.file_hash``,
            ``ima.template_digest``, ``ima.bank``.
        LimitExceeded: ``ima.too_large``.
    """
    return tuple(entries_in(data, column=column))


def entries_in(data: bytes, *, column: str = "sha1") -> Iterator[ImaEntry]:
    """As `parse_ima`, one after the other."""
    if len(data) > SLICE_BYTES:
        raise _too_large(f"has {len(data)} bytes")
    if column not in BANKS:
        raise no_bank(column)
    if not data:
        return iter(())
    return _text(data) if data[0] in _TEXT else _binary(data, BANKS[column][0])


def _text(data: bytes) -> Iterator[ImaEntry]:
    if data[-1:] != b"\n":
        raise _incomplete()
    if data.count(b"\n") > SLICE_ENTRIES:
        raise _too_large(f"has more than {SLICE_ENTRIES} entries")
    for at, line in enumerate(data[:-1].split(b"\n")):
        yield _line(at, line)


def _line(at: int, line: bytes) -> ImaEntry:
    parts = line.removeprefix(b" ").split(b" ", _PARTS)
    if len(parts) <= _PARTS or parts[0] not in _REGISTERS:
        raise malformed(at, "it is not register, template digest, template, digest and name")
    digest, rest = parts[3], parts[4]
    template = template_named(at, parts[2])
    try:
        column = unhexlify(parts[1])
        if template is LEGACY:
            fields = [unhexlify(digest), rest]
            data = legacy_data(at, *fields)
        else:
            head, _, value = digest.rpartition(b":")
            names = _split_from_end(rest, len(template.extra))
            fields = [head + b":\0" + unhexlify(value), names[0] + b"\0", *_extra(names[1:])]
            data = joined(fields)
    except Error as error:
        raise malformed(at, "it is not hexadecimal where it has to be") from error
    if len(column) not in COLUMNS:
        raise malformed(at, f"a template digest does not have {len(column)} bytes")
    return entry_of(at, _REGISTERS[parts[0]], template, column=column, fields=fields, data=data)


def _split_from_end(text: bytes, extra: int) -> list[bytes]:
    """Name and extra fields; some tools cut the blank that stands before an empty field at a line's end."""
    if not extra:
        return [text]
    parts = text.rsplit(b" ", extra)
    return parts + [b""] * (extra + 1 - len(parts))


def _extra(parts: list[bytes]) -> list[bytes]:
    """Fields in hexadecimal; the digest of a file without its appended signature has its hash's name in front."""
    fields = []
    for part in parts:
        head, colon, value = part.rpartition(b":")
        fields.append(head + b":\0" + unhexlify(value) if colon else unhexlify(part))
    return fields


def _binary(data: bytes, size: int) -> Iterator[ImaEntry]:
    header, position, at = Struct(f"<I{size}sI"), 0, 0
    while position < len(data):
        if at == SLICE_ENTRIES:
            raise _too_large(f"has more than {SLICE_ENTRIES} entries")
        if position + header.size > len(data):
            raise _incomplete()
        register, column, length = header.unpack_from(data, position)
        if length > _LONGEST_TEMPLATE:
            raise malformed(at, f"the name of its template has {length} bytes")
        start = position + header.size
        position = start + length
        template = template_named(at, data[start:position]) if position <= len(data) else None
        if template is None:
            raise _incomplete()
        if template is LEGACY:
            digest, position = _take(data, position, 20)
            name, position = _sized(at, data, position)
            fields, content = [digest, name], legacy_data(at, digest, name)
        else:
            content, position = _sized(at, data, position)
            fields = split(at, template, content)
        yield entry_of(at, register, template, column=column, fields=fields, data=content)
        at += 1


def _sized(at: int, data: bytes, position: int) -> tuple[bytes, int]:
    head, position = _take(data, position, LENGTH.size)
    length = LENGTH.unpack(head)[0]
    if length > LARGEST_DATA:
        raise malformed(at, f"it has {length} bytes")
    return _take(data, position, length)


def _take(data: bytes, position: int, size: int) -> tuple[bytes, int]:
    end = position + size
    if end > len(data):
        raise _incomplete()
    return data[position:end], end


def no_bank(name: str) -> HostileData:
    """The refusal of a bank that no list is replayed into."""
    return HostileData(
        "ima.bank",
        f"A measurement list cannot be replayed into a bank of {name[:80]!r}.",
        remedy=f"Quote a bank of {', '.join(BANKS)}.",
    )


def _incomplete() -> HostileData:
    return HostileData(
        "ima.incomplete",
        "The slice of the measurement list ends within an entry.",
        remedy="Send whole entries; what does not fit any more goes into the next slice.",
    )


def _too_large(why: str) -> LimitExceeded:
    return LimitExceeded(
        "ima.too_large",
        f"The slice of the measurement list {why}.",
        remedy=f"Send slices of at most {SLICE_BYTES} bytes and {SLICE_ENTRIES} entries, one after the other.",
    )
