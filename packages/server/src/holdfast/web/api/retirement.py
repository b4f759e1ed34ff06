"""The end of a device's life: retiring it, giving its role to another, and what is known of its erasure."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from holdfast.identity.service import DEFAULT_CLAIM
from holdfast.ports.lookup import require_device
from holdfast.web.api import device_shapes as shapes
from holdfast.web.api.callers import Admin, Reader, Served
from holdfast.web.api.claims import ClaimMade, made
from holdfast.web.api.device_shapes import DeviceSummary, RetirementShape
from holdfast.web.api.shapes import DeviceName, Sentence, Shape, Text, Why
from holdfast_core.inventory.model import Sanitizing
from holdfast_core.inventory.retirement import DEADLINE, LONGEST_DEADLINE, Confirmation
from holdfast_core.kernel.digests import parse_digest
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, parse_rfc3339

router = APIRouter(prefix="/devices", tags=["devices"])

Days = Annotated[int, Field(ge=1, le=LONGEST_DEADLINE // DAY, description="How long to wait for its erasure.")]


class Retire(Why):
    """Why, and how long the device is waited for; with `now` it is not asked to erase itself at all."""

    days: Days = DEADLINE // DAY
    now: bool = False


class Replace(Retire):
    """Which device takes over the role; a name that nobody knows yet is added."""

    new: Text


class Retired(DeviceSummary):
    """The device, and how the end of its life stands."""

    retirement: RetirementShape


class Replaced(Shape):
    """Both devices, and the claim by which the new one enrolls; it is shown this once."""

    old: Retired
    new: DeviceSummary
    claim: ClaimMade


class Erasure(Shape):
    """A person's word: by what method, technique and tool, who did it, when, and the digest of what shows it."""

    method: Sanitizing
    technique: Sentence
    tool: Text = ""
    by: Sentence
    at: Annotated[Text, Field(description="RFC 3339; left out: now.")] = ""
    evidence: Text


class SanitizationCertificate(Shape):
    """The signed certificate of sanitization, and the key that it verifies with."""

    certificate: str
    verifier_key: str


@router.post("/{device}/retire")
async def retire_device(device: DeviceName, body: Retire, caller: Admin, services: Served) -> Retired:
    """End a device's life: its rights end now, its erasure is ordered, and its name is never used again."""
    key = caller.key(device)
    await services.retirement.retire(key, why=body.why, actor=caller.actor, at_once=body.now, lifetime=body.days * DAY)
    return _retired(device, caller, services)


@router.post("/{device}/replace")
async def replace_device(device: DeviceName, body: Replace, caller: Admin, services: Served) -> Replaced:
    """Give a device's role to another, and retire it; keys never move."""
    new = await services.replacement.replace(
        caller.key(device),
        body.new,
        why=body.why,
        actor=caller.actor,
        at_once=body.now,
        lifetime=body.days * DAY,
    )
    text, claim = await services.identity.create_claim(new.key, lifetime=DEFAULT_CLAIM, actor=caller.actor)
    return Replaced(
        old=_retired(device, caller, services),
        new=shapes.summary(new, services.store),
        claim=made(services, text, claim),
    )


@router.post("/{device}/erased")
async def confirm_erasure(device: DeviceName, body: Erasure, caller: Admin, services: Served) -> Retired:
    """Take a person's word that a retired device was erased; it is certified then."""
    for what, said in (("technique", body.technique), ("by", body.by)):
        if not said:
            raise HostileData(
                "retirement.text", f"Nothing is said for {what}.", remedy="Say how it was erased, and who did it."
            )
    now = services.clock.now()
    at = parse_rfc3339(body.at) if body.at else now
    if at > now:
        raise HostileData("retirement.text", "That moment has not come.", remedy="Say when it was erased.")
    word = Confirmation(body.method, body.technique, body.tool, body.by, at, parse_digest(body.evidence))
    await services.retirement.confirm(caller.key(device), word, actor=caller.actor)
    return _retired(device, caller, services)


@router.get("/{device}/certificate")
async def show_certificate(device: DeviceName, caller: Reader, services: Served) -> SanitizationCertificate:
    """Show the certificate of sanitization of a retired device."""
    found = services.retirement.certificate(caller.key(device))
    return SanitizationCertificate(certificate=found, verifier_key=services.record.verifier_key())


def _retired(device: str, caller: Admin, services: Served) -> Retired:
    key = caller.key(device)
    shown = shapes.summary(require_device(services.store, key), services.store)
    return Retired(**shown.model_dump(), retirement=shapes.retirement(services.retirement.require(key)))
