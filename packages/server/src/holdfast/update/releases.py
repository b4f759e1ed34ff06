"""Releases with a payload: adding, approving, validating; what may roll out where.

1. A release is added once. The same again changes nothing; anything else under its name or its counter is refused.
2. What the payload says of itself (its version, its hardware) has to agree with what is declared of it.
3. Nobody approves what they added, or twice. An approval counts for exactly the payload that was there.
4. A validation names lab devices that run the release now and proved it, or, where their model cannot attest, said so.
5. What is missing before a release may roll out is told as a list, all at once (`lacks`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec

from holdfast.ports.artefacts import ArtefactStore, Inspected
from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, Noted
from holdfast.ports.lookup import require_device
from holdfast.ports.store import Blob, Change, Store
from holdfast.update.memory import memory_of
from holdfast.update.proof import proof_of
from holdfast.update.release_index import ReleaseIndex
from holdfast_core.attestation.model import Method
from holdfast_core.attestation.policy import policy_of
from holdfast_core.attestation.reference import Reference
from holdfast_core.kernel.digests import Digest, digest_of, parse_digest
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey, Scope, parse_device_id, parse_name
from holdfast_core.record.model import Kind
from holdfast_core.supply.model import (
    Hardware,
    Nature,
    Offer,
    Payload,
    PayloadKind,
    Release,
    release_id,
)
from holdfast_core.update.model import POLICY, Clearance, UpdatePolicy, Validation, Vote

LARGEST_SBOM = 8 * 1024 * 1024


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator declares of a release; the payload is in the artefact store already."""

    model: str
    version: str
    counter: int
    kind: PayloadKind
    file: str
    artefact: Digest
    hardware: tuple[Hardware, ...]
    nature: Nature
    svn: int = 0
    needs: int = 0
    support_end: str = ""


