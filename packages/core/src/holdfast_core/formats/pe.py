"""UEFI applications (PE/COFF images): their sections, and the digest that firmware measures and Secure Boot signs.

1. The Authenticode digest is of the file without its checksum, without the entry that points to its signatures, and
   without these: so it is the same before and after signing. It is what firmware extends register 4 by, and what db and
   dbx list. A file whose length is no multiple of eight is filled up when it is signed, and has another digest then.
2. Each byte of the file is a header, of one section, behind them all, or of the signatures. Sections that overlap, and
   bytes between sections, which no digest would cover, are refused; so are signatures that are not at the end.
3. Signatures are found, not verified: whom firmware trusts is said by its variables, which the event log has.

Source: Microsoft, PE Format and Windows Authenticode Portable Executable Signature Format (2008), "Calculating the PE
Image Hash"; UEFI 2.10, section 32.2; TCG PC Client Platform Firmware Profile 1.05, section 3.3.4.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from struct import Struct

import msgspec

from holdfast_core.kernel.errors import HostileData, LimitExceeded

LARGEST_IMAGE = 1024 * 1024 * 1024
"""A unified kernel image with its initial file system; the memory that it is read from is the caller's."""
SECTIONS = 96
"""What the format's loader takes."""
CERTIFICATES = 16
LARGEST_CERTIFICATES = 1024 * 1024
DIGESTS = frozenset({"sha1", "sha256", "sha384", "sha512"})
_DOS = Struct("<2s58xI")
_COFF = Struct("<4sHH12xHH")
_SECTION = Struct("<8sIIII16x")
_CERTIFICATE = Struct("<IHH")
_U32 = Struct("<I")
_PAIR = Struct("<II")
_MAGICS = {0x10B: 92, 0x20B: 108}
"""PE32 and PE32+, and where in the optional header each counts its directories."""
_HEADERS, _CHECKSUM, _SECURITY, _DIRECTORIES = 60, 64, 4, 16
_ALIGNMENT = 8


class Section(msgspec.Struct, frozen=True):
    """Of the file, `size` bytes at `offset`; of memory, `virtual_size` bytes at `address`."""

    name: str
    virtual_size: int
    address: int
    size: int
    offset: int


class PeImage(msgspec.Struct, frozen=True):
    """How a file is laid out.

    Args:
        machine: the processor's number; 0x8664 is x86-64, 0xaa64 is AArch64.
        sections: in the order of the file's table.
        headers: bytes of all headers, from the file's beginning.
        checksum: where the checksum stands.
        security: where the entry for the signatures stands; zero where there is none.
        certificates: where the signatures begin, which they do at the end of the rest.
        size: bytes of the file.
    """

    machine: int
    sections: tuple[Section, ...]
    headers: int
    checksum: int
    security: int
    certificates: int
    size: int


def parse_pe(data: bytes | memoryview) -> PeImage:
    """The layout of a PE image.

    Raises:
        HostileData: ``pe.malformed``.
        LimitExceeded: ``pe.too_large``.
    """
    view = memoryview(data).cast("B")
    if len(view) > LARGEST_IMAGE:
        raise LimitExceeded(
            "pe.too_large",
            f"The image has {len(view)} bytes.",
            remedy=f"Make images of at most {LARGEST_IMAGE} bytes.",
        )
    magic, start = _DOS.unpack(_part(view, 0, _DOS.size))
    if magic != b"MZ":
        raise _malformed("it does not begin as one")
    signature, machine, count, optional, _ = _COFF.unpack(_part(view, start, _COFF.size))
    if signature != b"PE\0\0" or count > SECTIONS:
        raise _malformed("its header is none, or names too many sections")
    at = start + _COFF.size
    headers, security = _optional(view, at, optional)
    table = at + optional
    if table + count * _SECTION.size > headers or headers > len(view):
        raise _malformed("its headers are longer than they say, or than the file")
    certificates = _certificate_table(view, security)
    sections = tuple(_section(view[table + each * _SECTION.size :]) for each in range(count))
    _laid_out(sections, headers, certificates)
    return PeImage(machine, sections, headers, at + _CHECKSUM, security, certificates, len(view))


