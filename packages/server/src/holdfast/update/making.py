"""Making what people sign: roots, targets, delegations. Nothing here is signed, and nothing is looked up.

1. A root names people for itself (and for ``targets`` where people sign them), and the server's keys for what is signed
   online; it says which repository of which scope it is of, and counts its versions from that repository's number.
2. ``targets`` of the image repository holds no target, only delegations: ``exemptions``, under its own keys, and one
   role per model for ``MODEL/*/*``. Each ends the search (terminating), so that no role speaks for another's paths.
3. A file that follows another keeps all of it that is not changed.

Source: TUF specification 1.0.34, 4.3 and 4.5; Uptane standard 2.1.0, 5.2.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519

from holdfast.update.online_files import target_value
from holdfast.update.tuf_files import RootFile, TargetsFile, public_of, read_root, read_targets
from holdfast.update.tuf_types import (
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    Role,
    Root,
    SSlibKey,
    TargetFile,
    Targets,
)
from holdfast_core.kernel.digests import canonical
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant, to_datetime
from holdfast_core.update.agreement import EXEMPTIONS, Exemption
from holdfast_core.update.agreement import Target as AgreedTarget
from holdfast_core.update.repository import (
    FIRST_ROOT,
    ONLINE_ROLES,
    REPOSITORY,
    RESERVED,
    ROOT_LIFE,
    SCOPE,
    SPECIFICATION,
    TARGETS_LIFE,
    Name,
    Online,
)

PublicKey = ed25519.Ed25519PublicKey
OnlinePublics = dict[Online, PublicKey]


class Holders(msgspec.Struct, frozen=True):
    """Who holds a role: public keys, and how many of them have to sign."""

    keys: tuple[PublicKey, ...]
    threshold: int


class RootPlan(msgspec.Struct, frozen=True):
    """What a root says: who signs roots, who signs the image repository's targets, the server's own keys."""

    root: Holders
    targets: Holders
    online: OnlinePublics


def new_root(name: Name, scope: Scope, plan: RootPlan, *, now: Instant, before: Root | None = None) -> RootFile:
    """A root of a repository, the one after `before`.

    Raises:
        HostileData: ``repository.key``, ``repository.key_twice``.
    """
    online = ONLINE_ROLES[name]
    holders = {"root": plan.root, **({} if "targets" in online else {"targets": plan.targets})}
    holders |= {role: Holders((plan.online[which],), 1) for role, which in online.items()}
    made = Root(
        version=before.version + 1 if before is not None else FIRST_ROOT[name],
        spec_version=SPECIFICATION,
        expires=to_datetime(Instant(now + ROOT_LIFE)),
        keys={key.keyid: key for each in holders.values() for key in map(tuf_key, each.keys)},
        roles={role: _role(each) for role, each in holders.items()},
        consistent_snapshot=True,
        unrecognized_fields={REPOSITORY: name.value, SCOPE: str(scope)},
    )
    return read_root(Metadata[Root](made).to_bytes())


def plan_of(image: Root, online: OnlinePublics) -> RootPlan:
    """Who holds what by an image root, with these keys of the server."""
    return RootPlan(holders_of(image, "root"), holders_of(image, "targets"), online)


def holders_of(delegator: Root | Targets, role: str) -> Holders:
    """Who holds a role that `delegator` gives. Raises HostileData ``repository.role`` where it gives no such role."""
    try:
        given = delegator.get_delegated_role(role)
    except ValueError:
        raise HostileData(
            "repository.role",
            f"Nobody was given the role {role[:63]!r}.",
            remedy="Delegate it first: holdfast keys delegate MODEL.",
            http_status=404,
        ) from None
    return Holders(tuple(public_of(delegator.get_key(keyid)) for keyid in given.keyids), given.threshold)


def first_targets(scope: Scope, holders: Holders, *, now: Instant) -> TargetsFile:
    """The first ``targets``: it delegates ``exemptions`` to its own signers."""
    made = Targets(
        version=1,
        spec_version=SPECIFICATION,
        expires=to_datetime(Instant(now + TARGETS_LIFE)),
        delegations=Delegations({}, {}),
        unrecognized_fields={SCOPE: str(scope)},
    )
    _delegate(made, EXEMPTIONS, holders, [f"{EXEMPTIONS}/*"])
    return _read(made)


def first_role(scope: Scope, *, now: Instant) -> TargetsFile:
    """The first version of a delegated role, without a target."""
    made = Targets(
        version=1,
        spec_version=SPECIFICATION,
        expires=to_datetime(Instant(now + TARGETS_LIFE)),
        unrecognized_fields={SCOPE: str(scope)},
    )
    return _read(made)


def next_file(before: TargetsFile, *, now: Instant) -> Targets:
    """A copy of a targets file with the next version and a new expiry, to be changed."""
    made = copy.deepcopy(before.targets)
    made.version += 1
    made.expires = to_datetime(Instant(now + TARGETS_LIFE))
    return made


def with_target(made: Targets, target: AgreedTarget) -> None:
    """Add a target, or replace the one of its path."""
    made.targets[target.path] = TargetFile.from_dict(_plain(target_value(target)), target.path)


def with_exemption(made: Targets, path: str, exemption: Exemption) -> None:
    """Add an exemption's file as a target; what it says stands in ``custom``, so that signers see it."""
    data = canonical(exemption)
    custom = {"custom": {EXEMPTIONS: msgspec.to_builtins(exemption)}}
    made.targets[path] = TargetFile(len(data), {"sha256": hashlib.sha256(data).hexdigest()}, path, custom)


