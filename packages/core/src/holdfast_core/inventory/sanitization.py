"""The certificate of sanitization: what was erased, how, who says so; signed, and verifiable without a server.

1. It is a signed note (`formats.note`) under the log's key: a line that says what it is, so that nothing else that the
   key signs reads as one, and the certificate as canonical JSON on the second.
2. Its terms are those of NIST SP 800-88r2: method, technique, tool, verification. It is made for an erasure that was
   verified and for no other; what the verification rests on stands in it, and so does what it does not cover.
3. There is one byte form, as for every entry of the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import msgspec

from holdfast_core.formats.note import Sign, VerifierKey, open_note, serialise, sign_note
from holdfast_core.inventory.erasure import Erased, Technique
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.inventory.model import Classification, DeviceModel, Sanitizing
from holdfast_core.inventory.retirement import Retirement, Step
from holdfast_core.kernel.digests import Digest, canonical
from holdfast_core.kernel.errors import Bug, HostileData
from holdfast_core.kernel.instants import LATEST, Instant
from holdfast_core.kernel.limits import LIMITS, Limits

TITLE = "holdfast certificate of sanitization v1"
STANDARD = "NIST SP 800-88r2"

Text = Annotated[str, msgspec.Meta(max_length=LIMITS.text)]
When = Annotated[Instant, msgspec.Meta(ge=0, le=LATEST)]


class Verification(StrEnum):
    """What the word rests on."""

    DEVICE_REPORT = "device-report"
    """The device said it over its last mutually authenticated connection."""
    PERSON = "person"
    """A person said it, and kept evidence of it."""


class Sanitization(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a certificate says."""

    tenant: Text
    environment: Text
    device: Text
    model: Text
    maker: Text
    serial: Text
    media: Text
    classification: Classification | None
    """The highest of the data that its model declares; `None`: it declares none."""
    method: Sanitizing
    technique: Text
    items: Annotated[tuple[Erased, ...], msgspec.Meta(max_length=LIMITS.erased_paths)]
    tool: Text
    verification: Verification
    verified_by: Text
    verified_at: When
    ordered_by: Text
    ordered_at: When
    why: Text
    limits: tuple[Text, ...]
    """What it does not cover, in sentences."""
    issued_at: When
    evidence: Digest | None = None
    """Of what a person kept to show it."""
    standard: Text = STANDARD


_DECODER = msgspec.json.Decoder(Sanitization)

_TECHNIQUES = {
    Technique.CRYPTOGRAPHIC_ERASE: "cryptographic erase: the keys of the encrypted container were destroyed",
    Technique.KEY_OVERWRITE: "the keys of the encrypted container were overwritten",
    Technique.DISCARD: "removed, and discarded by the storage",
}
_SELF_SAID = (
    "The device carried it out and reported it itself; nobody looked at its storage afterwards. "
    "A device that was taken over can report what it did not do."
)
_DISCARDED = "Discarded blocks read as empty through the device's interface; the storage's own chips were not examined."
_SPARE = "Where the storage is flash, old copies of the keys may remain in spare blocks that only a laboratory reaches."
_KEYS = (
    "Copies of the keys or of a container's header that were made elsewhere are not covered; a container that was in "
    "use stays readable until the device is switched off."
)
_LISTED = "It covers the places that are listed and the device's own key, not the rest of its storage."


def sanitization(retirement: Retirement, device: Device, model: DeviceModel | None, now: Instant) -> Sanitization:
    """The certificate's content for an erasure that was verified.

    Raises:
        HostileData: ``sanitization.not_verified`` for any other.
    """
    word = retirement.confirmation
    if not retirement.step.is_verified:
        check_certified(retirement)
    items, limits = retirement.report.items if retirement.report and word is None else (), []
    used = tuple(dict.fromkeys(item.technique for item in items))
    if word is None:
        limits = [_SELF_SAID, _LISTED]
        limits += [_DISCARDED] if Technique.DISCARD in used else []
        limits += [_SPARE] if Technique.KEY_OVERWRITE in used else []
        limits += [_KEYS] if {Technique.CRYPTOGRAPHIC_ERASE, Technique.KEY_OVERWRITE} & {*used} else []
    scope = retirement.scope
    return Sanitization(
        tenant=scope.tenant,
        environment=scope.environment,
        device=retirement.id,
        model=device.model,
        maker=model.supplier.name if model else "",
        serial=device.serial,
        media=retirement.media,
        classification=_highest(model),
        method=word.method if word else retirement.wanted.method,
        technique=word.technique if word else "; ".join(_TECHNIQUES[t] for t in used) or "its key was removed",
        items=items,
        tool=word.tool if word else "holdfast-agent",
        verification=Verification.PERSON if word else Verification.DEVICE_REPORT,
        verified_by=word.by if word else f"device:{retirement.id}",
        verified_at=word.at if word else retirement.reported_at or now,
        ordered_by=retirement.by,
        ordered_at=retirement.at,
        why=retirement.why,
        limits=tuple(limits),
        issued_at=now,
        evidence=word.evidence if word else None,
    )


def _highest(model: DeviceModel | None) -> Classification | None:
    order = list(Classification)
    held = [item.classification for item in model.data] if model else []
    return max(held, key=order.index, default=None)


def check_certified(retirement: Retirement) -> str:
    """The certificate, or why there is none.

    Raises:
        HostileData: ``sanitization.pending``, ``sanitization.not_verified`` (409).
    """
    if retirement.certificate:
        return retirement.certificate
    if retirement.step is Step.REPORTED:
        raise HostileData(
            "sanitization.pending",
            f"{retirement.id} reported that it erased itself; its credential has not ended yet.",
            remedy="Ask again in an hour; it is certified when its credential ends.",
            http_status=409,
        )
    raise HostileData(
        "sanitization.not_verified",
        f"Nobody has verified that {retirement.id} was erased ({retirement.step.value}); nothing is certified.",
        remedy=f"Erase it and confirm that: holdfast device erased {retirement.id} --method METHOD --technique WHAT "
        "--by WHO --evidence FILE.",
        http_status=409,
    )


def certify(content: Sanitization, key: VerifierKey, sign: Sign) -> str:
    """`content` as a signed note.

    Args:
        content: what it says.
        key: the public half of the log's key.
        sign: signs bytes with the private half.
    """
    text = f"{TITLE}\n{canonical(content).decode()}\n"
    note = serialise(sign_note(text, key, sign))
    if len(note.encode()) > LIMITS.note_bytes:
        raise Bug("sanitization.too_large", "A certificate is larger than a note.", remedy="Report this.")
    return note


def read_certificate(text: str, verifiers: Sequence[VerifierKey], limits: Limits = LIMITS) -> Sanitization:
    """What the certificate `text` says, signed by at least one of `verifiers`.

    Raises:
        LimitExceeded, HostileData: those of `formats.note.open_note`, and ``sanitization.malformed``.
    """
    note = open_note(text, verifiers, limits)
    title, _, rest = note.text.partition("\n")
    if title != TITLE:
        raise _malformed("it is another kind of signed note")
    try:
        content = _DECODER.decode(rest.removesuffix("\n").encode())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(str(error)) from None
    if f"{canonical(content).decode()}\n" != rest:
        raise _malformed("it is not in canonical form")
    return content


def _malformed(why: str) -> HostileData:
    return HostileData(
        "sanitization.malformed",
        f"This is no certificate of sanitization: {why}.",
        remedy="Give the file as 'holdfast device certificate DEVICE' wrote it.",
    )
