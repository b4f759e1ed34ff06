"""The part of `attestation` in the check-in: sections ``boot-log`` and ``attestation``.

1. An event log is kept once under its digest, packed, whichever devices sent it: once a quote spoke of it, and never
   for the asking. One that is not here is asked for.
2. The nonce is the one that the last reply brought: the posture holds it, so it outlives a restart, and the next reply
   replaces it, so it is good once.
3. Every evidence is kept with what its appraisal looked at, each naming the one before: an old verdict can be made
   again.
4. What came out is a leaf of the record when it is another than before; that evidence came at all is not news.
5. Evidence that says nothing leaves the last appraisal as it is: one that affirms lapses by itself. One that is held
   against the device does not: only other evidence, or a person, ends it; silence never does.
6. Of one device so much is kept a day (`DAILY_BYTES`), and a refusal once until another comes.
7. Another chip begins anew; what it is asked and the numbers of its evidence go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from holdfast.attestation.grounds import Grounds
from holdfast.ports.appraisal import Appraised, Context, Keep, SectionEvidence
from holdfast.ports.attested import state_of
from holdfast.ports.events import AttestationDoubted, Event, Noted
from holdfast.ports.store import Blob, Change, Store
from holdfast_core.attestation.facts import Facts, Outcome
from holdfast_core.attestation.ground import Ground
from holdfast_core.attestation.model import FEATURE, AttestationKey, DeviceState, KeptEvidence, Method, Result
from holdfast_core.attestation.quote import Nonce, registers_of
from holdfast_core.attestation.refusals import Effect
from holdfast_core.attestation.rules import appraise
from holdfast_core.formats.tpm.public import Public, parse_public
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.appraisals import Appraisal, Tier
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, LATEST, SECOND, Instant
from holdfast_core.record.model import Kind
from holdfast_core.wire.attestation import (
    BOOT_LOG,
    NONCE_GRACE_S,
    SECTION,
    Ask,
    BootLog,
    Evidence,
    TokenEvidence,
    TpmEvidence,
    unpack,
)
from holdfast_core.wire.codec import decode_body
from holdfast_core.wire.schedule import SPREAD

DEFAULT_MAX_AGE = DAY
KEYS_REMEMBERED = 4_096
DAILY_BYTES = 8 * 1024 * 1024
"""Of one device. A first list of ten thousand files, with its boot log, has about one."""
_EVIDENCE: msgspec.json.Decoder[Evidence] = msgspec.json.Decoder(Evidence)
_BOOT_LOG = msgspec.json.Decoder(BootLog)
encode_state = msgspec.msgpack.Encoder().encode


@lru_cache(maxsize=KEYS_REMEMBERED)
def _parsed(public: bytes) -> Public:
    return parse_public(public)


def key_of(bound: AttestationKey | None) -> Public | bytes | None:
    """A bound key in the form that appraisals take."""
    if bound is None:
        return None
    return _parsed(bound.public) if bound.method is Method.TPM else bound.public


class BootLogAppraiser:
    """Reads section ``boot-log``: whether the log has to come whole. What it says is for `AttestationAppraiser`."""

    section = BOOT_LOG

    def appraise(self, evidence: SectionEvidence, context: Context) -> Appraised:
        """See the port."""
        if evidence.body is None:
            known = context.posture.sections.get(BOOT_LOG)
            is_kept = evidence.digest in context.blobs or (known is not None and known.digest == evidence.digest)
            return Appraised(wants_body=not is_kept)
        return Appraised(keep=Keep.NOT)


def packed_in(section: SectionEvidence | None) -> bytes | None:
    """The event log in a section, packed as it came; `None` where only its digest did.

    Raises:
        HostileData: ``checkin.section_malformed``.
    """
    if section is None or section.body is None:
        return None
    return decode_body(section.body, _BOOT_LOG, section=BOOT_LOG).log


class AttestationAppraiser:
    """Reads section ``attestation``."""

    section = SECTION

    def __init__(self, store: Store, grounds: Grounds) -> None:
        self._store = store
        self._grounds = grounds

    def reaches(self, _evidence: SectionEvidence, context: Context) -> Sequence[Digest]:
        """The event log, where it only came as its digest and was not read on this ground yet."""
        log = context.sections.get(BOOT_LOG)
        if log is None or log.body is not None:
            return ()
        boot = state_of(context.posture).boot
        ground = self._grounds.of(context.model, context.now)
        if boot is not None and (boot.log, boot.basis) == (log.digest, ground.basis):
            return ()
        return (log.digest,)

    def appraise(self, evidence: SectionEvidence, context: Context) -> Appraised:
        """See the port."""
        ground = self._grounds.of(context.model, context.now)
        scope, device = context.device.key.scope, context.device.key.device
        bound = self._store.kept(AttestationKey, scope, device)
        before = state_of(context.posture)
        if evidence.body is None or ground.policy.method is Method.NONE:
            answer = _answer(ground, before, context)
            return Appraised(wants_body=evidence.body is None, answer=answer, state=encode_state(before))
        said = decode_body(evidence.body, _EVIDENCE, section=SECTION)
        facts, outcome, bound = _read(context, said, before, ground, bound)
        state = outcome.state
        changes: list[Change] = []
        if bound is not None and isinstance(said, TpmEvidence | TokenEvidence) and _is_kept(facts, outcome):
            state, changes = _kept(context, facts, outcome, bound, bytes(evidence.body))
        if outcome.result is not None:
            state = msgspec.structs.replace(state, fresh_until=_fresh_until(evidence, context))
        if outcome.result is not None and outcome.effect is not Effect.INCIDENT and bound is not None:
            state = msgspec.structs.replace(state, signer=digest_of(bound.public))
        wants = (BOOT_LOG,) if outcome.wants_log else ()
        return Appraised(
            appraisal=_appraisal(outcome.result, evidence, context),
            wants_body=outcome.again,
            wants=wants,
            state=encode_state(state),
            basis=ground.basis,
            events=tuple(_events(context, before, outcome, ground)),
            changes=tuple(changes),
            answer=_answer(ground, state, context),
        )


def _read(
    context: Context, said: Evidence, state: DeviceState, ground: Ground, bound: AttestationKey | None
) -> tuple[Facts, Outcome, AttestationKey | None]:
    """The evidence by the key that is bound; by the chip's key before it, as long as the new one was never used."""
    facts = _facts(context, said, _begun(state, bound), ground, bound)
    outcome = appraise(facts)
    if bound is None or not bound.previous or not _is_foreign(outcome) or state.signer == digest_of(bound.public):
        return facts, outcome, bound
    earlier = msgspec.structs.replace(bound, public=bound.previous, previous=b"")
    by_earlier = _facts(context, said, _begun(state, earlier), ground, earlier)
    told = appraise(by_earlier)
    return (facts, outcome, bound) if _is_foreign(told) else (by_earlier, told, earlier)