def with_delegation(made: Targets, model: str, holders: Holders) -> None:
    """Give a model's role to its signers; whoever held it before holds it no more.

    Raises:
        HostileData: ``repository.reserved``.
    """
    if model in RESERVED:
        raise HostileData(
            "repository.reserved",
            f"No model's role can be named {model!r}: TUF uses the name itself.",
            remedy="Rename the model.",
        )
    _delegate(made, model, holders, [f"{model}/*/*"])


def with_holders(made: Targets, holders: Holders, before: Holders) -> tuple[str, ...]:
    """Give every role that the holders `before` held alike to new holders; which roles those are."""
    old = frozenset(tuf_key(key).keyid for key in before.keys)
    roles = made.delegations.roles if made.delegations and made.delegations.roles else {}
    held = [role for role in roles.values() if frozenset(role.keyids) == old and role.threshold == before.threshold]
    for role in held:
        _delegate(made, role.name, holders, role.paths or [])
    return tuple(role.name for role in held)


def with_role_holders(made: Targets, name: str, holders: Holders) -> None:
    """Give one role that is delegated already to new holders; what it is for stays."""
    roles = made.delegations.roles if made.delegations and made.delegations.roles else {}
    _delegate(made, name, holders, roles[name].paths or [])


def finished(made: Targets) -> TargetsFile:
    """A changed copy as a file, unsigned."""
    return _read(made)


def _delegate(made: Targets, name: str, holders: Holders, paths: Sequence[str]) -> None:
    if made.delegations is None:
        made.delegations = Delegations({}, {})
    roles = made.delegations.roles or {}
    keys = {key.keyid: key for key in map(tuf_key, holders.keys)}
    roles[name] = DelegatedRole(name, list(keys), holders.threshold, terminating=True, paths=list(paths))
    made.delegations.roles = roles
    used = {keyid for role in roles.values() for keyid in role.keyids}
    made.delegations.keys = {keyid: key for keyid, key in (made.delegations.keys | keys).items() if keyid in used}


def _role(holders: Holders) -> Role:
    return Role(list(dict.fromkeys(tuf_key(key).keyid for key in holders.keys)), holders.threshold)


def tuf_key(key: PublicKey) -> Key:
    """A public key as TUF writes it."""
    return SSlibKey.from_crypto(key)


def _plain(value: dict[str, Any]) -> Any:
    return msgspec.to_builtins(value)


def _read(made: Targets) -> TargetsFile:
    return read_targets(Metadata[Targets](made).to_bytes())
