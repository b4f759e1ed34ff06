"""Releases and their reference values, and the keys whose statements are taken.

1. A release comes as its builder signed it (DSSE); it is an operator's to add and to end, for the signature vouches for
   it. Whose signature that is, what is learned without one, and what is taken back for good, is an admin's to say.
2. A statement is given out as the very bytes that were signed.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import Field, StringConstraints

from holdfast.attestation.differing import Part, differences
from holdfast.web.api.callers import Admin, Operator, Principal, Reader, Served
from holdfast.web.api.services import Services
from holdfast.web.api.shapes import PAGE, Json, Limit, Sentence, Shape, Text, Time, Why, maybe
from holdfast_core.attestation.reference import STATEMENT_TYPE, Reference, ReleaseKey, Standing, Statement
from holdfast_core.formats.dsse import LARGEST_KEY
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.instants import parse_rfc3339, rfc3339
from holdfast_core.supply.model import ArtefactKind, parse_release_id

router = APIRouter(tags=["releases"])

ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"
LARGEST_SVN = 2**53 - 1
ReleaseName = Annotated[str, Path(description="The release's name, MODEL:VERSION.")]
KeyName = Annotated[str, Path(description="The key's name.")]


class LearnedShape(Shape):
    """That values were taken from a device, from which, and why."""

    device: str
    why: str


class ReleaseShape(Shape):
    """A release in a list.

    `standing` is ``current``, ``retired``, ``superseded`` (its `svn` is below every current release's) or ``revoked``.
    `retire_at` is the date in force. `signer` is the name of the key that signed it. `statement` is the digest of what
    was signed. The counts say how much it names.
    """

    release: str
    model: str
    version: str
    svn: int
    standing: str
    bank: str
    pcrs: list[int]
    signer: str
    statement: str
    made_at: Time
    added_at: Time
    retire_at: Time | None
    revoked_at: Time | None
    revoked_why: str
    learned: LearnedShape | None
    measurements: int
    components: int
    files: int
    file_keys: int


class ReleaseList(Shape):
    """Releases by model, the newest first."""

    items: list[ReleaseShape]


class ArtefactShape(Shape):
    """A file of a release."""

    name: str
    kind: ArtefactKind
    size: int
    digest: str


class MeasurementShape(Shape):
    """What a boot of the release measures into a register."""

    pcr: int
    digest: str
    what: str
    optional: bool


class GoldenShape(Shape):
    """The value of a whole register."""

    pcr: int
    value: str


class ComponentShape(Shape):
    """A software component of a token."""

    kind: str
    digest: str
    version: str
    signer: str


class ReleasePage(ReleaseShape):
    """A release whole, but for the files it runs: those stand in its statement."""

    artefacts: list[ArtefactShape]
    measured: list[MeasurementShape]
    golden: list[GoldenShape]
    token: list[ComponentShape]


class DeviceNames(Shape):
    """Devices in id order; `next` is what to send as `after` for the next page, null at the end."""

    items: list[str]
    next: str | None


class ChangeShape(Shape):
    """One value that is gone (``-``) or that came (``+``); `pcr` is null where it is in none."""

    sign: str
    part: Part
    pcr: int | None
    what: str
    digest: str


class ReleaseDifference(Shape):
    """What changed from one release to another."""

    before: str
    after: str
    svn_before: int
    svn_after: int
    changes: list[ChangeShape]


class Retire(Shape):
    """From when on a release is no longer good, and why."""

    at: Text
    why: Sentence


class Revoked(Shape):
    """A release that was taken back, and how many devices are known to run it."""

    release: ReleaseShape
    devices: int


class Learn(Shape):
    """A device whose last proved boot becomes a release, and why that is good enough."""

    device: Text
    version: Text
    svn: Annotated[int, Field(ge=0, le=LARGEST_SVN)]
    why: Sentence


class NewReleaseKey(Shape):
    """A public key (PEM: Ed25519, P-256 or P-384), and what it is called."""

    name: Text
    key: Annotated[str, StringConstraints(max_length=LARGEST_KEY)]


class ReleaseKeyShape(Shape):
    """A key whose statements are taken; `digest` is of its SubjectPublicKeyInfo (DER)."""

    name: str
    digest: str
    added_at: Time


class ReleaseKeyList(Shape):
    """Keys by name."""

    items: list[ReleaseKeyShape]


_ENVELOPE = {
    "requestBody": {
        "required": True,
        "description": "What `holdfast reference build` wrote.",
        "content": {ENVELOPE_TYPE: {"schema": {"type": "object"}}},
    }
}
_STATEMENT: dict[int | str, Json] = {
    200: {"content": {STATEMENT_TYPE: {"schema": {"type": "object"}}}, "description": "The bytes that were signed."}
}


@router.get("/releases")
async def list_releases(
    caller: Reader, services: Served, model: Annotated[Text, Query(description="Only those of this model.")] = ""
) -> ReleaseList:
    """List the releases, and what each is worth now."""
    found = services.references.listed(caller.scope, model)
    return ReleaseList(items=[_shown(reference, standing) for reference, standing in found])


@router.post("/releases", status_code=201, openapi_extra=_ENVELOPE)
async def add_release(request: Request, caller: Operator, services: Served) -> ReleaseShape:
    """Take a release that a trusted key signed; taking the same again changes nothing."""
    added = await services.references.add(caller.scope, await request.body(), actor=caller.actor)
    return _now(added.id, caller, services)


@router.post("/releases/learn", status_code=201)
async def learn_release(learn: Learn, caller: Admin, services: Served) -> ReleaseShape:
    """Take what a device's last boot proved as the values of a release: an exception, on record as one."""
    learned = await services.references.learn(
        caller.key(learn.device), version=learn.version, svn=learn.svn, why=learn.why, actor=caller.actor
    )
    return _now(learned.id, caller, services)


@router.get("/releases/{release}")
async def show_release(release: ReleaseName, caller: Reader, services: Served) -> ReleasePage:
    """Show a release with all that a boot of it measures."""
    reference = _required(release, caller, services)
    return _page(_now(release, caller, services), reference.statement)


@router.get("/releases/{release}/statement", response_class=Response, responses=_STATEMENT)
async def show_statement(release: ReleaseName, caller: Reader, services: Served) -> Response:
    """Get the statement of a release, to the byte as it was signed."""
    _required(release, caller, services)
    return Response(await services.references.statement(caller.scope, release), media_type=STATEMENT_TYPE)


@router.get("/releases/{release}/devices")
async def list_release_devices(
    release: ReleaseName,
    caller: Reader,
    services: Served,
    after: Annotated[Text, Query(description="The id after which the page starts.")] = "",
    limit: Limit = PAGE,
) -> DeviceNames:
    """List the devices that are known to run a release."""
    _required(release, caller, services)
    # One more than asked for tells whether there is a next page.
    found = services.references.running(caller.scope, release, after=after, limit=limit + 1)
    names = [str(key.device) for key in found]
    return DeviceNames(items=names[:limit], next=names[limit - 1] if len(names) > limit else None)


@router.get("/releases/{release}/diff/{other}")
async def compare_releases(
    release: ReleaseName,
    other: Annotated[str, Path(description="The release that comes after.")],
    caller: Reader,
    services: Served,
) -> ReleaseDifference:
    """Show what changed from one release to another."""
    before, after = (_required(name, caller, services).statement for name in (release, other))
    return ReleaseDifference(
        before=before.id,
        after=after.id,
        svn_before=before.svn,
        svn_after=after.svn,
        changes=[
            ChangeShape(sign=c.sign, part=c.part, pcr=c.register, what=c.what, digest=c.digest)
            for c in differences(before, after)
        ],
    )


@router.post("/releases/{release}/retire")
async def retire_release(release: ReleaseName, end: Retire, caller: Operator, services: Served) -> ReleaseShape:
    """Set the time from which on a release is no longer good; it is only ever brought forward."""
    _required(release, caller, services)
    await services.references.retire(caller.scope, release, parse_rfc3339(end.at), why=end.why, actor=caller.actor)
    return _now(release, caller, services)


@router.post("/releases/{release}/revoke")
async def revoke_release(release: ReleaseName, ended: Why, caller: Admin, services: Served) -> Revoked:
    """Take a release back for good; devices that run it are contraindicated at once, also those that are away."""
    _required(release, caller, services)
    _, devices = await services.references.revoke(caller.scope, release, why=ended.why, actor=caller.actor)
    return Revoked(release=_now(release, caller, services), devices=devices)


@router.get("/release-keys")
async def list_release_keys(caller: Reader, services: Served) -> ReleaseKeyList:
    """List the keys whose statements are taken."""
    return ReleaseKeyList(items=[_key(key) for key in services.references.keys(caller.scope)])


@router.post("/release-keys", status_code=201)
async def trust_release_key(new: NewReleaseKey, caller: Admin, services: Served) -> ReleaseKeyShape:
    """Take the statements of a key."""
    data = new.key.encode("utf-8", "replace")
    return _key(await services.references.trust(caller.scope, new.name, data, actor=caller.actor))


@router.post("/release-keys/{name}/distrust")
async def distrust_release_key(name: KeyName, ended: Why, caller: Admin, services: Served) -> ReleaseKeyShape:
    """Take no more statements of a key; releases that it signed stay until they are revoked."""
    return _key(await services.references.distrust(caller.scope, name, why=ended.why, actor=caller.actor))


def _required(name: str, caller: Principal, services: Services) -> Reference:
    """The release. Raises HostileData ``release.name``, ``name.invalid``, ``reference.unknown`` (404)."""
    parse_release_id(name)
    return services.references.require(caller.scope, name)


def _now(name: str, caller: Principal, services: Services) -> ReleaseShape:
    """The release as it is worth now."""
    reference = services.references.require(caller.scope, name)
    listed = services.references.listed(caller.scope, reference.statement.model)
    # So many newer ones may be there that this one is compared with nothing any more: it is worth nothing then.
    past = Standing.SUPERSEDED if reference.revoked_at is None else Standing.REVOKED
    return _shown(reference, next((standing for each, standing in listed if each.id == name), past))


def _shown(reference: Reference, standing: Standing) -> ReleaseShape:
    said = reference.statement
    return ReleaseShape(
        release=reference.id,
        model=said.model,
        version=said.version,
        svn=said.svn,
        standing=standing.value,
        bank=said.bank,
        pcrs=sorted(said.registers),
        signer=reference.signer,
        statement=reference.digest,
        made_at=rfc3339(said.made_at),
        added_at=rfc3339(reference.added_at),
        retire_at=maybe(reference.retire_at),
        revoked_at=maybe(reference.revoked_at),
        revoked_why=reference.revoked_why,
        learned=LearnedShape(device=said.learned.device, why=said.learned.why) if said.learned else None,
        measurements=len(said.measurements),
        components=len(said.components),
        files=len(said.files),
        file_keys=len(said.file_keys),
    )


def _page(shown: ReleaseShape, said: Statement) -> ReleasePage:
    return ReleasePage(
        **shown.model_dump(),
        artefacts=[ArtefactShape(name=a.name, kind=a.kind, size=a.size, digest=a.digest) for a in said.artefacts],
        measured=[
            MeasurementShape(pcr=m.register, digest=m.digest, what=m.what, optional=m.optional)
            for m in sorted(said.measurements, key=lambda m: m.register)
        ],
        golden=[GoldenShape(pcr=g.register, value=g.value) for g in said.golden],
        token=[
            ComponentShape(kind=c.kind, digest=c.digest, version=c.version, signer=c.signer) for c in said.components
        ],
    )


def _key(key: ReleaseKey) -> ReleaseKeyShape:
    return ReleaseKeyShape(name=key.id, digest=digest_of(key.public), added_at=rfc3339(key.added_at))
