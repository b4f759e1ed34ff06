"""The Entity Attestation Token: what a device of any make claims about itself, in CBOR.

1. Every claim is optional here; which ones must be there is the profile's matter, and the policy's.
2. A claim that is known must have its form; one that is not known is passed over (RFC 9711, section 3). So are
   ``location``, ``dloas``, ``measres`` and ``intuse``, which nothing here judges.
3. Measurements and manifests are kept as their digests: their formats are others'.
4. Submodules are read one level deep. A nested token is kept as its bytes and proves nothing until it is verified by
   the key of its own signer.
5. What is text stays as it came, up to `claims.LONGEST_TEXT` characters; who shows it makes it printable first.

Source: RFC 9711 section 4 (the claims) and 4.2.18 (submodules); claim keys by IANA's registry of CWT claims.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import TypeVar

import msgspec

from holdfast_core.formats.cbor import LARGEST_ITEM, Key, Value, read_cbor
from holdfast_core.formats.claims import Claim
from holdfast_core.formats.cose import parse_sign1, verify_sign1
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData

MOST_NONCES = 8
MOST_SUBMODULES = 32
MOST_CONTENTS = 64
"""Manifests of a token, and measurements."""
_SHORTEST_NONCE, _LONGEST_NONCE = 8, 64
_SHORTEST_UEID, _LONGEST_UEID = 7, 33
_LONGEST_MODEL = 32
_OEM_BYTES = (3, 16)
_LONGEST_SEED = 64
_LONGEST_DIGEST = 64
_LONGEST_PROFILE = 64
_LAST_CONTENT_FORMAT = 0xFFFF
_LARGEST_COUNT = (1 << 64) - 1
_CLAIM_KEYS = {
    "eat_nonce": 10,
    "ueid": 256,
    "sueids": 257,
    "oemid": 258,
    "hwmodel": 259,
    "hwversion": 260,
    "uptime": 261,
    "oemboot": 262,
    "dbgstat": 263,
    "eat_profile": 265,
    "submods": 266,
    "bootcount": 267,
    "bootseed": 268,
    "swname": 270,
    "swversion": 271,
    "manifests": 272,
    "measurements": 273,
}
_T = TypeVar("_T")


class Debug(IntEnum):
    """``dbgstat``: whether the device can be debugged (RFC 9711, section 4.2.9)."""

    ENABLED = 0
    DISABLED = 1
    DISABLED_SINCE_BOOT = 2
    DISABLED_PERMANENTLY = 3
    DISABLED_FULLY_AND_PERMANENTLY = 4


class Version(msgspec.Struct, frozen=True):
    """A version, and by which scheme it is written (RFC 9393 section 4.1, by number or name), None where unsaid."""

    text: str
    scheme: int | str | None = None


class Content(msgspec.Struct, frozen=True):
    """A manifest or measurement: its CoAP content format, and the digest and size of its bytes."""

    format: int
    digest: Digest
    size: int


class Detached(msgspec.Struct, frozen=True):
    """A submodule that came another way: a COSE hash algorithm and the digest of its claims."""

    algorithm: int | str
    digest: bytes


class Submodule(msgspec.Struct, frozen=True):
    """A part of the device with claims of its own: its claims, a digest of them, or a token (CBOR bytes, JSON text)."""

    name: str
    content: EatClaims | Detached | bytes | str


class EatClaims(msgspec.Struct, frozen=True):
    """The claims of one token. Empty or None: not claimed.

    `profile` is a URI, or ``urn:oid:`` and the hexadecimal of an object identifier's BER content.
    """

    profile: str = ""
    nonces: tuple[bytes, ...] = ()
    ueid: bytes = b""
    sueids: tuple[tuple[str, bytes], ...] = ()
    oem: int | bytes | None = None
    hardware_model: bytes = b""
    hardware_version: Version | None = None
    software_name: str = ""
    software_version: Version | None = None
    oem_boot: bool | None = None
    debug: Debug | None = None
    uptime_s: int | None = None
    boots: int | None = None
    boot_seed: bytes = b""
    manifests: tuple[Content, ...] = ()
    measurements: tuple[Content, ...] = ()
    submodules: tuple[Submodule, ...] = ()


def parse_eat_claims(payload: bytes) -> EatClaims:
    """The claims that `payload` is, a CBOR map.

    Raises:
        HostileData: ``eat.malformed`` when it is no map, ``eat.`` and the claim's name for a claim that has not its
            form, and those of `read_cbor`.
        LimitExceeded: the same, for a claim with too many entries.
    """
    claims = read_cbor(payload, "token's claims")
    if not isinstance(claims, Mapping):
        raise HostileData(
            "eat.malformed",
            "The token's payload is not a map of claims.",
            remedy="Sign the claims as one CBOR map (RFC 9711, section 3).",
        )
    return _claims(claims, nested=False)


def verify_eat(token: bytes, key: object) -> EatClaims:
    """The claims of a signed EAT, once its signature by `key`, a public key of `cryptography`, is proved.

    Raises:
        HostileData: those of `parse_sign1`, `verify_sign1` and `parse_eat_claims`.
    """
    return parse_eat_claims(verify_sign1(parse_sign1(token), key))


def _claims(claims: Mapping[Key, Value], *, nested: bool) -> EatClaims:
    def read(name: str, form: Callable[[Claim], _T], missing: _T) -> _T:
        key = _CLAIM_KEYS[name]
        return form(Claim("eat", name, claims[key])) if key in claims else missing

    if nested and _CLAIM_KEYS["submods"] in claims:
        raise Claim("eat", "submods", None).refused("a submodule has submodules itself")
    return EatClaims(
        profile=read("eat_profile", _profile, ""),
        nonces=read("eat_nonce", _nonces, ()),
        ueid=read("ueid", _ueid, b""),
        sueids=read("sueids", _sueids, ()),
        oem=read("oemid", _oem, None),
        hardware_model=read("hwmodel", lambda claim: claim.octets(1, _LONGEST_MODEL), b""),
        hardware_version=read("hwversion", _version, None),
        software_name=read("swname", Claim.text, ""),
        software_version=read("swversion", _version, None),
        oem_boot=read("oemboot", Claim.boolean, None),
        debug=read("dbgstat", _debug, None),
        uptime_s=read("uptime", _count, None),
        boots=read("bootcount", _count, None),
        boot_seed=read("bootseed", lambda claim: claim.octets(1, _LONGEST_SEED), b""),
        manifests=read("manifests", _contents, ()),
        measurements=read("measurements", _contents, ()),
        submodules=read("submods", _submodules, ()),
    )


def _profile(claim: Claim) -> str:
    if isinstance(claim.value, bytes):
        return "urn:oid:" + claim.octets(1, _LONGEST_PROFILE).hex()
    return claim.text()


def _nonces(claim: Claim) -> tuple[bytes, ...]:
    if not isinstance(claim.value, tuple):
        return (claim.octets(_SHORTEST_NONCE, _LONGEST_NONCE),)
    entries = claim.entries(MOST_NONCES)
    if len(entries) == 1:
        raise claim.refused("one nonce is written as an array")
    return tuple(each.octets(_SHORTEST_NONCE, _LONGEST_NONCE) for each in entries)


def _ueid(claim: Claim) -> bytes:
    return claim.octets(_SHORTEST_UEID, _LONGEST_UEID)


def _sueids(claim: Claim) -> tuple[tuple[str, bytes], ...]:
    return tuple((label, _ueid(each)) for label, each in claim.named(MOST_SUBMODULES))


def _oem(claim: Claim) -> int | bytes:
    if not isinstance(claim.value, bytes):
        return claim.integer()
    if len(claim.value) not in _OEM_BYTES:
        raise claim.refused("its bytes are neither 3 nor 16")
    return claim.value


def _version(claim: Claim) -> Version:
    parts = claim.entries(2)
    if len(parts) == 1:
        return Version(parts[0].text())
    return Version(parts[0].text(), _number_or_name(parts[1]))


def _number_or_name(claim: Claim) -> int | str:
    return claim.text() if isinstance(claim.value, str) else claim.integer()


def _debug(claim: Claim) -> Debug:
    return Debug(claim.integer_in(min(Debug), max(Debug)))


def _count(claim: Claim) -> int:
    return claim.integer_in(0, _LARGEST_COUNT)


def _contents(claim: Claim) -> tuple[Content, ...]:
    return tuple(_content(each) for each in claim.entries(MOST_CONTENTS))


def _content(claim: Claim) -> Content:
    kind, body = _pair(claim)
    data = body.octets(0, LARGEST_ITEM)
    return Content(kind.integer_in(0, _LAST_CONTENT_FORMAT), digest_of(data), len(data))


def _submodules(claim: Claim) -> tuple[Submodule, ...]:
    return tuple(Submodule(label, _submodule(each)) for label, each in claim.named(MOST_SUBMODULES))


def _submodule(claim: Claim) -> EatClaims | Detached | bytes | str:
    if isinstance(claim.value, Mapping):
        return _claims(claim.value, nested=True)
    if isinstance(claim.value, bytes | str):
        return claim.value
    algorithm, digest = _pair(claim)
    return Detached(_number_or_name(algorithm), digest.octets(1, _LONGEST_DIGEST))


def _pair(claim: Claim) -> tuple[Claim, Claim]:
    entries = claim.entries(2)
    if len(entries) == 1:
        raise claim.refused("an entry is not a pair")
    return entries[0], entries[1]
