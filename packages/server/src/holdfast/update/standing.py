"""How a scope's repositories stand, for people: who has to sign what, what expires when, what waits."""

from __future__ import annotations

import msgspec

from holdfast.update.image_repository import ImageRepository
from holdfast.update.proposals import Waiting, signatures_of
from holdfast.update.shelf import Shelf
from holdfast.update.tuf_types import Role
from holdfast_core.kernel.errors import HoldfastError
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant, from_datetime, rfc3339
from holdfast_core.update.repository import SNAPSHOT_LIFE, TIMESTAMP_LIFE, Name


class RoleStanding(msgspec.Struct, frozen=True):
    """One role: its version, when it expires, how many of which keys (TUF key ids) sign it, how many targets it has."""

    repository: str
    role: str
    version: int
    expires: str
    threshold: int
    keys: tuple[str, ...]
    targets: int = 0


class ProposalStanding(msgspec.Struct, frozen=True):
    """One proposal: what it is for, who signed it, until when it may be signed."""

    role: str
    version: int
    whys: tuple[str, ...]
    by: str
    signed: tuple[str, ...]
    expires: str


class Standing(msgspec.Struct, frozen=True):
    """A scope's repositories; `trouble` says why nothing of them is served, where that is so."""

    live: bool
    trouble: str
    roles: tuple[RoleStanding, ...]
    proposals: tuple[ProposalStanding, ...]


def standing(images: ImageRepository, scope: Scope) -> Standing:
    """How a scope's repositories stand."""
    try:
        shelf = images.shelf(scope)
    except HoldfastError as error:
        return Standing(live=False, trouble=error.sentence, roles=(), proposals=())
    roles = (*_roots(shelf), *_targets(shelf), *_online(shelf))
    return Standing(shelf.is_live, "", roles, tuple(_proposal(each) for each in images.proposals(scope)))


def _roots(shelf: Shelf) -> list[RoleStanding]:
    found = []
    for name, chain in shelf.state.roots.items():
        root = chain[-1].root
        expires = rfc3339(from_datetime(root.expires))
        found.append(_role(name.value, "root", root.version, expires, root.roles["root"]))
    return found


def _targets(shelf: Shelf) -> list[RoleStanding]:
    state, image = shelf.state, shelf.state.root(Name.IMAGE)
    if state.targets is None or image is None:
        return []
    expires = rfc3339(from_datetime(state.targets.targets.expires))
    held = image.root.roles["targets"]
    found = [_role("image", "targets", state.targets.targets.version, expires, held)]
    given = state.targets.targets.delegations
    for name, role in (given.roles or {}).items() if given is not None else ():
        file = state.role(name)
        version, until = (file.targets.version, rfc3339(from_datetime(file.targets.expires))) if file else (0, "")
        found.append(_role("image", name, version, until, role, targets=len(state.index.get(name, {}))))
    return found


def _online(shelf: Shelf) -> list[RoleStanding]:
    image, record, found = shelf.state.root(Name.IMAGE), shelf.record, []
    for role, issue, life in (
        ("snapshot", record.snapshot, SNAPSHOT_LIFE),
        ("timestamp", record.timestamp, TIMESTAMP_LIFE),
    ):
        if issue is not None and image is not None:
            expires = rfc3339(Instant(issue.at + life))
            found.append(_role("image", role, issue.version, expires, image.root.roles[role]))
    return found


def _role(repository: str, role: str, version: int, expires: str, held: Role, *, targets: int = 0) -> RoleStanding:
    return RoleStanding(repository, role, version, expires, held.threshold, tuple(held.keyids), targets)


def _proposal(each: Waiting) -> ProposalStanding:
    return ProposalStanding(
        each.proposal.id,
        each.proposal.version,
        each.proposal.whys,
        each.proposal.by,
        tuple(signatures_of(each)),
        rfc3339(each.proposal.expires_at),
    )
