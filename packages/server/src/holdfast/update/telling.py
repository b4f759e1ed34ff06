"""What a change of the repositories leaves behind: the files that are new, and the events that tell of it."""

from __future__ import annotations

from holdfast.ports.events import Noted
from holdfast.ports.store import Blob
from holdfast.update.proposals import Outcome
from holdfast.update.shelf import Shelf
from holdfast.update.state import State
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.instants import Instant
from holdfast_core.record.model import Kind
from holdfast_core.update.agreement import EXEMPTIONS


def fresh_blobs(state: State, old: State) -> list[Blob]:
    """The files that are new."""
    known = {digest_of(file.data) for chain in old.roots.values() for file in chain}
    roots = [file.data for chain in state.roots.values() for file in chain]
    found = [Blob(state.scope, digest_of(data), data) for data in roots if digest_of(data) not in known]
    for role, part in state.parts.items():
        if old.parts.get(role) != part:
            data = state.targets.data if role == "targets" and state.targets is not None else state.roles[role]
            found.append(Blob(state.scope, part.digest, data))
    return found


def told_of(outcome: Outcome, old: Shelf, actor: str, now: Instant) -> list[Noted]:
    """The events of a change: roots, files, releases, exemptions, signatures."""
    scope = outcome.state.scope
    told: list[Noted] = []
    for name, chain in outcome.state.roots.items():
        had = len(old.state.roots.get(name, ()))
        for file in chain[had:]:
            kind = Kind.REPOSITORY_ROTATED if file is not chain[0] else Kind.REPOSITORY_FOUNDED
            data = {"repository": name.value, "version": file.root.version, "digest": digest_of(file.data)}
            told.append(Noted(kind, actor, None, scope, data, now))
    for role, part in outcome.state.parts.items():
        if old.state.parts.get(role) != part:
            signed = outcome.state.role(role)
            signers = sorted(signed.signatures) if signed is not None else []
            data = {"role": role, "version": part.version, "digest": part.digest, "signers": ",".join(signers)}
            told.append(Noted(Kind.REPOSITORY_PUBLISHED, actor, None, scope, data, now))
            told.extend(_targets(outcome.state, old.state, role, actor, now))
    for role, each in outcome.waiting.items():
        before = old.waiting.get(role)
        had = len(before.proposal.signatures) if before is not None else 0
        for signature in each.proposal.signatures[had:]:
            data = {"role": role, "version": each.proposal.version, "keyid": signature.keyid}
            told.append(Noted(Kind.REPOSITORY_SIGNED, actor, None, scope, data, now))
    return told


def _targets(state: State, old: State, role: str, actor: str, now: Instant) -> list[Noted]:
    """Which releases or exemptions a role's new file brought or took away."""
    after, before = state.index.get(role, {}), old.index.get(role, {})
    told = []
    for path in sorted(after.keys() | before.keys()):
        if after.get(path) == before.get(path):
            continue
        if role == EXEMPTIONS:
            data = {"exemption": path, "in_force": path in after}
            told.append(Noted(Kind.RELEASE_EXEMPTED, actor, None, state.scope, data, now))
        else:
            model, version, _ = path.split("/", 2)
            data = {"release": f"{model}:{version}", "path": path, "in_force": path in after}
            told.append(Noted(Kind.RELEASE_PUBLISHED, actor, None, state.scope, data, now))
    return told
