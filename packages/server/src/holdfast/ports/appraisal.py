"""What a feature does in the check-in: read its section (appraiser) and wish for something (contributor)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Protocol, runtime_checkable

import msgspec

from holdfast.ports.events import Event
from holdfast.ports.store import Change, StoredModel
from holdfast_core.identity.model import Credential
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.appraisals import Appraisal
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.instants import Instant
from holdfast_core.trust.model import Policy, Verdict
from holdfast_core.trust.posture import Posture, Wish


class SectionEvidence(msgspec.Struct, frozen=True):
    """One section as it came: its digest (computed by the server where a body came), body if any, and when gathered."""

    digest: Digest
    body: msgspec.Raw | None
    gathered_at: Instant
    base: bytes | None = None
    """The earlier body that `body` only says the changes to (see `Rebuilding`); `None` where `body` is the whole."""


class Context(msgspec.Struct, frozen=True):
    """One device at one check-in; `credential` is the one that it speaks with.

    `sections` is all that came with this check-in, for a feature whose evidence travels in several; `blobs` what an
    appraiser said it reaches for (see `Reaching`), by digest.
    """

    device: Device
    model: StoredModel
    policy: Policy
    posture: Posture
    now: Instant
    credential: Credential | None = None
    sections: Mapping[str, SectionEvidence] = {}
    blobs: Mapping[Digest, bytes] = {}
    baseless: frozenset[str] = frozenset()
    """Sections that only say what changed since a body that is not held here."""


class Keep(Enum):
    """Where a section's body goes: nowhere, into the posture (small ones), or under its digest (large ones)."""

    NOT = 0
    INLINE = 1
    BY_DIGEST = 2


class Appraised(msgspec.Struct, frozen=True):
    """What a feature read.

    `wants_body`: the digest alone did not suffice, or other evidence is asked for at once. `keep`: how the body is
    kept, if it came.
    """

    appraisal: Appraisal | None = None
    wants_body: bool = False
    whole: bytes | None = None
    """The whole body, where only changes came."""
    keep: Keep = Keep.NOT
    basis: str = ""
    """What the evidence was read against, where that can change; `SectionState` keeps it."""
    events: tuple[Event, ...] = ()
    """What others have to hear of."""
    wants: tuple[str, ...] = ()
    """Other sections whose bodies are needed, too."""
    state: bytes | None = None
    """What to remember of the device in place of the section's body; also where the body is wanted again."""
    answer: bytes = b""
    """A word (JSON) to the feature's own half on the device."""
    changes: tuple[Change, ...] = ()
    """What else is to be kept, in the same commit."""


class Appraiser(Protocol):
    """Reads one section."""

    section: str

    def appraise(self, evidence: SectionEvidence, context: Context) -> Appraised:
        """Read the evidence: pure, fast, no I/O.

        Raises:
            HostileData: the body is not what it should be; the whole check-in is refused.
        """
        ...


@runtime_checkable
class Reaching(Protocol):
    """An appraiser that looks at what is kept on disk."""

    def reaches(self, evidence: SectionEvidence, context: Context) -> Sequence[Digest]:
        """The blobs that `appraise` will look at, if they are there."""
        ...


@runtime_checkable
class Rebuilding(Protocol):
    """An appraiser whose section may come as the changes to an earlier body.

    It rebuilds the whole and compares the digest, which nobody else can. The sections of all others come whole.
    """

    rebuilds: bool


class Contributor(Protocol):
    """Adds to the desired state."""

    def wishes(self, context: Context, verdict: Verdict) -> Sequence[Wish]:
        """What the feature wants of the device now; a wish already open or settled is not issued again."""
        ...
