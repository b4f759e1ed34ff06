"""What the operator API says of releases that can be installed, and takes to add one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from holdfast.update.exposure import Spread
from holdfast.web.api.shapes import Sentence, Shape, Text, Time
from holdfast_core.kernel.instants import rfc3339
from holdfast_core.supply.model import Nature, PayloadKind, Release
from holdfast_core.update.model import Clearance, UpdatePolicy

LARGEST_NUMBER = 2**53 - 1
BOARDS = 32
LAB_DEVICES = 64
LAB_SITES = 64
Number = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]
DigestText = Annotated[str, StringConstraints(max_length=71)]
"""Refused in words where it is none (``digest.invalid``)."""


class ArtefactPage(Shape):
    """How much of a file is here: `received` bytes from its beginning; `whole` once its digest was checked."""

    digest: str
    received: int
    size: int | None
    whole: bool


class NewUpdate(Shape):
    """A release to add. Its payload, and its bill of materials if it has one, were uploaded before."""

    model: Text
    version: Text
    counter: Number
    kind: PayloadKind
    file: Text
    artefact: DigestText
    hardware: Annotated[list[Text], Field(min_length=1, max_length=BOARDS)]
    nature: Nature
    svn: Number = 0
    needs: Number = 0
    support_end: Text = ""
    sbom: DigestText = ""


class VoteShape(Shape):
    """Somebody's approval."""

    actor: str
    at: Time


class ValidationShape(Shape):
    """That lab devices ran a release; `weak` says that their own word had to do, for their model cannot attest."""

    devices: list[str]
    results: str
    ticket: str
    actor: str
    at: Time
    weak: bool


class SpreadShape(Shape):
    """How many devices say they run a release, how many of them proved it, and how many were given it."""

    running: int
    proved: int
    given: int


class UpdateShape(Shape):
    """A release that can be installed.

    `counter` orders the releases of a model; `svn` is its security version number, `needs` the smallest counter that
    it installs over. `lacks` is what is missing before it may roll out to every device of its model, `lacks_in_lab`
    before it may at lab sites alone; nothing is missing where a list is empty.
    """

    release: str
    model: str
    version: str
    counter: int
    svn: int
    needs: int
    nature: Nature
    kind: PayloadKind
    hardware: list[str]
    file: str
    size: int
    digest: str
    support_end: str
    statement: str
    sbom: str
    added_at: Time
    by: str
    approvals: list[VoteShape]
    approvals_needed: int
    validation: ValidationShape | None
    lacks: list[str]
    lacks_in_lab: list[str]
    spread: SpreadShape


class UpdateList(Shape):
    """Releases by model, the newest first; `next` is what to send as `after` for the next page, null at the end."""

    items: list[UpdateShape]
    next: str | None


class NewPruning(Shape):
    """Whether payloads that nobody needs go now; else they are only shown."""

    yes: bool = False


class PrunedShape(Shape):
    """A payload that nobody needs: its size in bytes, and the withdrawn releases that name it."""

    digest: str
    size: int
    releases: list[str]


class Pruned(Shape):
    """Payloads that nobody needs, 250 at once; `size` is of all in bytes, `gone` says that they went."""

    items: list[PrunedShape]
    size: int
    gone: bool


class FactShape(Shape):
    """What the payload's own tool says of it."""

    name: str
    value: str


class UpdateAdded(Shape):
    """A release that was added, what its payload says of itself, and whether its signers were asked for it now.

    They are not where they were before, where they signed it already, or where the repository was not founded yet.
    """

    release: UpdateShape
    payload_says: list[FactShape]
    proposed: bool


class Proposed(Shape):
    """Whether the signers were asked now: they are not where they were before, or signed it already."""

    proposed: bool


class NewValidation(Shape):
    """Which lab devices ran a release, the digest of the tests' report, and the change's name elsewhere."""

    devices: Annotated[list[Text], Field(min_length=1, max_length=LAB_DEVICES)]
    results: DigestText
    ticket: Sentence


class PolicyShape(Shape):
    """How many people who did not add a release have to approve it, and which sites are labs.

    With lab sites, a release rolls out elsewhere only after its validation.
    """

    approvals: Annotated[int, Field(ge=0, le=8)]
    lab_sites: Annotated[list[Text], Field(max_length=LAB_SITES)]


def spread_shape(spread: Spread) -> SpreadShape:
    """How far a release has come, as it is sent."""
    return SpreadShape(running=spread.running, proved=spread.proved, given=spread.given)


def policy_shape(policy: UpdatePolicy) -> PolicyShape:
    """The policy as it is sent."""
    return PolicyShape(approvals=policy.approvals, lab_sites=list(policy.lab_sites))


def validation_shape(clearance: Clearance) -> ValidationShape | None:
    """A release's validation, where it has one."""
    found = clearance.validation
    if found is None:
        return None
    return ValidationShape(
        devices=list(found.devices),
        results=found.results,
        ticket=found.ticket,
        actor=found.actor,
        at=rfc3339(found.at),
        weak=found.weak,
    )


def update_shape(
    release: Release,
    clearance: Clearance,
    policy: UpdatePolicy,
    spread: Spread,
    *,
    lacks: tuple[str, ...],
    lacks_in_lab: tuple[str, ...],
) -> UpdateShape:
    """A release with its offer and payload, as it is sent."""
    offer, payload = release.offer, release.payload
    assert offer is not None  # noqa: S101  (`ReleaseService.require` gives no other)
    assert payload is not None  # noqa: S101  (it is set with the offer)
    return UpdateShape(
        release=release.id,
        model=release.model,
        version=release.version,
        counter=offer.counter,
        svn=offer.svn,
        needs=offer.needs,
        nature=offer.nature,
        kind=payload.kind,
        hardware=list(offer.hardware),
        file=payload.name,
        size=payload.size,
        digest=payload.digest,
        support_end=offer.support_end,
        statement=offer.statement,
        sbom=offer.sbom,
        added_at=rfc3339(release.added_at),
        by=release.by,
        approvals=[VoteShape(actor=vote.actor, at=rfc3339(vote.at)) for vote in clearance.votes],
        approvals_needed=policy.approvals,
        validation=validation_shape(clearance),
        lacks=list(lacks),
        lacks_in_lab=list(lacks_in_lab),
        spread=spread_shape(spread),
    )
