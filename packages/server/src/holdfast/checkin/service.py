"""One check-in, start to end.

1. The credential is judged here, on every request; TLS only proved that the caller holds its key.
2. Retries get the stored reply; replays, latecomers and clones are refused, and only a clone leaves a trace.
3. Appraisers read their sections, the verdict follows, contributors wish; all of it is one commit.
4. The reply is sent only after the commit is durable. A refused check-in changes nothing but what rule 2 says.
5. No feature is known here by name.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast.checkin.pace import Pace
from holdfast.ports.appraisal import (
    Appraised,
    Appraiser,
    Context,
    Contributor,
    Keep,
    Reaching,
    Rebuilding,
    SectionEvidence,
)
from holdfast.ports.clock import Clock, Randomness
from holdfast.ports.credentials import Credentials, hold_clone
from holdfast.ports.events import Emit, LogDoubted, Noted
from holdfast.ports.store import Body, Change, Store
from holdfast.ports.verdicts import Verdicts
from holdfast_core.identity.model import Credential
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.lifecycle import Device, LifecycleEvent, advance
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import Bug, HostileData
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.kernel.instants import SECOND, Instant
from holdfast_core.kernel.limits import Limits
from holdfast_core.kernel.reasons import Reason
from holdfast_core.record.model import Kind
from holdfast_core.trust.posture import Desired, OpenDirective, Posture, SectionState
from holdfast_core.trust.rules import policy_of
from holdfast_core.wire.codec import decode_check_in, encode
from holdfast_core.wire.frame import VERSION, CheckIn, DirectiveReport, DirectiveState, Reply, Section, VerdictNotice
from holdfast_core.wire.schedule import next_contact
from holdfast_core.wire.sequence import Standing

NONCE_BYTES = 16
REASONS_IN_REPLY = 4
"""Enough for a device to show what is wrong; the full list is the operator's."""
REASON_BYTES_IN_REPLY = 1_200
"""Of reasons after the first: a reply with nothing new stays under 2 KB also for a device in a bad state."""

_CLONE_SENTENCES = {
    Standing.CLONE_SEQUENCE: "A second party used this identity: a sequence number came twice with other bytes.",
    Standing.CLONE_BOOT: "A second party used this identity: two boots of it take turns.",
}


class _Said(msgspec.Struct, frozen=True):
    """What the appraisers ask for and answer."""

    wants: tuple[str, ...]
    answers: dict[str, msgspec.Raw]


