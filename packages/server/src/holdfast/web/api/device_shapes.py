"""A device as the operator API shows it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field

from holdfast.attestation.service import freshness_of
from holdfast.ports.attested import state_of
from holdfast.ports.store import Store
from holdfast.web.api.shapes import (
    LONGEST_PAGE,
    PAGE,
    AnswerShape,
    Json,
    ReasonShape,
    Shape,
    Text,
    Time,
    answers,
    maybe,
    reasons,
)
from holdfast_core.baseline.inspections import InspectionRecord
from holdfast_core.baseline.model import Judged, Report
from holdfast_core.identity.model import Credential
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.inventory.retirement import Retirement, Step
from holdfast_core.inventory.rules import integrity_answer, recovery_answer, update_answer
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import Instant, rfc3339
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.trust.posture import OpenDirective, Posture
from holdfast_core.wire.frame import Level

SHOWN_SECTIONS = ("release", "health", "metrics")


class DeviceQuery(Shape):
    """Which devices to list; what is left out does not narrow."""

    level: Level | None = None
    lifecycle: Lifecycle | None = None
    model: Text = ""
    site: Text = ""
    after: Annotated[Text, Field(description="The id after which the page starts.")] = ""
    limit: Annotated[int, Field(ge=1, le=LONGEST_PAGE, description="How many at most.")] = PAGE


class NewDevice(Shape):
    """A device to expect; without a model it stays unmanaged."""

    device: Text
    model: Text = ""
    owner: Text = ""
    site: Text = ""
    zone: Text = ""
    serial: Text = ""
    labels: Annotated[dict[Text, Text], Field(max_length=LIMITS.labels, default_factory=dict)]


class AssignModel(Shape):
    """Which model a device is of."""

    model: Text


class Harden(Shape):
    """Which control to mend."""

    control: Text


class InspectionShape(Shape):
    """What an inspector saw: ``pass`` or ``fail``, on a day, and the last day on which that counts.

    `photo` is the digest of a picture, ``sha256:`` and 64 hexadecimal digits, or empty.
    """

    control: Text
    outcome: Literal["pass", "fail"]
    inspector: Text
    date: Text
    expires: Text
    photo: Text = ""
    remark: Text = ""


class InspectionList(Shape):
    """Inspections in control order."""

    items: list[InspectionShape]


def inspection(shape: InspectionShape) -> InspectionRecord:
    """The record that a shape means. Raises `HostileData` ``inspections.shape``."""
    try:
        return msgspec.convert(shape.model_dump(), InspectionRecord)
    except msgspec.ValidationError as error:
        raise HostileData(
            "inspections.shape",
            f"The inspection does not fit: {error}.",
            remedy="Days are YYYY-MM-DD, a photo is sha256: and 64 hexadecimal digits, a control is like PHY-11.",
            http_status=422,
        ) from None


class DeviceSummary(Shape):
    """A device in a list. `level` is null for one that never enrolled; `reason` is its verdict's worst."""

    device: str
    model: str
    lifecycle: str
    owner: str
    site: str
    zone: str
    serial: str
    labels: dict[str, str]
    created_at: Time
    level: str | None
    reason: ReasonShape | None
    last_seen: Time | None
    next_due: Time | None


class DeviceList(Shape):
    """Devices in id order; `next` is what to send as `after` for the next page, null at the end."""

    items: list[DeviceSummary]
    next: str | None


class RowProblemShape(Shape):
    """A line of an import that was left out, and why."""

    line: int
    code: str
    sentence: str
    remedy: str


class Imported(Shape):
    """What an import came to."""

    added: list[str]
    problems: list[RowProblemShape]


class VerdictShape(Shape):
    """What the device is allowed to be, all reasons, since when, and when it must be looked at again."""

    level: str
    reasons: list[ReasonShape]
    since: Time
    until: Time | None


class AppraisalShape(Shape):
    """One feature's reading of the evidence, as it reads now."""

    feature: str
    tier: str
    reasons: list[ReasonShape]
    appraised_at: Time
    valid_until: Time


class DirectiveShape(Shape):
    """A directive on its way to the device."""

    id: int
    kind: str
    args: Json
    issued_at: Time
    by: str
    accepted: bool


class SettledShape(Shape):
    """How the last directive of a kind ended; `about` is the control that it named, if any."""

    id: int
    kind: str
    about: str
    by: str
    digest: str
    state: str
    code: str


