"""How devices stand with what they booted: their state, kept evidence, signed results, old verdicts made again.

1. Reading is for readers. Naming the key of a device's tokens is an operator's, as pinning a chip is. Forgetting what a
   TPM counted can hide a clone, so it is an admin's.
2. A result is a JWT (EAR) and is sent as one, for whoever asks to hand on to somebody who trusts no word of ours.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import ConfigDict, Field, StringConstraints

from holdfast.attestation.service import EVIDENCE_PAGE, Attested, Replayed
from holdfast.ports.lookup import require_device
from holdfast.web.api.callers import Admin, Operator, Reader, Served
from holdfast.web.api.shapes import DeviceName, ReasonShape, Shape, Time, Why, maybe, reasons
from holdfast_core.attestation.ear import PROFILE
from holdfast_core.attestation.explaining import Explanation
from holdfast_core.attestation.model import AttestationKey, Counters, KeptEvidence, Method, Vector
from holdfast_core.attestation.quote import registers_of
from holdfast_core.attestation.tokens import LARGEST_KEY
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.instants import rfc3339

router = APIRouter(prefix="/devices/{device}/attestation", tags=["attestation"])

RESULT_TYPE = f'application/eat+jwt; eat_profile="{PROFILE}"'
"""RFC 9782, section 4.1."""
LOG_TYPE = "application/octet-stream"
LARGEST_NUMBER = 2**53 - 1
Number = Annotated[int, Field(ge=1, le=LARGEST_NUMBER)]


class VectorShape(Shape):
    """AR4SI's trustworthiness vector: 2 to 31 affirms, 32 to 95 warns, from 96 on contraindicates, 0 says nothing."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=lambda name: name.replace("_", "-"), populate_by_name=True
    )

    instance_identity: int
    configuration: int
    executables: int
    file_system: int
    hardware: int
    runtime_opaque: int
    storage_opaque: int
    sourced_data: int


class CountersShape(Shape):
    """Where the TPM's clock stood: boots, resumptions, and milliseconds that it ran."""

    resets: int
    restarts: int
    clock: int
    at: Time


class KeyShape(Shape):
    """The key whose word is taken: how it attests, the digest of its public part, and who bound it."""

    method: str
    digest: str
    bound_at: Time
    by: str


class AskedShape(Shape):
    """What the device's model asks of its evidence. `components` is null where any hardware is."""

    method: str
    bank: str
    pcrs: list[int]
    ima: bool
    secure_boot: bool
    lifecycle: list[str]
    debug_off: bool
    tamper_proof: bool
    components: list[str] | None


class AttestationPage(Shape):
    """How a device stands now.

    `tier` is null where nothing was ever appraised; `freshness` is ``never``, ``pending``, ``fresh`` or ``stale``.
    `refused` is why evidence was refused since the last that counted. `svn` is null where no release is known.
    """

    device: str
    tier: str | None
    freshness: str
    reasons: list[ReasonShape]
    vector: VectorShape
    release: str
    svn: int | None
    appraised_at: Time | None
    valid_until: Time | None
    refused: ReasonShape | None
    evidence: int
    log: str
    counters: CountersShape | None
    cloned: bool
    files: int
    unknown_files: int
    key: KeyShape | None
    asked: AskedShape


class EvidenceShape(Shape):
    """One evidence that was kept, and what it came to then; `taken` is false where it was refused."""

    number: int
    at: Time
    taken: bool
    method: str
    tier: str
    freshness: str
    reasons: list[ReasonShape]
    vector: VectorShape
    release: str
    model: str
    basis: str
    log: str


class EvidenceList(Shape):
    """Evidence, newest first; `next` is what to send as `before` for the next page, null at the end."""

    items: list[EvidenceShape]
    next: int | None


class Which(Shape):
    """An evidence by its number; without one, the newest."""

    number: Number | None = None


