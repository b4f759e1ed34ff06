"""Releases that can be installed: adding, approving, validating; what is missing, and where each runs.

1. Adding, approving and validating are an operator's; whoever added a release cannot approve it. Who has to agree is an
   admin's to say.
2. Whoever adds a release asks the signers of the image repository for it; only their threshold makes devices take it.
3. Taking payloads off the disk is an admin's: it cannot be undone here.
4. Reference values of releases have their own operations (``/releases``): these are about payloads.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from holdfast.update.exposure import Survey, survey
from holdfast.update.image_repository import target_of
from holdfast.update.proposals import require_targets
from holdfast.update.releases import LARGEST_SBOM, Declared
from holdfast.web.api.callers import Admin, Operator, Principal, Reader, Served
from holdfast.web.api.services import Services
from holdfast.web.api.shapes import PAGE, Limit, Text
from holdfast.web.api.update_shapes import (
    FactShape,
    NewPruning,
    NewUpdate,
    NewValidation,
    PolicyShape,
    Proposed,
    Pruned,
    PrunedShape,
    UpdateAdded,
    UpdateList,
    UpdateShape,
    policy_shape,
    update_shape,
)
from holdfast_core.kernel.digests import parse_digest
from holdfast_core.supply.model import Release

router = APIRouter(prefix="/update", tags=["releases"])

UpdateName = Annotated[str, Path(description="The release's name, MODEL:VERSION.")]


@router.get("/releases")
async def list_updates(
    caller: Reader,
    services: Served,
    *,
    model: Annotated[Text, Query(description="Only those of this model.")] = "",
    after: Annotated[Text, Query(description="The release after which the page starts.")] = "",
    limit: Limit = PAGE,
) -> UpdateList:
    """List the releases that can be installed, and where each runs."""
    seen = await survey(services.store, caller.scope, services.clock.now())
    # One more than asked for tells whether there is a next page.
    found = services.releases.listed(caller.scope, model, after=after, limit=limit + 1)
    items = [_shown(release, seen, caller, services) for release in found[:limit]]
    return UpdateList(items=items, next=items[-1].release if len(found) > limit else None)


@router.post("/prune")
async def prune_updates(wanted: NewPruning, caller: Admin, services: Served) -> Pruned:
    """Show which payloads nobody needs any more, or take them off the disk; releases themselves stay."""
    if wanted.yes:
        found = await services.pruning.prune(caller.scope, actor=caller.actor)
    else:
        found = await services.pruning.prunable(caller.scope)
    items = [PrunedShape(digest=each.digest, size=each.size, releases=list(each.releases)) for each in found]
    return Pruned(items=items, size=sum(each.size for each in found), gone=wanted.yes)


@router.post("/releases", status_code=201)
async def add_update(new: NewUpdate, caller: Operator, services: Served) -> UpdateAdded:
    """Add a release whose payload was uploaded; what the payload says of itself must agree with what is declared."""
    uploads = services.uploads
    uploads.require(caller.scope, new.artefact)
    sbom = b""
    if new.sbom:
        uploads.require(caller.scope, new.sbom)
        sbom = await uploads.small(new.sbom, LARGEST_SBOM)
    declared = Declared(
        model=new.model,
        version=new.version,
        counter=new.counter,
        kind=new.kind,
        file=new.file,
        artefact=parse_digest(new.artefact),
        hardware=tuple(dict.fromkeys(new.hardware)),
        nature=new.nature,
        svn=new.svn,
        needs=new.needs,
        support_end=new.support_end,
    )
    inspected = await uploads.inspected(new.artefact, new.kind, new.file)
    added = await services.releases.add(caller.scope, declared, inspected, sbom=sbom, actor=caller.actor)
    facts = [FactShape(name=name, value=value) for name, value in inspected.details]
    proposed = await _proposed(added, caller, services)
    return UpdateAdded(release=await _now(added, caller, services), payload_says=facts, proposed=proposed)


@router.get("/releases/{release}")
async def show_update(release: UpdateName, caller: Reader, services: Served) -> UpdateShape:
    """Show a release: what is offered, who agreed, what is missing before it may roll out, and where it runs."""
    return await _now(services.releases.require(caller.scope, release), caller, services)


@router.post("/releases/{release}/propose")
async def propose_update(release: UpdateName, caller: Operator, services: Served) -> Proposed:
    """Ask the signers of the image repository for a release that was added before there were any."""
    found = services.releases.require(caller.scope, release)
    require_targets(services.images.shelf(caller.scope).state)
    return Proposed(proposed=await _proposed(found, caller, services))


@router.post("/releases/{release}/approve")
async def approve_update(release: UpdateName, caller: Operator, services: Served) -> UpdateShape:
    """Say that a release may roll out; nobody can who added it."""
    await services.releases.approve(caller.scope, release, actor=caller.actor)
    return await _now(services.releases.require(caller.scope, release), caller, services)


@router.post("/releases/{release}/validate")
async def validate_update(release: UpdateName, new: NewValidation, caller: Operator, services: Served) -> UpdateShape:
    """Record that lab devices, which run the release now, passed their tests."""
    await services.releases.validate(
        caller.scope,
        release,
        devices=new.devices,
        results=parse_digest(new.results),
        ticket=new.ticket,
        actor=caller.actor,
    )
    return await _now(services.releases.require(caller.scope, release), caller, services)


@router.get("/policy")
async def show_update_policy(caller: Reader, services: Served) -> PolicyShape:
    """Show who has to agree before a release rolls out."""
    return policy_shape(services.releases.policy(caller.scope))


@router.post("/policy")
async def set_update_policy(policy: PolicyShape, caller: Admin, services: Served) -> PolicyShape:
    """Say who has to agree before a release rolls out."""
    made = await services.releases.set_policy(
        caller.scope, approvals=policy.approvals, lab_sites=policy.lab_sites, actor=caller.actor
    )
    return policy_shape(made)


async def _proposed(release: Release, caller: Principal, services: Services) -> bool:
    """Ask the signers for a release, where there are any and they were not asked for it yet; whether they were now."""
    scope, path = caller.scope, target_of(release).path
    if release.payload is not None:
        services.uploads.require(scope, release.payload.digest)  # it may have left the disk since it was withdrawn
    state = services.images.shelf(scope).state
    waits = any(path in each.file.targets.targets for each in services.images.proposals(scope))
    if state.targets is None or waits:
        return False
    return bool(await services.releasing.propose_release(scope, release, actor=caller.actor))


async def _now(release: Release, caller: Principal, services: Services) -> UpdateShape:
    seen = await survey(services.store, caller.scope, services.clock.now())
    return _shown(release, seen, caller, services)


def _shown(release: Release, seen: Survey, caller: Principal, services: Services) -> UpdateShape:
    releases, scope = services.releases, caller.scope
    policy = releases.policy(scope)
    everywhere = seen.sites.get(release.model, frozenset())
    return update_shape(
        release,
        releases.clearance(scope, release.id),
        policy,
        seen.of(release.id),
        lacks=releases.lacks(scope, release, everywhere),
        lacks_in_lab=releases.lacks(scope, release, everywhere & set(policy.lab_sites)),
    )
