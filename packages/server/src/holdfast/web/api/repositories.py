"""The update repositories: whose signatures devices take releases by, what waits for signatures, bundles.

1. Whatever people sign comes back as the file of a ceremony; what counts of it is decided by the signatures in it.
2. Keys are told in their public halves only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, cast

import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from holdfast.update.ceremony import decode_ceremony, encode_ceremony
from holdfast.update.making import Holders
from holdfast.update.proposals import Progress
from holdfast.update.standing import standing
from holdfast.web.api.callers import Admin, Operator, Reader, Served, require_admin
from holdfast.web.api.releases import UpdateName
from holdfast.web.api.shapes import Json, Shape, Text, Time
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, parse_rfc3339, rfc3339
from holdfast_core.update.agreement import Exemption
from holdfast_core.update.repository import Online

router = APIRouter(prefix="/update", tags=["repositories"])
LARGEST_SENT = 16 * 1024 * 1024
"""Bytes of a ceremony's file that is sent back: what people signed, and what it was compared with."""
LONGEST_BUNDLE_DAYS = 180
SIGNERS = 16


class FreshKeys(Shape):
    """Which of the server's own keys are made anew."""

    fresh: Annotated[list[Online], Field(max_length=len(Online))] = Field(default_factory=list)


class OnlineKeys(Shape):
    """The server's own keys by purpose: public halves (PEM)."""

    scope: str
    keys: dict[str, str]


class ProgressShape(Shape):
    """How far a file has come: signatures that count, signatures that are needed."""

    role: str
    version: int
    have: int
    need: int
    in_force: bool


class ProgressList(Shape):
    """What became of each file."""

    items: list[ProgressShape]


class RoleShape(Shape):
    """A role as it is in force."""

    repository: str
    role: str
    version: int
    expires: Time
    threshold: int
    keys: list[str]
    targets: int


class ProposalShape(Shape):
    """What waits for signatures, and why it was proposed."""

    role: str
    version: int
    whys: list[str]
    by: str
    signed: list[str]
    expires: Time


class RepositoriesShape(Shape):
    """How the repositories stand; `trouble` says why nothing is served."""

    live: bool
    trouble: str
    roles: list[RoleShape]
    proposals: list[ProposalShape]


class NewDelegation(Shape):
    """Who should sign a model's releases: public keys (PEM), and how many of them."""

    model: Text
    keys: Annotated[list[str], Field(min_length=1, max_length=SIGNERS)]
    threshold: Annotated[int, Field(ge=1, le=SIGNERS)]


class NewExemption(Shape):
    """Leave for devices to go back to a release."""

    name: Text
    release: Text
    devices: Annotated[list[Text], Field(min_length=1, max_length=1_000)]
    until: Time
    why: Text


class NewWithdrawal(Shape):
    """Why a release is taken out of the image repository."""

    why: Text


class NewBundle(Shape):
    """For which site, with which release (empty: what each device is directed to), for how many days."""

    site: Text
    release: Text = ""
    days: Annotated[int, Field(ge=1, le=LONGEST_BUNDLE_DAYS)] = LONGEST_BUNDLE_DAYS


class CarriedShape(Shape):
    """A payload that goes into a bundle."""

    name: str
    digest: str
    size: int


class BundleShape(Shape):
    """A bundle but for its payloads: files by name (base64), and which payloads belong to it."""

    site: str
    expires: Time
    files: dict[str, str]
    artefacts: list[CarriedShape]


_CEREMONY: Json = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
}
_CEREMONY_OUT: dict[int | str, Json] = {
    200: {"content": {"application/json": {"schema": {"type": "object"}}}, "description": "The file of a ceremony."}
}


@router.get("/repositories")
async def show_repositories(caller: Reader, services: Served) -> RepositoriesShape:
    """Show whose signatures are in force, and what waits for some."""
    told = msgspec.to_builtins(standing(services.images, caller.scope))
    return RepositoriesShape.model_validate(told)


