"""What people ask of attestation: how a device stands, its evidence, a signed result, an old verdict made again.

1. A result is signed for whoever asks, from what is remembered at that moment: one that is stale says so.
2. Replaying looks at nothing but what was kept: the evidence, the state before it, the log, the ground and its
   statements. It says whether the same comes out.
3. Resetting forgets what the device's TPM counted, after a person said why: a restored virtual TPM, a cleared clone.
"""

from __future__ import annotations

import msgspec

from holdfast.attestation.appraiser import encode_state, log_in
from holdfast.attestation.grounds import Grounds
from holdfast.attestation.kept import facts_of
from holdfast.ports.attested import state_of
from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, Noted
from holdfast.ports.lookup import require_device, require_living, require_posture
from holdfast.ports.signer import LogSigner
from holdfast.ports.store import Store
from holdfast.ports.verdicts import Verdicts
from holdfast_core.attestation.ear import result_claims, signed_result
from holdfast_core.attestation.model import (
    FEATURE,
    AttestationKey,
    DeviceState,
    Freshness,
    KeptEvidence,
    Method,
    Policy,
    Result,
)
from holdfast_core.attestation.rules import appraise
from holdfast_core.attestation.tokens import read_token_key
from holdfast_core.kernel.appraisals import Appraisal
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import require_why
from holdfast_core.record.model import Kind
from holdfast_core.trust.posture import Posture
from holdfast_core.wire.attestation import SECTION

EVIDENCE_PAGE = 100


class Attested(msgspec.Struct, frozen=True):
    """How a device stands at one moment. `key` is `None` where none is bound."""

    state: DeviceState
    appraisal: Appraisal | None
    freshness: Freshness
    policy: Policy
    key: AttestationKey | None


class Replayed(msgspec.Struct, frozen=True):
    """An old evidence appraised again: what was said then, what comes out now, and whether its chain holds."""

    kept: KeptEvidence
    result: Result | None
    reason: str
    same: bool
    chained: bool


def freshness_of(posture: Posture | None, now: Instant) -> Freshness:
    """How much of the present the last evidence of a device speaks of."""
    appraisal = posture.appraisal(FEATURE) if posture is not None else None
    if posture is None or appraisal is None:
        return Freshness.NEVER
    state = state_of(posture)
    return Freshness.STALE if now >= (state.fresh_until or appraisal.valid_until) else state.freshness


