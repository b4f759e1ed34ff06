"""Whose a device is: possession codes, and what a change of owner does to an identity.

1. Whoever holds a device's possession code may make it theirs, once. Only its digest is kept; a new code, and a new
   owner, end the one before.
2. A new owner means a new identity: the device renews at once, and what it had before ends with the first use of the
   new certificate, at the latest after `HANDED_OVER_WITHIN`.
3. What the old owner could still use ends in the same moment: claims, codes, requests that wait, leave to come again.
"""

from __future__ import annotations

from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.lifecycle import Device, Lifecycle, parse_text
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, parse_device_id
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.kernel.kept import Kept

CODE_PREFIX = "hfp_"
LONGEST_CODE = 256
HANDED_OVER_WITHIN = 7 * DAY


class PossessionCode(Kept, frozen=True, kw_only=True):
    """The code that makes its holder the owner of the device `id`; `digest` is of its text."""

    digest: Digest
    created_at: Instant
    created_by: str


class Transfer(Kept, frozen=True, kw_only=True):
    """The device `id` has a new owner since `at`; what was issued before ends at `deadline`."""

    at: Instant
    deadline: Instant


def code_text(secret: str, device: DeviceId) -> str:
    """The text of a possession code; `secret` is URL-safe base64, so the first dot ends it."""
    return f"{CODE_PREFIX}{secret}.{device}"


def code_of(text: str) -> tuple[DeviceId, Digest]:
    """Which device a possession code is for, and the digest by which it is known.

    Raises:
        IdentityRefused: ``possession.unknown``.
    """
    text = text.strip()
    if len(text) > LONGEST_CODE or not text.startswith(CODE_PREFIX):
        raise _unknown()
    _, _, device = text.partition(".")
    try:
        return parse_device_id(device), digest_of(text.encode())
    except (HostileData, UnicodeEncodeError):
        raise _unknown() from None


def check_code(code: PossessionCode | None, digest: Digest) -> PossessionCode:
    """Return the code if it is the one with this digest; an unknown device and a wrong code read alike.

    Raises:
        IdentityRefused: ``possession.unknown``.
    """
    if code is None or code.digest != digest:
        raise _unknown()
    return code


def check_new_owner(device: Device, owner: str) -> str:
    """Return the owner if the device can become theirs.

    Raises:
        HostileData: ``device.retired``, ``owner.missing``, ``owner.same``, ``device.text``.
    """
    if device.lifecycle is Lifecycle.RETIRED:
        raise HostileData(
            "device.retired",
            f"{device.key.device} is retired; nobody can own it any more.",
            remedy="Add the hardware again under another id, if it is to be used again.",
            http_status=409,
        )
    owner = parse_text(owner.strip(), what="owner")
    if not owner:
        raise HostileData("owner.missing", "Nobody is named.", remedy="Say who answers for the device from now on.")
    if owner == device.owner:
        raise HostileData(
            "owner.same", f"{owner} owns {device.key.device} already.", remedy="Nothing is needed.", http_status=409
        )
    return owner


def _unknown() -> IdentityRefused:
    return IdentityRefused(
        "possession.unknown",
        "This is not the possession code of a device here, or no longer.",
        remedy="Scan it again; if it was used or replaced, ask whoever sold the device: holdfast device code DEVICE.",
    )
