"""The repositories of one scope as they stand: what people signed, read and verified, and what the server adds.

1. A state is whole or it is refused (`require_whole`): each root signed by its own threshold and by the one before, all
   targets by the keys that the newest root and ``targets`` name. A state from disk is checked as one from outside.
2. Files are kept as bytes; of targets only an index is held, so that many releases cost little.
3. Snapshot and timestamp are made of the state, and differ whenever it does.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import msgspec

from holdfast.update.online_files import target_value
from holdfast.update.tuf_files import (
    RootFile,
    TargetsFile,
    malformed,
    read_targets,
    require_threshold,
)
from holdfast.update.tuf_types import TargetFile
from holdfast_core.kernel.digests import canonical, digest_of
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant, from_datetime, rfc3339
from holdfast_core.update.agreement import EXEMPTIONS, Exemption
from holdfast_core.update.agreement import Target as AgreedTarget
from holdfast_core.update.repository import (
    FIRST_ROOT,
    ONLINE_ROLES,
    REPOSITORY,
    ROLES,
    ROOTS,
    SCOPE,
    Name,
    Part,
)


class SmallTarget(NamedTuple):
    """An exemption: its path, the name by which it is fetched, its bytes, and what they say."""

    path: str
    name: str
    data: bytes
    exemption: Exemption


class State(msgspec.Struct, frozen=True):
    """What is in force in one scope."""

    scope: Scope
    roots: dict[Name, tuple[RootFile, ...]] = msgspec.field(default_factory=dict)
    targets: TargetsFile | None = None
    roles: dict[str, bytes] = msgspec.field(default_factory=dict)
    """The file in force of every delegated role that ever had one."""
    parts: dict[str, Part] = msgspec.field(default_factory=dict)
    index: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    """By role and path: the digest of what it says of a target."""
    exemptions: tuple[SmallTarget, ...] = ()

    def root(self, name: Name) -> RootFile | None:
        """The newest root of a repository."""
        chain = self.roots.get(name, ())
        return chain[-1] if chain else None

    def role(self, name: str) -> TargetsFile | None:
        """The file in force of ``targets`` or of a delegated role."""
        if name == "targets":
            return self.targets
        data = self.roles.get(name)
        return read_targets(data) if data is not None else None

    def holds(self, target: AgreedTarget) -> bool:
        """Whether the image repository says exactly this of a target."""
        model = target.path.partition("/")[0]
        return self.index.get(model, {}).get(target.path) == fingerprint(target)


def with_root(state: State, name: Name, file: RootFile) -> State:
    """The state with one more root, which its own threshold and the one before it signed.

    Raises:
        HostileData: ``repository.other``, ``repository.version``, ``repository.threshold``.
        LimitExceeded: ``repository.roots``.
    """
    chain = state.roots.get(name, ())
    said = (file.root.unrecognized_fields.get(REPOSITORY), file.root.unrecognized_fields.get(SCOPE))
    if said != (name.value, str(state.scope)):
        raise HostileData(
            "repository.other",
            f"This root says that it is of {str(said)[:120]}, and not of {name.value} in {state.scope}.",
            remedy="Publish each root where it belongs; keep keys of different environments apart.",
        )
    if len(chain) >= ROOTS:
        raise LimitExceeded(
            "repository.roots", f"There were {ROOTS} roots; a client follows no more.", remedy="Found it anew."
        )
    _require_next(name.value, file.root.version, chain[-1].root.version if chain else FIRST_ROOT[name] - 1)
    if chain:
        require_threshold(chain[-1].root, "root", file, "the previous root's")
    require_threshold(file.root, "root", file, "its own")
    _check_single(name, file)
    return msgspec.structs.replace(state, roots={**state.roots, name: (*chain, file)})


def _check_single(name: Name, file: RootFile) -> None:
    for role in ONLINE_ROLES[name]:
        if len(file.root.roles[role].keyids) != 1:
            raise malformed(f"the role {role} of {name.value} is one key of the server")


def with_file(state: State, role: str, file: TargetsFile) -> State:
    """The state with the next version of ``targets`` or of a delegated role; who signed it is `require_whole`'s.

    Raises:
        HostileData: ``repository.version``, ``repository.other``, ``repository.malformed``.
        LimitExceeded: ``repository.roles``.
    """
    before = state.parts.get(role)
    _require_next(role, file.targets.version, before.version if before else 0)
    if file.targets.unrecognized_fields.get(SCOPE) != str(state.scope):
        raise HostileData(
            "repository.other",
            f"This file of {role!r} is not of {state.scope}.",
            remedy="Publish each file where it belongs; keep keys of different environments apart.",
        )
    return _placed(state, role, file)


def loaded_file(state: State, role: str, file: TargetsFile) -> State:
    """The state with a file that was in force, as it was kept."""
    return _placed(state, role, file)


def _placed(state: State, role: str, file: TargetsFile) -> State:
    part = Part(role, file.targets.version, digest_of(file.data), len(file.data))
    parts = {**state.parts, role: part}
    if role == "targets":
        if file.targets.targets:
            raise malformed("targets itself holds no target, only delegations")
        return msgspec.structs.replace(state, targets=file, parts=parts)
    if len(parts) > ROLES:
        raise LimitExceeded("repository.roles", f"{ROLES} roles are allowed.", remedy="Use another environment.")
    index = {path: fingerprint_of(target) for path, target in file.targets.targets.items()}
    return msgspec.structs.replace(
        state, roles={**state.roles, role: file.data}, parts=parts, index={**state.index, role: index}
    )


def require_whole(state: State, before: State | None = None) -> None:
    """Refuse a state that a device could not verify.

    Args:
        state: what would be in force.
        before: what was in force, and was whole: only what differs is looked at.

    Raises:
        HostileData: ``repository.threshold``, ``repository.malformed``.
    """
    image = state.root(Name.IMAGE)
    if state.targets is None:
        return
    if image is None:
        raise malformed("there are targets and no root")
    require_threshold(image.root, "targets", state.targets)
    given, had = _delegated(state), _delegated(before)
    for role, data in state.roles.items():
        # Of a role that was taken back no client asks for its file any more, but a snapshot may not forget it.
        same = before is not None and state.parts[role] == before.parts.get(role) and given.get(role) == had.get(role)
        if role in given and not same:
            require_threshold(state.targets.targets, role, read_targets(data))


def _delegated(state: State | None) -> dict[str, tuple[tuple[str, ...], int]]:
    """Whose keys each delegated role has, and how many are needed."""
    if state is None or state.targets is None or state.targets.targets.delegations is None:
        return {}
    roles = state.targets.targets.delegations.roles or {}
    return {name: (tuple(role.keyids), role.threshold) for name, role in roles.items()}


def require_fresh(role: str, expires: datetime, now: Instant) -> None:
    """Refuse a file that has expired. Raises HostileData ``repository.expired``."""
    _require_fresh(role, from_datetime(expires), now)


def _require_fresh(role: str, expires: Instant, now: Instant) -> None:
    if expires <= now:
        raise HostileData(
            "repository.expired",
            f"This file of {role!r} expired {rfc3339(expires)}.",
            remedy="Make and sign the next version.",
        )


def _require_next(what: str, version: int, before: int) -> None:
    if version != before + 1:
        raise HostileData(
            "repository.version",
            f"Version {version} of {what!r} cannot follow version {before}.",
            remedy="Somebody published another version meanwhile: fetch what waits (holdfast keys fetch), sign that.",
            http_status=409,
        )


def fingerprint(target: AgreedTarget) -> str:
    """A digest of all that a repository says of a target."""
    return digest_of(canonical(target_value(target)))


def fingerprint_of(target: TargetFile) -> str:
    """The same of a target as python-tuf read it."""
    return digest_of(canonical(target.to_dict()))


def small_targets(file: TargetsFile | None) -> tuple[SmallTarget, ...]:
    """The exemptions of a file, their bytes made of what it says of them.

    Raises:
        HostileData: ``repository.exemption``.
    """
    targets = sorted(file.targets.targets.items()) if file is not None else []
    return tuple(small_target(path, target) for path, target in targets)


def small_target(path: str, target: TargetFile) -> SmallTarget:
    """One exemption: what ``custom`` says of it has to be what its digest is of."""
    custom = target.custom
    try:
        said = msgspec.convert(custom.get(EXEMPTIONS) if isinstance(custom, dict) else None, Exemption)
    except msgspec.ValidationError as error:
        raise _no_exemption(path, str(error)) from None
    data = canonical(said)
    digest = digest_of(data).removeprefix("sha256:")
    if target.hashes.get("sha256") != digest or target.length != len(data):
        raise _no_exemption(path, "its digest is of something else")
    return SmallTarget(path, f"targets/{EXEMPTIONS}/{digest}.{path.rpartition('/')[2]}", data, said)


def _no_exemption(path: str, why: str) -> HostileData:
    return HostileData(
        "repository.exemption",
        f"{path[:120]!r} is no exemption: {why}.",
        remedy="Make it with holdfast release exempt.",
    )