class AttestationService:
    """Reading attestation, and the few things that people decide about it."""

    def __init__(
        self, *, store: Store, clock: Clock, verdicts: Verdicts, emit: Emit, grounds: Grounds, signer: LogSigner
    ) -> None:
        self._store = store
        self._clock = clock
        self._verdicts = verdicts
        self._emit = emit
        self._grounds = grounds
        self._signer = signer

    def show(self, key: DeviceKey) -> Attested:
        """How a device stands now.

        Raises:
            HostileData: ``device.unknown``.
        """
        device, posture, now = require_device(self._store, key), self._store.posture(key), self._clock.now()
        stored = self._store.model(key.scope, device.model)
        policy = self._grounds.of(stored, now).policy if stored is not None else Policy(Method.NONE)
        appraisal = posture.appraisal(FEATURE) if posture is not None else None
        return Attested(
            state=state_of(posture),
            appraisal=appraisal.at(now) if appraisal is not None else None,
            freshness=freshness_of(posture, now),
            policy=policy,
            key=self._store.kept(AttestationKey, key.scope, key.device),
        )

    def result(self, key: DeviceKey) -> str:
        """The attestation result, signed: an EAR as a JWT (see `holdfast_core.attestation.ear`).

        Raises:
            HostileData: ``device.unknown``.
        """
        attested, now = self.show(key), self._clock.now()
        device, posture = require_device(self._store, key), self._store.posture(key)
        speaks = posture is not None and posture.hold is None and posture.identified and not device.lifecycle.is_over
        claims = result_claims(
            key,
            attested.state,
            attested.appraisal,
            attested.freshness,
            issuer=self._signer.origin,
            now=now,
            speaks=speaks and attested.state.refused is None,
        )
        return signed_result(claims, self._signer.key, self._signer.sign)

    async def evidences(self, key: DeviceKey, *, before: int | None, limit: int) -> list[KeptEvidence]:
        """Kept evidence of a device, newest first. Raises HostileData ``device.unknown``."""
        require_device(self._store, key)
        newest = state_of(self._store.posture(key)).number
        return await self._store.evidences(
            key, before=newest + 1 if before is None else before, limit=min(limit, EVIDENCE_PAGE)
        )

    async def log(self, key: DeviceKey, number: int | None = None) -> bytes:
        """The event log that an evidence was of; without a number, that of the last boot that was proved.

        Raises:
            HostileData: ``device.unknown``, ``attestation.no_evidence`` (404), ``attestation.no_log`` (404).
        """
        require_device(self._store, key)
        if number is None:
            boot = state_of(self._store.posture(key)).boot
            digest = boot.log if boot is not None else ""
        else:
            kept = await self._store.evidence(key, number)
            digest = _found(kept).log
        data = log_in(await self._store.blob(key.scope, Digest(digest))) if digest else None
        if data is None:
            raise HostileData(
                "attestation.no_log",
                "No event log was proved by this, or none is kept.",
                remedy="Look at what came: holdfast attest evidence DEVICE. The log of one of them: --number N.",
                http_status=404,
            )
        return data

    async def replay(self, key: DeviceKey, number: int | None = None) -> Replayed:
        """Appraise a kept evidence again, by default the newest.

        Raises:
            HostileData: ``device.unknown``, ``attestation.no_evidence`` (404), ``attestation.ground_lost``,
                ``attestation.evidence_spoilt`` (409).
        """
        if number is None:
            found = await self.evidences(key, before=None, limit=1)
            kept = found[0] if found else None
        else:
            require_device(self._store, key)
            kept = await self._store.evidence(key, number)
        kept = _found(kept)
        before = await self._store.evidence(key, kept.number - 1) if kept.number > 1 else None
        expected = digest_of(encode_state(before)) if before is not None else ""
        outcome = appraise(await facts_of(self._store, kept))
        said = kept.result.reasons[0].code if kept.result.reasons else ""
        if outcome.result is None:
            same = not kept.taken and outcome.reason is not None and outcome.reason.code == said
        else:
            same = outcome.result == kept.result
        reason = outcome.reason.code if outcome.reason is not None else ""
        chained = kept.previous == expected and await self._named_as(kept) == digest_of(encode_state(kept))
        return Replayed(kept, outcome.result, reason, same, chained=chained)

    async def _named_as(self, kept: KeptEvidence) -> str:
        """The digest that the evidence after it has for it, or, where it is the newest, the device's state."""
        posture = self._store.posture(kept.key)
        state = state_of(posture)
        if state.number == kept.number:
            return state.chain
        after = await self._store.evidence(kept.key, kept.number + 1)
        return after.previous if after is not None else ""

    async def bind_token_key(self, key: DeviceKey, public: bytes, *, actor: str) -> AttestationKey:
        """Name the key (PEM or DER) that signs a device's tokens, as its maker's list says.

        Raises:
            HostileData: ``device.unknown``, ``attestation.token_key``, ``attestation.key_in_chip`` (409).
        """
        der = read_token_key(public)
        async with self._store.exclusive(key):
            device, now = require_living(self._store, key), self._clock.now()
            known = self._store.kept(AttestationKey, key.scope, key.device)
            if known is not None and known.method is Method.TPM:
                raise HostileData(
                    "attestation.key_in_chip",
                    f"{key.device} attests with its TPM, whose key was bound when it enrolled.",
                    remedy="Leave it so. If its chip is gone, retire the device and enroll another.",
                    http_status=409,
                )
            bound = AttestationKey(key.scope, key.device, method=Method.TOKEN, public=der, bound_at=now, by=actor)
            data = {"method": Method.TOKEN.value, "key": digest_of(der)}
            noted = Noted(Kind.ATTESTATION_KEY_BOUND, actor, device, key.scope, data, now)
            await self._store.commit([bound, *self._emit(noted)])
        return bound

    async def reset(self, key: DeviceKey, *, why: str, actor: str) -> None:
        """Forget what is remembered of a device's TPM; its next evidence begins anew.

        Raises:
            HostileData: ``device.unknown``, ``device.not_enrolled``, ``why.missing``.
        """
        require_why(why)
        async with self._store.exclusive(key):
            device, posture, now = (
                require_living(self._store, key),
                require_posture(self._store, key),
                self._clock.now(),
            )
            before = state_of(posture)
            after = DeviceState(
                number=before.number, chain=before.chain, nonce_used=before.nonce_used, basis=before.basis
            )
            sections = dict(posture.sections)
            if SECTION in sections:
                sections[SECTION] = msgspec.structs.replace(sections[SECTION], body=encode_state(after))
            appraisals = tuple(appraisal for appraisal in posture.appraisals if appraisal.feature != FEATURE)
            posture = msgspec.structs.replace(posture, sections=sections, appraisals=appraisals)
            settled, follow = self._verdicts.settle(device, posture, now)
            noted = Noted(Kind.ATTESTATION_RESET, actor, device, key.scope, {"why": why}, now)
            await self._store.commit([settled, *follow, *self._emit(noted)])


def _found(kept: KeptEvidence | None) -> KeptEvidence:
    if kept is None:
        raise HostileData(
            "attestation.no_evidence",
            "There is no such evidence of this device.",
            remedy="List what there is: holdfast attest evidence DEVICE.",
            http_status=404,
        )
    return kept
