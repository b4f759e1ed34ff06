"""What an SWUpdate archive says of itself, and whether it is whole and signed.

1. The archive is read where it lies; nothing is unpacked, so nothing can burst.
2. Every file that the description names must be a member; where its hash is given it is compared. With a key
   configured each must have one, for only so does the description's signature cover it.
3. The signature is checked by ``openssl``: CMS where the key is a certificate, RSA over SHA-256 where it is a bare key.

Source: SWUpdate, doc/source/sw-description.rst and signed_images.rst.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from holdfast.adapters.artefacts.cpio import Member, digest, members, read
from holdfast.adapters.artefacts.libconfig import LARGEST, parse
from holdfast.adapters.artefacts.tool import Bounds, ask, last_words, malformed, wrong_signature
from holdfast.ports.artefacts import Inspected
from holdfast_core.kernel.errors import WorldError
from holdfast_core.supply.model import PayloadKind

DESCRIPTION, SIGNATURE = "sw-description", "sw-description.sig"
LARGEST_SIGNATURE = 64 * 1024
LONGEST_WORD = 127
MOST_NAMED = 256
_DEEPEST = 20


def inspect_swupdate(path: Path, *, name: str, key: str = "", program: str = "openssl") -> Inspected:
    """See `holdfast.ports.artefacts.Inspector`.

    Args:
        path: the archive.
        name: what to call it.
        key: a certificate or public key as PEM; empty: the signature is not checked, and the answer says so.
        program: openssl.

    Raises:
        HostileData: ``artefact.malformed``, ``artefact.signature``.
        WorldError: ``artefact.no_tool``, ``artefact.tool``, ``artefact.key``.
    """
    with path.open("rb") as file:
        found = {each.name: each for each in members(file, name)}
        if next(iter(found), "") != DESCRIPTION:
            raise malformed(name, f"its first member is not {DESCRIPTION}")
        text = read(file, found[DESCRIPTION], LARGEST, name)
        if key:
            if SIGNATURE not in found:
                raise wrong_signature(name, "it has no signature")
            _verify(text, read(file, found[SIGNATURE], LARGEST_SIGNATURE, name), key, name=name, program=program)
        software = _software(text, name)
        _check_members(file, found, software, name, signed=bool(key))
    version, compatible = software.get("version", ""), _compatible(software)
    if not isinstance(version, str) or any(len(word) > LONGEST_WORD for word in (version, *compatible)):
        raise malformed(name, "its version is no text, or its names are too long")
    how = "checked with the configured key" if key else "not checked: no key configured"
    sizes = tuple((f"member {each.name}", f"{each.size} bytes") for each in found.values())
    return Inspected(
        PayloadKind.SWUPDATE, version, compatible, verified=bool(key), details=(("signature", how), *sizes)
    )


def _software(text: bytes, name: str) -> dict[str, Any]:
    """The group ``software`` of a description, in libconfig's language or JSON."""
    try:
        decoded = text.decode()
        found = msgspec.json.decode(decoded) if decoded.lstrip().startswith("{") else parse(decoded)
    except (ValueError, RecursionError) as error:  # of msgspec and of Unicode too
        raise malformed(name, f"its description is none ({str(error)[:120]})") from error
    software = found.get("software") if isinstance(found, dict) else None
    if not isinstance(software, dict):
        raise malformed(name, "its description has no software")
    return software


def _compatible(software: dict[str, Any]) -> tuple[str, ...]:
    """The hardware revisions: of all boards as they are, of one board as ``BOARD:REVISION``."""
    found = list(_texts(software.get("hardware-compatibility")))
    for board, group in software.items():
        if isinstance(group, dict):
            found += [f"{board}:{each}" for each in _texts(group.get("hardware-compatibility"))]
    return tuple(found[:MOST_NAMED])


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, (tuple, list)):
        yield from (each for each in value if isinstance(each, str))


def _check_members(
    file: BinaryIO, found: dict[str, Member], software: dict[str, Any], name: str, *, signed: bool
) -> None:
    wanted = {(str(group["filename"]), str(group.get("sha256", ""))) for group in _groups(software, 0)}
    if len(wanted) > MOST_NAMED:
        raise malformed(name, f"its description names more than {MOST_NAMED} files")
    digests = {each: digest(file, found[each]) for each, _ in sorted(wanted) if each in found}
    for member, stated in sorted(wanted):
        if member not in found:
            raise malformed(name, f"its description names {member[:80]}, which is not in it")
        if signed and not stated:
            raise wrong_signature(name, f"the description has no hash of {member[:80]}")
        if stated and digests[member] != f"sha256:{stated.lower()}":
            raise malformed(name, f"its {member[:80]} has another hash than its description says")


def _groups(value: object, depth: int) -> Iterator[dict[str, Any]]:
    """Every group that names a file."""
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        if "filename" in value:
            yield value
        for each in value.values():
            yield from _groups(each, depth + 1)
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _groups(each, depth + 1)


def _verify(text: bytes, signature: bytes, key: str, *, name: str, program: str) -> None:
    try:
        certificate = "BEGIN CERTIFICATE" in Path(key).read_text("ascii", "replace")
    except OSError as error:
        raise WorldError(
            "artefact.key",
            f"{key} could not be read: {error.strerror}.",
            remedy="Correct the path of the SWUpdate key in the server's configuration.",
        ) from error
    with tempfile.TemporaryDirectory(prefix="holdfast-inspect-") as folder:
        content, signed = Path(folder, "content"), Path(folder, "signature")
        content.write_bytes(text)
        signed.write_bytes(signature)
        if certificate:
            commands: tuple[tuple[str, ...], ...] = (
                ("cms", "-verify", "-binary", "-inform", "DER", "-in", str(signed), "-content", str(content),
                 "-CAfile", key, "-no-CApath", "-no-CAstore", "-partial_chain", "-out", "/dev/null"),
            )  # fmt: skip
        else:
            plain = ("dgst", "-sha256", "-verify", key, "-signature", str(signed))
            pss = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:-2")
            commands = ((*plain, str(content)), (*plain, *pss, str(content)))
        said = [ask((program, *command), Bounds()) for command in commands]
    if all(each.code for each in said):
        raise wrong_signature(name, last_words(said[0]))
