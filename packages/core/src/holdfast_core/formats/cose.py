"""COSE_Sign1: a payload with one signature, as devices without a TPM wrap their evidence.

1. The algorithm is read from the protected header, which the signature covers, and from nowhere else. One that stands
   in the unprotected header, where anybody may change it, is refused.
2. A header parameter may be critical; one that is not understood here is then refused (RFC 9052, section 3.1). A label
   may stand in one of the two headers only.
3. The algorithm must be the one for the kind of key and its curve; a key is never tried with another.
4. What was signed is built from the protected header's bytes as they came, never from what was read out of them.
5. The payload must be there. A COSE_Mac0 is told apart and refused: who can verify it can also make it, so it proves
   nothing to anybody else.

The unprotected header is outside the signature, and CBOR has many encodings of the same: one token has many byte forms
that verify. Never take a token's bytes, or their digest, as its identity.

Source: RFC 9052 sections 2, 3, 4.2, 4.4 and 6.2; RFC 9053 sections 2.1 and 2.2; RFC 8230 section 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from holdfast_core.formats.cbor import Key, Value, read_cbor, split_tag, write_array, write_bytes, write_text
from holdfast_core.kernel.errors import HostileData

SIGN1_TAG, MAC0_TAG = 18, 17
SHORTEST_RSA = 2048
"""Bits of a key for PS256 (RFC 8230, section 6.1)."""
LONGEST_KID = 128
_WHAT = "token"
_PARTS = 4
_ALG, _CRIT, _CONTENT_TYPE, _KID = range(1, 5)
_UNDERSTOOD = frozenset({_ALG, _CRIT, _CONTENT_TYPE, _KID})
_MACS = frozenset({4, 5, 6, 7, 14, 15, 25, 26})
"""HMAC and AES-MAC (RFC 9053, sections 3.1 and 3.2)."""


class Algorithm(IntEnum):
    """The COSE algorithms that are taken (RFC 9053 section 2, RFC 8230 section 2)."""

    ES256 = -7
    EDDSA = -8
    ES384 = -35
    ES512 = -36
    PS256 = -37


PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey


class _Ecdsa(msgspec.Struct, frozen=True):
    curve: str
    coordinate: int
    hash: type[hashes.HashAlgorithm]


_ECDSA: Mapping[Algorithm, _Ecdsa] = MappingProxyType(
    {
        Algorithm.ES256: _Ecdsa("secp256r1", 32, hashes.SHA256),
        Algorithm.ES384: _Ecdsa("secp384r1", 48, hashes.SHA384),
        Algorithm.ES512: _Ecdsa("secp521r1", 66, hashes.SHA512),
    }
)


class Sign1(msgspec.Struct, frozen=True):
    """A COSE_Sign1 message. `protected` are the header's bytes as signed; `kid` is empty where none is named.

    `tagged`: whether the message came with its CBOR tag, 18. `kid` may come from the unprotected header: it is a hint
    for finding a key and no statement.
    """

    algorithm: Algorithm
    protected: bytes
    kid: bytes
    payload: bytes
    signature: bytes
    tagged: bool


def parse_sign1(data: bytes) -> Sign1:
    """The COSE_Sign1 message that `data` is, with its tag or without; nothing of it is proved yet.

    Raises:
        HostileData: ``cose.malformed``, ``cose.tag``, ``cose.mac``, ``cose.header``, ``cose.alg_missing``,
            ``cose.alg_unprotected``, ``cose.alg``, ``cose.critical``, ``cose.detached``, and those of
            `read_cbor` (``cbor.…``).
    """
    tag, rest = split_tag(data, _WHAT)
    if tag == MAC0_TAG:
        raise _mac()
    if tag not in (None, SIGN1_TAG):
        raise _refused("cose.tag", f"The token has the CBOR tag {tag}; 18, COSE_Sign1, is taken.")
    parts = read_cbor(rest, _WHAT)
    if not isinstance(parts, tuple) or len(parts) != _PARTS:
        raise _refused("cose.malformed", "The token is not an array of four parts.")
    protected, unprotected, payload, signature = parts
    if not isinstance(protected, bytes) or not isinstance(unprotected, Mapping) or not isinstance(signature, bytes):
        raise _refused("cose.malformed", "The parts of the token are not two headers, a payload and a signature.")
    header = _protected(protected)
    algorithm = _algorithm(header, unprotected)
    _no_label_twice(header, unprotected)
    _critical(header, unprotected)
    if payload is None:
        raise _refused("cose.detached", "The token's payload is somewhere else.")
    if not isinstance(payload, bytes):
        raise _refused("cose.malformed", "The token's payload is not a byte string.")
    return Sign1(algorithm, protected, _kid(header, unprotected), payload, signature, tag is not None)


def to_be_signed(sign1: Sign1, external: bytes = b"") -> bytes:
    """The Sig_structure: what the signature of `sign1` is over. `external` is data known to both sides and not sent."""
    # An empty header is signed as the empty string, even where it was sent as an empty map (RFC 9052, section 4.4).
    protected = b"" if sign1.protected == b"\xa0" else sign1.protected
    return write_array(
        write_text("Signature1"), write_bytes(protected), write_bytes(external), write_bytes(sign1.payload)
    )


def verify_sign1(sign1: Sign1, key: object, external: bytes = b"") -> bytes:
    """The payload of `sign1`, once its signature by `key` is proved.

    Args:
        sign1: from `parse_sign1`.
        key: a public key of `cryptography`: EC on P-256, P-384 or P-521, RSA, Ed25519 or Ed448.
        external: what was signed along and is not sent.

    Raises:
        HostileData: ``cose.key`` when the algorithm is not the key's, ``cose.signature``.
    """
    try:
        _verify(sign1, key, to_be_signed(sign1, external))
    except InvalidSignature:
        raise _signature() from None
    return sign1.payload


def _verify(sign1: Sign1, key: object, signed: bytes) -> None:
    algorithm, signature = sign1.algorithm, sign1.signature
    if isinstance(key, ec.EllipticCurvePublicKey) and algorithm in _ECDSA:
        kind = _ECDSA[algorithm]
        if key.curve.name != kind.curve:
            raise _key(algorithm)
        if len(signature) != 2 * kind.coordinate:
            raise _signature()
        r, s = (int.from_bytes(half, "big") for half in (signature[: kind.coordinate], signature[kind.coordinate :]))
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(kind.hash()))
    elif isinstance(key, rsa.RSAPublicKey) and algorithm is Algorithm.PS256 and key.key_size >= SHORTEST_RSA:
        sha256 = hashes.SHA256()
        key.verify(signature, signed, padding.PSS(padding.MGF1(sha256), sha256.digest_size), sha256)
    elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) and algorithm is Algorithm.EDDSA:
        key.verify(signature, signed)
    else:
        raise _key(algorithm)


def _protected(data: bytes) -> Mapping[Key, Value]:
    header = read_cbor(data, "token's protected header") if data else {}
    if not isinstance(header, Mapping):
        raise _refused("cose.malformed", "The token's protected header is not a map.")
    return header


def _no_label_twice(header: Mapping[Key, Value], unprotected: Mapping[Key, Value]) -> None:
    if any(isinstance(label, bytes) for label in (*header, *unprotected)):
        raise _refused("cose.header", "A header parameter of the token is named by a byte string.")
    twice = header.keys() & unprotected.keys()
    if twice:
        label = min(str(each)[:40] for each in twice)
        raise _refused("cose.header", f"The header parameter {label!r} stands in both headers of the token.")


def _algorithm(header: Mapping[Key, Value], unprotected: Mapping[Key, Value]) -> Algorithm:
    if _ALG in unprotected:
        raise _refused("cose.alg_unprotected", "The token names its algorithm where the signature does not cover it.")
    if _ALG not in header:
        raise _refused("cose.alg_missing", "The token does not name its algorithm.")
    named = header[_ALG]
    if isinstance(named, int) and not isinstance(named, bool):
        if named in _MACS:
            raise _mac()
        if named in tuple(Algorithm):
            return Algorithm(named)
    raise HostileData(
        "cose.alg",
        f"The token is signed with the COSE algorithm {str(named)[:40]!r}, which is not taken.",
        remedy="Sign with ES256, ES384, ES512, PS256 or EdDSA.",
    )


def _critical(header: Mapping[Key, Value], unprotected: Mapping[Key, Value]) -> None:
    if _CRIT in unprotected:
        raise _refused("cose.critical", "The token says outside its signature which parameters are critical.")
    if _CRIT not in header:
        return
    labels = header[_CRIT]
    if not isinstance(labels, tuple) or not labels:
        raise _refused("cose.critical", "The token's list of critical parameters is none.")
    for label in labels:
        known = isinstance(label, int) and not isinstance(label, bool) and label in _UNDERSTOOD and label in header
        if not known:
            name = str(label)[:40]
            raise _refused("cose.critical", f"The token calls the parameter {name!r} critical; it is not understood.")


def _kid(header: Mapping[Key, Value], unprotected: Mapping[Key, Value]) -> bytes:
    kid = header.get(_KID, unprotected.get(_KID, b""))
    if not isinstance(kid, bytes) or len(kid) > LONGEST_KID:
        raise _refused(
            "cose.header", f"The token's key identifier is not a byte string of at most {LONGEST_KID} bytes."
        )
    return kid


def _refused(code: str, sentence: str) -> HostileData:
    return HostileData(
        code, sentence, remedy="Send a COSE_Sign1 (RFC 9052, section 4.2) with its algorithm in the protected header."
    )


def _mac() -> HostileData:
    return HostileData(
        "cose.mac",
        "The token is a COSE_Mac0: whoever could verify it could have made it.",
        remedy="Configure the device to sign its tokens (COSE_Sign1) with an asymmetric attestation key.",
        http_status=403,
    )


def _key(algorithm: Algorithm) -> HostileData:
    return HostileData(
        "cose.key",
        f"The token says {algorithm.name}, which is not the algorithm of the device's attestation key.",
        remedy="Register the key that the device signs with: ES256 goes with P-256, ES384 with P-384, ES512 with "
        f"P-521, PS256 with RSA of {SHORTEST_RSA} bits or more, EdDSA with Ed25519 or Ed448.",
        http_status=403,
    )


def _signature() -> HostileData:
    return HostileData(
        "cose.signature",
        "The token's signature is not by the device's attestation key over these claims.",
        remedy="Send the token unchanged; if the device has a new attestation key, register it.",
        http_status=403,
    )
