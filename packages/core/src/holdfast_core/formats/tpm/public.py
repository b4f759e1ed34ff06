"""Public areas of TPM objects (TPMT_PUBLIC, Part 2 section 12.2.4): what a key is, and what it may ever be used for.

1. Two kinds are read, which are those that devices have: ECC on a NIST curve and RSA. Others are refused as unknown,
   not as broken.
2. An object's name is its public area hashed (Part 1, section 16): whoever vouches for the name vouches for every bit
   here, so a public area is kept as the bytes it came in, and its name is of those bytes.
3. There is one byte form: what would be written differently than it was read is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import IntEnum, IntFlag
from types import MappingProxyType

import msgspec

from holdfast_core.formats.tpm.reader import Reader, malformed, tpm2b, u16, u32
from holdfast_core.kernel.errors import HostileData

_WHAT = "public area"
LARGEST_PUBLIC = 1024
DEFAULT_EXPONENT = 65537
_LARGEST_MODULUS = 512
_LARGEST_POLICY = 64


class Algorithm(IntEnum):
    """TPM_ALG_ID (Part 2, section 6.3), as far as it is read here."""

    RSA = 0x0001
    AES = 0x0006
    SHA256 = 0x000B
    SHA384 = 0x000C
    SHA512 = 0x000D
    NULL = 0x0010
    RSASSA = 0x0014
    RSAPSS = 0x0016
    ECDSA = 0x0018
    ECC = 0x0023
    CFB = 0x0043


class Curve(IntEnum):
    """TPM_ECC_CURVE (Part 2, section 6.4)."""

    P256 = 0x0003
    P384 = 0x0004


class Attribute(IntFlag):
    """TPMA_OBJECT (Part 2, section 8.3)."""

    FIXED_TPM = 1 << 1
    ST_CLEAR = 1 << 2
    FIXED_PARENT = 1 << 4
    SENSITIVE_DATA_ORIGIN = 1 << 5
    USER_WITH_AUTH = 1 << 6
    ADMIN_WITH_POLICY = 1 << 7
    NO_DA = 1 << 10
    ENCRYPTED_DUPLICATION = 1 << 11
    RESTRICTED = 1 << 16
    DECRYPT = 1 << 17
    SIGN = 1 << 18
    X509_SIGN = 1 << 19


HASHES: Mapping[Algorithm, str] = MappingProxyType(
    {Algorithm.SHA256: "sha256", Algorithm.SHA384: "sha384", Algorithm.SHA512: "sha512"}
)
"""The hashes that are good enough, by `hashlib`'s name."""
COORDINATE_BYTES: Mapping[Curve, int] = MappingProxyType({Curve.P256: 32, Curve.P384: 48})
_SIGNING = frozenset({Algorithm.ECDSA, Algorithm.RSASSA, Algorithm.RSAPSS})


class Symmetric(msgspec.Struct, frozen=True):
    """The cipher with which a storage key protects its children: AES in CFB mode."""

    bits: int


class Scheme(msgspec.Struct, frozen=True):
    """The one signature scheme that a key is bound to."""

    algorithm: Algorithm
    hash: Algorithm


class RsaPoint(msgspec.Struct, frozen=True):
    """The unique part of an RSA key."""

    bits: int
    exponent: int
    modulus: bytes


class EccPoint(msgspec.Struct, frozen=True):
    """The unique part of an ECC key; coordinates are as long as the curve's field."""

    curve: Curve
    x: bytes
    y: bytes


class Public(msgspec.Struct, frozen=True):
    """A public area. `data` is the TPMT_PUBLIC it was read from."""

    hash: Algorithm
    attributes: Attribute
    policy: bytes
    symmetric: Symmetric | None
    scheme: Scheme | None
    unique: RsaPoint | EccPoint
    data: bytes

    @property
    def name(self) -> bytes:
        """The object's name: two bytes that name the hash, then the hash of the public area."""
        return u16(self.hash) + hashlib.new(HASHES[self.hash], self.data).digest()

    def has(self, *wanted: Attribute) -> bool:
        """Whether every one of these attributes is set."""
        return all(attribute in self.attributes for attribute in wanted)


