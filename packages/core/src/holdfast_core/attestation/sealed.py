"""Sealed secrets: what a device or a person gets only while the device's appraisal is affirming.

1. A secret is some bytes that a person sealed for one device under a name. Holdfast does not look into them.
2. It is released only for a device in its active life that nobody holds, that is identified, that nothing else speaks
   against, and that is affirmed at that very moment (`affirmed`). A person is bound by the same rule.
3. Who may not have it is not told whether it is there.
4. These records hold sealed bytes only, and no digest of a secret: of a short one, a digest can be guessed back.
5. A device's refusals are news when they are another than the last, and its releases are bounded by the hour, so that
   no device fills the record.

Source: RFC 9334, section 4.1 (the relying party) and 8.4 (attestation results).
"""

from __future__ import annotations

import msgspec

from holdfast_core.attestation.affirmed import lack_of
from holdfast_core.attestation.model import DeviceState
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.lifecycle import Lifecycle
from holdfast_core.kernel.appraisals import Appraisal
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.ids import DeviceId, Scope, parse_name
from holdfast_core.kernel.instants import HOUR, SECOND, Instant
from holdfast_core.kernel.kept import Kept
from holdfast_core.kernel.reasons import Reason
from holdfast_core.wire.sealed import LARGEST

MOST_PER_DEVICE = 32
RELEASES_PER_HOUR = 60
"""Of one secret to its device: a device fetches it at a start, and a start takes a minute."""


class SealedSecret(Kept, frozen=True, kw_only=True):
    """One secret of one device; `id` is ``device/name``. `sealed` holds it, sealed for `context_of` it."""

    device: DeviceId
    name: str
    sealed: bytes
    size: int
    """Bytes of the secret itself."""
    made_at: Instant
    by: str
    released: int = 0
    """How often it was released."""
    released_at: Instant | None = None
    released_to: str = ""
    """Who had it last: the device, or a person."""
    withheld: str = ""
    """The code by which the device was refused since; the same refusal again is no news."""
    hour_from: Instant = Instant(0)
    """When the present hour of the device's own fetches began."""
    in_hour: int = 0


class Facts(msgspec.Struct, frozen=True):
    """What is known of a device when one of its secrets is asked for."""

    device: DeviceId
    lifecycle: Lifecycle
    held: bool
    identified: bool
    """Whether it has a credential in force."""
    against: tuple[Reason, ...]
    """What other appraisals say against it now."""
    appraisal: Appraisal | None
    """Its last reading of attestation, as it was made."""
    state: DeviceState


def sealed_id(device: DeviceId, name: str) -> str:
    """The id of the record; neither part can hold a slash."""
    return f"{device}/{name}"


def context_of(scope: Scope, device: DeviceId, name: str, made_at: Instant) -> str:
    """What a secret is sealed for: taken to another device or name, or put back from before, it does not open."""
    return f"sealed secret {scope}/{device}/{name}/{made_at}"


def parse_secret(name: str, data: bytes) -> str:
    """Return `name` if a secret of `data` may have it.

    Raises:
        HostileData: ``name.invalid``, ``sealed.empty``.
        LimitExceeded: ``sealed.too_large``.
    """
    parse_name(name, what="name of a secret")
    if not data:
        raise HostileData("sealed.empty", "A secret of no bytes keeps nothing.", remedy="Name the file that holds it.")
    if len(data) > LARGEST:
        raise LimitExceeded(
            "sealed.too_large",
            f"The secret has {len(data)} bytes; {LARGEST} are allowed.",
            remedy="Seal a key, and encrypt what is large with that.",
        )
    return name


def check_room(others: int) -> None:
    """Refuse one more secret for a device that has `others`.

    Raises:
        LimitExceeded: ``sealed.too_many`` (409).
    """
    if others >= MOST_PER_DEVICE:
        raise LimitExceeded(
            "sealed.too_many",
            f"The device has {others} sealed secrets, and may have {MOST_PER_DEVICE}.",
            remedy="Destroy one that is not needed (holdfast secret destroy), or seal several in one.",
            http_status=409,
        )


def check_release(
    secret: SealedSecret | None, facts: Facts, now: Instant, *, within: int | None = None
) -> SealedSecret:
    """Return the secret if it may be released at `now`, on evidence that came `within` so many milliseconds.

    Raises:
        IdentityRefused: ``sealed.held``, ``sealed.not_attested``, ``sealed.stale``, ``sealed.pending``,
            ``sealed.not_affirming``, ``sealed.quarantined`` (403).
        HostileData: ``sealed.unknown`` (404).
    """
    _check_life(facts)
    lack = lack_of(facts.appraisal, facts.state, now, within=within)
    if lack is not None:
        raise IdentityRefused(
            f"sealed.{lack.shortfall.value}",
            f"{facts.device} {lack.sentence}; its secrets are released only on an affirming appraisal.",
            remedy=lack.remedy,
        )
    if facts.against:
        first = facts.against[0]
        raise IdentityRefused(
            "sealed.quarantined",
            f"{facts.device} is quarantined ({first.code}); its secrets stay sealed.",
            remedy=first.remedy or "See why: holdfast device show DEVICE.",
        )
    if secret is None:
        raise unknown(facts.device)
    return secret


def _check_life(facts: Facts) -> None:
    if facts.held:
        said, remedy = "is held", "A person decides first: holdfast device release DEVICE --why REASON."
    elif facts.lifecycle is Lifecycle.UNMANAGED or facts.lifecycle.is_over:
        said, remedy = f"is {facts.lifecycle.value}", "Stop asking; nothing is released for such a device."
    elif not facts.identified:
        said, remedy = "has no certificate in force", "Enroll it again: holdfast claim create DEVICE."
    else:
        return
    raise IdentityRefused("sealed.held", f"{facts.device} {said}; its secrets stay sealed.", remedy=remedy)


def released(secret: SealedSecret, to: str, now: Instant) -> SealedSecret:
    """The secret after a release."""
    return msgspec.structs.replace(secret, released=secret.released + 1, released_at=now, released_to=to, withheld="")


def fetched(secret: SealedSecret, now: Instant) -> SealedSecret:
    """The secret after its own device fetched it.

    Raises:
        HostileData: ``sealed.too_often`` (429).
    """
    begun = secret.hour_from
    if not begun <= now < begun + HOUR:
        begun, count = now, 0
    else:
        count = secret.in_hour
    if count >= RELEASES_PER_HOUR:
        raise HostileData(
            "sealed.too_often",
            f"This secret was released {RELEASES_PER_HOUR} times within the hour.",
            remedy="Keep it in memory for as long as it is needed, and fetch it once at each start.",
            http_status=429,
            retry_after_s=max(1, (begun + HOUR - now) // SECOND),
        )
    counted = msgspec.structs.replace(secret, hour_from=begun, in_hour=count + 1)
    return released(counted, f"device:{secret.device}", now)


def unknown(device: DeviceId) -> HostileData:
    """The refusal of a secret that is not there."""
    return HostileData(
        "sealed.unknown",
        f"No secret of this name is sealed for {device}.",
        remedy="List them: holdfast secret sealed --device DEVICE. Seal one: holdfast secret seal DEVICE NAME.",
        http_status=404,
    )