def authenticode_digest(data: bytes | memoryview, algorithm: str = "sha256", *, image: PeImage | None = None) -> bytes:
    """The digest of an image as firmware measures it.

    Args:
        data: the whole file.
        algorithm: the hash of the bank, by `hashlib`'s name.
        image: its layout, where the caller has read it already.

    Raises:
        HostileData: as `parse_pe`; ``pe.algorithm``.
    """
    if algorithm not in DIGESTS:
        raise HostileData(
            "pe.algorithm",
            f"No bank of a TPM is by {algorithm[:80]!r}.",
            remedy=f"Choose one of {', '.join(sorted(DIGESTS))}.",
        )
    view = memoryview(data).cast("B")
    layout = image or parse_pe(view)
    made = hashlib.new(algorithm, usedforsecurity=False)
    made.update(view[: layout.checksum])
    behind = layout.checksum + _U32.size
    if layout.security:
        made.update(view[behind : layout.security])
        behind = layout.security + _PAIR.size
    made.update(view[behind : layout.certificates])
    return made.digest()


def pe_signatures(data: bytes | memoryview) -> tuple[tuple[int, bytes], ...]:
    """The signatures in a file: each one's type (2 is PKCS #7) and its bytes, not verified.

    Raises:
        HostileData: as `parse_pe`; ``pe.certificates`` when their list cannot be read.
    """
    view = memoryview(data).cast("B")
    at = parse_pe(view).certificates
    found: list[tuple[int, bytes]] = []
    while at < len(view):
        if len(found) == CERTIFICATES or at + _CERTIFICATE.size > len(view):
            raise _certificates("there are too many, or one is cut")
        size, _, kind = _CERTIFICATE.unpack_from(view, at)
        if not _CERTIFICATE.size < size <= len(view) - at:
            raise _certificates(f"one cannot have {size} bytes")
        found.append((kind, bytes(view[at + _CERTIFICATE.size : at + size])))
        at += -(-size // _ALIGNMENT) * _ALIGNMENT
    return tuple(found)


def _part(view: memoryview, at: int, size: int) -> memoryview:
    if at + size > len(view):
        raise _malformed("it ends too early")
    return view[at : at + size]


def _optional(view: memoryview, at: int, size: int) -> tuple[int, int]:
    """Of the optional header: the bytes of all headers, and where its entry for the signatures is."""
    header = _part(view, at, size)
    counted = _MAGICS.get(int.from_bytes(header[:2], "little"))
    if counted is None or size < counted + _U32.size:
        raise _malformed("its optional header is of no known kind, or too short")
    directories = _U32.unpack_from(header, counted)[0]
    first = counted + _U32.size
    if directories > _DIRECTORIES or first + directories * _PAIR.size > size:
        raise _malformed(f"it cannot have {directories} directories")
    security = at + first + _SECURITY * _PAIR.size if directories > _SECURITY else 0
    return _U32.unpack_from(header, _HEADERS)[0], security


def _certificate_table(view: memoryview, security: int) -> int:
    """Where the signatures begin; the file's end where there are none."""
    offset, size = _PAIR.unpack_from(view, security) if security else (0, 0)
    if not size:
        return len(view)
    if offset + size != len(view) or size > LARGEST_CERTIFICATES or offset % _ALIGNMENT:
        raise _certificates("they are not at its end, too long, or begin where they may not")
    return int(offset)


def _section(row: memoryview) -> Section:
    name, virtual_size, address, size, offset = _SECTION.unpack_from(row)
    shown = name.rstrip(b"\0").decode("ascii", "backslashreplace")
    return Section(shown, virtual_size, address, size, offset if size else 0)


def _laid_out(sections: tuple[Section, ...], headers: int, certificates: int) -> None:
    """Refuse sections that do not lie one behind the other, from the headers up to no further than the signatures."""
    filled = sorted((each.offset, each.offset + each.size) for each in sections if each.size)
    ranges = [(0, headers), *filled]
    if any(begin != end for (_, end), (begin, _) in pairwise(ranges)) or ranges[-1][1] > certificates:
        raise _malformed("its sections do not follow one another without a gap")


def _malformed(why: str) -> HostileData:
    return HostileData(
        "pe.malformed",
        f"The UEFI application could not be read: {why}.",
        remedy="Give the whole file, as the linker or ukify made it and sbsign signed it.",
    )


def _certificates(why: str) -> HostileData:
    return HostileData(
        "pe.certificates",
        f"The signatures of the UEFI application could not be read: {why}.",
        remedy="Take them off (sbattach --remove) and sign the file again.",
    )