@router.post("/keys")
async def show_online_keys(new: FreshKeys, caller: Admin, services: Served) -> OnlineKeys:
    """Get the server's public keys, for a root to name; those in `fresh` are made anew."""
    found = await services.images.online(caller.scope, fresh=new.fresh)
    return OnlineKeys(scope=str(caller.scope), keys={which.value: _pem(key) for which, key in found.items()})


@router.get("/ceremony", response_class=Response, responses=_CEREMONY_OUT)
async def show_ceremony(
    caller: Reader, services: Served, *, whole: Annotated[bool, Query(description="With every file in force.")] = False
) -> Response:
    """Get what waits for signatures, and what it is compared with."""
    data = encode_ceremony(services.images.ceremony(caller.scope, whole=whole))
    return Response(data, media_type="application/json")


@router.post("/ceremony", openapi_extra=_CEREMONY)
async def submit_ceremony(request: Request, caller: Operator, services: Served) -> ProgressList:
    """Take what people signed; what reaches its threshold is in force at once."""
    ceremony = decode_ceremony(await request.body())
    if ceremony.scope != str(caller.scope):
        raise HostileData(
            "repository.scope",
            f"These files are of {ceremony.scope}, and this is {caller.scope}.",
            remedy="Send them to the server and environment that they were made for.",
        )
    if not services.images.shelf(caller.scope).is_live:
        require_admin(request)  # what is trusted from here on is decided once, and not by everybody
    return _progress(await services.images.submit(caller.scope, ceremony.files, actor=caller.actor))


@router.post("/releases/{release}/withdraw")
async def withdraw_release(release: UpdateName, new: NewWithdrawal, caller: Operator, services: Served) -> ProgressList:
    """Propose that the image repository lists a release no more; its signers decide."""
    made = await services.releasing.propose_withdrawal(caller.scope, release, why=new.why, actor=caller.actor)
    return _progress((made,))


@router.post("/exemptions")
async def propose_exemption(new: NewExemption, caller: Admin, services: Served) -> ProgressList:
    """Propose leave for devices to go back to a release; the signers of `targets` decide."""
    exemption = Exemption(new.release, tuple(dict.fromkeys(new.devices)), parse_rfc3339(new.until), new.why)
    made = await services.releasing.propose_exemption(caller.scope, new.name, exemption, actor=caller.actor)
    return _progress((made,))


@router.post("/delegations")
async def propose_delegation(new: NewDelegation, caller: Admin, services: Served) -> ProgressList:
    """Propose who signs a model's releases; the signers of `targets` decide."""
    holders = Holders(tuple(_public(text) for text in new.keys), new.threshold)
    made = await services.releasing.propose_delegation(caller.scope, new.model, holders, actor=caller.actor)
    return _progress((made,))


@router.post("/bundles")
async def make_bundle(new: NewBundle, caller: Operator, services: Served) -> BundleShape:
    """Make a bundle for a site without a network; its payloads are added where they lie."""
    release = services.releases.require(caller.scope, new.release) if new.release else None
    life = new.days * DAY
    made = await services.bundling.make(caller.scope, new.site, release=release, life=life, actor=caller.actor)
    return BundleShape(
        site=made.site,
        expires=rfc3339(made.expires),
        files=cast("dict[str, str]", msgspec.to_builtins(made.files)),
        artefacts=[CarriedShape(name=each.name, digest=each.digest, size=each.size) for each in made.artefacts],
    )


def _progress(items: Sequence[Progress]) -> ProgressList:
    return ProgressList(items=[ProgressShape(**msgspec.to_builtins(each)) for each in items])


def _pem(key: ed25519.Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def _public(text: str) -> ed25519.Ed25519PublicKey:
    try:
        key = load_pem_public_key(text.encode())
    except ValueError:
        key = None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise HostileData(
            "repository.key",
            "One of the keys is no Ed25519 public key (PEM).",
            remedy="Give the public half that holdfast keys new wrote.",
        )
    return key