class ReplayedShape(Shape):
    """An old evidence appraised again by today's rules, on the ground of its day.

    `same` says whether the same came out. `chained` says whether it is still what the evidence after it (or the
    device's state) names, and the one before still what it names. `tier` is null where it is refused; `reason` then
    says why.
    """

    evidence: EvidenceShape
    same: bool
    chained: bool
    tier: str | None
    reasons: list[ReasonShape]
    reason: str
    vector: VectorShape | None
    release: str


class NewTokenKey(Shape):
    """The public key (PEM) that signs the device's tokens."""

    key: Annotated[str, StringConstraints(max_length=LARGEST_KEY)]


class DifferenceShape(Shape):
    """One way in which a boot differs from its nearest release; `known_as` is where else the digest is known."""

    pcr: int
    digest: str
    sentence: str
    event: int | None
    known_as: list[str]


class ExplanationShape(Shape):
    """The release that was booted, or the nearest one and how the boot differs from it."""

    device: str
    release: str
    standing: str
    summary: str
    differences: list[DifferenceShape]


_TEXT = {"schema": {"type": "string"}}
_BYTES = {"schema": {"type": "string", "format": "binary"}}


@router.get("")
async def show_attestation(device: DeviceName, caller: Reader, services: Served) -> AttestationPage:
    """Show how a device stands with what it booted."""
    return _page(device, services.attestation.show(caller.key(device)))


