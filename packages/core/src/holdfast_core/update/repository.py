"""What is kept of the TUF repositories: which files are in force, what waits for signatures, whom the director directs.

1. A scope has three repositories (`Name`): `image`, signed by people's thresholds; `director`, signed online for single
   devices; `offline`, the targets of `image` under a timestamp that lives as long as a bundle travels.
2. The same people sign all three roots, so a root of one must never pass as the next root of another: each counts its
   versions from a number of its own (`FIRST_ROOT`), `ROOTS` of them at most, and a client only takes the next number.
3. What people signed is kept as it was signed, under its digest (`Part`). What is signed online is kept as the few
   facts it is made of (`Issue`, `Direction`): Ed25519 is deterministic, so the same facts give the same bytes.
4. Versions of what is signed online follow the clock (`next_version`), and always rise: a server that was restored from
   a backup goes on above all that it ever issued, and no device takes its metadata for a rollback.
5. A role is signed again once half of its life is over (`is_due`).

Source: TUF specification 1.0.34, 3.6, 5.3 and 6.1; Uptane standard 2.1.0, 5.4.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.instants import DAY, SECOND, Instant
from holdfast_core.kernel.kept import Kept
from holdfast_core.supply.model import Offer

SPECIFICATION = "1.0.31"
"""The TUF specification that metadata names; fixed, for what is made anew has to be the same bytes."""
ROOT_LIFE = TARGETS_LIFE = 365 * DAY
SNAPSHOT_LIFE = 30 * DAY
TIMESTAMP_LIFE = 7 * DAY
DIRECTED_LIFE = 365 * DAY
"""Of the director's targets and snapshot; its timestamp guards against freezing."""
BUNDLE_LIFE = 180 * DAY
PROPOSAL_LIFE = 30 * DAY
CONTACTS_PER_TIMESTAMP = 3
ROOTS = 250
"""Roots of one repository, all in all; clients take 256 at once."""
ROLES = 500
"""Delegated roles of one repository: each is a line of its snapshot."""
SIGNERS = 16
"""Keys of one role."""
REPOSITORY = "x-holdfast-repository"
"""The member of root metadata that names the repository (`Name`)."""
SCOPE = "x-holdfast-scope"
"""The member of what people sign that names tenant and environment."""
RESERVED = frozenset({"root", "targets", "snapshot", "timestamp", "exemptions"})
"""Names that no model's role may have."""
BUNDLE_TYPE = "application/vnd.holdfast.bundle+json"
"""The payload type (DSSE) of `SiteTargets`."""
SITE_DEVICES = 10_000


class Name(StrEnum):
    """Which repository."""

    IMAGE = "image"
    DIRECTOR = "director"
    OFFLINE = "offline"


FIRST_ROOT = {Name.IMAGE: 1, Name.DIRECTOR: 1_000_001, Name.OFFLINE: 2_000_001}


class Online(StrEnum):
    """What the server signs by itself, each with a key of its own."""

    SNAPSHOT = "snapshot"
    TIMESTAMP = "timestamp"
    DIRECTOR = "director"
    BUNDLE = "bundle"


ONLINE_ROLES = {
    Name.IMAGE: {"snapshot": Online.SNAPSHOT, "timestamp": Online.TIMESTAMP},
    Name.DIRECTOR: {"targets": Online.DIRECTOR, "snapshot": Online.DIRECTOR, "timestamp": Online.DIRECTOR},
    Name.OFFLINE: {"snapshot": Online.BUNDLE, "timestamp": Online.BUNDLE},
}
"""Which roles of which repository each online key signs."""


class Part(msgspec.Struct, frozen=True):
    """One metadata file that people signed; its bytes are a blob."""

    role: str
    version: int
    digest: Digest
    length: int


class Issue(msgspec.Struct, frozen=True):
    """One issue of what is signed online: its version and when it was made."""

    version: int
    at: Instant


