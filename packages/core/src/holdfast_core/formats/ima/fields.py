"""From the fields of an entry to the entry: what both forms of the list have in common.

1. Template data is each field with its length in front (32 bits, little-endian); only the template ``ima`` has none.
2. The digest field is the hash's name, a colon, a zero and the digest; the name ends in its only zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from holdfast_core.formats.ima.entries import (
    COLUMNS,
    EXTRA_BYTES,
    LARGEST_NAME,
    LEGACY,
    SHOWN,
    TEMPLATES,
    ZEROS,
    ImaEntry,
    Template,
    malformed,
)
from holdfast_core.kernel.errors import HostileData

LENGTH = Struct("<I")
REGISTERS = 24
_LEGACY_DIGEST, _LEGACY_NAME = 20, 256
_OLD_VIOLATION = 20


def template_named(at: int, name: bytes) -> Template:
    """The template of entry `at`. Raises HostileData ``ima.template``."""
    template = TEMPLATES.get(name)
    if template is None:
        raise HostileData(
            "ima.template",
            f"Entry {at + 1} of the measurement list has the template {name[:SHOWN]!r}, which is not known.",
            remedy="Boot the device with ima_template=ima-ng, ima-sig, ima-ngv2 or ima-sigv2.",
        )
    return template


def joined(fields: Sequence[bytes]) -> bytes:
    """Fields as template data."""
    pack = LENGTH.pack
    return b"".join([part for field in fields for part in (pack(len(field)), field)])


def split(at: int, template: Template, data: bytes) -> list[bytes]:
    """Template data as its fields: two, and as many as the template adds. Raises HostileData ``ima.malformed``."""
    fields, position, end = [], 0, len(data)
    for _ in range(2 + len(template.extra)):
        start = position + LENGTH.size
        if start > end:
            raise malformed(at, "it has fewer fields than its template")
        position = start + LENGTH.unpack_from(data, position)[0]
        if position > end:
            raise malformed(at, "a field is longer than the entry")
        fields.append(data[start:position])
    if position != end:
        raise malformed(at, "there is more in it than its template has")
    return fields


def legacy_data(at: int, digest: bytes, name: bytes) -> bytes:
    """The template data of ``ima``, as hashed. Raises HostileData ``ima.malformed``."""
    if len(digest) != _LEGACY_DIGEST or len(name) >= _LEGACY_NAME:
        raise malformed(at, "its digest or name has a length that the template ima cannot have")
    return digest + name.ljust(_LEGACY_NAME, b"\0")


def entry_of(
    at: int, register: int, template: Template, *, column: bytes, fields: Sequence[bytes], data: bytes
) -> ImaEntry:
    """The entry of these fields.

    Args:
        at: its place in the slice, for the refusal.
        register: the register it says it extended.
        template: whose fields these are.
        column: the template digest in the list.
        fields: digest and name, each as hashed, and what the template adds.
        data: the same as hashed.

    Raises:
        HostileData: ``ima.malformed``, ``ima.file_hash``, ``ima.template_digest``.
    """
    if register >= REGISTERS:
        raise malformed(at, f"no TPM has a register {register}")
    violation = column in ZEROS
    if not violation and COLUMNS[len(column)](data).digest() != column:
        raise _other_bytes(at)
    kind, algorithm, digest = _digest(at, template, fields[0], violation=violation)
    name = fields[1] if template is LEGACY else _name(at, fields[1])
    if b"\0" in name:
        raise malformed(at, "its name has a zero in the middle")
    if not template.extra:
        return ImaEntry(register, template.name, column, data, kind, algorithm, digest, name)
    return ImaEntry(
        register, template.name, column, data, kind, algorithm, digest, name, **_extra(at, template, fields[2:])
    )


def _name(at: int, field: bytes) -> bytes:
    if len(field) > LARGEST_NAME or field[-1:] != b"\0":
        raise malformed(at, "its name is too long or has no end")
    return field[:-1]


def _digest(at: int, template: Template, field: bytes, *, violation: bool) -> tuple[str, str, bytes]:
    if template is LEGACY:
        return "ima", "sha1", field
    head, _, digest = field.partition(b"\0")
    known = template.heads.get(head)
    if known is None:
        raise HostileData(
            "ima.file_hash",
            f"Entry {at + 1} of the measurement list has a digest by {head[:SHOWN]!r}, which is not known.",
            remedy="Boot the device with ima_hash=sha256.",
        )
    kind, algorithm, size = known
    # Some kernels left room for a SHA-1 digest in a violation, whatever hash they named.
    if len(digest) != size and not (violation and len(digest) == _OLD_VIOLATION):
        raise malformed(at, f"a digest by {algorithm} does not have {len(digest)} bytes")
    return kind, algorithm, digest


def _extra(at: int, template: Template, fields: Sequence[bytes]) -> dict[str, bytes]:
    for name, field in zip(template.extra, fields, strict=True):
        if len(field) > EXTRA_BYTES[name]:
            raise malformed(at, f"its {name.replace('_', ' ')} has {len(field)} bytes")
    return dict(zip(template.extra, fields, strict=True))


def _other_bytes(at: int) -> HostileData:
    return HostileData(
        "ima.template_digest",
        f"Entry {at + 1} of the measurement list is not what its template digest was made of.",
        remedy="Send the kernel's list unchanged; where a name has line breaks or spaces, send the binary one.",
    )
