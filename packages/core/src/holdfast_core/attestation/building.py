"""Computing reference values from a release's own files, where it is built.

1. Each kind of file is measured as the boot stage that loads it measures it; which register that is, the kind says, or
   the builder where the kind cannot know.
2. A file that only another file vouches for (a root file system, by the root hash on a command line) is checked against
   that one: a release whose parts do not fit is refused here rather than in the field.
3. Nothing is taken from a device; that is `learning`, and says so.

Source: PFP 1.06, section 3.3.4; systemd TPM2 PCR measurements; GRUB manual, "Measured Boot"; RFC 9783, section 4.4.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec

from holdfast_core.attestation.boot import is_structural
from holdfast_core.attestation.quote import BANK_NUMBERS
from holdfast_core.attestation.reference import (
    RESETTABLE,
    FileValue,
    Learned,
    Measurement,
    Statement,
    TokenComponent,
    proves_nothing,
)
from holdfast_core.formats.devicetree import parse_device_tree
from holdfast_core.formats.eventlog.kinds import NO_ACTION
from holdfast_core.formats.eventlog.log import parse_event_log
from holdfast_core.formats.fit import image_data, parse_fit
from holdfast_core.formats.mcuboot import Record, parse_mcuboot
from holdfast_core.formats.pe import authenticode_digest
from holdfast_core.formats.uki import uki_measurements, uki_sections
from holdfast_core.formats.verity import parse_verity_superblock, root_of_tree
from holdfast_core.formats.verity_cmdline import verity_roots_in
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.instants import Instant
from holdfast_core.supply.model import Artefact, ArtefactKind

LARGEST_ARTEFACT = 1024 * 1024 * 1024
IMAGES_REGISTER, LINE_REGISTER, APPLICATION_REGISTER = 9, 8, 4


class Source(msgspec.Struct, frozen=True):
    """One file of a release: what people call it, its kind, its bytes, and its register where one was named."""

    name: str
    kind: ArtefactKind
    data: bytes
    register: int | None = None


class Measuredness(msgspec.Struct, frozen=True):
    """What a file comes to: measurements, components of a token, and root hashes that vouch or are vouched for."""

    measurements: tuple[Measurement, ...] = ()
    components: tuple[TokenComponent, ...] = ()
    roots: tuple[str, ...] = ()
    """Root hashes of dm-verity that the file is."""
    vouched: tuple[str, ...] = ()
    """Root hashes that a command line in it names."""
    svn: int | None = None


def build_statement(
    sources: Sequence[Source],
    *,
    model: str,
    version: str,
    svn: int | None,
    made_at: Instant,
    retire_at: Instant | None = None,
    bank: str = "sha256",
    files: tuple[FileValue, ...] = (),
    file_keys: tuple[bytes, ...] = (),
    learned: Learned | None = None,
) -> Statement:
    """The statement of a release.

    Args:
        sources: its files.
        model: the device model's name.
        version: the release's.
        svn: its security version number; `None` takes the one that an MCUboot image states.
        made_at: now.
        retire_at: when it is no longer good.
        bank: the hash of the registers that are quoted.
        files: what it runs, for IMA.
        file_keys: keys that sign what it runs (DER).
        learned: where an event log among `sources` came from a device.

    Raises:
        HostileData: ``reference.register``, ``reference.svn``, ``reference.verity``, and what the formats raise.
        LimitExceeded: ``reference.artefact_large``.
    """
    measured = [measure(source, bank) for source in sources]
    vouched = {root for each in measured for root in each.vouched}
    for source, each in zip(sources, measured, strict=True):
        if each.roots and vouched and not vouched & set(each.roots):
            raise _unvouched(source.name)
    stated = {each.svn for each in measured if each.svn is not None}
    return Statement(
        model=model,
        version=version,
        svn=_svn(svn, stated),
        made_at=made_at,
        bank=bank,
        retire_at=retire_at,
        artefacts=tuple(Artefact(s.name, s.kind, len(s.data), digest_of(s.data)) for s in sources),
        measurements=tuple(dict.fromkeys(m for each in measured for m in each.measurements)),
        components=tuple(c for each in measured for c in each.components),
        files=files,
        file_keys=file_keys,
        learned=learned,
    )


def measure(source: Source, bank: str) -> Measuredness:
    """What one file comes to. Raises as `build_statement`."""
    if len(source.data) > LARGEST_ARTEFACT:
        raise LimitExceeded(
            "reference.artefact_large",
            f"{source.name} has more than {LARGEST_ARTEFACT} bytes.",
            remedy="Name the file that the boot loader measures; of a root file system that is its verity tree.",
        )
    if source.register in RESETTABLE:
        raise proves_nothing(source.register)
    return _MEASURES[source.kind](source, bank)


def _file(source: Source, bank: str) -> Measuredness:
    return Measuredness((_of(source, _named(source), source.data, bank),))


def _command_line(source: Source, bank: str) -> Measuredness:
    """A command line in a text file; its last line end is the editor's."""
    line = source.data.rstrip(b"\r\n\0")
    register = LINE_REGISTER if source.register is None else source.register
    return Measuredness((_of(source, register, line, bank),), vouched=_roots_in(line))


def _efi(source: Source, bank: str) -> Measuredness:
    register = APPLICATION_REGISTER if source.register is None else source.register
    digest = authenticode_digest(source.data, bank).hex()
    return Measuredness((Measurement(register, digest, source.name),))


