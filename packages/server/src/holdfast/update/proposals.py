"""Proposals: what waits for people's signatures, and what comes of the files they send back.

1. A proposal is the next version of one role, unsigned. Another change of the role is added to it, and then it has to
   be signed anew: who signed before did not see that change.
2. A signature counts when its key is one of the role's, once, over exactly these bytes. All are counted again at the
   moment when the file comes into force, by the keys of that moment.
3. A role that ``targets`` is about to delegate may be signed already; it waits until the delegation is in force.
4. A file that its threshold signed comes into force without a proposal, too, if it is the next version: the signatures
   are the authority, not the server.
5. All files that are sent together come into force together, or none does (`state.require_whole`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from holdfast.update import making
from holdfast.update.ceremony import CeremonyFile
from holdfast.update.state import State, require_fresh, require_whole, with_file, with_root
from holdfast.update.tuf_files import (
    Delegator,
    TargetsFile,
    assembled,
    counted,
    read_root,
    read_targets,
    threshold_of,
)
from holdfast.update.tuf_types import Root, Targets, TufSignature
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import Instant
from holdfast_core.update.agreement import EXEMPTIONS
from holdfast_core.update.repository import Name, Proposal, Signature


class Waiting(NamedTuple):
    """A proposal and its file."""

    proposal: Proposal
    file: TargetsFile


class Progress(msgspec.Struct, frozen=True):
    """How far a file has come: how many signatures count, how many are needed, whether it is in force now."""

    role: str
    version: int
    have: int
    need: int
    in_force: bool


class Outcome(msgspec.Struct, frozen=True):
    """What follows from files that were sent: the new state, what still waits, and how far each has come."""

    state: State
    waiting: dict[str, Waiting]
    progress: tuple[Progress, ...]


def proposed(
    state: State, waiting: Waiting | None, role: str, change: Callable[[Targets], None], now: Instant
) -> TargetsFile:
    """The next version of a role with one more change."""
    current = state.role(role)
    if waiting is not None and waiting.proposal.stands(state.parts.get(role), now):
        made = making.next_file(waiting.file, now=now)
        made.version -= 1
    elif current is not None:
        made = making.next_file(current, now=now)
    else:
        made = making.first_role(state.scope, now=now).targets
    change(made)
    return making.finished(made)


def submitted(
    state: State, waiting: Mapping[str, Waiting], files: Sequence[CeremonyFile], *, actor: str, now: Instant
) -> Outcome:
    """What follows from files that people send.

    Raises:
        HostileData: ``repository.*``.
    """
    work = _Work(state, dict(waiting), actor, now)
    roots = [(file.repository, read_root(file.metadata)) for file in files if file.role == "root"]
    for name, root in sorted(roots, key=lambda each: (each[0], each[1].root.version)):
        known = [old for old in work.state.roots.get(name, ()) if old.signed == root.signed]
        if not known:
            require_fresh("root", root.root.expires, now)
            work.state = with_root(work.state, name, root)
            work.progress.append(_in_force(f"{name.value} root", root.root.version, root.root.roles["root"].threshold))
    for file in sorted((file for file in files if file.role != "root"), key=lambda each: _rank(each.role)):
        work.take(file.role, read_targets(file.metadata))
    work.settle()
    require_whole(work.state, state)
    return Outcome(work.state, work.waiting, tuple(work.progress))


class _Work:
    """A submission being worked through."""

    def __init__(self, state: State, waiting: dict[str, Waiting], actor: str, now: Instant) -> None:
        self.state, self.waiting, self._actor, self._now = state, waiting, actor, now
        self.progress: list[Progress] = []

    def take(self, role: str, file: TargetsFile) -> None:
        current = self.state.role(role)
        if current is not None and current.signed == file.signed:
            return
        waits = self.waiting.get(role)
        if waits is not None and waits.file.signed == file.signed:
            self.waiting[role] = Waiting(self._signed(waits, file), waits.file)
            return
        if not file.signatures:
            raise HostileData(
                "repository.unsigned",
                f"Nobody signed this file of {role!r}, and it is no proposal that waits.",
                remedy="Fetch what waits (holdfast keys fetch), sign it, and send that.",
                http_status=409,
            )
        self._enforce(role, file, file.signatures)

    def _signed(self, waits: Waiting, file: TargetsFile) -> Proposal:
        """The proposal with those new signatures that count."""
        proposal, role = waits.proposal, waits.proposal.id
        if not proposal.stands(self.state.parts.get(role), self._now):
            raise HostileData(
                "repository.superseded",
                f"The proposal for {role!r} was overtaken or has expired.",
                remedy="Propose the change again, fetch and sign that.",
                http_status=409,
            )
        valid = counted(self._delegator(role), role, file)
        if file.signatures and not valid:
            raise HostileData(
                "repository.signature",
                f"None of the {len(file.signatures)} signatures is of a key that {role!r} has.",
                remedy="See whose keys count: holdfast keys show. Sign with one of those.",
                http_status=403,
            )
        known = {signature.keyid for signature in proposal.signatures}
        fresh = [
            Signature(keyid, valid[keyid].signature, self._actor, self._now) for keyid in valid if keyid not in known
        ]
        return msgspec.structs.replace(proposal, signatures=(*proposal.signatures, *fresh))

    def _delegator(self, role: str) -> Delegator:
        """Who gives a role: what is in force; for a role that is not given yet, what is proposed."""
        if role == "targets":
            return require_root(self.state)
        if self.state.targets is not None and self._gives(self.state.targets.targets, role):
            return self.state.targets.targets
        waits = self.waiting.get("targets")
        if waits is not None:
            return waits.file.targets
        return require_targets(self.state).targets

    @staticmethod
    def _gives(targets: Targets, role: str) -> bool:
        return bool(targets.delegations and targets.delegations.roles and role in targets.delegations.roles)

    def _enforce(self, role: str, file: TargetsFile, signatures: Mapping[str, TufSignature]) -> None:
        delegator = require_root(self.state) if role == "targets" else require_targets(self.state).targets
        signed = msgspec.structs.replace(file, signatures=dict(signatures))
        valid, need = counted(delegator, role, signed), threshold_of(delegator, role)
        if len(valid) < need:
            raise HostileData(
                "repository.threshold",
                f"{len(valid)} signatures of {role!r} count; {need} are needed.",
                remedy="Let more of its signers sign: holdfast keys sign FILE --key KEY. A key counts once.",
                http_status=403,
            )
        require_fresh(role, file.targets.expires, self._now)
        self.state = with_file(self.state, role, read_targets(assembled(signed, valid)))
        self.waiting.pop(role, None)
        self.progress.append(Progress(role, file.targets.version, len(valid), need, in_force=True))

    def settle(self) -> None:
        """Let every proposal come into force that has its signatures; say of the others how far they are."""
        for role in sorted(self.waiting, key=_rank):
            waits = self.waiting[role]
            if not waits.proposal.stands(self.state.parts.get(role), self._now):
                del self.waiting[role]
                continue
            delegator = self._delegator(role)
            signatures = signatures_of(waits)
            file = msgspec.structs.replace(waits.file, signatures=signatures)
            have, need = len(counted(delegator, role, file)), threshold_of(delegator, role)
            in_force = role == "targets" or (self.state.targets is not None and delegator is self.state.targets.targets)
            if have >= need and in_force:
                self._enforce(role, file, signatures)
            else:
                self.progress.append(Progress(role, waits.proposal.version, have, need, in_force=False))


def signatures_of(waits: Waiting) -> dict[str, TufSignature]:
    """The signatures that a proposal has gathered."""
    return {each.keyid: TufSignature(each.keyid, each.sig) for each in waits.proposal.signatures}


def require_root(state: State) -> Root:
    """The image repository's root. Raises HostileData ``repository.not_founded`` (409)."""
    file = state.root(Name.IMAGE)
    if file is None:
        raise not_founded(state)
    return file.root


def require_targets(state: State) -> TargetsFile:
    """The image repository's ``targets``. Raises HostileData ``repository.not_founded`` (409)."""
    if state.targets is None:
        raise not_founded(state)
    return state.targets


def not_founded(state: State) -> HostileData:
    """The error of a scope without repositories."""
    return HostileData(
        "repository.not_founded",
        f"{state.scope} has no update repositories yet.",
        remedy="Found them: holdfast keys found (a small team, at one machine), or holdfast keys new and keys root.",
        http_status=409,
    )


def _in_force(what: str, version: int, need: int) -> Progress:
    return Progress(what, version, need, need, in_force=True)


def _rank(role: str) -> tuple[int, str]:
    """Delegators before whom they delegate to."""
    return (("targets", EXEMPTIONS).index(role) if role in ("targets", EXEMPTIONS) else 2), role


def standing(waiting: Iterable[Waiting], state: State, now: Instant) -> list[Waiting]:
    """Those that may still be signed."""
    return [each for each in waiting if each.proposal.stands(state.parts.get(each.proposal.id), now)]
