"""The attestation result for others: an EAT Attestation Result (EAR) as a JWT, signed, and verifiable without a server.

1. EAR is a draft. Its names stand here and nowhere else, under the one version that is written (`PROFILE`).
2. A result that is stale or was never made has the tier none, whatever its vector was.
3. It is signed with the log's key (Ed25519), whose other uses are texts that end in a newline: a JWT never does.
4. A verifier takes one algorithm, EdDSA, and reads nothing of a result before its signature holds.

Source: draft-ietf-rats-ear-04, section 3; draft-ietf-rats-ar4si-09, section 2.3; RFC 7519; RFC 8037, section 3.1.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from holdfast_core.attestation.model import DeviceState, Freshness, Vector
from holdfast_core.formats.note import VerifierKey
from holdfast_core.kernel.appraisals import Appraisal, Tier
from holdfast_core.kernel.digests import canonical
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.kernel.instants import DAY, SECOND, Instant

PROFILE = "tag:ietf.org,2026:rats/ear#04"
DEVELOPER = "Holdfast"
BUILD = "holdfast-1"
LARGEST = 16 * 1024
LONGEST_LIFE = DAY
"""Of a result that others keep: what is held against a device ends with newer evidence, never with time."""
_STATUS = {Tier.NONE: 0, Tier.AFFIRMING: 2, Tier.WARNING: 32, Tier.CONTRAINDICATED: 96}
_PARTS = 3

Sign = Callable[[bytes], bytes]


def result_claims(
    key: DeviceKey,
    state: DeviceState,
    appraisal: Appraisal | None,
    freshness: Freshness,
    *,
    issuer: str,
    now: Instant,
    speaks: bool = True,
) -> dict[str, Any]:
    """The claims of a device's result at `now`, as JSON values.

    Args:
        key: the device.
        state: what is remembered of it.
        appraisal: its reading as it reads at `now`; `None` where there is none.
        freshness: at `now`.
        issuer: the name of the key that signs.
        now: when it is made.
        speaks: whether the device may speak for itself, and its last evidence counted: one that is held, retired or
            without a certificate affirms nothing, whatever it proved before.
    """
    fresh = speaks and freshness in (Freshness.FRESH, Freshness.PENDING)
    counts = appraisal is not None and (fresh or appraisal.tier is Tier.CONTRAINDICATED)
    tier = appraisal.tier if appraisal is not None and counts else Tier.NONE
    submodule: dict[str, Any] = {
        "ear.status": _STATUS[tier],
        "ear.trustworthiness-vector": _vector(state.vector if counts else Vector()),
        "ear.appraisal-policy-id": f"holdfast:{state.boot.basis}" if state.boot is not None else "holdfast",
        "holdfast.freshness": freshness.value,
        "holdfast.reasons": [reason.code for reason in appraisal.reasons] if appraisal is not None else [],
        "holdfast.evidence": state.number,
    }
    if state.release and counts:
        submodule |= {"holdfast.release": state.release, "holdfast.svn": state.svn}
    if appraisal is not None:
        submodule["holdfast.appraised_at"] = appraisal.appraised_at // SECOND
    claims: dict[str, Any] = {
        "eat_profile": PROFILE,
        "iat": now // SECOND,
        "iss": issuer,
        "sub": str(key),
        "ear.verifier-id": {"developer": DEVELOPER, "build": BUILD},
        "submods": {key.device: submodule},
    }
    if counts and appraisal is not None:
        claims["exp"] = min(appraisal.valid_until, now + LONGEST_LIFE) // SECOND
    return claims


def _vector(vector: Vector) -> dict[str, int]:
    return {name.replace("_", "-"): value for name, value in msgspec.structs.asdict(vector).items() if value}


def signed_result(claims: Mapping[str, Any], key: VerifierKey, sign: Sign) -> str:
    """The JWT of `claims`."""
    header = canonical({"alg": "EdDSA", "typ": "JWT", "kid": key.key_id.hex()})
    body = f"{_encoded(header)}.{_encoded(canonical(claims))}"
    return f"{body}.{_encoded(sign(body.encode()))}"


def open_result(token: str, key: VerifierKey) -> dict[str, Any]:
    """The claims of a result that `key` signed.

    Raises:
        HostileData: ``result.malformed``, ``result.signature``, ``result.profile``.
    """
    parts = token.strip().split(".")
    if len(token) > LARGEST or len(parts) != _PARTS:
        raise _malformed()
    header, payload, signature = (_decoded(part) for part in parts)
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, f"{parts[0]}.{parts[1]}".encode())
    except InvalidSignature:
        raise HostileData(
            "result.signature",
            "This key did not sign the result.",
            remedy="Give the key of the control plane that made it: holdfast log key.",
            http_status=403,
        ) from None
    if _json(header).get("alg") != "EdDSA":
        raise _malformed()
    claims = _json(payload)
    if claims.get("eat_profile") != PROFILE:
        raise HostileData(
            "result.profile",
            "The result is signed, and of a profile that is not read here.",
            remedy="Read it with the Holdfast that made it.",
        )
    return claims


def _json(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _malformed() from None


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _malformed() from None


def _malformed() -> HostileData:
    return HostileData(
        "result.malformed",
        "This is no attestation result.",
        remedy="Give the text that 'holdfast attest result' printed, whole.",
    )