def _uki(source: Source, bank: str) -> Measuredness:
    """As an application, and each section that its stub measures; its command line vouches."""
    sections = []
    for each in uki_measurements(source.data, bank):
        what = f"{source.name} {'name of section' if each.of_name else 'section'} {each.name}"
        sections.append(Measurement(each.register, each.digest.hex(), what))
    line = bytes(uki_sections(source.data).get(".cmdline", b"")).rstrip(b"\r\n\0")
    return Measuredness((*_efi(source, bank).measurements, *sections), vouched=_roots_in(line))


def _fit(source: Source, bank: str) -> Measuredness:
    """The images of the default configuration, and the command line in its device tree."""
    fit = parse_fit(source.data)
    configuration = fit.configurations.get(fit.default)
    if configuration is None:
        raise HostileData(
            "reference.fit",
            f"{source.name} proposes no configuration.",
            remedy="Set 'default' in the configurations node of the image source.",
        )
    register = IMAGES_REGISTER if source.register is None else source.register
    images: list[Measurement] = []
    lines: list[bytes] = []
    for role, name in configuration.uses:
        data = image_data(source.data, fit.images[name])
        images.append(Measurement(register, _hash(data, bank), f"{source.name} {role}"))
        lines.extend(_bootargs(data) if role == "fdt" else ())
    told = tuple(Measurement(LINE_REGISTER, _hash(line, bank), f"{source.name} command line") for line in lines)
    return Measuredness((*images, *told), vouched=tuple(root for line in lines for root in _roots_in(line)))


def _bootargs(fdt: bytes) -> Iterator[bytes]:
    chosen = parse_device_tree(fdt).root.children.get("chosen")
    if chosen is not None and "bootargs" in chosen.properties:
        yield chosen.text("bootargs").encode()


def _verity(source: Source, bank: str) -> Measuredness:
    """The hash tree of a root file system, with its superblock; measured is the root hash itself, where at all."""
    superblock = parse_verity_superblock(source.data)
    start = superblock.tree_offset
    root = root_of_tree(source.data[start : start + superblock.hash_block], superblock)
    measured: tuple[Measurement, ...] = ()
    if source.register is not None:
        if len(root) != hashlib.new(bank).digest_size:
            raise _unmeasurable(source.name, bank)
        measured = (Measurement(source.register, root.hex(), f"{source.name} root hash"),)
    return Measuredness(measured, roots=(root.hex(),))


def _mcuboot(source: Source, bank: str) -> Measuredness:
    """The image as MCUboot measures it: the hash over header, firmware and protected records."""
    image = parse_mcuboot(source.data)
    digest = hashlib.sha256(source.data[: image.signed]).hexdigest()
    signers = [value.hex() for kind, value in image.records if kind == Record.KEY_HASH]
    component = TokenComponent(source.name, digest, str(image.version), signers[0] if signers else "")
    measured: tuple[Measurement, ...] = ()
    if source.register is not None and bank == "sha256":
        measured = (Measurement(source.register, digest, source.name),)
    return Measuredness(measured, (component,), svn=image.security_counter)


def _event_log(source: Source, bank: str) -> Measuredness:
    """Every event of a register, or of all registers that prove anything, as one boot wrote them."""
    log, number = parse_event_log(source.data), BANK_NUMBERS[bank]
    return Measuredness(
        tuple(
            Measurement(event.register, event.digests[number].hex(), f"{source.name} event {event.number}")
            for event in log.events
            if event.kind != NO_ACTION
            and number in event.digests
            and source.register in (None, event.register)
            and event.register not in RESETTABLE
            and not is_structural(event, number)
        )
    )


_MEASURES: Mapping[ArtefactKind, Callable[[Source, str], Measuredness]] = MappingProxyType(
    {
        ArtefactKind.FILE: _file,
        ArtefactKind.COMMAND_LINE: _command_line,
        ArtefactKind.EFI: _efi,
        ArtefactKind.UKI: _uki,
        ArtefactKind.FIT: _fit,
        ArtefactKind.VERITY: _verity,
        ArtefactKind.MCUBOOT: _mcuboot,
        ArtefactKind.EVENT_LOG: _event_log,
    }
)


def _of(source: Source, register: int, data: bytes, bank: str) -> Measurement:
    return Measurement(register, _hash(data, bank), source.name)


def _hash(data: bytes, bank: str) -> str:
    return hashlib.new(bank, data).hexdigest()


def _named(source: Source) -> int:
    if source.register is None:
        raise HostileData(
            "reference.register",
            f"Nothing says which register {source.name} is measured into.",
            remedy=f"Name it: --artefact {source.kind.value}:FILE@REGISTER, such as @9 for a kernel that GRUB loads.",
        )
    return source.register


def _roots_in(line: bytes) -> tuple[str, ...]:
    try:
        return verity_roots_in(line.decode())
    except (UnicodeDecodeError, HostileData):
        return ()


def _svn(named: int | None, stated: set[int]) -> int:
    """The security version number: the one named, which must be the images' own where they state one."""
    if named is None and len(stated) == 1:
        return stated.pop()
    if named is None or (stated and stated != {named}):
        raise HostileData(
            "reference.svn",
            "The release's security version number is not named, or its images state another one.",
            remedy="Give --svn N, and sign MCUboot images with --security-counter N.",
        )
    return named


def _unvouched(name: str) -> HostileData:
    return HostileData(
        "reference.verity",
        f"No command line of the release names the root hash of {name}: it would not boot from it.",
        remedy="Build the image with the root hash that veritysetup printed, or leave the other out.",
    )


def _unmeasurable(name: str, bank: str) -> HostileData:
    return HostileData(
        "reference.verity",
        f"The root hash of {name} is no {bank}, so it cannot be what was measured into a register of that bank.",
        remedy=f"Format it with --hash {bank}, or leave the register out.",
    )
