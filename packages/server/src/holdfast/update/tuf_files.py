"""TUF metadata that people signed: read strictly, and whose signatures count.

1. What is read is bounded (`LARGEST_FILE`), and is what python-tuf, which devices use, makes of it; what it refuses is
   refused here too.
2. Keys are Ed25519, under the key id that is computed from them: a key under two names would count twice.
3. What counts are signatures of different keys of the role over exactly these bytes; others are dropped.

Source: TUF specification 1.0.34, 4.2 to 4.5; python-tuf 7.0.1.
"""

from __future__ import annotations

import binascii
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519

from holdfast.update.online_files import key_id
from holdfast.update.tuf_types import (
    DeserializationError,
    Key,
    Metadata,
    Role,
    Root,
    SerializationError,
    Signed,
    Targets,
    TufSignature,
)
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.update.repository import SIGNERS
from holdfast_core.wire.update_metadata import LARGEST_FILE

_PUBLIC_BYTES = 32
Delegator = Root | Targets


class RootFile(msgspec.Struct, frozen=True):
    """A root: its bytes as they are served, what they say, the bytes that are signed, and by whom."""

    data: bytes
    root: Root
    signed: bytes
    signatures: dict[str, TufSignature]


class TargetsFile(msgspec.Struct, frozen=True):
    """The same of ``targets`` or a delegated role."""

    data: bytes
    targets: Targets
    signed: bytes
    signatures: dict[str, TufSignature]


def read_root(data: bytes) -> RootFile:
    """A root; nothing of it verified.

    Raises:
        HostileData: ``repository.malformed``, ``repository.key``, ``repository.key_twice``.
        LimitExceeded: ``repository.too_large``.
    """
    signed, body, signatures = _read(data)
    if not isinstance(signed, Root):
        raise malformed("it is no root")
    if signed.consistent_snapshot is not True:
        raise malformed("consistent_snapshot is not true")
    check_keys(signed.keys, signed.roles.values())
    return RootFile(data, signed, body, signatures)


def read_targets(data: bytes) -> TargetsFile:
    """A targets file; nothing of it verified. Raises as `read_root`."""
    signed, body, signatures = _read(data)
    if not isinstance(signed, Targets):
        raise malformed("it is no targets file")
    if signed.delegations is not None:
        if signed.delegations.roles is None:
            raise malformed("it delegates by hash, which nobody here does")
        check_keys(signed.delegations.keys, signed.delegations.roles.values())
    return TargetsFile(data, signed, body, signatures)


def _read(data: bytes) -> tuple[Signed, bytes, dict[str, TufSignature]]:
    if len(data) > LARGEST_FILE:
        raise LimitExceeded(
            "repository.too_large",
            f"The metadata has {len(data)} bytes; {LARGEST_FILE} are allowed.",
            remedy="Withdraw releases that no device should install any more: holdfast release withdraw.",
        )
    try:
        read: Metadata[Any] = Metadata.from_bytes(data)
        body = read.signed_bytes
    except (DeserializationError, SerializationError) as error:
        raise malformed(str(error.__cause__ or error)) from None
    if type(read.signed.version) is not int:
        raise malformed("its version is no number")
    return read.signed, body, read.signatures


def check_keys(keys: dict[str, Key], roles: Any) -> None:
    """Refuse keys that are no Ed25519 keys or stand under another name than their own, and roles they cannot sign."""
    for keyid, key in keys.items():
        if keyid != key_id(public_of(key)):
            raise HostileData(
                "repository.key_twice",
                f"The key {keyid[:16]} stands under a name that is not its own; it could be counted twice.",
                remedy="Make the file with holdfast keys root.",
            )
    for role in roles:
        _check_role(role, keys)


def _check_role(role: Role, keys: dict[str, Key]) -> None:
    known = [keyid for keyid in role.keyids if keyid in keys]
    if type(role.threshold) is not int or not 1 <= role.threshold <= len(known) <= SIGNERS or known != role.keyids:
        raise HostileData(
            "repository.key",
            f"A role asks for {role.threshold} of {len(known)} keys; 1 to {SIGNERS} keys reach a threshold.",
            remedy="Give as many keys as the threshold asks for, and no more than that bound.",
        )


def public_of(key: Key) -> ed25519.Ed25519PublicKey:
    """The public key behind a TUF key.

    Raises:
        HostileData: ``repository.key``.
    """
    try:
        raw = binascii.unhexlify(key.keyval["public"])
        if (key.keytype, key.scheme) == ("ed25519", "ed25519") and len(raw) == _PUBLIC_BYTES:
            return ed25519.Ed25519PublicKey.from_public_bytes(raw)
    except (binascii.Error, KeyError, TypeError, ValueError):
        pass
    raise HostileData(
        "repository.key",
        f"The key {key.keyid[:16]} is no Ed25519 key.",
        remedy="Make signing keys with holdfast keys new.",
    )


def counted(delegator: Delegator, role: str, file: RootFile | TargetsFile) -> dict[str, TufSignature]:
    """The signatures of a file that count for `role`, by key id; none where the delegator knows no such role."""
    try:
        result = delegator.get_verification_result(role, file.signed, file.signatures)
    except ValueError:
        return {}
    return {keyid: file.signatures[keyid] for keyid in result.signed}


def threshold_of(delegator: Delegator, role: str) -> int:
    """How many signatures `role` needs; one more than there can be where the delegator knows no such role."""
    try:
        return int(delegator.get_delegated_role(role).threshold)
    except ValueError:
        return SIGNERS + 1


def reaches(delegator: Delegator, role: str, file: RootFile | TargetsFile) -> bool:
    """Whether enough keys of `role` signed a file."""
    return len(counted(delegator, role, file)) >= threshold_of(delegator, role)


def require_threshold(delegator: Delegator, role: str, file: RootFile | TargetsFile, whose: str = "") -> None:
    """Refuse a file that too few keys of `role` signed.

    Raises:
        HostileData: ``repository.threshold``.
    """
    have, need = len(counted(delegator, role, file)), threshold_of(delegator, role)
    if have < need:
        asked = f"{need} are needed" if need <= SIGNERS else "nobody was given that role"
        raise HostileData(
            "repository.threshold",
            f"{have} signatures of {whose or 'the'} keys of {role!r} count; {asked}.",
            remedy="Let more of its signers sign: holdfast keys sign FILE --key KEY. A key counts once.",
        )


def assembled(file: RootFile | TargetsFile, signatures: dict[str, TufSignature]) -> bytes:
    """The bytes of a file under these signatures, the key ids in order."""
    ordered = {keyid: signatures[keyid] for keyid in sorted(signatures)}
    signed: Root | Targets = file.root if isinstance(file, RootFile) else file.targets
    made: Metadata[Any] = Metadata(signed, ordered)
    return made.to_bytes()


def malformed(why: str) -> HostileData:
    """The error of what is no metadata."""
    return HostileData(
        "repository.malformed",
        f"This is no metadata that can be used: {why[:300]}.",
        remedy="Give the file whole, as holdfast keys wrote it.",
    )
