"""What a release is built from, as a builder names it: artefacts, lists of files, keys that sign files.

1. Every file is read once and bounded; a name decides nothing, the kind that was written before it does.
2. A folder is walked without following links, in the order of the paths, so that the same tree gives the same values.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from holdfast.cli.files import read_bounded, unreadable
from holdfast.cli.session import usage
from holdfast_core.attestation.building import LARGEST_ARTEFACT, Source
from holdfast_core.attestation.reference import FILES, FileValue
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.kernel.printable import printable
from holdfast_core.supply.model import ArtefactKind
from holdfast_core.wire.attestation import REGISTERS

CHUNK = 4 * 1024 * 1024
LARGEST_LIST = 16 * 1024 * 1024
LARGEST_KEY = 16 * 1024
_ARTEFACT = re.compile(r"(?:(?P<name>[^=:]+)=)?(?P<kind>[a-z-]+):(?P<file>.+?)(?:@(?P<register>\d{1,2}))?")
_LINE = re.compile(r"(?P<digest>[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128}) [ *](?P<path>.+)")

Advance = Callable[[int], object]


class Artefact(msgspec.Struct, frozen=True):
    """An artefact as it was named: ``[NAME=]KIND:FILE[@REGISTER]``."""

    name: str
    kind: ArtefactKind
    file: Path
    register: int | None


def parse_artefact(text: str) -> Artefact:
    """The artefact that a builder named; ends the command with exit 2 where it is none."""
    found = _ARTEFACT.fullmatch(text)
    kinds = [kind.value for kind in ArtefactKind]
    if found is None or found["kind"] not in kinds:
        usage(f"--artefact {text}: write [NAME=]KIND:FILE[@REGISTER], with a KIND of {', '.join(kinds)}.")
    register = None if found["register"] is None else int(found["register"])
    if register is not None and register >= REGISTERS:
        usage(f"--artefact {text}: registers are 0 to {REGISTERS - 1}.")
    file = Path(found["file"])
    return Artefact(_told(found["name"] or file.name), ArtefactKind(found["kind"]), file, register)


def read_source(artefact: Artefact, advance: Advance) -> Source:
    """The artefact's bytes; `advance` is told how many were read.

    Raises:
        WorldError: ``files.unreadable``.
        LimitExceeded: ``reference.artefact_large`` (by `building.measure`), for no more than that is read.
    """
    data = bytearray()
    try:
        with artefact.file.open("rb") as file:
            while len(data) <= LARGEST_ARTEFACT and (chunk := file.read(CHUNK)):
                data += chunk
                advance(len(chunk))
    except OSError as error:
        raise unreadable(artefact.file, error) from error
    return Source(artefact.name, artefact.kind, bytes(data), artefact.register)


def size_of(artefact: Artefact) -> int:
    """Bytes of the artefact's file, 0 where it cannot be told; only for the bar."""
    try:
        return artefact.file.stat().st_size
    except OSError:
        return 0


def file_values(place: Path, advance: Advance) -> tuple[FileValue, ...]:
    """The files of a folder by their SHA-256, or those of a list as ``sha256sum`` writes it; each digest once.

    Raises:
        WorldError: ``files.unreadable``.
        HostileData: ``reference.files_list``.
        LimitExceeded: ``reference.files_many``.
    """
    known: dict[str, FileValue] = {}
    for value in _walked(place, advance) if place.is_dir() else _listed(place):
        known.setdefault(value.digest, value)
        if len(known) > FILES:
            raise LimitExceeded(
                "reference.files_many",
                f"{place} has more than {FILES} different files.",
                remedy="Name only what runs (--files-from LIST), or sign files (ima-evm-utils) and give --file-key.",
            )
    return tuple(known.values())


def _walked(place: Path, advance: Advance) -> Iterator[FileValue]:
    for folder, folders, names in os.walk(place, onerror=_raise):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            try:
                if not stat.S_ISREG(path.lstat().st_mode):
                    continue
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise unreadable(path, error) from error
            advance(1)
            yield FileValue(_told(f"/{path.relative_to(place).as_posix()}"), digest)


def _raise(error: OSError) -> None:
    raise unreadable(Path(error.filename), error) from error


def _listed(place: Path) -> Iterator[FileValue]:
    for number, line in enumerate(read_bounded(place, LARGEST_LIST).split(b"\n"), 1):
        text = line.decode("utf-8", "replace").rstrip("\r")
        if not text.strip():
            continue
        found = _LINE.fullmatch(text)
        if found is None:
            raise HostileData(
                "reference.files_list",
                f"Line {number} of {place} is no digest and path.",
                remedy="Write it as sha256sum does: find ROOT -type f -exec sha256sum {} +",
            )
        yield FileValue(_told(found["path"]), found["digest"])


def file_key(path: Path) -> bytes:
    """A key that signs files (RSA or ECDSA: a public key or a certificate, PEM), as SubjectPublicKeyInfo (DER).

    Raises:
        HostileData: ``reference.file_key``.
    """
    data = read_bounded(path, LARGEST_KEY)
    try:
        if b"BEGIN CERTIFICATE" in data:
            key: object = x509.load_pem_x509_certificate(data).public_key()
        else:
            key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise HostileData(
            "reference.file_key",
            f"{path} holds no key that signs files.",
            remedy="Give the RSA or ECDSA public key or certificate that evmctl signs with, as PEM.",
        )
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _told(text: str) -> str:
    """A name from a file system as a statement can hold it."""
    return printable(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))[: LIMITS.text]