def parse_public(data: bytes) -> Public:
    """The public area in a TPM2B_PUBLIC, which is what ``TPM2_Create`` gives.

    Raises:
        HostileData: ``tpm.malformed``, ``tpm.unknown_algorithm``.
    """
    outer = Reader(data, _WHAT)
    inner = outer.sized(LARGEST_PUBLIC)
    outer.end()
    reader = Reader(inner, _WHAT)
    kind = _algorithm(reader)
    hashed = _algorithm(reader)
    if kind not in (Algorithm.RSA, Algorithm.ECC) or hashed not in HASHES:
        raise _unknown("it is no RSA or ECC key named by SHA-256 or longer")
    bits = reader.number(4)
    attributes = Attribute(bits & _KNOWN)
    if attributes != bits:
        raise malformed(_WHAT, "it has attributes that are reserved")
    policy = reader.sized(_LARGEST_POLICY)
    symmetric, scheme = _symmetric(reader), _scheme(reader)
    unique = _rsa(reader) if kind is Algorithm.RSA else _ecc(reader)
    reader.end()
    public = Public(hashed, attributes, policy, symmetric, scheme, unique, inner)
    if public_area(public) != inner:
        raise malformed(_WHAT, "it is not in its one byte form")
    return public


def public_area(public: Public) -> bytes:
    """The TPMT_PUBLIC of `public`, written anew."""
    symmetric, scheme = public.symmetric, public.scheme
    head = u16(Algorithm.RSA if isinstance(public.unique, RsaPoint) else Algorithm.ECC)
    head += u16(public.hash) + u32(public.attributes) + tpm2b(public.policy)
    head += u16(Algorithm.NULL) if symmetric is None else _aes(symmetric)
    head += u16(Algorithm.NULL) if scheme is None else u16(scheme.algorithm) + u16(scheme.hash)
    if isinstance(public.unique, RsaPoint):
        exponent = 0 if public.unique.exponent == DEFAULT_EXPONENT else public.unique.exponent
        return head + u16(public.unique.bits) + u32(exponent) + tpm2b(public.unique.modulus)
    point = tpm2b(public.unique.x) + tpm2b(public.unique.y)
    return head + u16(public.unique.curve) + u16(Algorithm.NULL) + point


_KNOWN = 0
for _attribute in Attribute:
    _KNOWN |= _attribute


def _aes(symmetric: Symmetric) -> bytes:
    return u16(Algorithm.AES) + u16(symmetric.bits) + u16(Algorithm.CFB)


def _algorithm(reader: Reader) -> Algorithm:
    number = reader.number(2)
    try:
        return Algorithm(number)
    except ValueError:
        raise _unknown(f"it uses the algorithm {number:#06x}") from None


def _symmetric(reader: Reader) -> Symmetric | None:
    algorithm = _algorithm(reader)
    if algorithm is Algorithm.NULL:
        return None
    bits, mode = reader.number(2), reader.number(2)
    if algorithm is not Algorithm.AES or mode != Algorithm.CFB or bits not in (128, 192, 256):
        raise _unknown("its children are not protected by AES in CFB mode")
    return Symmetric(bits)


def _scheme(reader: Reader) -> Scheme | None:
    algorithm = _algorithm(reader)
    if algorithm is Algorithm.NULL:
        return None
    if algorithm not in _SIGNING:
        raise _unknown("its scheme is none of ECDSA, RSASSA and RSAPSS")
    hashed = _algorithm(reader)
    if hashed not in HASHES:
        raise _unknown("it signs with a hash that is too weak or unknown")
    return Scheme(algorithm, hashed)


def _rsa(reader: Reader) -> RsaPoint:
    bits, exponent = reader.number(2), reader.number(4)
    modulus = reader.sized(_LARGEST_MODULUS)
    if not modulus or len(modulus) * 8 != bits or not modulus[0] & 0x80:
        raise malformed(_WHAT, "its modulus is not as long as it says")
    if exponent == DEFAULT_EXPONENT:
        raise malformed(_WHAT, "the default exponent is written as 0")
    return RsaPoint(bits, exponent or DEFAULT_EXPONENT, modulus)


def _ecc(reader: Reader) -> EccPoint:
    number = reader.number(2)
    if number not in tuple(Curve):
        raise _unknown(f"its curve is {number:#06x}")
    curve = Curve(number)
    if reader.number(2) != Algorithm.NULL:
        raise _unknown("it has a key derivation scheme of its own")
    x, y = reader.sized(), reader.sized()
    if {len(x), len(y)} != {COORDINATE_BYTES[curve]}:
        raise malformed(_WHAT, "its coordinates are not as long as its curve's")
    return EccPoint(curve, x, y)


def _unknown(why: str) -> HostileData:
    return HostileData(
        "tpm.unknown_algorithm",
        f"This kind of TPM key is not taken: {why}.",
        remedy="Use ECC P-256 or P-384, or RSA of 2048 bits or more, named by SHA-256.",
    )