class DesiredShape(Shape):
    """What the device is asked to become."""

    open: list[DirectiveShape]
    settled: list[SettledShape]


class CredentialShape(Shape):
    """A certificate that was issued to the device."""

    fingerprint: str
    serial: str
    not_before: Time
    not_after: Time
    revoked_at: Time | None
    revoked_why: str


class SectionShape(Shape):
    """What the device last said in one section; it is its own word."""

    digest: str
    gathered_at: Time
    body: Any


class HoldShape(Shape):
    """A quarantine that only a person ends."""

    by: str
    at: Time
    reason: ReasonShape


class PinShape(Shape):
    """The newest checkpoint that the device has seen."""

    size: int
    root: str


class ErasedShape(Shape):
    """What became of one place."""

    path: str
    technique: str
    why: str


class RetirementShape(Shape):
    """How the end of a device's life stands.

    `step` is ``ordered``, ``by-hand``, ``reported``, ``confirmed``, ``unverified`` or ``not-owed``. `shortfall` says
    why a person is needed where the device was asked first.
    """

    step: str
    why: str
    by: str
    at: Time
    deadline: Time
    method: str
    paths: list[str]
    items: list[ErasedShape]
    shortfall: str
    verified_by: str
    withdrawn: bool
    certified: bool


class AttestedShape(Shape):
    """What the device's last good evidence came to; `release` is empty where it is of none that is known."""

    freshness: str
    release: str
    evidence: int
    refused: str


class DevicePage(DeviceSummary):
    """Everything that is known of one device. `replaces` and `replaced_by` name devices, or are empty.

    `attestation` is null where no evidence ever came.
    """

    replaces: str
    replaced_by: str
    retirement: RetirementShape | None

    verdict: VerdictShape | None
    appraisals: list[AppraisalShape]
    attestation: AttestedShape | None
    desired: DesiredShape
    credentials: list[CredentialShape]
    sections: dict[str, SectionShape]
    hold: HoldShape | None
    pin: PinShape | None
    answers: list[AnswerShape]


class JudgedShape(Shape):
    """One control of the device, after tailoring and compensation."""

    control: str
    title: str
    severity: str
    outcome: str
    reason: str
    proof: list[str]
    why: str
    remedy: str


class ReportPage(Shape):
    """The newest audit, judged now. `coverage` is the share of what was asked that could be decided, 0 to 1."""

    device: str
    judged: list[JudgedShape]
    asked: int
    decided: int
    coverage: float


class Ended(Shape):
    """How many credentials were ended."""

    ended: int


def _summary(device: Device, posture: Posture | None) -> Json:
    verdict = posture.verdict if posture else None
    worst = verdict.reasons[0] if verdict and verdict.reasons else None
    return {
        "device": device.key.device,
        "model": device.model,
        "lifecycle": device.lifecycle.value,
        "owner": device.owner,
        "site": device.site,
        "zone": device.zone,
        "serial": device.serial,
        "labels": dict(device.labels),
        "created_at": rfc3339(device.created_at),
        "level": verdict.level.value if verdict else None,
        "reason": reasons([worst])[0] if worst else None,
        "last_seen": maybe(posture.last_seen if posture else None),
        "next_due": maybe(posture.next_due if posture else None),
    }


def summary(device: Device, store: Store) -> DeviceSummary:
    """A device for a list."""
    return DeviceSummary(**_summary(device, store.posture(device.key)))


def page(device: Device, store: Store, now: Instant) -> DevicePage:
    """A device with everything that is known of it."""
    posture = store.posture(device.key)
    stored = store.model(device.key.scope, device.model)
    model = stored.model if stored else None
    told = (
        answers(integrity_answer(model, now), update_answer(model, now), recovery_answer(model, now)) if model else []
    )
    ended = store.kept(Retirement, device.key.scope, device.key.device)
    return DevicePage(
        **_summary(device, posture),
        replaces=device.replaces,
        replaced_by=device.replaced_by,
        retirement=retirement(ended) if ended else None,
        verdict=_verdict(posture) if posture else None,
        appraisals=_appraisals(posture, now) if posture else [],
        attestation=_attested(posture, now) if posture else None,
        desired=_desired(posture) if posture else DesiredShape(open=[], settled=[]),
        credentials=[_credential(credential) for credential in store.credentials_of(device.key)],
        sections=_sections(posture) if posture else {},
        hold=_hold(posture) if posture else None,
        pin=PinShape(size=posture.pin.size, root=posture.pin.root) if posture and posture.pin else None,
        answers=told,
    )