class ReleaseService:
    """The releases of every scope, as what devices install.

    Args:
        published: whether the image repository's threshold signed a release.
        index: the releases by what they are looked for.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        emit: Emit,
        artefacts: ArtefactStore,
        published: Callable[[Scope, Release], bool],
        index: ReleaseIndex,
    ) -> None:
        self._store = store
        self._clock = clock
        self._emit = emit
        self._artefacts = artefacts
        self._published = published
        self._index = index
        self.changing = asyncio.Lock()
        """Held by whoever adds a release or changes what was decided of one, and by who takes payloads away."""

    def listed(self, scope: Scope, model: str = "", *, after: str = "", limit: int) -> list[Release]:
        """The releases that can be installed, by model and the newest first; see `ReleaseIndex.page`."""
        return self._index.page(scope, model, after=after, limit=limit)

    def require(self, scope: Scope, name: str) -> Release:
        """A release that can be installed. Raises HostileData ``release.unknown`` (404)."""
        found = self._store.kept(Release, scope, name)
        if found is None or found.offer is None:
            raise HostileData(
                "release.unknown",
                f"No release that could be installed is named {name[:120]!r}.",
                remedy="Add it: holdfast release add. Known ones: holdfast release list.",
                http_status=404,
            )
        return found

    def clearance(self, scope: Scope, name: str) -> Clearance:
        """What people decided of a release."""
        return self._store.kept(Clearance, scope, name) or Clearance(scope, name)

    def policy(self, scope: Scope) -> UpdatePolicy:
        """Who has to agree before a release rolls out."""
        return self._store.kept(UpdatePolicy, scope, POLICY) or UpdatePolicy(scope, POLICY)

    async def set_policy(self, scope: Scope, *, approvals: int, lab_sites: Sequence[str], actor: str) -> UpdatePolicy:
        """Change who has to agree."""
        policy = UpdatePolicy(scope, POLICY, approvals=approvals, lab_sites=tuple(sorted(set(lab_sites))))
        told = {"approvals": approvals, "lab_sites": policy.lab_sites}
        await self._commit([policy], Kind.UPDATE_POLICY_SET, scope, told, actor)
        return policy

    async def add(self, scope: Scope, declared: Declared, inspected: Inspected, *, sbom: bytes, actor: str) -> Release:
        """Add a release whose payload is in the artefact store.

        Args:
            scope: where.
            declared: what the operator says of it.
            inspected: what its own tool says of it.
            sbom: its bill of materials, or nothing.
            actor: who adds it.

        Raises:
            HostileData: ``name.invalid``, ``release.exists`` (409), ``release.counter`` (409), ``release.disagrees``,
                ``release.svn``, ``release.no_reference``, ``release.malformed``, ``release.sbom``,
                ``artefact.missing``.
        """
        name = release_id(declared.model, declared.version)
        parse_digest(declared.artefact)
        if len(sbom) > LARGEST_SBOM:
            raise _refused(
                "sbom", f"The bill of materials has over {LARGEST_SBOM} bytes.", "Leave out what is derived."
            )
        _check_agrees(declared, inspected)
        async with self.changing:
            size = await asyncio.to_thread(self._artefacts.size, declared.artefact)
            known = self._store.kept(Release, scope, name)
            reference = self._store.kept(Reference, scope, name)
            if reference is not None and reference.statement.svn != declared.svn:
                raise _refused(
                    "svn",
                    f"The reference values of {name} have security version {reference.statement.svn}, "
                    f"and {declared.svn} is declared.",
                    "Declare the number that the release was built with.",
                )
            self._check_provable(scope, declared.model, name, reference)
            offer, payload = _offer(name, declared, size, sbom, reference)
            if known is not None and known.offer is not None:
                if (known.offer, known.payload) == (offer, payload):
                    return known
                raise _conflict("exists", f"{name} is there already, as something else.", _IMMUTABLE)
            self._check_counter(scope, declared)
            now = self._clock.now()
            made = Release(
                scope,
                name,
                model=declared.model,
                version=declared.version,
                svn=declared.svn,
                artefacts=known.artefacts if known is not None else (),
                statement=offer.statement,
                added_at=now,
                by=actor,
                offer=offer,
                payload=payload,
            )
            changes: list[Change] = [made]
            if sbom:
                changes.append(Blob(scope, digest_of(sbom), sbom))
            told = {"release": name, "offer": offer, "payload": payload}
            await self._commit(changes, Kind.RELEASE_ADDED, scope, told, actor)
            return made

    def _check_provable(self, scope: Scope, model: str, name: str, reference: Reference | None) -> None:
        """Refuse a release that its devices could never prove to run, though they attest."""
        if reference is not None:
            return
        stored = (each for each in self._store.models(scope) if each.model.name == model)
        if any(policy_of(each.model).method is not Method.NONE for each in stored):
            raise _refused(
                "no_reference",
                f"Devices of {model} attest, and {name} has no reference values: none could prove to run it.",
                "Add them first: holdfast reference build, then holdfast reference add.",
            )

    def _check_counter(self, scope: Scope, declared: Declared) -> None:
        other = self._index.of_counter(scope, declared.model, declared.counter)
        if other is not None:
            raise _conflict(
                "counter",
                f"{other.id} has release counter {declared.counter} already.",
                "Give each release of a model a higher counter than all before it.",
            )

    async def approve(self, scope: Scope, name: str, *, actor: str) -> Clearance:
        """Say that a release may roll out.

        Raises:
            HostileData: ``release.unknown`` (404), ``release.own`` (403), ``release.approved`` (409).
        """
        async with self.changing:
            release, clearance = self.require(scope, name), self.clearance(scope, name)
            if release.by == actor:
                raise HostileData(
                    "release.own",
                    f"{actor} added {name}; its approval has to be somebody else's.",
                    remedy="Ask another person to approve it, under their own token.",
                    http_status=403,
                )
            if any(vote.actor == actor for vote in clearance.votes):
                raise _conflict("approved", f"{actor} approved {name} already.", "Ask another person.")
            now = self._clock.now()
            made = msgspec.structs.replace(clearance, votes=(*clearance.votes, Vote(actor, now)))
            told = {"release": name, "payload": release.payload.digest if release.payload else ""}
            await self._commit([made], Kind.RELEASE_APPROVED, scope, told, actor)
            return made

    async def validate(
        self, scope: Scope, name: str, *, devices: Sequence[str], results: Digest, ticket: str, actor: str
    ) -> Clearance:
        """Record that a release was tried before production.

        Raises:
            HostileData: ``release.unknown`` (404), ``device.unknown`` (404), ``release.not_lab``,
                ``release.not_proved``, ``release.validation``, ``digest.invalid``.
        """
        parse_digest(results)
        if not devices or not 0 < len(ticket) <= 120:  # noqa: PLR2004  (what a change system's names have)
            raise _refused("validation", "A validation names devices and a change ticket.", "Give --device, --ticket.")
        async with self.changing:
            self.require(scope, name)
            weak = [self._check_ran(scope, name, device) for device in devices]
            now = self._clock.now()
            validation = Validation(tuple(sorted(set(devices))), results, ticket, actor, now, weak=any(weak))
            made = msgspec.structs.replace(self.clearance(scope, name), validation=validation)
            told = {"release": name, "validation": validation}
            await self._commit([made], Kind.RELEASE_VALIDATED, scope, told, actor)
            return made

    def _check_ran(self, scope: Scope, name: str, device_id: str) -> bool:
        """Refuse a device that is no lab device or does not run the release; whether its own word had to do."""
        device = require_device(self._store, DeviceKey(scope, parse_device_id(device_id)))
        if device.site not in self.policy(scope).lab_sites:
            raise _refused(
                "not_lab",
                f"{device_id} is at {device.site or 'no site'}, which is no lab site.",
                "Name the lab sites: holdfast release policy --lab-site SITE.",
            )
        posture = self._store.posture(device.key)
        stored = self._store.model(scope, device.model)
        if posture is not None and stored is not None:
            proof = proof_of(stored.model, posture, self._clock.now())
            said = memory_of(posture).report
            if proof.attests and proof.release == name:
                return False
            if not proof.attests and said is not None and said.running.release == name:
                return True
        raise _refused(
            "not_proved",
            f"{device_id} does not prove that it runs {name} now.",
            "Roll it out to the lab first, and let its devices check in.",
        )

    def lacks(self, scope: Scope, release: Release, sites: frozenset[str]) -> tuple[str, ...]:
        """What is missing before a release may roll out to devices at `sites`; nothing where nothing is."""
        policy, clearance, missing = self.policy(scope), self.clearance(scope, release.id), []
        if not self._published(scope, release):
            missing.append("the image repository's threshold of signatures (holdfast keys fetch, sign, publish)")
        votes = [vote for vote in clearance.votes if vote.actor != release.by]
        if len(votes) < policy.approvals:
            missing.append(f"{policy.approvals - len(votes)} more approval(s) (holdfast release approve)")
        outside = sites - set(policy.lab_sites)
        if policy.lab_sites and outside and clearance.validation is None:
            missing.append("a validation by lab devices (holdfast release validate)")
        return tuple(missing)

    async def _commit(
        self, changes: Sequence[Change], kind: Kind, scope: Scope, told: Mapping[str, object], actor: str
    ) -> None:
        noted = Noted(kind, actor, None, scope, told, self._clock.now())
        await self._store.commit([*changes, *self._emit(noted)])


_IMMUTABLE = "A release never changes: build the change as another version, with a higher counter."


def _check_agrees(declared: Declared, inspected: Inspected) -> None:
    if inspected.version and inspected.version != declared.version:
        raise _refused(
            "disagrees",
            f"The payload says that it is version {inspected.version[:80]!r}, and {declared.version!r} is declared.",
            "Declare the version that the payload was built with.",
        )
    if inspected.compatible and not set(inspected.compatible) & set(declared.hardware):
        raise _refused(
            "disagrees",
            f"The payload is for {', '.join(inspected.compatible)[:200]}, and not for what is declared.",
            "Declare the hardware that the payload names: --hardware NAME.",
        )
    if inspected.svn is not None and inspected.svn != declared.svn:
        raise _refused(
            "disagrees",
            f"The payload has security counter {inspected.svn}, and {declared.svn} is declared.",
            "Declare the number that the payload was signed with: --svn N.",
        )


def _offer(name: str, declared: Declared, size: int, sbom: bytes, reference: Reference | None) -> tuple[Offer, Payload]:
    parse_name(declared.model, what="model")
    try:
        payload = msgspec.convert(
            {"kind": declared.kind, "name": declared.file, "size": size, "digest": declared.artefact}, Payload
        )
        offer = msgspec.convert(
            {
                "release": name,
                "counter": declared.counter,
                "svn": declared.svn,
                "kind": declared.kind,
                "hardware": declared.hardware,
                "nature": declared.nature,
                "needs": declared.needs,
                "support_end": declared.support_end,
                "statement": reference.digest if reference is not None else "",
                "sbom": digest_of(sbom) if sbom else "",
            },
            Offer,
        )
    except msgspec.ValidationError as error:
        raise _refused("malformed", f"This cannot be declared: {error}.", "Correct the named value.") from None
    return offer, payload


def _refused(name: str, sentence: str, remedy: str) -> HostileData:
    return HostileData(f"release.{name}", sentence, remedy=remedy)


def _conflict(name: str, sentence: str, remedy: str) -> HostileData:
    return HostileData(f"release.{name}", sentence, remedy=remedy, http_status=409)
