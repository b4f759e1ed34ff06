"""PSA attestation tokens: what a microcontroller's root of trust says of itself and of the software it loaded.

Three profiles are read; they differ in their claim keys and in little else:

====================================  ===========  =====================================================
profile                               keys         differs in
====================================  ===========  =====================================================
``PSA_IOT_PROFILE_1``                 -75000 ...   may be implicit; boot seed must be there, 32 bytes; may
                                                   say that it measured nothing
``http://arm.com/psa/2.0.0``          2394 ...     boot seed optional, 8 to 32 bytes, under 2397
``tag:psacertified.org,2023:psa#tfm``  2394 ...     the same under 268; ES256, ES384 or ES512
====================================  ===========  =====================================================

1. A token is one COSE_Sign1 with its CBOR tag (RFC 9783, section 5.1.1).
2. A claim that must be there and is not is ``psa.NAME_missing``; one that has not its form is ``psa.NAME``.
3. One token speaks one profile: claims of profile 1 beside another's are refused, because of two nonces or two
   lifecycles each reader would believe its own. Claims that no profile knows are passed over (section 5.1.3).
4. Nothing is judged: whether the nonce is the one asked for, the lifecycle one to be trusted and the measurements those
   of a release is for the caller, who has the key by the instance ID and compares in constant time.

Source: RFC 9783 sections 4 to 5.2; draft-tschofenig-rats-psa-token-07 (profile 1) and -09 (2.0.0).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast_core.formats.cbor import Key, Value, read_cbor
from holdfast_core.formats.claims import Claim
from holdfast_core.formats.cose import Algorithm, Sign1, parse_sign1, verify_sign1
from holdfast_core.formats.psa_model import (
    KEYS,
    OF_LATER_PROFILES,
    OF_PROFILE_1,
    Component,
    Lifecycle,
    Profile,
    PsaClaims,
)
from holdfast_core.kernel.errors import HostileData

__all__ = [
    "Component",
    "Lifecycle",
    "Profile",
    "PsaClaims",
    "PsaToken",
    "instance_id_of",
    "parse_psa_claims",
    "read_psa_token",
    "verify_psa_token",
]

MOST_COMPONENTS = 64
HASH_BYTES = (32, 48, 64)
"""psa-hash-type: what a nonce, a measurement and a signer's ID may have."""
INSTANCE_BYTES, IMPLEMENTATION_BYTES = 33, 32
_RAND = 1
_SHORTEST_SEED, _LONGEST_SEED = 8, 32
_CLIENT_IDS = (-(1 << 31), (1 << 31) - 1)
_EAN13, _EAN13_5 = re.compile("[0-9]{13}(-[0-9]{5})?"), re.compile("[0-9]{13}-[0-9]{5}")
_PROFILE, _PROFILE_1 = 265, -75000
_T = TypeVar("_T")


class PsaToken(msgspec.Struct, frozen=True):
    """A token that was read and not verified."""

    claims: PsaClaims
    sign1: Sign1


def parse_psa_claims(payload: bytes) -> PsaClaims:
    """The claims that a token's `payload` is.

    Raises:
        HostileData: ``psa.malformed``, ``psa.profile``, ``psa.profile_missing``, ``psa.profiles_mixed``, ``psa.NAME``
            and ``psa.NAME_missing`` for a claim (``nonce``, ``instance_id``, ``implementation_id``, ``lifecycle``,
            ``client_id``, ``boot_seed``, ``components``, ``component_value``, ``component_signer``, ...),
            ``psa.nonce_many``, and those of `read_cbor`.
    """
    claims = read_cbor(payload, "token's claims")
    if not isinstance(claims, Mapping):
        raise _refused("malformed", "The token's payload is not a map of claims.")
    profile = _profile(claims)
    read = _Claims(claims, profile)
    state, detail = read.must("lifecycle", _lifecycle)
    return PsaClaims(
        profile=profile,
        nonce=read.must("nonce", _nonce),
        instance_id=read.must("instance_id", _instance_id),
        implementation_id=read.must(
            "implementation_id", lambda claim: claim.octets(IMPLEMENTATION_BYTES, IMPLEMENTATION_BYTES)
        ),
        lifecycle=state,
        lifecycle_detail=detail,
        client_id=read.must("client_id", _client_id),
        components=_components(read),
        boot_seed=_boot_seed(read),
        certification=read.may("certification", lambda claim: _certification(claim, profile), ""),
        vsi=read.may("vsi", _service, ""),
    )


def read_psa_token(token: bytes) -> PsaToken:
    """The token that `token` is; its claims are what somebody says, until its signature is verified.

    It is for finding the key by the instance ID that is claimed. Nothing of it may be kept or shown as the device's.

    Raises:
        HostileData: ``psa.untagged``, ``psa.algorithm``, and those of `parse_sign1` and `parse_psa_claims`.
    """
    sign1 = parse_sign1(token)
    if not sign1.tagged:
        raise _refused("untagged", "The token does not begin with the CBOR tag of a COSE_Sign1, 18.")
    claims = parse_psa_claims(sign1.payload)
    if claims.profile is Profile.TFM and sign1.algorithm not in (Algorithm.ES256, Algorithm.ES384, Algorithm.ES512):
        raise _refused("algorithm", f"The token's profile forbids the algorithm {sign1.algorithm.name}.")
    return PsaToken(claims, sign1)


def verify_psa_token(token: bytes, key: object) -> PsaClaims:
    """The claims of `token`, once its signature by `key`, a public key of `cryptography`, is proved.

    Raises:
        HostileData: those of `read_psa_token` and `verify_sign1`.
    """
    read = read_psa_token(token)
    verify_sign1(read.sign1, key)
    return read.claims


