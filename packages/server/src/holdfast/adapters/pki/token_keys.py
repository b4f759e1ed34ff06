"""Keys that lie in a token, with the interface of `cryptography`'s own, so that its builders sign with them.

1. Only signing goes to the token. What would need the key itself is a mistake of ours, and says so.
2. Digests of ECDSA are made here; RSA and Ed25519 hash in the token, which is where their mechanisms do it.
"""

from __future__ import annotations

import hashlib
from typing import Any, Never, Protocol, Self

import pkcs11
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from pkcs11 import MGF, Attribute, KeyType, Mechanism

from holdfast_core.kernel.errors import Bug

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
_P256 = bytes.fromhex("06082a8648ce3d030107")
_P384 = bytes.fromhex("06052b81040022")
"""Object identifiers of the curves, DER (RFC 5480, section 2.1.1.1)."""
_CURVES: dict[bytes, ec.EllipticCurve] = {_P256: ec.SECP256R1(), _P384: ec.SECP384R1()}
_ED25519_BYTES = 32
_OCTET_STRING = 4
_RSA_PKCS = {
    "sha256": Mechanism.SHA256_RSA_PKCS,
    "sha384": Mechanism.SHA384_RSA_PKCS,
    "sha512": Mechanism.SHA512_RSA_PKCS,
}
_RSA_PSS = {
    "sha256": (Mechanism.SHA256_RSA_PKCS_PSS, Mechanism.SHA256, MGF.SHA256),
    "sha384": (Mechanism.SHA384_RSA_PKCS_PSS, Mechanism.SHA384, MGF.SHA384),
    "sha512": (Mechanism.SHA512_RSA_PKCS_PSS, Mechanism.SHA512, MGF.SHA512),
}


class Sign(Protocol):
    """Signs in the token."""

    def __call__(self, data: bytes, mechanism: Mechanism, parameter: object = None) -> bytes:
        """The signature in PKCS#11's own form."""
        ...


def public_of(key: pkcs11.PublicKey) -> PublicKey:
    """The public half that a token shows.

    Raises:
        ValueError: of a kind that is not used here, or no point of its curve.
    """
    kind = key[Attribute.KEY_TYPE]
    if kind is KeyType.RSA:
        modulus, exponent = key[Attribute.MODULUS], key[Attribute.PUBLIC_EXPONENT]
        numbers = rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big"))
        return numbers.public_key()
    point = _unwrapped(key[Attribute.EC_POINT])
    if kind is KeyType.EC_EDWARDS:
        return ed25519.Ed25519PublicKey.from_public_bytes(point)
    curve = _CURVES.get(key[Attribute.EC_PARAMS]) if kind is KeyType.EC else None
    if curve is None:
        raise ValueError(kind)
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)


def _unwrapped(point: bytes) -> bytes:
    """A point as X9.62 has it. PKCS#11 wraps it in an octet string; some tokens do not.

    A bare point of ECDSA starts with 4 too, but then its length is odd; a bare one of Ed25519 has 32 bytes.
    """
    wrapped = len(point) > _ED25519_BYTES and point[0] == _OCTET_STRING and point[1] == len(point) - 2
    return point[2:] if wrapped else point


class _Kept:
    """What every key in a token refuses. Copies are the same key."""

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def private_bytes(self, *_: object) -> Never:
        """Refuses: the key never leaves its token."""
        raise _stays()

    def private_bytes_raw(self) -> Never:
        """Refuses: the key never leaves its token."""
        raise _stays()

    def private_numbers(self) -> Never:
        """Refuses: the key never leaves its token."""
        raise _stays()

    def exchange(self, *_: object) -> Never:
        """Refuses: these keys only sign."""
        raise _stays()

    def decrypt(self, *_: object) -> Never:
        """Refuses: these keys only sign."""
        raise _stays()


class TokenEc(_Kept, ec.EllipticCurvePrivateKey):
    """An ECDSA key in a token."""

    def __init__(self, public: ec.EllipticCurvePublicKey, sign: Sign) -> None:
        self._public = public
        self._sign = sign

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half."""
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        """The key's curve."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """Bits of the curve."""
        return self._public.curve.key_size

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """An ECDSA signature, DER (RFC 3279, section 2.2.3)."""
        algorithm = signature_algorithm.algorithm
        digest = bytes(data) if isinstance(algorithm, Prehashed) else hashlib.new(algorithm.name, data).digest()
        size = (self.key_size + 7) // 8
        # Of a digest longer than the curve's order its leftmost bits count (FIPS 186-5, section 6.4.1).
        signature = self._sign(digest[:size], Mechanism.ECDSA)
        r, s = (int.from_bytes(half, "big") for half in (signature[:size], signature[size:]))
        return encode_dss_signature(r, s)


class TokenEd25519(_Kept, ed25519.Ed25519PrivateKey):
    """An Ed25519 key in a token."""

    def __init__(self, public: ed25519.Ed25519PublicKey, sign: Sign) -> None:
        self._public = public
        self._sign = sign

    def public_key(self) -> ed25519.Ed25519PublicKey:
        """The public half."""
        return self._public

    def sign(self, data: Any) -> bytes:
        """An Ed25519 signature (RFC 8032)."""
        return self._sign(bytes(data), Mechanism.EDDSA)


class TokenRsa(_Kept, rsa.RSAPrivateKey):
    """An RSA key in a token."""

    def __init__(self, public: rsa.RSAPublicKey, sign: Sign) -> None:
        self._public = public
        self._sign = sign

    def public_key(self) -> rsa.RSAPublicKey:
        """The public half."""
        return self._public

    @property
    def key_size(self) -> int:
        """Bits of the modulus."""
        return self._public.key_size

    def sign(self, data: Any, padding: padding.AsymmetricPadding, algorithm: Any) -> bytes:
        """An RSA signature (RFC 8017): PKCS#1 v1.5, or PSS with MGF1 of the same hash."""
        if not isinstance(algorithm, hashes.HashAlgorithm) or algorithm.name not in _RSA_PKCS:
            raise UnsupportedAlgorithm("a key in a token signs with SHA-256, SHA-384 or SHA-512")
        if padding.name == _PKCS1:
            return self._sign(bytes(data), _RSA_PKCS[algorithm.name])
        salt = getattr(padding, "_salt_length", None)  # `cryptography` has no other way to ask
        if padding.name != _PSS or not isinstance(salt, (int, _DIGEST_LENGTH)):
            raise UnsupportedAlgorithm(
                "a key in a token pads with PKCS#1 v1.5, or PSS with a salt of a length that is given"
            )
        mechanism, hashing, mask = _RSA_PSS[algorithm.name]
        size = salt if isinstance(salt, int) else algorithm.digest_size
        return self._sign(bytes(data), mechanism, (hashing, mask, size))


_PKCS1, _PSS = padding.PKCS1v15.name, padding.PSS.name
_DIGEST_LENGTH = type(padding.PSS.DIGEST_LENGTH)


def _stays() -> Bug:
    return Bug(
        "keystore.stays",
        "A key in a token was asked for what only its own bits can give.",
        remedy="Report this: only signatures may be asked of such a key.",
    )