class CheckInService:
    """The check-in loop.

    Args:
        store: what the server holds.
        clock: the server's time.
        randomness: for nonces.
        verdicts: makes the verdict.
        credentials: says who may speak.
        emit: tells the listeners.
        appraisers: one per section, in order.
        contributors: in order.
        limits: the bounds in force.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        randomness: Randomness,
        verdicts: Verdicts,
        credentials: Credentials,
        emit: Emit,
        appraisers: Sequence[Appraiser],
        contributors: Sequence[Contributor],
        limits: Limits,
    ) -> None:
        self._store = store
        self._clock = clock
        self._randomness = randomness
        self._verdicts = verdicts
        self._credentials = credentials
        self._emit = emit
        self._appraisers = tuple(appraisers)
        self._contributors = tuple(contributors)
        self._limits = limits
        self._pace = Pace(limits.check_ins_per_contact)
        self._claims: dict[DeviceKey, int] = {}
        """The largest log that each device said it saw, where ours was shorter: told once in a run of the server."""

    async def check_in(self, fingerprint: Digest, data: bytes) -> bytes:
        """Take the check-in `data` from the holder of the certificate with `fingerprint`; return the reply's bytes.

        Raises:
            IdentityRefused: the credential may not speak, or two parties use it.
            HostileData: the message is refused (``checkin.*``).
            LimitExceeded: ``checkin.too_often``.
            WorldError: the store could not keep it; the device should resend the same bytes later.
        """
        credential = await self._credentials.admitted(fingerprint, self._clock.now())
        self._admit(credential.key)
        message = decode_check_in(data, self._limits)
        async with self._store.exclusive(credential.key):
            # Judged again: the credential may have been revoked while this request waited for its turn.
            now = self._clock.now()
            credential = self._credentials.speaking(fingerprint, now)
            context = self._context(credential, now)
            digest = digest_of(data)
            sequence = context.posture.sequence
            standing = sequence.standing(message.boot, message.seq, digest)
            if standing is Standing.RETRY:
                return context.posture.reply
            if standing is Standing.REPLAY:
                raise _replayed(message.seq, sequence.last)
            if standing is Standing.OUT_OF_ORDER:
                raise _out_of_order(message.seq, sequence.last)
            if standing.is_clone:
                raise await self._hold_clone(context, standing)
            return await self._take(context, message, digest)

    def _admit(self, key: DeviceKey) -> None:
        device = self._store.device(key)
        model = self._store.model(key.scope, device.model) if device else None
        if model is not None:
            self._pace.admit(key, model.model.constraints.contact_interval_s * SECOND, self._clock.now())

    def _context(self, credential: Credential, now: Instant) -> Context:
        key = credential.key
        device, posture = self._store.device(key), self._store.posture(key)
        model = self._store.model(key.scope, device.model) if device else None
        if device is None or posture is None or model is None:
            # Enrollment writes all three and nothing removes them, so this is ours, not the device's.
            raise Bug(
                "checkin.incomplete_device",
                f"{key} has a credential but no complete record.",
                remedy="Run holdfast doctor on the server.",
            )
        return Context(device, model, policy_of(model.model), posture, now, credential)

    async def _hold_clone(self, context: Context, standing: Standing) -> IdentityRefused:
        """Quarantine the device until a person releases it; return what to tell the caller, be it the clone or not."""
        reason = Reason(
            f"identity.{standing.value}",
            _CLONE_SENTENCES[standing],
            "Find both users of the identity, revoke it, enroll the real device again, then release it.",
        )
        refusal = IdentityRefused(reason.code, reason.sentence, remedy=reason.remedy, http_status=409)
        device, posture, now = context.device, context.posture, context.now
        if changes := hold_clone(self._verdicts, self._emit, device=device, posture=posture, reason=reason, now=now):
            await self._store.commit(changes)
        return refusal

    async def _take(self, context: Context, message: CheckIn, digest: Digest) -> bytes:
        """Everything that a new check-in sets off, in one commit."""
        now = context.now
        changes: list[Change] = []
        if context.credential is not None:
            changes.extend(self._credentials.first_used(context.device, context.credential, now))
        context = msgspec.structs.replace(context, posture=self._heard(context, message, digest, changes))
        context = await self._gathered(context, message)
        context, said = self._appraise(context, changes)
        device = context.device
        after = advance(device.lifecycle, LifecycleEvent.CHECK_IN)
        if after is not device.lifecycle:
            device = msgspec.structs.replace(device, lifecycle=after)
            changes.append(device)
        posture, follow = self._verdicts.settle(device, context.posture, now)
        changes.extend(follow)
        context = msgspec.structs.replace(context, device=device, posture=posture)
        posture = self._contribute(context, changes)
        posture, reply = self._answer(context, posture, message, said)
        await self._store.commit([posture, *changes])
        return reply

    def _heard(self, context: Context, message: CheckIn, digest: Digest, changes: list[Change]) -> Posture:
        """The posture after the frame itself was read: order, reports on directives, the pin."""
        posture, now = context.posture, context.now
        desired = posture.desired
        for report in message.reports:
            before, desired = desired, desired.report(report)
            if desired is not before and report.state is not DirectiveState.ACCEPTED:
                changes.extend(self._note_settled(context, before, report))
        if message.pin is not None and message.pin.size > max(self._store.log_size(), self._claims.get(posture.key, 0)):
            self._claims[posture.key] = message.pin.size
            changes.extend(self._emit(_log_truncated(context.device, message.pin.size, self._store.log_size(), now)))
        return msgspec.structs.replace(
            posture,
            sequence=posture.sequence.after(message.boot, message.seq, digest, self._limits),
            last_seen=now,
            pin=message.pin,
            desired=desired,
        )

    async def _bases(self, context: Context, message: CheckIn) -> dict[str, bytes]:
        """The earlier bodies that sections say the changes to, where this server holds them.

        Only for appraisers that rebuild the whole and check its digest: for others nobody would.
        """
        bases: dict[str, bytes] = {}
        for appraiser in self._appraisers:
            name = appraiser.section
            section, known = message.sections.get(name), context.posture.sections.get(name)
            if section is None or section.base is None or not isinstance(appraiser, Rebuilding):
                continue
            if known is None or known.digest != section.base:
                continue
            body = await self._store.body(context.device.key, name, known.digest)
            if body is not None:
                bases[name] = body
        return bases

    async def _gathered(self, context: Context, message: CheckIn) -> Context:
        """The context with everything that came, and what appraisers reach for on disk."""
        bases = await self._bases(context, message)
        read = {appraiser.section for appraiser in self._appraisers} & message.sections.keys()
        baseless = {name for name in read if message.sections[name].base is not None and name not in bases}
        sections = {
            name: _evidence(name, message.sections[name], bases.get(name), context.now) for name in read - baseless
        }
        context = msgspec.structs.replace(context, sections=sections)
        blobs: dict[Digest, bytes] = {}
        for appraiser in self._appraisers:
            evidence = sections.get(appraiser.section)
            if evidence is None or not isinstance(appraiser, Reaching):
                continue
            for digest in appraiser.reaches(evidence, context):
                blob = await self._store.blob(context.device.key.scope, digest)
                if blob is not None:
                    blobs[digest] = blob
        return msgspec.structs.replace(context, blobs=blobs, baseless=frozenset(baseless))

    def _appraise(self, context: Context, changes: list[Change]) -> tuple[Context, _Said]:
        """Let every appraiser read its section; sections nobody reads are left alone."""
        wants: list[str] = []
        answers: dict[str, msgspec.Raw] = {}
        for appraiser in self._appraisers:
            name = appraiser.section
            if name in context.baseless:
                wants.append(name)
            evidence = context.sections.get(name)
            if evidence is None:
                continue
            appraised = appraiser.appraise(evidence, context)
            for event in appraised.events:
                changes.extend(self._emit(event))
            changes.extend(appraised.changes)
            if appraised.answer:
                answers[name] = msgspec.Raw(appraised.answer)
            wants.extend((*((name,) if appraised.wants_body else ()), *appraised.wants))
            if appraised.wants_body and appraised.state is None:
                continue
            posture = _remember(context.posture, name, evidence, appraised)
            context = msgspec.structs.replace(context, posture=posture)
            if appraised.keep is Keep.BY_DIGEST and evidence.body is not None:
                body = bytes(evidence.body) if appraised.whole is None else appraised.whole
                changes.append(Body(context.device.key, name, evidence.digest, body, context.now))
        return context, _Said(tuple(dict.fromkeys(wants)), answers)

    def _contribute(self, context: Context, changes: list[Change]) -> Posture:
        """Turn new wishes into numbered directives."""
        posture = context.posture
        if context.device.lifecycle.is_over:
            return posture  # what it was asked in the end is open already, and nothing else is asked of it
        for contributor in self._contributors:
            for wish in contributor.wishes(context, posture.verdict):
                if posture.desired.wants(wish):
                    desired = posture.desired.issue(wish, by="server", now=context.now)
                    posture = msgspec.structs.replace(posture, desired=desired)
                    changes.extend(self._emit(issued(context.device, desired.open[-1], context.now)))
        return posture

    def _answer(self, context: Context, posture: Posture, message: CheckIn, said: _Said) -> tuple[Posture, bytes]:
        """The reply, and the posture that remembers it."""
        interval = context.model.model.constraints.contact_interval_s
        next_s = next_contact(interval, context.device.key.device, message.seq)
        nonce = self._randomness.token(NONCE_BYTES)
        verdict = posture.verdict
        until = verdict.until if verdict.until is not None else context.now
        unseen = message.pin is None or message.pin.size != self._store.log_size()
        reply = encode(
            Reply(
                v=VERSION,
                seq=message.seq,
                now=context.now,
                next_s=next_s,
                nonce=nonce,
                verdict=VerdictNotice(verdict.level, _told(verdict.reasons), until),
                directives=posture.desired.directives(),
                wants=said.wants,
                checkpoint=self._store.checkpoint() if unseen else None,
                answers=said.answers,
            )
        )
        next_due = Instant(context.now + next_s * SECOND)
        return msgspec.structs.replace(posture, nonce=nonce, next_due=next_due, reply=reply), reply

    def _note_settled(self, context: Context, before: Desired, report: DirectiveReport) -> Sequence[Change]:
        kind = next(entry.wish.kind for entry in before.open if entry.id == report.id)
        data = {"id": report.id, "kind": kind, "state": report.state.value, "code": report.code}
        device = context.device
        return self._emit(
            Noted(Kind.DIRECTIVE_SETTLED, f"device:{device.key.device}", device, device.key.scope, data, context.now)
        )


def _told(reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    """The worst reasons, as many as a reply has room for; the first in any case."""
    told: list[Reason] = []
    left = REASON_BYTES_IN_REPLY
    for reason in reasons[:REASONS_IN_REPLY]:
        left -= len(msgspec.json.encode(reason))
        if told and left < 0:
            break
        told.append(reason)
    return tuple(told)


def issued(device: Device, directive: OpenDirective, now: Instant) -> Noted:
    """The event of a directive that was issued."""
    data = {"id": directive.id, "kind": directive.wish.kind, "args": directive.wish.digest}
    return Noted(Kind.DIRECTIVE_ISSUED, directive.by, device, device.key.scope, data, now)


def _log_truncated(device: Device, pinned: int, size: int, now: Instant) -> LogDoubted:
    reason = Reason(
        "log.truncated",
        f"{device.key.device} has seen a log of {pinned} leaves; this server holds {size}.",
        "Find out who restored or cut the data. Restore the newest backup; export and verify the log.",
    )
    return LogDoubted(device, Kind.LOG_TRUNCATION_SEEN, reason, {"pinned": pinned, "size": size}, now)


def _evidence(name: str, section: Section, base: bytes | None, now: Instant) -> SectionEvidence:
    """A section as evidence. A digest that does not fit its body is refused: it would name other evidence later.

    The digest of a section that only says what changed is that of the whole; its appraiser checks it.
    """
    gathered_at = Instant(now - section.age_s * SECOND)
    if base is not None and section.body is not msgspec.UNSET:
        return SectionEvidence(Digest(section.digest or ""), section.body, gathered_at, base)
    if section.body is msgspec.UNSET:
        return SectionEvidence(Digest(section.digest or ""), None, gathered_at)
    digest = digest_of(bytes(section.body))
    if section.digest is not None and section.digest != digest:
        raise HostileData(
            "checkin.digest_mismatch",
            f"Section {name!r} does not have the digest it names.",
            remedy="Compute the SHA-256 over the body's exact bytes as sent, or leave the digest out.",
        )
    return SectionEvidence(digest, section.body, gathered_at)


def _remember(posture: Posture, name: str, evidence: SectionEvidence, appraised: Appraised) -> Posture:
    if appraised.appraisal is not None:
        posture = posture.with_appraisal(appraised.appraisal)
    inline = appraised.keep is Keep.INLINE and evidence.body is not None
    body = bytes(evidence.body) if inline and evidence.body is not None else b""
    before = posture.sections.get(name)
    if appraised.state is not None:
        body = appraised.state
    elif not body and before is not None and before.digest == evidence.digest:
        body = before.body
    lasting = appraised.state is not None
    state = SectionState(evidence.digest, evidence.gathered_at, body, appraised.basis, lasting)
    return msgspec.structs.replace(posture, sections={**posture.sections, name: state})


def _out_of_order(seq: int, last: int) -> HostileData:
    return HostileData(
        "checkin.out_of_order",
        f"Check-in {seq} comes after {last}, which was sent later.",
        remedy="Nothing is wrong if it was given up and arrived late. Send the next check-in with a higher number.",
        http_status=409,
    )


def _replayed(seq: int, last: int) -> HostileData:
    return HostileData(
        "checkin.replayed",
        f"Check-in {seq} was answered before; the newest is {last}.",
        remedy="Nothing is wrong if this was a late duplicate. Send the next check-in with a higher number.",
        http_status=409,
    )
