"""File signatures in a measurement list: the ``security.ima`` attribute, and whose key made it.

1. The attribute is a header of nine bytes and the signature. The header: kind (3: of the file, 6: of its fs-verity
   digest), version, hash, key identifier, length (big-endian).
2. Version 2 signs the file's digest as it is; version 3 signs the hash of kind, hash and digest, so that a signature of
   one kind is none of the other.
3. RSA is PKCS #1 v1.5, elliptic curves give a DER signature. The key is looked up by its identifier, which proves
   nothing: it is the end of a SHA-1 value, and only the signature says whose it is.
4. The digest that is signed must be the one that the entry has; a header that names another hash is refused.
5. A whole fleet runs the same files. A signature that held is remembered (`remembered`), so that only the first device
   with the file costs the arithmetic. Nothing depends on it but time: what did not hold is never remembered.

Source: Linux, security/integrity/integrity.h (``signature_v2_hdr``, ``ima_file_id``), digsig_asymmetric.c;
ima-evm-utils, evmctl(1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from struct import Struct
from types import MappingProxyType

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import SubjectKeyIdentifier

from holdfast_core.formats.ima.entries import LARGEST_SIGNATURE, ImaEntry
from holdfast_core.formats.ima.remembered import Remembered, mark_of
from holdfast_core.kernel.errors import HostileData

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

STRONG = frozenset({"sha256", "sha384", "sha512"})
WRONG = "ima.signature_wrong"
"""The refusal of a signature that a key which may sign did not make."""
_HEADER = Struct(">BBBIH")
_FILE, _VERITY = 3, 6
_KINDS = MappingProxyType({"ima": _FILE, "verity": _VERITY})
_HASHES: Mapping[int, tuple[str, hashes.HashAlgorithm]] = MappingProxyType(
    {
        2: ("sha1", hashes.SHA1()),  # noqa: S303 (read only so that it can be refused, or taken where a caller says so)
        4: ("sha256", hashes.SHA256()),
        5: ("sha384", hashes.SHA384()),
        6: ("sha512", hashes.SHA512()),
    }
)
"""The kernel's enum hash_algo, as far as it is read here."""
_HELD = Remembered()


class ImaSignature(msgspec.Struct, frozen=True):
    """A ``security.ima`` attribute.

    Args:
        kind: ``ima`` or ``verity``, as in the entry.
        version: 2 or 3.
        algorithm: the hash of the digest that is signed.
        key: the four bytes by which the key is known.
        value: the signature.
    """

    kind: str
    version: int
    algorithm: str
    key: bytes
    value: bytes


def parse_signature(attribute: bytes) -> ImaSignature:
    """The signature in an attribute.

    Raises:
        HostileData: ``ima.unsigned`` when there is none or only a digest, ``ima.signature`` when it cannot be read.
    """
    if not attribute or attribute[0] not in _KINDS.values():
        raise HostileData(
            "ima.unsigned",
            "The file was measured without a signature.",
            remedy="Sign the files of the image (evmctl ima_sign), and measure with the template ima-sig or ima-sigv2.",
        )
    if not _HEADER.size < len(attribute) <= LARGEST_SIGNATURE:
        raise _unread(f"it has {len(attribute)} bytes")
    code, version, algorithm, key, size = _HEADER.unpack_from(attribute)
    value = attribute[_HEADER.size :]
    if len(value) != size:
        raise _unread("its length is not the one it states")
    if version not in (2, 3) or (code == _VERITY and version == 2):  # noqa: PLR2004 (the header's two versions)
        raise _unread(f"its version is {version}")
    if algorithm not in _HASHES:
        raise _unread(f"its hash has the number {algorithm}")
    kind = "ima" if code == _FILE else "verity"
    return ImaSignature(kind, version, _HASHES[algorithm][0], key.to_bytes(4, "big"), value)


def key_id(key: PublicKey) -> bytes:
    """The four bytes by which the kernel knows `key`, where its certificate does not name others."""
    return SubjectKeyIdentifier.from_public_key(key).digest[-4:]


def verify_ima_signature(
    entry: ImaEntry, keys: Mapping[bytes, PublicKey], *, accepted: Collection[str] = STRONG
) -> ImaSignature:
    """The signature of the entry's file, verified.

    Args:
        entry: of a list whose register was compared with a quote.
        keys: those that may sign files, by `key_id` (or the end of their certificate's subject key identifier).
        accepted: the hashes that are good enough.

    Raises:
        HostileData: as `parse_signature`; ``ima.signature_key`` for a key that is not among them,
            ``ima.signature_hash`` for a hash that is not accepted or not the entry's, ``ima.signature_wrong``.
    """
    if entry.violation:
        raise _wrong("the kernel could not tell what it measured")
    signature = parse_signature(entry.signature)
    key = keys.get(signature.key)
    if key is None:
        raise HostileData(
            "ima.signature_key",
            f"The file was signed with the key {signature.key.hex()}, which may sign none here.",
            remedy="Sign the file with a key of the release, or add this one to those that may sign files.",
        )
    if signature.algorithm not in accepted or signature.algorithm != entry.algorithm:
        raise HostileData(
            "ima.signature_hash",
            f"The file's signature is over a digest by {signature.algorithm}, which is not taken or not the list's.",
            remedy="Sign the file with --hashalgo sha256.",
        )
    if signature.kind != entry.kind:
        raise _wrong("it signs another kind of digest")
    if not _verifies(key, signature, _signed(entry, signature)):
        raise _wrong("its key did not make it for this digest")
    return signature


def _signed(entry: ImaEntry, signature: ImaSignature) -> bytes:
    if signature.version == 2:  # noqa: PLR2004 (the header's version)
        return entry.digest
    code = next(number for number, (name, _) in _HASHES.items() if name == signature.algorithm)
    identity = bytes([_KINDS[signature.kind], code]) + entry.digest
    return hashlib.new(signature.algorithm, identity, usedforsecurity=False).digest()


def _verifies(key: PublicKey, signature: ImaSignature, digest: bytes) -> bool:
    hashed = Prehashed(next(made for name, made in _HASHES.values() if name == signature.algorithm))
    if len(digest) != hashed.digest_size:
        return False
    public = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    mark = mark_of(public, signature.algorithm.encode(), digest, signature.value)
    if mark in _HELD:
        return True
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature.value, digest, padding.PKCS1v15(), hashed)
        else:
            key.verify(signature.value, digest, ec.ECDSA(hashed))
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    _HELD.add(mark)
    return True


def _unread(why: str) -> HostileData:
    return HostileData(
        "ima.signature",
        f"The file's signature could not be read: {why}.",
        remedy="Sign the file again with evmctl ima_sign; signatures of version 1 (--rsa) are not taken.",
    )


def _wrong(why: str) -> HostileData:
    return HostileData(
        WRONG,
        f"The file's signature does not hold: {why}.",
        remedy="Find out who changed the file; install it again from the release that it belongs to.",
        http_status=403,
    )
