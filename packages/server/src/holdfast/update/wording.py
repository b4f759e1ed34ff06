"""What a signer is about to sign, in plain words.

1. Everything that the new version changes is told: releases added, changed and withdrawn with what is offered, keys and
   thresholds, delegations, exemptions with their text. Nothing is summed up that a thief would hide in a sum.
2. What is in force now is believed only as far as it verifies from a root that the signer kept (`trusted`). Without
   one, or where it does not verify, all of the new version is told as new, and a warning says why.
3. Words come from files that others made: they are cut, and printed with control characters escaped.

Source: TUF specification 1.0.34, 5.3 (the chain of roots).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from holdfast.update.ceremony import Ceremony, CeremonyFile
from holdfast.update.founding import read_file
from holdfast.update.state import State, require_whole, small_target, with_root
from holdfast.update.tuf_files import (
    Delegator,
    RootFile,
    TargetsFile,
    counted,
    read_root,
    read_targets,
    threshold_of,
)
from holdfast.update.tuf_types import Role, TargetFile
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import from_datetime, rfc3339
from holdfast_core.update.agreement import EXEMPTIONS, OFFER
from holdfast_core.update.repository import Name

NO_ROOT = "What is in force now is only this file's word: compare with a root that you kept (--root)."


class Told(msgspec.Struct, frozen=True):
    """One file in words.

    `counts`: whether a signature of the given key would count; `signed`: whether the key signed already; `have` and
    `need`: signatures that count so far, and how many are needed; 0 where nobody can say.
    """

    repository: Name
    role: str
    version: int
    title: str
    lines: tuple[str, ...]
    warnings: tuple[str, ...]
    counts: bool
    signed: bool
    have: int
    need: int


class Known(msgspec.Struct, frozen=True):
    """What is in force, as far as it verifies: roots, ``targets``, roles; why the rest does not count."""

    state: State
    roles: dict[str, TargetsFile]
    doubt: str = ""


def told(ceremony: Ceremony, keyid: str, trusted: RootFile | None) -> tuple[Told, ...]:
    """What each file of a ceremony changes, for the holder of a key.

    Args:
        ceremony: the file that goes around.
        keyid: the TUF key id of whoever is about to sign.
        trusted: a root of the image repository that the signer kept.

    Raises:
        HostileData: ``repository.*``, ``name.invalid``.
    """
    known = known_of(ceremony, trusted)
    proposed = {(file.repository, file.role): read_file(file.role, file.metadata) for file in ceremony.files}
    return tuple(_told(file, known, proposed, keyid) for file in ceremony.files)


def known_of(ceremony: Ceremony, trusted: RootFile | None) -> Known:
    """What is in force by a ceremony's file, verified from `trusted`."""
    tenant, _, environment = ceremony.scope.partition("/")
    state = State(Scope(tenant, environment))
    try:
        for file in (file for file in ceremony.current if file.role == "root"):
            state = with_root(state, file.repository, read_root(file.metadata))
    except HostileData as error:
        return Known(State(state.scope), {}, f"The roots in this file do not verify: {error.sentence}")
    doubt = NO_ROOT
    if trusted is not None:
        chain = state.roots.get(Name.IMAGE, ())
        same = any(root.signed == trusted.signed for root in chain)
        doubt = "" if same or not chain else "The root that you kept is not among the roots of this file: ask why."
    try:
        return _with_targets(ceremony, state, doubt)
    except HostileData as error:
        return Known(state, {}, f"What is in force by this file does not verify: {error.sentence}")


def _with_targets(ceremony: Ceremony, state: State, doubt: str) -> Known:
    found = {file.role: read_targets(file.metadata) for file in ceremony.current if file.role != "root"}
    targets = found.pop("targets", None)
    roles = {role: file.data for role, file in found.items()}
    require_whole(msgspec.structs.replace(state, targets=targets, roles=roles))
    # What nobody was given yet was verified by nobody, so it is not what is in force.
    given = _roles(targets)
    return Known(msgspec.structs.replace(state, targets=targets), {r: f for r, f in found.items() if r in given}, doubt)


def _told(
    file: CeremonyFile, known: Known, proposed: Mapping[tuple[Name, str], RootFile | TargetsFile], keyid: str
) -> Told:
    read = proposed[file.repository, file.role]
    delegators = _delegators(file, known, proposed)
    holders = {each for delegator in delegators for each in _keyids(delegator, file.role)}
    have = min((len(counted(each, file.role, read)) for each in delegators), default=0)
    need = max((threshold_of(each, file.role) for each in delegators), default=0)
    warnings = [known.doubt] if known.doubt else []
    if isinstance(read, RootFile):
        lines = list(_root_lines(read, known.state.root(file.repository), keyid))
        version, expires = read.root.version, read.root.expires
    else:
        before = known.state.targets if file.role == "targets" else known.roles.get(file.role)
        lines = list(_targets_lines(file.role, read, before if not known.doubt else None, keyid))
        version, expires = read.targets.version, read.targets.expires
    until = rfc3339(from_datetime(expires))[:10]
    title = f"{file.repository.value} repository, {file.role}, version {version}, until {until}"
    return Told(
        repository=file.repository,
        role=file.role,
        version=version,
        title=title,
        lines=tuple(lines) or ("nothing but the version and the expiry",),
        warnings=tuple(warnings),
        counts=keyid in holders,
        signed=any(keyid in counted(each, file.role, read) for each in delegators),
        have=have,
        need=need,
    )


