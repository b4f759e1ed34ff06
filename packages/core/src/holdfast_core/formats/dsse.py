"""Dead Simple Signing Envelopes: a payload, its type, and signatures over both.

1. What is signed is the pre-authentication encoding, so a signature for one type never counts for another.
2. The payload is not parsed before a signature over it has verified under a key that was given.
3. Taken are Ed25519, and ECDSA on P-256 and P-384 with the hash of that size.

Source: DSSE v1.0.2, protocol.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData, LimitExceeded

LARGEST_ENVELOPE = 4 * 1024 * 1024
LARGEST_KEY = 4 * 1024
SIGNATURES = 16
_HASHES = {"secp256r1": hashes.SHA256, "secp384r1": hashes.SHA384}

VerifyingKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey


class Signature(msgspec.Struct, frozen=True):
    """One signature; `keyid` only helps to find the key, and proves nothing."""

    sig: bytes
    keyid: str = ""


class Envelope(msgspec.Struct, frozen=True):
    """The JSON form; bytes are base64."""

    payload: bytes
    payloadType: str  # noqa: N815  (the standard's word)
    signatures: Annotated[tuple[Signature, ...], msgspec.Meta(min_length=1, max_length=SIGNATURES)]


class Opened(msgspec.Struct, frozen=True):
    """A payload that a key vouches for, and that key's name."""

    payload: bytes
    signer: str


def pae(kind: str, payload: bytes) -> bytes:
    """What is signed for `payload` of type `kind`."""
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)


def read_key(data: bytes) -> VerifyingKey:
    """A public key, PEM or DER.

    Raises:
        HostileData: ``dsse.key``.
    """
    try:
        pem = data.lstrip().startswith(b"-----BEGIN")
        key = (load_pem_public_key if pem else load_der_public_key)(data[:LARGEST_KEY])
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    usable = isinstance(key, ed25519.Ed25519PublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _HASHES
    )
    if not usable or not isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey):
        raise HostileData(
            "dsse.key",
            "This is not a public key that can sign a statement.",
            remedy="Give an Ed25519, P-256 or P-384 public key: openssl pkey -in KEY -pubout.",
        )
    return key


def key_id(key: VerifyingKey) -> str:
    """The name of a key: the digest of its SubjectPublicKeyInfo."""
    return digest_of(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def open_envelope(data: bytes, kind: str, keys: Mapping[str, VerifyingKey]) -> Opened:
    """The payload of type `kind` that one of `keys` (by name) signed.

    Raises:
        LimitExceeded: ``dsse.too_large``.
        HostileData: ``dsse.malformed``, ``dsse.type``, ``dsse.signature``.
    """
    envelope = parse_envelope(data)
    if envelope.payloadType != kind:
        raise HostileData(
            "dsse.type",
            f"The envelope holds {envelope.payloadType[:80]!r}, not {kind!r}.",
            remedy="Give the file that 'holdfast reference build' wrote.",
        )
    signed = pae(kind, envelope.payload)
    for signature in envelope.signatures:
        for name, key in keys.items():
            if _verifies(key, signature.sig, signed):
                return Opened(envelope.payload, name)
    raise HostileData(
        "dsse.signature",
        "No trusted key signed this.",
        remedy="Compare the key it was built with, then trust it: holdfast reference trust NAME FILE.",
        http_status=403,
    )


def parse_envelope(data: bytes) -> Envelope:
    """The envelope, nothing of it verified. Raises as `open_envelope`."""
    if len(data) > LARGEST_ENVELOPE:
        raise LimitExceeded(
            "dsse.too_large",
            f"The envelope has {len(data)} bytes; {LARGEST_ENVELOPE} are allowed.",
            remedy="Put fewer values into one statement.",
        )
    try:
        return msgspec.json.decode(data, type=Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise HostileData(
            "dsse.malformed",
            f"This is no signed statement: {error}.",
            remedy="Give the file that 'holdfast reference build' wrote, whole.",
        ) from None


def _verifies(key: VerifyingKey, signature: bytes, data: bytes) -> bool:
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
        else:
            key.verify(signature, data, ec.ECDSA(_HASHES[key.curve.name]()))
    except InvalidSignature:
        return False
    return True