def _is_foreign(outcome: Outcome) -> bool:
    return outcome.reason is not None and outcome.reason.code == "attestation.signature"


def _begun(state: DeviceState, bound: AttestationKey | None) -> DeviceState:
    """What is remembered of the chip whose key is bound now, and of the key: each has counters of its own."""
    if bound is None:
        return state
    signer = digest_of(bound.public)
    chip = bound.ek or signer
    if state.chip not in ("", chip):
        state = DeviceState(
            number=state.number,
            chain=state.chain,
            basis=state.basis,
            nonce_used=state.nonce_used,
            day=state.day,
            kept_today=state.kept_today,
        )
    elif state.signer not in ("", signer):
        state = msgspec.structs.replace(state, counters=None, left=None, backs=())
    return msgspec.structs.replace(state, chip=chip)


def _is_kept(facts: Facts, outcome: Outcome) -> bool:
    """Whether the evidence says something, is a part of what will, or is refused for another reason than the last."""
    if facts.too_much or outcome.result is not None or outcome.reason is None:
        return not facts.too_much
    is_part = outcome.reason.code == "attestation.ima_pending"
    return is_part or facts.before.refused is None or facts.before.refused.code != outcome.reason.code


def _size(context: Context) -> int:
    """Bytes of evidence in this check-in, as they came."""
    sections = (context.sections.get(name) for name in (SECTION, BOOT_LOG))
    return sum(len(bytes(section.body)) for section in sections if section is not None and section.body is not None)


def _facts(
    context: Context, said: Evidence, before: DeviceState, ground: Ground, bound: AttestationKey | None
) -> Facts:
    posture = context.posture
    until = Instant((posture.next_due or 0) + NONCE_GRACE_S * SECOND)
    log = context.sections.get(BOOT_LOG)
    data = None
    if log is not None:
        packed = packed_in(log)
        data = unpack(packed) if packed is not None else log_in(context.blobs.get(log.digest))
    today = context.now // DAY
    sent = _size(context) + (before.kept_today if before.day == today else 0)
    before = msgspec.structs.replace(before, day=today, kept_today=sent)
    return Facts(
        device=context.device.key.device,
        now=context.now,
        nonce=Nonce(posture.nonce, until, before.nonce_used),
        key=key_of(bound),
        ground=ground,
        before=before,
        evidence=said,
        log=data,
        log_digest=log.digest if log is not None else "",
        too_much=sent > DAILY_BYTES,
    )


