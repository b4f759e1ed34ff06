"""Whether an MCUboot image is signed by a known key, and what the signed part says of it.

1. A signature counts together with the hash of its key (or the key itself) that stands before it; keys the caller does
   not trust are passed over.
2. The image's hash is computed anew over header, firmware and protected records; the signature is over that hash, or
   over the bytes themselves where the image says so (pure Ed25519).
3. A hash shorter than the key deserves is refused: SHA-256 at least, SHA-384 for P-384.
4. An encrypted or compressed image is refused: what runs in the end is then not what is hashed here.
5. The security counter is returned, not judged: the floor is the device's. An image without one has `None`.

Source: MCUboot 2.x, docs/design.md (image format, integrity check); boot/bootutil/src/image_validate.c.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeGuard

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast_core.formats.cbor import read_cbor
from holdfast_core.formats.mcuboot import Flag, McubootImage, Record, Version, malformed, parse_mcuboot
from holdfast_core.kernel.errors import HostileData

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
LARGEST_BOOT_RECORD = 256
_HASHES: Mapping[int, tuple[str, type[hashes.HashAlgorithm]]] = MappingProxyType(
    {
        Record.SHA256: ("sha256", hashes.SHA256),
        Record.SHA384: ("sha384", hashes.SHA384),
        Record.SHA512: ("sha512", hashes.SHA512),
    }
)
_SIGNATURES = frozenset({Record.RSA2048, Record.RSA3072, Record.ECDSA, Record.ED25519})
_RSA: Mapping[int, int] = MappingProxyType({Record.RSA2048: 2048, Record.RSA3072: 3072})
_CURVE_HASHES = MappingProxyType({"secp256r1": ("sha256", "sha512"), "secp384r1": ("sha384",)})
_SALT_BYTES = 32
_NO_IMAGE = Flag.ENCRYPTED_AES128 | Flag.ENCRYPTED_AES256 | Flag.COMPRESSED_LZMA1 | Flag.COMPRESSED_LZMA2
_TYPE, _VERSION, _SIGNER, _DESCRIPTION = 1, 4, 5, 6


class BootRecord(msgspec.Struct, frozen=True):
    """The software component that the image says it is (PSA Attestation API 1.0, as MCUboot shares it)."""

    type: str
    version: str
    signer: bytes
    measured_with: str


class VerifiedMcuboot(msgspec.Struct, frozen=True):
    """What was verified. `digest` is the image's hash by `algorithm`; `key_hash` the SHA-256 of the key that signed."""

    version: Version
    security_counter: int | None
    algorithm: str
    digest: bytes
    key_hash: bytes
    boot_record: BootRecord | None


def verify_mcuboot(data: bytes, keys: Iterable[PublicKey]) -> VerifiedMcuboot:
    """Verify an image by one of the trusted `keys`; the slot's padding may follow it.

    Raises:
        HostileData: ``mcuboot.malformed``, ``mcuboot.unsupported`` (encrypted or compressed), ``mcuboot.hash``,
            ``mcuboot.unsigned``, ``mcuboot.wrong_key`` (no trusted key), ``mcuboot.signature`` (a trusted key, and
            not its signature), ``cbor.*`` for a boot record that is none.
        LimitExceeded: ``mcuboot.too_large``.
    """
    image = parse_mcuboot(data)
    if image.flags & _NO_IMAGE:
        raise HostileData(
            "mcuboot.unsupported",
            "The MCUboot image is encrypted or compressed, so what runs is not what can be verified here.",
            remedy="Send the plain image; imgtool signs it without --encrypt and --compression.",
        )
    signed = data[: image.signed]
    name, digest = _digest(image, signed)
    trusted = {key_hash_of(key, algorithm): key for key in keys for algorithm, _ in _HASHES.values()}
    found = [(trusted[known], kind, value) for known, kind, value in _pairs(image) if known in trusted]
    if not found:
        raise _unsigned(image)
    pure = any(kind == Record.PURE for kind, _ in image.records)
    for key, kind, value in found:
        if _verifies_bytes(key, kind, value, signed) if pure else _verifies_digest(key, kind, value, digest, name):
            record = _boot_record(image.boot_record) if image.boot_record else None
            return VerifiedMcuboot(image.version, image.security_counter, name, digest, key_hash_of(key), record)
    raise HostileData(
        "mcuboot.signature",
        "The signature of the MCUboot image is wrong: the image was changed, or another key made it.",
        remedy="Sign the image anew with imgtool, and never change it after signing.",
    )


