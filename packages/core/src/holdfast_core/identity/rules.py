"""Which claim admits, and which credential may speak.

1. A claim is used once, within its time, for the device it names.
2. Nothing is certified, anew or again, for a device that the inventory does not hold, that nobody owns, or that was
   retired.
3. TLS proved key and chain; whether the credential may speak *now* is decided here, on every request, so that an open
   connection ends with its credential. TLS on the device port does not judge time: a device's clock may be lost.
4. A credential that lapsed, or whose issuer was ended, is told to renew; whether it may is `check_renewal`'s.
5. A certificate is renewed once. Used for a second renewal it has two holders.
"""

from __future__ import annotations

import msgspec

from holdfast_core.identity.issuers import Standing
from holdfast_core.identity.lifetimes import grace_ends
from holdfast_core.identity.model import Claim, Credential, Revocation
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import Instant, rfc3339


class IdentityRefused(HostileData):
    """A request whose identity does not hold; answered with 401 or 403."""

    default_http_status = 403


def check_claim(claim: Claim | None, device: DeviceId, now: Instant) -> Claim:
    """Return the claim if it admits `device` at `now`.

    Raises:
        IdentityRefused: ``claim.unknown``, ``claim.used``, ``claim.withdrawn``, ``claim.expired`` (401); an
            unknown claim and one for another device read alike, so that guessing teaches nothing.
    """
    if claim is None or claim.key.device != device:
        raise _claim_refused("claim.unknown", "This claim does not admit this device.")
    if claim.used_at is not None:
        raise _claim_refused("claim.used", f"This claim was used at {rfc3339(claim.used_at)}.")
    if claim.withdrawn_at is not None:
        raise _claim_refused("claim.withdrawn", f"This claim was withdrawn at {rfc3339(claim.withdrawn_at)}.")
    if now >= claim.expires_at:
        raise _claim_refused("claim.expired", f"This claim expired at {rfc3339(claim.expires_at)}.")
    return claim


def _claim_refused(code: str, sentence: str) -> IdentityRefused:
    return IdentityRefused(
        code, sentence, remedy="Ask an operator for a new one: holdfast claim create DEVICE.", http_status=401
    )


def check_owned(device: Device) -> Device:
    """Return the device if it may be certified: it is in its active life, and somebody answers for it.

    Raises:
        IdentityRefused: ``device.inactive``, ``device.unowned`` (403).
    """
    if device.lifecycle is Lifecycle.UNMANAGED or device.lifecycle.is_over:
        raise IdentityRefused(
            "device.inactive",
            f"{device.key.device} is {device.lifecycle.value}; such a device gets no certificate.",
            remedy="An unmanaged device needs a model first: holdfast device model DEVICE NAME@VERSION.",
        )
    if not device.owner:
        raise IdentityRefused(
            "device.unowned",
            f"Nobody owns {device.key.device}; a device that nobody answers for gets no certificate.",
            remedy="Say who does: holdfast device owner DEVICE OWNER.",
        )
    return device


def check_credential(credential: Credential | None, standing: Standing | None, now: Instant) -> Credential:
    """Return the credential if it may speak at `now`; `standing` is its issuer's.

    Raises:
        IdentityRefused: ``identity.unknown``, ``identity.revoked``, ``identity.superseded``,
            ``identity.expired``, ``identity.issuer_ended`` (403).
    """
    credential = check_held(credential)
    if standing is None or not standing.is_trusted:
        raise IdentityRefused(
            "identity.issuer_ended",
            "The authority that issued this certificate has been replaced.",
            remedy="Renew the certificate now (POST /.well-known/est/simplereenroll); the agent does so by itself.",
        )
    if now >= credential.not_after:
        raise IdentityRefused(
            "identity.expired",
            f"This certificate expired at {rfc3339(credential.not_after)}.",
            remedy="Renew it within its model's grace (the agent does so by itself), or enroll it with a new claim.",
        )
    return credential


def check_held(credential: Credential | None) -> Credential:
    """Return the credential if it was issued here and nothing ended it; its dates and its issuer are not judged.

    Raises:
        IdentityRefused: ``identity.unknown``, ``identity.revoked``, ``identity.superseded`` (403).
    """
    if credential is None:
        raise IdentityRefused(
            "identity.unknown",
            "This certificate was not issued by this control plane, or its device was removed.",
            remedy="Enroll the device again with a new claim.",
        )
    if credential.revoked_at is None:
        return credential
    if credential.revoked_code is Revocation.SUPERSEDED and credential.successor is not None:
        raise IdentityRefused(
            "identity.superseded",
            f"This certificate was renewed, and its successor is in use since {rfc3339(credential.revoked_at)}.",
            remedy="Use the newest certificate. If the device has none, an old copy of its state was restored: enroll.",
        )
    raise IdentityRefused(
        "identity.revoked",
        f"This certificate was revoked at {rfc3339(credential.revoked_at)}: {credential.revoked_why}.",
        remedy="Stop calling. An operator decides whether the device may enroll again.",
    )


def check_renewal(credential: Credential | None, grace_days: int, now: Instant) -> Credential:
    """Return the credential if it may be renewed at `now`: in force, or lapsed for no longer than its grace.

    Raises:
        IdentityRefused: as `check_held`, and ``identity.grace_over`` (403).
    """
    credential = check_held(credential)
    if now >= credential.not_after and now >= grace_ends(credential, grace_days):
        raise IdentityRefused(
            "identity.grace_over",
            f"This certificate expired at {rfc3339(credential.not_after)}, and its model's grace of "
            f"{grace_days} days is over.",
            remedy="Let the device prove itself anew: by re-attestation, or with a new claim.",
        )
    return credential


def is_graceful(credential: Credential, standing: Standing, now: Instant) -> bool:
    """Whether renewing this credential is a favour that must be recorded as one."""
    return now >= credential.not_after or not standing.is_trusted


def supersede(credential: Credential, successor: Digest) -> Credential:
    """The credential, renewed; it still speaks until its successor does."""
    return msgspec.structs.replace(credential, successor=successor)


def confirm(credential: Credential, now: Instant) -> Credential:
    """The credential after its holder first used it; nothing has to be given again from here on."""
    return msgspec.structs.replace(credential, confirmed_at=now, certificate=b"")


def revoke(credential: Credential, why: str, now: Instant, code: Revocation = Revocation.UNSPECIFIED) -> Credential:
    """The credential, ended; one that was revoked before keeps its first reason."""
    if credential.revoked_at is not None:
        return credential
    return msgspec.structs.replace(credential, revoked_at=now, revoked_why=why, revoked_code=code, certificate=b"")
