"""What a kept evidence was appraised by, fetched again: the state before it, the log, the ground and its statements.

1. Nothing that lies on disk is believed to be what was put there: the ground and its statements must have the digest
   that they are kept under, and what cannot be read is refused rather than guessed.
2. An event log is kept packed, under the digest of the section that brought it; whether it is the log is what the
   quote says.
3. The evidence's own row is not checked here: the evidence after it names its digest (`AttestationService.replay`).
"""

from __future__ import annotations

import msgspec

from holdfast.attestation.appraiser import key_of, log_in
from holdfast.ports.store import Store
from holdfast_core.attestation.facts import Facts
from holdfast_core.attestation.ground import Ground, ground
from holdfast_core.attestation.model import AttestationKey, DeviceState, KeptEvidence, Policy
from holdfast_core.attestation.quote import Nonce
from holdfast_core.attestation.reference import Judged, Standing, parse_statement
from holdfast_core.formats.tpm.public import Public
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import Scope
from holdfast_core.wire.attestation import Evidence

_EVIDENCE: msgspec.json.Decoder[Evidence] = msgspec.json.Decoder(Evidence)
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Document(msgspec.Struct, frozen=True):
    """The bytes of a basis."""

    policy: Policy
    releases: tuple[tuple[str, Digest, Standing], ...]


_DOCUMENT = msgspec.json.Decoder(_Document)
_STATE = msgspec.msgpack.Decoder(DeviceState)


async def facts_of(store: Store, kept: KeptEvidence) -> Facts:
    """The facts that `kept` was appraised by.

    Raises:
        HostileData: ``attestation.ground_lost``, ``attestation.evidence_spoilt`` (409).
    """
    scope = kept.key.scope
    try:
        before, evidence = _STATE.decode(kept.before), _EVIDENCE.decode(kept.body)
    except _UNREADABLE:
        raise _spoilt(f"evidence {kept.number} of {kept.key.device}") from None
    return Facts(
        device=kept.key.device,
        now=kept.at,
        nonce=Nonce(kept.nonce, kept.nonce_until, before.nonce_used),
        key=_key(kept),
        ground=await _ground(store, scope, kept.basis),
        before=msgspec.structs.replace(before, boot=None),  # read from the log again, not believed
        evidence=evidence,
        log=log_in(await store.blob(scope, Digest(kept.log))) if kept.log else None,
        log_digest=kept.log,
    )


def _key(kept: KeptEvidence) -> Public | bytes | None:
    bound = AttestationKey(
        kept.key.scope, kept.key.device, method=kept.method, public=kept.public, bound_at=kept.at, by="replay"
    )
    try:
        return key_of(bound)
    except HostileData:
        raise _spoilt(f"the key of evidence {kept.number} of {kept.key.device}") from None


async def _ground(store: Store, scope: Scope, basis: Digest) -> Ground:
    """The ground of an old verdict, from what was kept under its digest."""
    try:
        told = _DOCUMENT.decode(await _whole(store, scope, basis))
    except _UNREADABLE:
        raise _spoilt(f"what was kept under {basis[:20]}…") from None
    judged = []
    for _, digest, standing in told.releases:
        statement = parse_statement(await _whole(store, scope, digest))
        judged.append(Judged(statement, digest, standing))
    return ground(told.policy, tuple(judged))


async def _whole(store: Store, scope: Scope, digest: Digest) -> bytes:
    """The bytes that are kept under their own digest."""
    data = await store.blob(scope, digest)
    if data is None:
        raise HostileData(
            "attestation.ground_lost",
            f"What this evidence was compared with is not here any more ({digest[:20]}…).",
            remedy="Restore the backup of that time; nothing removes it in normal running.",
        )
    if digest_of(data) != digest:
        raise _spoilt(f"what was kept under {digest[:20]}…")
    return data


def _spoilt(what: str) -> HostileData:
    return HostileData(
        "attestation.evidence_spoilt",
        f"This evidence cannot be appraised again: {what} is not what was kept.",
        remedy="Find out who or what changed the data folder. Restore a backup in which it can be replayed.",
        http_status=409,
    )