def key_hash_of(key: PublicKey, algorithm: str = "sha256") -> bytes:
    """The hash by which an image names its key: of an RSA key as PKCS#1, of others as SubjectPublicKeyInfo.

    An image names it with the hash that it is itself hashed with.
    """
    form = PublicFormat.PKCS1 if isinstance(key, rsa.RSAPublicKey) else PublicFormat.SubjectPublicKeyInfo
    return hashlib.new(algorithm, key.public_bytes(Encoding.DER, form)).digest()


def _digest(image: McubootImage, signed: bytes) -> tuple[str, bytes]:
    """The name of the hash and the image's hash, once it was found right."""
    stated = [(kind, value) for kind, value in image.records if kind in _HASHES]
    if len(stated) != 1:
        raise malformed("it does not have one hash")
    kind, value = stated[0]
    name = _HASHES[kind][0]
    digest = hashlib.new(name, signed).digest()
    if not hmac.compare_digest(digest, value):
        raise HostileData(
            "mcuboot.hash",
            "The MCUboot image is not the one that was signed: its hash is another.",
            remedy="Sign the image anew with imgtool, and never change it after signing.",
        )
    return name, digest


def _pairs(image: McubootImage) -> Iterator[tuple[bytes, int, bytes]]:
    """Signatures with the hash of the key that each is said to be of."""
    known = b""
    for kind, value in image.records:
        if kind == Record.KEY_HASH:
            known = value
        elif kind == Record.PUBLIC_KEY:
            known = hashlib.sha256(value).digest()
        elif kind in _SIGNATURES:
            yield known, kind, value


def _unsigned(image: McubootImage) -> HostileData:
    if not any(kind in _SIGNATURES for kind, _ in image.records):
        return HostileData(
            "mcuboot.unsigned",
            "The MCUboot image is not signed.",
            remedy="Sign it with imgtool sign -k; a hash alone protects nothing.",
        )
    return HostileData(
        "mcuboot.wrong_key",
        "The MCUboot image is signed by no trusted key.",
        remedy="Sign it with a key that the boot loader carries.",
    )


def _verifies_bytes(key: PublicKey, kind: int, signature: bytes, signed: bytes) -> bool:
    """Whether `signature` is the key's over the bytes themselves; only Ed25519 signs so."""
    if not isinstance(key, ed25519.Ed25519PublicKey) or kind != Record.ED25519:
        return False
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _verifies_digest(key: PublicKey, kind: int, signature: bytes, digest: bytes, name: str) -> bool:
    """Whether `signature`, of the record type `kind`, is the key's over the digest by the hash `name`."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return _verifies_bytes(key, kind, signature, digest)
    hashed = next(each for other, each in _HASHES.values() if other == name)()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            if name != "sha256" or _RSA.get(kind) != key.key_size:
                return False
            key.verify(signature, digest, padding.PSS(padding.MGF1(hashed), _SALT_BYTES), Prehashed(hashed))
        else:
            if kind != Record.ECDSA or name not in _CURVE_HASHES.get(key.curve.name, ()):
                return False
            key.verify(_ecdsa(signature), digest, ec.ECDSA(Prehashed(hashed)))
    except InvalidSignature:
        return False
    return True


def _ecdsa(signature: bytes) -> bytes:
    """Without the zeros that imgtool --pad-sig puts behind it: the DER sequence states its own length."""
    if len(signature) > 1 and signature[1] < 0x80:  # noqa: PLR2004  (one byte of length)
        size = signature[1] + 2
        if not any(signature[size:]):
            return signature[:size]
    return signature


def _boot_record(raw: bytes) -> BootRecord:
    if len(raw) > LARGEST_BOOT_RECORD:
        raise malformed("its boot record is too long")
    value = read_cbor(raw, "boot record of the MCUboot image")
    if not isinstance(value, dict):
        raise malformed("its boot record is no map")
    kind, version, measured_with = (value.get(key, "") for key in (_TYPE, _VERSION, _DESCRIPTION))
    signer = value.get(_SIGNER, b"")
    if not (_printable(kind) and _printable(version) and _printable(measured_with) and isinstance(signer, bytes)):
        raise malformed("its boot record says something else than a component")
    return BootRecord(kind, version, signer, measured_with)


def _printable(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.isprintable()