def retirement(of: Retirement) -> RetirementShape:
    """How the end of a device's life stands."""
    word, items = of.confirmation, of.report.items if of.report else ()
    reported = f"device:{of.id}" if of.step is Step.REPORTED else ""
    return RetirementShape(
        step=of.step.value,
        why=of.why,
        by=of.by,
        at=rfc3339(of.at),
        deadline=rfc3339(of.deadline),
        method=of.wanted.method.value,
        paths=list(of.wanted.paths),
        items=[ErasedShape(path=i.path, technique=i.technique.value, why=i.why) for i in items],
        shortfall=of.shortfall,
        verified_by=word.by if word else reported,
        withdrawn=of.withdrawn,
        certified=bool(of.certificate),
    )


def _verdict(posture: Posture) -> VerdictShape:
    verdict = posture.verdict
    return VerdictShape(
        level=verdict.level.value,
        reasons=reasons(verdict.reasons),
        since=rfc3339(verdict.since),
        until=maybe(verdict.until),
    )


def _appraisals(posture: Posture, now: Instant) -> list[AppraisalShape]:
    return [
        AppraisalShape(
            feature=current.feature,
            tier=current.tier.value,
            reasons=reasons(current.reasons),
            appraised_at=rfc3339(current.appraised_at),
            valid_until=rfc3339(current.valid_until),
        )
        for current in (appraisal.at(now) for appraisal in posture.appraisals)
    ]


def _attested(posture: Posture, now: Instant) -> AttestedShape | None:
    state = state_of(posture)
    if not state.number:
        return None
    return AttestedShape(
        freshness=freshness_of(posture, now).value,
        release=state.release,
        evidence=state.number,
        refused=state.refused.code if state.refused else "",
    )


def directive(entry: OpenDirective) -> DirectiveShape:
    """An open directive."""
    return DirectiveShape(
        id=entry.id,
        kind=entry.wish.kind,
        args=msgspec.json.decode(entry.wish.args),
        issued_at=rfc3339(entry.issued_at),
        by=entry.by,
        accepted=entry.accepted,
    )


def _desired(posture: Posture) -> DesiredShape:
    return DesiredShape(
        open=[directive(entry) for entry in posture.desired.open],
        settled=[
            SettledShape(
                id=entry.id,
                kind=entry.kind,
                about=entry.about,
                by=entry.by,
                digest=entry.digest,
                state=entry.state.value,
                code=entry.code,
            )
            for entry in posture.desired.settled
        ],
    )


def _credential(credential: Credential) -> CredentialShape:
    return CredentialShape(
        fingerprint=credential.fingerprint,
        serial=credential.serial,
        not_before=rfc3339(credential.not_before),
        not_after=rfc3339(credential.not_after),
        revoked_at=maybe(credential.revoked_at),
        revoked_why=credential.revoked_why,
    )


def _sections(posture: Posture) -> dict[str, SectionShape]:
    return {
        name: SectionShape(
            digest=state.digest,
            gathered_at=rfc3339(state.gathered_at),
            # Only bodies that an appraiser could decode are kept, so this is JSON.
            body=msgspec.json.decode(state.body) if state.body else None,
        )
        for name, state in posture.sections.items()
        if name in SHOWN_SECTIONS
    }


def _hold(posture: Posture) -> HoldShape | None:
    hold = posture.hold
    return HoldShape(by=hold.by, at=rfc3339(hold.at), reason=reasons([hold.reason])[0]) if hold else None


def report(device: str, of: Report) -> ReportPage:
    """A judged audit."""
    return ReportPage(
        device=device,
        judged=[_judged(judged) for judged in of.judged],
        asked=of.asked,
        decided=of.decided,
        coverage=of.coverage,
    )


def _judged(judged: Judged) -> JudgedShape:
    return JudgedShape(
        control=judged.control,
        title=judged.title,
        severity=judged.severity.value,
        outcome=judged.outcome.value,
        reason=judged.reason,
        proof=list(judged.proof),
        why=judged.why,
        remedy=judged.remedy,
    )
