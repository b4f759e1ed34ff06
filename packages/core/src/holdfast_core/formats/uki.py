"""Unified kernel images: a PE image of kernel, initial file system and command line, and what its stub measures.

1. systemd-stub extends register 11 twice for each section: by its name with a zero behind it, and by its bytes as they
   are in memory. The order is the stub's, not the file's. Empty sections, ``.pcrsig`` and sections that the stub's
   version does not know are not measured.
2. Later the booted system extends the same register by the name of each phase it reaches (systemd-pcrphase).
3. What depends on the machine has no expected value: images with profiles, or with device trees to choose from, are
   refused. So are stubs from 261 on, which measure a separator too.
4. Not in register 11: the file as a whole and the kernel within it (register 4, by firmware, as PE images); a command
   line that was given instead of the image's own, and credentials (register 12); extension images (register 13); the
   command line and initial file system as the kernel's own stub measures them (register 9).

Source: systemd, systemd-stub(7), systemd-measure(1), systemd-pcrphase.service(8), docs/TPM2_PCR_MEASUREMENTS.md;
UAPI Group, Unified Kernel Image.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from holdfast_core.formats.pe import DIGESTS, Section, parse_pe
from holdfast_core.kernel.errors import HostileData

REGISTER = 11
PHASES = ("enter-initrd", "leave-initrd", "sysinit", "ready")
"""What a booted system extends the register by, one after the other."""
FIRST_VERSION, LAST_VERSION = 252, 260
_ORDER: tuple[tuple[str, int], ...] = (
    (".linux", 252),
    (".osrel", 252),
    (".cmdline", 252),
    (".initrd", 252),
    (".ucode", 256),
    (".splash", 252),
    (".dtb", 252),
    (".uname", 254),
    (".sbat", 254),
    (".pcrpkey", 252),
)
"""What is measured, in this order, and since which version."""
_UNMEASURED = ".pcrsig"
_CHOSEN = frozenset({".profile", ".dtbauto", ".hwids", ".efifw"})
"""Sections that make what is measured depend on the machine or on a person's choice."""
_KNOWN = frozenset({name for name, _ in _ORDER} | {_UNMEASURED} | _CHOSEN)
_MAGIC = ".sdmagic"
_STUB = re.compile(rb"#### LoaderInfo: systemd-stub (\d{1,4})[^\d]")
_MAGIC_BYTES = 4096


class Measured(msgspec.Struct, frozen=True):
    """One extension of a register: by `digest`, which is of the section's name (`of_name`) or of its bytes."""

    register: int
    name: str
    of_name: bool
    digest: bytes


def uki_sections(data: bytes | memoryview) -> Mapping[str, memoryview]:
    """The sections of an image that mean something to its stub, by name, in the order of the file; nothing is copied.

    Raises:
        HostileData: as `parse_pe`; ``uki.section`` when one is there twice or is longer than its bytes.
    """
    view = memoryview(data).cast("B")
    found: dict[str, memoryview] = {}
    for section in parse_pe(view).sections:
        if section.name not in _KNOWN:
            continue
        if section.name in _CHOSEN:
            raise _chosen(section.name)
        if section.name in found:
            raise _section(section.name, "is there twice")
        found[section.name] = _content(view, section)
    return MappingProxyType(found)


def stub_version(data: bytes | memoryview) -> int | None:
    """The version of systemd whose stub an image stands on, or none. Raises as `parse_pe`."""
    view = memoryview(data).cast("B")
    magic = next((each for each in parse_pe(view).sections if each.name == _MAGIC), None)
    said = bytes(view[magic.offset : magic.offset + min(magic.size, _MAGIC_BYTES)]) if magic else b""
    match = _STUB.search(said)
    return int(match[1]) if match else None


def uki_measurements(
    data: bytes | memoryview, algorithm: str = "sha256", *, version: int | None = None
) -> tuple[Measured, ...]:
    """What the stub of an image extends register 11 by, in its order.

    Args:
        data: the whole file.
        algorithm: the hash of the bank.
        version: of systemd; else the one that the image's own stub states.

    Raises:
        HostileData: as `uki_sections`; ``uki.version`` for a stub that states none or is too old or too new,
            ``uki.kernel`` for an image without a kernel, ``uki.algorithm``.
    """
    _known_algorithm(algorithm)
    stub = stub_version(data) if version is None else version
    if stub is None or not FIRST_VERSION <= stub <= LAST_VERSION:
        raise HostileData(
            "uki.version",
            f"The image stands on no stub of systemd {FIRST_VERSION} to {LAST_VERSION}, but on {stub or 'none known'}.",
            remedy="Build the image with ukify on such a stub, or expect the values of a machine that booted it.",
        )
    sections = uki_sections(data)
    if ".linux" not in sections:
        raise HostileData(
            "uki.kernel",
            "The image has no kernel, so it is an addon or a stub.",
            remedy="Give the unified kernel image that the device boots.",
        )
    measured = []
    for name, since in _ORDER:
        content = sections.get(name)
        if since <= stub and content:
            for of_name, part in ((True, name.encode() + b"\0"), (False, content)):
                measured.append(Measured(REGISTER, name, of_name, _hash(algorithm, part)))
    return tuple(measured)


def uki_register(measured: Iterable[Measured], algorithm: str = "sha256", *, phases: Iterable[str] = ()) -> bytes:
    """The value of register 11 after all of `measured`, and after the `phases` that were reached since.

    Raises:
        HostileData: ``uki.algorithm``.
    """
    _known_algorithm(algorithm)
    value = bytes(hashlib.new(algorithm, usedforsecurity=False).digest_size)
    for digest in (*(each.digest for each in measured), *(_hash(algorithm, phase.encode()) for phase in phases)):
        value = _hash(algorithm, value + digest)
    return value


def _hash(algorithm: str, data: bytes | memoryview) -> bytes:
    return hashlib.new(algorithm, data, usedforsecurity=False).digest()


def _content(view: memoryview, section: Section) -> memoryview:
    if section.virtual_size > section.size:
        raise _section(section.name, "is longer in memory than in the file")
    return view[section.offset : section.offset + section.virtual_size]


def _known_algorithm(algorithm: str) -> None:
    if algorithm not in DIGESTS:
        raise HostileData(
            "uki.algorithm",
            f"No bank of a TPM is by {algorithm[:80]!r}.",
            remedy=f"Choose one of {', '.join(sorted(DIGESTS))}.",
        )


def _chosen(name: str) -> HostileData:
    return HostileData(
        "uki.chosen",
        f"The image has a section {name}, so what is measured depends on the machine it boots on.",
        remedy="Build one image for each profile and board, or expect the values of a machine that booted it.",
    )


def _section(name: str, why: str) -> HostileData:
    return HostileData(
        "uki.section",
        f"The section {name} of the image {why}.",
        remedy="Build the image with ukify, with each section once.",
    )