class Repository(Kept, frozen=True, kw_only=True):
    """The state of one repository; `id` is its `Name`. The director's and the offline one have roots only."""

    roots: tuple[Part, ...] = ()
    """Every root that there was, the newest last."""
    targets: Part | None = None
    roles: tuple[Part, ...] = ()
    """The newest of each delegated role, by name."""
    snapshot: Issue | None = None
    timestamp: Issue | None = None

    def role(self, name: str) -> Part | None:
        """The file in force of ``targets`` or of a delegated role."""
        if name == "targets":
            return self.targets
        return next((part for part in self.roles if part.role == name), None)

    def with_role(self, part: Part) -> Repository:
        """With another file in force for the role of `part`."""
        if part.role == "targets":
            return msgspec.structs.replace(self, targets=part)
        others = [each for each in self.roles if each.role != part.role]
        return msgspec.structs.replace(self, roles=tuple(sorted([*others, part], key=lambda each: each.role)))


class OnlineKey(Kept, frozen=True, kw_only=True):
    """Which online keys there are; `id` is `Online`. They are numbered from 1; the number stands in their reference.

    The newest may not be in force yet: a root has to name it first.
    """

    number: int


class Signature(msgspec.Struct, frozen=True):
    """One person's signature: the TUF key id, the signature in hexadecimal, who handed it in, when."""

    keyid: str
    sig: str
    actor: str
    at: Instant


class Proposal(Kept, frozen=True, kw_only=True):
    """A new version of a role of the image repository that waits for signatures; `id` is the role's name.

    Its bytes are a blob (`digest`), unsigned. It is void once another version of the role is in force than the one
    before its own, and after `expires_at`.
    """

    version: int
    digest: Digest
    length: int
    made_at: Instant
    expires_at: Instant
    by: str
    whys: tuple[str, ...] = ()
    """What was asked for, one sentence each."""
    signatures: tuple[Signature, ...] = ()

    def stands(self, current: Part | None, now: Instant) -> bool:
        """Whether it may still be signed and come into force."""
        return now < self.expires_at and self.version == (current.version if current else 0) + 1


class Direction(Kept, frozen=True, kw_only=True):
    """What the director directs a device to; `id` is the device's."""

    version: int
    """Of its targets and its snapshot."""
    issued: Instant
    timestamp: int
    stamped: Instant
    key: str = ""
    """The TUF key id that signs them; empty where there was no director yet."""
    release: str = ""
    """The release whose payload is the one target; empty: none."""


class Withdrawal(Kept, frozen=True, kw_only=True):
    """That the signers took a release out of the image repository, and when; `id` is the release's name.

    It is gone once they publish the release again.
    """

    at: Instant


class SiteTarget(msgspec.Struct, frozen=True):
    """A target that a bundle's devices are directed to."""

    path: Annotated[str, msgspec.Meta(max_length=300)]
    length: int
    digest: Digest
    offer: Offer
    devices: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=SITE_DEVICES)]


class SiteTargets(msgspec.Struct, frozen=True):
    """The director's word in a bundle: which devices of a site should take which target, and until when it counts."""

    scope: str
    site: Annotated[str, msgspec.Meta(max_length=63)]
    issued: Instant
    expires: Instant
    targets: Annotated[tuple[SiteTarget, ...], msgspec.Meta(max_length=64)]


def next_version(before: int, now: Instant) -> int:
    """The version after `before` of something that is signed online at `now`: the seconds of the clock, if higher."""
    return max(before + 1, now // SECOND)


def is_due(issued: Instant, life: int, now: Instant) -> bool:
    """Whether half of the life of what was issued then is over; a clock that was set back makes nothing due."""
    return now >= issued + life // 2


def timestamp_life(contact_ms: int) -> int:
    """How long the director's timestamp for a device lives that calls every `contact_ms`, in milliseconds."""
    return max(TIMESTAMP_LIFE, CONTACTS_PER_TIMESTAMP * contact_ms)
