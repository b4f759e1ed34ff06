"""Fleet claims: the right of a production line to enroll so many devices of one model, for so long.

1. A claim is a certificate that can do nothing else: its subject is no device's, it is no credential, and it stands
   under an authority of its own that is made for it and thrown away.
2. Its devices are of exactly one model and one owner. Quota and time are judged again in the commit that uses them.
3. It makes devices and completes expected ones; it never takes the name of a device that was enrolled before.
4. What the administrator's hook says narrows what is allowed; it never widens it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from cryptography import x509
from cryptography.x509.oid import NameOID

from holdfast_core.identity.model import Credential
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.lifecycle import Device, Labels, Lifecycle, parse_labels, parse_text
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.ids import DeviceId, parse_device_id
from holdfast_core.kernel.instants import DAY, Instant, rfc3339
from holdfast_core.kernel.kept import Kept
from holdfast_core.kernel.limits import Limits
from holdfast_core.kernel.printable import printable

SUBJECT_PREFIX = "claim:"
"""No device id has a colon, so no certificate of a device can read like that of a claim."""
LONGEST = 7 * DAY
LARGEST_QUOTA = 100_000


class FleetClaim(Kept, frozen=True, kw_only=True):
    """The claim of the production line `id`."""

    model: str
    owner: str
    quota: int
    created_at: Instant
    expires_at: Instant
    created_by: str
    fingerprint: Digest
    """Of the claim's certificate."""
    anchor: bytes
    """The DER of the authority that was made for it."""
    hook: bool = False
    """Whether the administrator's hook is asked for every device."""
    used: int = 0
    withdrawn_at: Instant | None = None

    @property
    def anchors(self) -> tuple[bytes, ...]:
        """What TLS must trust for it to get through."""
        return () if self.withdrawn_at is not None else (self.anchor,)

    def is_over(self, now: Instant) -> bool:
        """Whether it admits nobody any more."""
        return self.withdrawn_at is not None or now >= self.expires_at or self.used >= self.quota


class Wanted(msgspec.Struct, frozen=True):
    """What a request under a claim asks for; either may be empty, not both."""

    device: str
    serial: str


class HookAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the administrator's hook says of a device: whether it may, under which id, with which labels."""

    allow: bool
    device: str = ""
    labels: dict[str, str] = {}
    why: str = ""


def check_fleet_claim(claim: FleetClaim, now: Instant) -> FleetClaim:
    """Return the claim if it admits one more device at `now`.

    Raises:
        IdentityRefused: ``fleet.withdrawn``, ``fleet.ended``, ``fleet.quota``.
    """
    if claim.withdrawn_at is not None:
        raise _over("fleet.withdrawn", f"The claim of {claim.id} was withdrawn at {rfc3339(claim.withdrawn_at)}.")
    if now >= claim.expires_at:
        raise _over("fleet.ended", f"The claim of {claim.id} ended at {rfc3339(claim.expires_at)}.")
    if claim.used >= claim.quota:
        raise _over("fleet.quota", f"The claim of {claim.id} was for {claim.quota} devices, and all are enrolled.")
    return claim


def wanted_by(request: x509.CertificateSigningRequest) -> Wanted:
    """Which device a request under a claim is for: CN is its id, the attribute serialNumber its maker's number.

    Raises:
        HostileData: ``csr.name``, ``name.invalid``.
    """
    names = [str(entry.value) for entry in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    serials = [str(entry.value).strip() for entry in request.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)]
    if len(names) > 1 or len(serials) > 1 or not (any(names) or any(serials)):
        raise HostileData(
            "csr.name",
            "A request under a production line's claim names one device, by its id, its serial number, or both.",
            remedy="Make the request with the subject CN=DEVICE, or with the attribute serialNumber.",
            http_status=403,
        )
    device = parse_device_id(names[0]) if any(names) else ""
    return Wanted(device, parse_text(printable(serials[0]), what="serial") if serials else "")


def check_claimable(claim: FleetClaim, device: Device, credentials: Iterable[Credential], wanted: Wanted) -> Device:
    """Return a device of the inventory if the claim may complete it: expected, of its model and owner, never enrolled.

    Raises:
        IdentityRefused: ``fleet.taken``, ``fleet.model``.
    """
    if device.lifecycle is not Lifecycle.EXPECTED or any(True for _ in credentials):
        raise IdentityRefused(
            "fleet.taken",
            f"{device.key.device} was enrolled before; a production line's claim cannot enroll it again.",
            remedy="Give the new device another id. To enroll this one anew: holdfast claim create DEVICE.",
        )
    same_serial = not (wanted.serial and device.serial) or wanted.serial == device.serial
    if device.model != claim.model or device.owner != claim.owner or not same_serial:
        raise IdentityRefused(
            "fleet.model",
            f"{device.key.device} is expected as another device: of another model, owner or serial number.",
            remedy=f"The claim of {claim.id} is for {claim.model} of {claim.owner} alone.",
        )
    return device


def parse_hook_answer(data: bytes, limits: Limits) -> HookAnswer:
    """What the hook printed.

    Raises:
        LimitExceeded: ``hook.answer``.
        HostileData: ``hook.answer``.
    """
    if len(data) > limits.hook_bytes:
        raise LimitExceeded("hook.answer", "The provisioning hook's answer is too long.", remedy=_HOOK)
    try:
        return msgspec.json.decode(data, type=HookAnswer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HostileData(
            "hook.answer", f"The provisioning hook's answer cannot be read: {error}.", remedy=_HOOK
        ) from None


def check_hook_answer(answer: HookAnswer) -> tuple[DeviceId | None, Labels]:
    """The id and labels that the hook gave, if it allows the device.

    Raises:
        IdentityRefused: ``fleet.hook``.
        HostileData: ``name.invalid``, ``device.labels``, ``device.text``.
    """
    if not answer.allow:
        why = printable(answer.why)[:200]
        raise IdentityRefused(
            "fleet.hook",
            f"The provisioning hook refuses this device{': ' + why if why else ''}.",
            remedy="Ask whoever runs the production line's records.",
        )
    device = parse_device_id(answer.device) if answer.device else None
    return device, parse_labels(tuple(sorted(answer.labels.items())))


_HOOK = "Let it print one JSON object: allow, and if it likes device, labels, why (docs/how-to/enroll-devices.md)."


def _over(code: str, sentence: str) -> IdentityRefused:
    return IdentityRefused(code, sentence, remedy="Ask an operator for another: holdfast fleet-claim create LINE.")