def _delegators(
    file: CeremonyFile, known: Known, proposed: Mapping[tuple[Name, str], RootFile | TargetsFile]
) -> list[Delegator]:
    """Who says which keys count for a file: what is in force, and what is to be signed along with it."""
    if file.role == "root":
        chain = (known.state.root(file.repository), proposed[file.repository, file.role])
        return [root.root for root in chain if isinstance(root, RootFile)]
    if file.role == "targets":
        roots = (proposed.get((Name.IMAGE, "root")), known.state.root(Name.IMAGE))
        return [next(root.root for root in roots if isinstance(root, RootFile))] if any(roots) else []
    files = (proposed.get((Name.IMAGE, "targets")), known.state.targets)
    return [next(each.targets for each in files if isinstance(each, TargetsFile))] if any(files) else []


def _keyids(delegator: Delegator, role: str) -> list[str]:
    try:
        return list(delegator.get_delegated_role(role).keyids)
    except ValueError:
        return []


def _root_lines(after: RootFile, before: RootFile | None, keyid: str) -> Iterator[str]:
    had = before.root.roles if before is not None else {}
    for name in ("root", "targets", "snapshot", "timestamp"):
        role = after.root.roles[name]
        yield from _role_lines(name, role, had.get(name), keyid)


def _role_lines(name: str, after: Role, before: Role | None, keyid: str) -> Iterator[str]:
    if before is None:
        yield f"{name}: {after.threshold} of {len(after.keyids)} keys have to sign"
    elif before.threshold != after.threshold or len(before.keyids) != len(after.keyids):
        yield (
            f"{name}: {after.threshold} of {len(after.keyids)} keys have to sign; "
            f"before {before.threshold} of {len(before.keyids)}"
        )
    had = set(before.keyids) if before is not None else set()
    for each in after.keyids:
        if each not in had:
            yield f"{name}: + key {each[:16]}{' (yours)' if each == keyid else ''}"
    for each in sorted(had - set(after.keyids)):
        yield f"{name}: - key {each[:16]}{' (yours)' if each == keyid else ''}"


def _targets_lines(role: str, after: TargetsFile, before: TargetsFile | None, keyid: str) -> Iterator[str]:
    yield from _delegation_lines(after, before, keyid)
    had = before.targets.targets if before is not None else {}
    for path, target in sorted(after.targets.targets.items()):
        old = had.get(path)
        if old is None or old != target:
            sign = "+" if old is None else "CHANGED:"
            yield f"{sign} {_target_words(role, path, target)}"
    for path in sorted(had.keys() - after.targets.targets.keys()):
        yield f"- {path[:200]}: no device installs it any more"


def _delegation_lines(after: TargetsFile, before: TargetsFile | None, keyid: str) -> Iterator[str]:
    now, had = _roles(after), _roles(before)
    for name, role in now.items():
        old = had.get(name)
        if old is None:
            yield f"+ role {name[:63]} for {', '.join(getattr(role, 'paths', None) or ())[:200]}"
        elif getattr(old, "paths", None) != getattr(role, "paths", None):
            yield f"CHANGED: role {name[:63]} is now for {', '.join(getattr(role, 'paths', None) or ())[:200]}"
        yield from _role_lines(f"role {name[:63]}", role, old, keyid)
    for name in sorted(had.keys() - now.keys()):
        yield f"- role {name[:63]}: nobody signs for it any more"


def _roles(file: TargetsFile | None) -> Mapping[str, Role]:
    if file is None or file.targets.delegations is None:
        return {}
    return file.targets.delegations.roles or {}


def _target_words(role: str, path: str, target: TargetFile) -> str:
    digest = str(target.hashes.get("sha256", "?"))[:16]
    if role == EXEMPTIONS:
        return _exemption_words(path, target)
    custom = target.custom if isinstance(target.custom, dict) else {}
    offer = custom.get(OFFER)
    if not isinstance(offer, dict):
        return f"{path[:200]}: {target.length} bytes, sha256 {digest}, WITHOUT an offer: no device takes it"
    hardware = ", ".join(str(each)[:63] for each in offer.get("hardware", ())[:32])
    needs = f", installs over counter {offer.get('needs')}" if offer.get("needs") else ""
    return (
        f"{str(offer.get('release'))[:127]} ({str(offer.get('nature'))[:20]}) for {hardware}: counter "
        f"{offer.get('counter')}, security version {offer.get('svn')}{needs}; {path[:200]}, {target.length} bytes, "
        f"sha256 {digest}"
    )


def _exemption_words(path: str, target: TargetFile) -> str:
    try:
        said = small_target(path, target).exemption
    except HostileData as error:
        return f"{path[:200]}: NO EXEMPTION, do not sign: {error.sentence}"
    devices = ", ".join(said.devices)
    return f"{path[:200]}: {devices} may go back to {said.release} until {rfc3339(said.until)}, because: {said.why}"