def instance_id_of(key: ec.EllipticCurvePublicKey) -> bytes:
    """The instance ID that Trusted Firmware-M derives from an attestation key: a byte 1, and SHA-256 of its point."""
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return bytes([_RAND]) + hashlib.sha256(point).digest()


class _Claims:
    """The claims of one token, by their names in its profile."""

    def __init__(self, claims: Mapping[Key, Value], profile: Profile) -> None:
        self._claims = claims
        self.profile = profile

    def named(self, name: str) -> Claim | None:
        keys = KEYS[self.profile].get(name, ())
        present = [key for key in keys if key in self._claims]
        if len(present) > 1:
            raise Claim("psa", name, None).refused("it is there twice, under its key and a former one")
        return Claim("psa", name, self._claims[present[0]]) if present else None

    def must(self, name: str, form: Callable[[Claim], _T]) -> _T:
        claim = self.named(name)
        if claim is None:
            raise _missing(name)
        return form(claim)

    def may(self, name: str, form: Callable[[Claim], _T], missing: _T) -> _T:
        claim = self.named(name)
        return missing if claim is None else form(claim)


def _profile(claims: Mapping[Key, Value]) -> Profile:
    first, later = bool(OF_PROFILE_1 & claims.keys()), bool(OF_LATER_PROFILES & claims.keys())
    if first and (later or _PROFILE in claims):
        raise _refused("profiles_mixed", "The token has claims of PSA_IOT_PROFILE_1 and of a later profile.")
    # Only the first profile may go unnamed; its keys are its own.
    named = claims.get(_PROFILE_1, Profile.PSA_1.value) if first else claims.get(_PROFILE)
    if named is None and _PROFILE not in claims and not first:
        raise _missing("profile")
    if not isinstance(named, str) or named not in tuple(Profile):
        raise _refused("profile", f"The token's profile is {repr(named)[:80]}, which is not read here.")
    profile = Profile(named)
    if (profile is Profile.PSA_1) is not first:
        raise _refused("profile", f"The token says {profile.value!r} under the key of another profile.")
    return profile


def _nonce(claim: Claim) -> bytes:
    if isinstance(claim.value, tuple):
        raise _refused("nonce_many", "The token has its nonce in an array; a PSA token has one nonce (section 4.1.1).")
    return _hash(claim)


def _hash(claim: Claim) -> bytes:
    if not isinstance(claim.value, bytes) or len(claim.value) not in HASH_BYTES:
        raise claim.refused("it is not 32, 48 or 64 bytes")
    return claim.value


def _instance_id(claim: Claim) -> bytes:
    value = claim.octets(INSTANCE_BYTES, INSTANCE_BYTES)
    if value[0] != _RAND:
        raise claim.refused(f"it begins with {value[0]:#04x} where RAND, 0x01, must stand")
    return value


def _lifecycle(claim: Claim) -> tuple[Lifecycle, int]:
    number = claim.integer()
    major, minor = divmod(number, 0x100)
    states = tuple(Lifecycle)
    if major % 0x10 or not 0 <= major // 0x10 < len(states):
        raise claim.refused(f"{number} is no state of the PSA lifecycle")
    return states[major // 0x10], minor


def _client_id(claim: Claim) -> int:
    number = claim.integer_in(*_CLIENT_IDS)
    if number == 0:
        raise claim.refused("0 is nobody's")
    return number


def _boot_seed(read: _Claims) -> bytes:
    if read.profile is Profile.PSA_1:
        return read.must("boot_seed", lambda claim: claim.octets(_LONGEST_SEED, _LONGEST_SEED))
    return read.may("boot_seed", lambda claim: claim.octets(_SHORTEST_SEED, _LONGEST_SEED), b"")


def _certification(claim: Claim, profile: Profile) -> str:
    text = claim.text()
    # Profile 1 asks for 13 digits, but Trusted Firmware-M sends the newer form under it too.
    if not (_EAN13 if profile is Profile.PSA_1 else _EAN13_5).fullmatch(text):
        raise claim.refused("it is not 13 digits, a dash and 5 digits")
    return text


def _service(claim: Claim) -> str:
    text = claim.text()
    if not text:
        raise claim.refused("it is empty")
    return text


def _components(read: _Claims) -> tuple[Component, ...]:
    claim, none = read.named("components"), read.named("no_measurements")
    if none is not None:
        if none.integer() != 1:
            raise none.refused("its only value is 1")
        if claim is not None:
            raise claim.refused("the token says as well that nothing was measured")
        return ()
    if claim is None:
        raise _missing("components")
    return tuple(_component(each) for each in claim.entries(MOST_COMPONENTS))


def _component(claim: Claim) -> Component:
    value = claim.value
    if not isinstance(value, Mapping):
        raise claim.refused("an entry is not a map")

    def must(key: int, name: str) -> bytes:
        if key not in value:
            raise _missing(name)
        return _hash(Claim("psa", name, value[key]))

    def may(key: int, name: str) -> str:
        return Claim("psa", name, value[key]).text() if key in value else ""

    return Component(
        value=must(2, "component_value"),
        signer=must(5, "component_signer"),
        kind=may(1, "component_type"),
        version=may(4, "component_version"),
        description=may(6, "component_description"),
    )


def _missing(name: str) -> HostileData:
    return _refused(f"{name}_missing", f"The token lacks the claim {name}, which its profile demands.")


def _refused(code: str, sentence: str) -> HostileData:
    return HostileData(
        f"psa.{code}",
        sentence,
        remedy="Send the token that psa_initial_attest_get_token() gave, under one of the profiles "
        "PSA_IOT_PROFILE_1, http://arm.com/psa/2.0.0 and tag:psacertified.org,2023:psa#tfm.",
    )