def log_in(blob: bytes | None) -> bytes | None:
    """The event log that a blob keeps packed; `None` where it keeps something else, which a device may have named."""
    try:
        return unpack(blob) if blob is not None else None
    except HostileData:
        return None


def _kept(
    context: Context, facts: Facts, outcome: Outcome, bound: AttestationKey, body: bytes
) -> tuple[DeviceState, list[Change]]:
    """The state that names the kept evidence, and what is kept: the evidence, and its ground where that is another."""
    scope, before = context.device.key.scope, facts.before
    nothing = Result(Tier.NONE, before.freshness, before.vector, (outcome.reason,) if outcome.reason else ())
    kept = KeptEvidence(
        key=context.device.key,
        number=before.number + 1,
        at=facts.now,
        previous=before.chain,
        nonce=facts.nonce.given,
        nonce_until=facts.nonce.until,
        public=bound.public,
        method=bound.method,
        model=context.device.model,
        basis=facts.ground.basis,
        body=body,
        log=facts.log_digest,
        before=encode_state(before),
        result=outcome.result or nothing,
        taken=outcome.result is not None,
    )
    chain = digest_of(encode_state(kept))
    changes: list[Change] = [kept]
    if before.basis != facts.ground.basis:
        changes.append(Blob(scope, facts.ground.basis, facts.ground.document))
    log = context.sections.get(BOOT_LOG)
    # Only under this device's signature: what nobody vouched for is not kept.
    vouched = outcome.result is not None and outcome.effect is not Effect.INCIDENT
    packed = packed_in(log) if vouched else None
    if log is not None and packed is not None:
        changes.append(Blob(scope, log.digest, packed))
    state = msgspec.structs.replace(outcome.state, number=kept.number, chain=chain, basis=facts.ground.basis)
    return state, changes


def _appraisal(result: Result | None, evidence: SectionEvidence, context: Context) -> Appraisal | None:
    if result is None:
        return None
    against = result.tier is Tier.CONTRAINDICATED
    until = Instant(LATEST) if against else _fresh_until(evidence, context)
    return Appraisal(FEATURE, result.tier, result.reasons, context.now, until)


def _fresh_until(evidence: SectionEvidence, context: Context) -> Instant:
    return Instant(evidence.gathered_at + context.policy.max_age(FEATURE, DEFAULT_MAX_AGE))


def _events(context: Context, before: DeviceState, outcome: Outcome, ground: Ground) -> list[Event]:
    events: list[Event] = []
    device, now, reason = context.device, context.now, outcome.reason
    if outcome.effect is Effect.INCIDENT and reason is not None:
        events.append(AttestationDoubted(device, reason, now))
    if outcome.result is None:
        if reason is not None and (before.refused is None or before.refused.code != reason.code):
            events.append(_noted(Kind.ATTESTATION_REFUSED, device, {"code": reason.code}, now))
        return events
    data = told(outcome.result, outcome.state, ground.basis)
    if _is_news(context.posture.appraisal(FEATURE), outcome.result) or before.release != outcome.state.release:
        events.append(_noted(Kind.ATTESTATION_APPRAISED, device, data, now))
    return events


def _is_news(last: Appraisal | None, result: Result) -> bool:
    codes = [reason.code for reason in result.reasons]
    return last is None or last.tier is not result.tier or [reason.code for reason in last.reasons] != codes


def told(result: Result, state: DeviceState, basis: Digest) -> dict[str, object]:
    """What the record says of a result."""
    return {
        "tier": result.tier.value,
        "freshness": result.freshness.value,
        "reasons": [reason.code for reason in result.reasons],
        "release": result.release,
        "basis": basis,
        "evidence": state.number + 1,
        "before": state.chain,
    }


def _noted(kind: Kind, device: Device, data: Mapping[str, object], now: Instant) -> Noted:
    return Noted(kind, "server", device, device.key.scope, data, now)


def _answer(ground: Ground, state: DeviceState, context: Context) -> bytes:
    """What is asked of the next evidence."""
    policy = ground.policy
    if policy.method is Method.NONE:
        return msgspec.json.encode(Ask())
    # The earliest that the device can be due: a nonce that it takes for good must be good here.
    soonest = round(context.model.model.constraints.contact_interval_s * (1 - SPREAD))
    return msgspec.json.encode(
        Ask(
            bank=policy.bank,
            registers=registers_of(policy) if policy.method is Method.TPM else (),
            token=policy.method is Method.TOKEN,
            ima=policy.ima,
            ima_from=state.ima.count if policy.ima else 0,
            nonce_s=soonest + NONCE_GRACE_S,
        )
    )