@router.get("/evidence")
async def list_evidence(
    device: DeviceName,
    caller: Reader,
    services: Served,
    before: Annotated[
        int | None, Query(ge=1, le=LARGEST_NUMBER, description="Only evidence with a lower number.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=EVIDENCE_PAGE, description="How many at most.")] = EVIDENCE_PAGE,
) -> EvidenceList:
    """List the evidence that was kept of a device, newest first, also what was refused."""
    found = await services.attestation.evidences(caller.key(device), before=before, limit=limit)
    more = len(found) == limit and found[-1].number > 1
    return EvidenceList(items=[_evidence(kept) for kept in found], next=found[-1].number if more else None)


@router.get(
    "/log",
    response_class=Response,
    responses={200: {"content": {LOG_TYPE: _BYTES}, "description": "The event log, in the firmware's own form."}},
)
async def show_event_log(
    device: DeviceName,
    caller: Reader,
    services: Served,
    number: Annotated[
        int | None, Query(ge=1, le=LARGEST_NUMBER, description="Of this evidence; without it, of the last good boot.")
    ] = None,
) -> Response:
    """Get the event log that an evidence was of, by default that of the last boot that was proved."""
    return Response(await services.attestation.log(caller.key(device), number), media_type=LOG_TYPE)


@router.post("/replay")
async def replay_evidence(device: DeviceName, which: Which, caller: Reader, services: Served) -> ReplayedShape:
    """Appraise a kept evidence again, by nothing but what was kept, and say whether the same comes out."""
    return _replayed(await services.attestation.replay(caller.key(device), which.number))


@router.get(
    "/result",
    response_class=Response,
    responses={200: {"content": {RESULT_TYPE: _TEXT}, "description": "The result, signed with the log's key."}},
)
async def show_result(device: DeviceName, caller: Reader, services: Served) -> Response:
    """Get the attestation result of now (EAR), as a JWT that anybody with the log's key can verify offline."""
    # The framework would add a charset, which this type does not have, to a text.
    return Response(services.attestation.result(caller.key(device)).encode(), headers={"content-type": RESULT_TYPE})


@router.get("/explain")
async def explain_boot(device: DeviceName, caller: Reader, services: Served) -> ExplanationShape:
    """Explain why a device's boot is of the release that it is, or of none."""
    return _explained(device, await services.references.explain(caller.key(device)))


@router.post("/key", status_code=201)
async def bind_token_key(device: DeviceName, new: NewTokenKey, caller: Operator, services: Served) -> KeyShape:
    """Name the key that signs a device's tokens, as its maker lists it."""
    public = new.key.encode("utf-8", "replace")
    return _key(await services.attestation.bind_token_key(caller.key(device), public, actor=caller.actor))


@router.post("/reset")
async def reset_attestation(device: DeviceName, why: Why, caller: Admin, services: Served) -> AttestationPage:
    """Forget what is remembered of a device's TPM, also that it was cloned; its next evidence begins anew."""
    key = caller.key(device)
    require_device(services.store, key)
    await services.attestation.reset(key, why=why.why, actor=caller.actor)
    return _page(device, services.attestation.show(key))


def _page(device: str, attested: Attested) -> AttestationPage:
    state, appraisal, policy = attested.state, attested.appraisal, attested.policy
    return AttestationPage(
        device=device,
        tier=appraisal.tier.value if appraisal else None,
        freshness=attested.freshness.value,
        reasons=reasons(appraisal.reasons) if appraisal else [],
        vector=_vector(state.vector),
        release=state.release,
        svn=state.svn if state.release else None,
        appraised_at=maybe(appraisal.appraised_at if appraisal else None),
        valid_until=maybe(appraisal.valid_until if appraisal else None),
        refused=reasons([state.refused])[0] if state.refused else None,
        evidence=state.number,
        log=state.boot.log if state.boot else "",
        counters=_counters(state.counters) if state.counters else None,
        cloned=state.cloned,
        files=state.ima.count,
        unknown_files=state.ima.unknown,
        key=_key(attested.key) if attested.key else None,
        asked=AskedShape(
            method=policy.method.value,
            bank=policy.bank,
            pcrs=list(registers_of(policy)) if policy.method is Method.TPM else [],
            ima=policy.ima,
            secure_boot=policy.secure_boot,
            lifecycle=list(policy.lifecycle),
            debug_off=policy.debug_off,
            tamper_proof=policy.tamper_proof,
            components=None
            if policy.components is None
            else [f"{part.place} {part.identity}" for part in policy.components],
        ),
    )


def _vector(vector: Vector) -> VectorShape:
    return VectorShape(
        instance_identity=vector.instance_identity,
        configuration=vector.configuration,
        executables=vector.executables,
        file_system=vector.file_system,
        hardware=vector.hardware,
        runtime_opaque=vector.runtime_opaque,
        storage_opaque=vector.storage_opaque,
        sourced_data=vector.sourced_data,
    )


def _counters(counters: Counters) -> CountersShape:
    return CountersShape(
        resets=counters.resets, restarts=counters.restarts, clock=counters.clock, at=rfc3339(counters.at)
    )


def _key(key: AttestationKey) -> KeyShape:
    return KeyShape(method=key.method.value, digest=digest_of(key.public), bound_at=rfc3339(key.bound_at), by=key.by)


def _evidence(kept: KeptEvidence) -> EvidenceShape:
    result = kept.result
    return EvidenceShape(
        number=kept.number,
        at=rfc3339(kept.at),
        taken=kept.taken,
        method=kept.method.value,
        tier=result.tier.value,
        freshness=result.freshness.value,
        reasons=reasons(result.reasons),
        vector=_vector(result.vector),
        release=result.release,
        model=kept.model,
        basis=kept.basis,
        log=kept.log,
    )


def _replayed(replayed: Replayed) -> ReplayedShape:
    result = replayed.result
    return ReplayedShape(
        evidence=_evidence(replayed.kept),
        same=replayed.same,
        chained=replayed.chained,
        tier=result.tier.value if result else None,
        reasons=reasons(result.reasons) if result else [],
        reason=replayed.reason,
        vector=_vector(result.vector) if result else None,
        release=result.release if result else "",
    )


def _explained(device: str, told: Explanation) -> ExplanationShape:
    return ExplanationShape(
        device=device,
        release=told.release,
        standing=told.standing,
        summary=told.summary,
        differences=[
            DifferenceShape(
                pcr=each.register,
                digest=each.digest,
                sentence=each.sentence,
                event=each.event,
                known_as=list(each.known_as),
            )
            for each in told.differences
        ],
    )
