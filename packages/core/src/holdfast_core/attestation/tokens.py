"""A microcontroller's token: whose it is, whether it answers this nonce, and what it says was booted.

1. The signature is by the key that was bound to this device; the token's own word for who it is (instance ID) is not
   asked, for a key is no better than where it came from.
2. The nonce claim is `wire.binding`, so the token speaks for this device, this nonce and these claims.
3. Each software component must be one that the release names, and each that the release names must be there.

Source: RFC 9783, sections 4 and 5; RFC 9711.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from holdfast_core.attestation.comparison import TELL_WHOLE
from holdfast_core.attestation.quote import Nonce, check_nonce
from holdfast_core.attestation.reference import Judged, TokenComponent
from holdfast_core.attestation.refusals import Refused
from holdfast_core.formats.psa import verify_psa_token
from holdfast_core.formats.psa_model import Lifecycle, PsaClaims
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.printable import printable
from holdfast_core.kernel.reasons import Reason
from holdfast_core.wire.attestation import TokenEvidence, binding

LARGEST_KEY = 4 * 1024
SAID = 80
BELIEVED = tuple(state.value for state in Lifecycle if state.trustworthy)
"""States of the lifecycle in which a token proves anything (RFC 9783, section 4.3.1); in others its key may be out."""
_SIGNATURE_CODES = frozenset({"cose.signature", "cose.key", "cose.mac"})


def read_token_key(data: bytes) -> bytes:
    """The key (PEM or DER) that signs a device's tokens, as SubjectPublicKeyInfo (DER).

    Raises:
        HostileData: ``attestation.token_key``.
    """
    try:
        pem = data.lstrip().startswith(b"-----BEGIN")
        key = (load_pem_public_key if pem else load_der_public_key)(data[:LARGEST_KEY])
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise HostileData(
            "attestation.token_key",
            "This is not a public key.",
            remedy="Give the public half of the device's attestation key, PEM or DER, as its maker lists it.",
        ) from None


class TokenGap(msgspec.Struct, frozen=True):
    """How a token differs from one release."""

    judged: Judged
    unexpected: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def size(self) -> int:
        """0 where the token is of this release."""
        return len(self.unexpected) + len(self.missing)


def check_token(evidence: TokenEvidence, public: bytes, *, device: str, nonce: Nonce, now: Instant) -> PsaClaims:
    """The claims of the device's token.

    Raises:
        Refused: ``token_signature``, ``token_malformed``, ``nonce_*``, ``binding``.
    """
    try:
        claims = verify_psa_token(evidence.token, load_der_public_key(public))
    except HostileData as error:
        code = "token_signature" if error.code in _SIGNATURE_CODES else "token_malformed"
        raise Refused(code, detail=error.sentence) from None
    except (ValueError, UnsupportedAlgorithm):
        raise Refused("key_unknown") from None
    check_nonce(evidence, nonce, now)
    if not hmac.compare_digest(claims.nonce, binding(evidence.nonce, device, evidence.claims)):
        raise Refused("binding")
    return claims


def token_gaps(claims: PsaClaims, judged: Sequence[Judged]) -> tuple[TokenGap, ...]:
    """How the token differs from each release that names components, the nearest first, in the order of `judged`."""
    found = [_gap(claims, each) for each in judged if each.statement.components]
    return tuple(sorted(found, key=lambda gap: gap.size))


def _gap(claims: PsaClaims, judged: Judged) -> TokenGap:
    statement = judged.statement
    wanted = {(c.digest, c.signer): c for c in statement.components}
    unexpected, seen = [], set()
    for component in claims.components:
        match = _match(component.value.hex(), component.signer.hex(), wanted)
        if match is None:
            unexpected.append(printable(component.kind)[:SAID] or component.value.hex()[:16])
        else:
            seen.add(match)
    missing = tuple(c.kind for c in statement.components if (c.digest, c.signer) not in seen)
    return TokenGap(judged, tuple(unexpected), missing)


def _match(digest: str, signer: str, wanted: dict[tuple[str, str], TokenComponent]) -> tuple[str, str] | None:
    """The stated component of this digest; one that names no signer takes any."""
    return next((key for key in ((digest, signer), (digest, "")) if key in wanted), None)


def told_token_gap(gap: TokenGap) -> Reason:
    """Why a token is of no release, by its nearest one."""
    parts = []
    if gap.unexpected:
        parts.append(f"{', '.join(gap.unexpected[:4])} is not of it")
    if gap.missing:
        parts.append(f"its {', '.join(gap.missing[:4])} is not in the token")
    name = gap.judged.statement.id
    return Reason(
        "attestation.unrecognized_boot",
        f"What was booted is of no release that is known; compared with {name}: {'; '.join(parts)}."[:500],
        TELL_WHOLE,
    )
