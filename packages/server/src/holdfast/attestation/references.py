"""Releases and their reference values: whose word is taken, adding, retiring, revoking, learning, explaining.

1. A statement is taken under a trusted key only, once; the same release with other values is refused.
2. Revoking and retiring early are a person's, with a reason, and at once: also devices that are away, or are fresh, are
   judged by it from that moment on, for what they run is known.
3. Learning takes the values that one device's last evidence proved. It is an exception that names device and reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast.attestation.appraiser import encode_state, log_in
from holdfast.attestation.grounds import Grounds
from holdfast.ports.attested import state_of
from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, Noted
from holdfast.ports.lookup import require_device, require_posture
from holdfast.ports.store import Blob, Change, DeviceFilter, Removed, Store
from holdfast.ports.verdicts import Verdicts
from holdfast_core.attestation.boot import measured, parse_log
from holdfast_core.attestation.comparison import gaps, told_standing
from holdfast_core.attestation.explaining import Explanation, explain
from holdfast_core.attestation.ground import Ground
from holdfast_core.attestation.model import CONTRAINDICATED_RUNTIME, FEATURE, RECOGNIZED, Vector
from holdfast_core.attestation.reference import (
    STATEMENT_TYPE,
    Golden,
    Judged,
    Learned,
    Measurement,
    Reference,
    ReleaseKey,
    Standing,
    Statement,
    parse_statement,
    standings,
    statement_bytes,
)
from holdfast_core.attestation.refusals import Refused
from holdfast_core.formats.dsse import VerifyingKey, key_id, open_envelope, read_key
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.appraisals import Appraisal, Tier
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey, Scope, parse_name
from holdfast_core.kernel.instants import LATEST, Instant
from holdfast_core.kernel.reasons import Reason, require_why
from holdfast_core.record.model import Kind
from holdfast_core.supply.model import Release
from holdfast_core.wire.attestation import SECTION

PAGE = 500
AT_ONCE = 256
"""Devices that are judged again at once."""
KEYS = 64
"""Trusted keys of one scope."""


class ReferenceService:
    """The releases of every scope."""

    def __init__(self, *, store: Store, clock: Clock, verdicts: Verdicts, emit: Emit, grounds: Grounds) -> None:
        self._store = store
        self._clock = clock
        self._verdicts = verdicts
        self._emit = emit
        self._grounds = grounds
        self._changing = asyncio.Lock()

    def keys(self, scope: Scope) -> list[ReleaseKey]:
        """The keys whose statements are taken, by name."""
        return self._store.all_kept(ReleaseKey, scope)

    async def trust(self, scope: Scope, name: str, data: bytes, *, actor: str) -> ReleaseKey:
        """Take the statements of a key.

        Raises:
            HostileData: ``name.invalid``, ``dsse.key``, ``reference.key_exists`` (409), ``reference.keys``.
        """
        parse_name(name, what="name of a key")
        key = read_key(data)
        async with self._changing:
            if self._store.kept(ReleaseKey, scope, name) is not None:
                raise _conflict("key_exists", f"There is a key named {name!r}.", "Give it another name.")
            if len(self.keys(scope)) >= KEYS:
                raise _conflict("keys", f"There are {KEYS} trusted keys.", "Distrust one that builds no more.")
            now = self._clock.now()
            made = ReleaseKey(
                scope, name, public=key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), added_at=now
            )
            told = {"name": name, "key": key_id(key)}
            await self._commit([made], Kind.RELEASE_KEY_TRUSTED, scope, told, actor)
            return made

    async def distrust(self, scope: Scope, name: str, *, why: str, actor: str) -> ReleaseKey:
        """Take no more statements of a key; those that were taken stay until they are revoked.

        Raises:
            HostileData: ``reference.key_unknown`` (404), ``why.missing``.
        """
        require_why(why)
        async with self._changing:
            key = self._store.kept(ReleaseKey, scope, name)
            if key is None:
                raise _unknown("key_unknown", f"No key is named {name[:80]!r}.", "holdfast reference keys")
            told = {"name": name, "why": why}
            await self._commit([Removed(ReleaseKey, scope, name)], Kind.RELEASE_KEY_DISTRUSTED, scope, told, actor)
            return key

    def listed(self, scope: Scope, model: str = "") -> list[tuple[Reference, Standing]]:
        """Every release and what it is worth now, by model and the newest first."""
        now = self._clock.now()
        names = sorted({each.statement.model for each in self._store.all_kept(Reference, scope)})
        found: list[tuple[Reference, Standing]] = []
        for name in (name for name in names if model in ("", name)):
            releases = self._grounds.releases(scope, name)
            worth = {each.statement.id: each.standing for each in standings(releases, now)}
            found.extend((each, worth[each.id]) for each in releases if each.id in worth)
        return found

    def require(self, scope: Scope, name: str) -> Reference:
        """A release by its name. Raises HostileData ``reference.unknown`` (404)."""
        reference = self._store.kept(Reference, scope, name)
        if reference is None:
            raise _unknown("unknown", f"No release is named {name[:120]!r}.", "holdfast reference list")
        return reference

    async def statement(self, scope: Scope, name: str) -> bytes:
        """The bytes of a release's statement as they were signed. Raises as `require`, and ``reference.lost``."""
        data = await self._store.blob(scope, self.require(scope, name).digest)
        if data is None:
            raise HostileData(
                "reference.lost",
                f"The statement of {name[:120]} is not here any more.",
                remedy="Restore the backup of that time; nothing removes it in normal running.",
                http_status=404,
            )
        return data

    def running(self, scope: Scope, name: str, *, after: str = "", limit: int) -> list[DeviceKey]:
        """The devices that are known to run a release, in id order. Raises as `require`."""
        model, found = self.require(scope, name).statement.model, []
        for device in self._devices(scope, model, after):
            posture = self._store.posture(device.key)
            if posture is not None and state_of(posture).release == name:
                found.append(device.key)
                if len(found) == limit:
                    break
        return found

    async def add(self, scope: Scope, envelope: bytes, *, actor: str) -> Reference:
        """Take a signed statement (DSSE); taking the same again changes nothing.

        Raises:
            HostileData: ``dsse.*``, ``reference.*``, ``reference.exists`` (409).
        """
        trusted: dict[str, VerifyingKey] = {key.id: read_key(key.public) for key in self.keys(scope)}
        opened = open_envelope(envelope, STATEMENT_TYPE, trusted)
        statement = parse_statement(opened.payload)
        return await self._add(
            scope, statement, opened.payload, signer=opened.signer, kind=Kind.RELEASE_ADDED, actor=actor
        )

    async def _add(
        self, scope: Scope, statement: Statement, data: bytes, *, signer: str, kind: Kind, actor: str
    ) -> Reference:
        digest, name = digest_of(data), statement.id
        async with self._changing:
            known = self._store.kept(Reference, scope, name)
            if known is not None and known.digest == digest:
                return known
            if known is not None:
                raise _conflict(
                    "exists",
                    f"{name} is there already, with other values.",
                    "A release never changes: build the change as another version.",
                )
            now = self._clock.now()
            self._check_svn(scope, statement, now)
            made = Reference(
                scope,
                name,
                statement=statement,
                digest=digest,
                signer=signer,
                added_at=now,
                retire_at=statement.retire_at,
            )
            release = self._store.kept(Release, scope, name) or Release(
                scope, name, model=statement.model, version=statement.version, svn=statement.svn, added_at=now, by=actor
            )
            release = msgspec.structs.replace(release, artefacts=statement.artefacts, statement=digest)
            told: dict[str, object] = {
                "release": name,
                "svn": statement.svn,
                "statement": digest,
                "signer": signer,
                "retire_at": statement.retire_at,
            }
            if statement.learned is not None:
                told |= {"device": statement.learned.device, "why": statement.learned.why}
            await self._commit([made, release, Blob(scope, digest, data)], kind, scope, told, actor)
            return made

    def _check_svn(self, scope: Scope, statement: Statement, now: Instant) -> None:
        """A release that nobody may go back to is none to add: it would only make worse ones look better."""
        known = standings(self._grounds.releases(scope, statement.model), now)
        floor = min((each.statement.svn for each in known if each.standing is Standing.CURRENT), default=-1)
        if statement.svn < floor:
            raise _conflict(
                "svn_behind",
                f"{statement.id} has the security version number {statement.svn}; current ones have {floor} or more.",
                "Build it with a number that is not lower, or retire nothing before its time.",
            )

    async def learn(self, key: DeviceKey, *, version: str, svn: int, why: str, actor: str) -> Reference:
        """Take what a device's last evidence proved as the values of a release: for images that never change.

        Raises:
            HostileData: ``device.unknown``, ``why.missing``, ``reference.nothing_proved``, ``reference.exists``.
        """
        require_why(why)
        device, ground, log = await self._proved(key)
        state = state_of(require_posture(self._store, key))
        assert state.boot is not None  # noqa: S101  (`_proved` looked)
        stored = self._store.model(key.scope, device.model)
        events = measured(parse_log(log), ground.policy) if log is not None else ()
        golden = () if log is not None else tuple(Golden(r, v.hex()) for r, v in state.boot.values)
        statement = Statement(
            model=stored.model.name if stored is not None else device.model,
            version=version,
            svn=svn,
            made_at=self._clock.now(),
            bank=ground.policy.bank,
            measurements=tuple(
                dict.fromkeys(Measurement(e.register, e.digest, e.said or "event") for e in events if not e.structural)
            ),
            golden=golden,
            learned=Learned(key.device, why),
        )
        data, _ = statement_bytes(statement)
        signer = f"learned from {key.device}"
        return await self._add(
            key.scope, parse_statement(data), data, signer=signer, kind=Kind.RELEASE_LEARNED, actor=actor
        )

    async def _proved(self, key: DeviceKey) -> tuple[Device, Ground, bytes | None]:
        """A device, its ground and the event log (if there is one) that its last good quote was of."""
        device, posture = require_device(self._store, key), require_posture(self._store, key)
        stored, boot = self._store.model(key.scope, device.model), state_of(posture).boot
        if stored is None or boot is None:
            raise HostileData(
                "reference.nothing_proved",
                f"{key.device} has proved no boot yet, or its last evidence was refused.",
                remedy="Let it check in, then look: holdfast attest show DEVICE.",
                http_status=409,
            )
        log = log_in(await self._store.blob(key.scope, Digest(boot.log))) if boot.log else None
        return device, self._grounds.of(stored, self._clock.now()), log

    async def explain(self, key: DeviceKey) -> Explanation:
        """Why a device's boot is of the release that it is, or of none.

        Raises:
            HostileData: ``device.unknown``, ``device.not_enrolled``, ``reference.nothing_proved``,
                ``reference.log_unreadable``.
        """
        _, ground, log = await self._proved(key)
        boot = state_of(require_posture(self._store, key)).boot
        values = dict(boot.values) if boot is not None else {}
        try:
            events = measured(parse_log(log), ground.policy) if log is not None else None
        except Refused as refused:
            raise HostileData(
                "reference.log_unreadable", refused.reason.sentence, remedy=refused.reason.remedy
            ) from None
        return explain(gaps(events, values, ground.policy, ground.judged), ground.judged)

    async def retire(self, scope: Scope, name: str, at: Instant, *, why: str, actor: str) -> Reference:
        """Set the date from which on a release is no longer good; it may be moved forward only.

        Raises:
            HostileData: ``reference.unknown``, ``reference.later``, ``why.missing``.
        """
        require_why(why)
        async with self._changing:
            reference = self.require(scope, name)
            if reference.retire_at is not None and at > reference.retire_at:
                raise _conflict(
                    "later",
                    f"{name} is to retire earlier than that already.",
                    "What its builder or a colleague ended is not prolonged; build another release.",
                )
            changed = msgspec.structs.replace(reference, retire_at=at)
            told = {"release": name, "retire_at": at, "why": why}
            await self._commit([changed], Kind.RELEASE_RETIRED, scope, told, actor)
        await self._judge_again(scope, changed)
        return changed

    async def revoke(self, scope: Scope, name: str, *, why: str, actor: str) -> tuple[Reference, int]:
        """Take a release back for good; how many devices are known to run it.

        Raises:
            HostileData: ``reference.unknown``, ``reference.revoked`` (409), ``why.missing``.
        """
        require_why(why)
        async with self._changing:
            reference = self.require(scope, name)
            if reference.revoked_at is not None:
                raise _conflict("revoked", f"{name} was revoked before.", "Nothing is left to do.")
            changed = msgspec.structs.replace(reference, revoked_at=self._clock.now(), revoked_why=why)
            await self._commit([changed], Kind.RELEASE_REVOKED, scope, {"release": name, "why": why}, actor)
        return changed, await self._judge_again(scope, changed)

    async def _judge_again(self, scope: Scope, changed: Reference) -> int:
        """Hold against every device that runs a release of this model what the change made of it; how many."""
        now = self._clock.now()
        judged = {
            each.statement.id: each for each in standings(self._grounds.releases(scope, changed.statement.model), now)
        }
        hit = 0
        # Together, so that they share commits; in batches, so that what a whole fleet owes stays bounded.
        devices = self._devices(scope, changed.statement.model)
        while batch := [device.key for device in islice(devices, AT_ONCE)]:
            hit += sum(await asyncio.gather(*(self._look_again(key, judged) for key in batch)))
        return hit

    def _devices(self, scope: Scope, model: str, after: str = "") -> Iterator[Device]:
        while page := self._store.devices(scope, DeviceFilter(after=after, limit=PAGE)):
            for device in page:
                stored = self._store.model(scope, device.model)
                if stored is not None and stored.model.name == model:
                    yield device
            after = page[-1].key.device

    async def _look_again(self, key: DeviceKey, judged: dict[str, Judged]) -> bool:
        async with self._store.exclusive(key):
            device, posture, now = self._store.device(key), self._store.posture(key), self._clock.now()
            if device is None or posture is None:
                return False
            state, appraisal = state_of(posture), posture.appraisal(FEATURE)
            worth = judged.get(state.release)
            if worth is None or appraisal is None or worth.standing is Standing.CURRENT:
                return False
            reason = told_standing(worth)
            assert reason is not None  # noqa: S101  (only a current one has none)
            tier = Tier.WARNING if worth.standing is Standing.RETIRED else Tier.CONTRAINDICATED
            if appraisal.tier is Tier.CONTRAINDICATED and tier is Tier.WARNING:
                return False  # what is known against it already is worse
            vector = Vector(instance_identity=RECOGNIZED, executables=CONTRAINDICATED_RUNTIME)
            if tier is Tier.CONTRAINDICATED:
                state = msgspec.structs.replace(state, vector=vector)
            posture = posture.with_appraisal(_fallen(appraisal, tier, reason, now))
            section = msgspec.structs.replace(posture.sections[SECTION], body=encode_state(state))
            posture = msgspec.structs.replace(posture, sections={**posture.sections, SECTION: section})
            settled, follow = self._verdicts.settle(device, posture, now)
            await self._store.commit([settled, *follow])
            return True

    async def _commit(
        self, changes: list[Change], kind: Kind, scope: Scope, data: dict[str, object] | dict[str, str], actor: str
    ) -> None:
        noted = Noted(kind, actor, None, scope, data, self._clock.now())
        await self._store.commit([*changes, *self._emit(noted)])


def _fallen(appraisal: Appraisal, tier: Tier, reason: Reason, now: Instant) -> Appraisal:
    """The reading of a device whose release fell: for good where it is held against it, else as the evidence would."""
    until = Instant(LATEST) if tier is Tier.CONTRAINDICATED else appraisal.valid_until
    return Appraisal(appraisal.feature, tier, (reason,), now, until)


def _conflict(code: str, sentence: str, remedy: str) -> HostileData:
    return HostileData(f"reference.{code}", sentence, remedy=remedy, http_status=409)


def _unknown(code: str, sentence: str, command: str) -> HostileData:
    return HostileData(f"reference.{code}", sentence, remedy=f"List them: {command}.", http_status=404)
