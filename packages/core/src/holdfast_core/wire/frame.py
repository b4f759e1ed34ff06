"""The frame of a check-in and of its reply, version 1.

1. A frame is a map of named, bounded sections; a feature owns a section's content, the frame owns its size and shape.
2. A section travels as a body, as a digest, or as both. A digest alone means "unchanged since that digest was
   sent"; a server that does not know the digest asks for the body (`Reply.wants`). With `base`, the body is what
   changed since the body of that digest, and `digest` names the whole it leads to.
3. `seq` rises strictly over a device's whole life, also across boots; it is on the device's disk before it is sent.
4. Names are short because a radio pays for them; unknown keys are ignored so that a later minor form still reads here.
   Unknown *sections* are kept out of every appraisal, but are no error: an older server serves a newer agent.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from holdfast_core.kernel.instants import LATEST, Instant
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.kernel.reasons import Reason

VERSION = 1
MEDIA_TYPE = "application/vnd.holdfast.check-in+json"

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
Token = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
Text = Annotated[str, msgspec.Meta(max_length=LIMITS.text)]
DigestText = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}$")]


Whole = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
"""What every JSON reader takes exactly (RFC 8259, section 6)."""
LONGEST_AGE_S = 10 * 366 * 86_400


class Section(msgspec.Struct, frozen=True, omit_defaults=True):
    """One feature's evidence: at least one of `digest` and `body` is there."""

    digest: DigestText | None = None
    base: DigestText | None = None
    """The digest that a body which only says what changed starts from; `digest` is that of the whole."""
    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    age_s: Annotated[int, msgspec.Meta(ge=0, le=LONGEST_AGE_S)] = 0
    """Seconds since the evidence was gathered; relative, so that a lost clock does no harm."""


class DirectiveState(StrEnum):
    """What became of a directive, as the device reports it."""

    ACCEPTED = "accepted"
    DONE = "done"
    REFUSED = "refused"


class DirectiveReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """A device's word on one directive; `code` and `sentence` say why when it was refused."""

    id: Whole
    state: DirectiveState
    code: Text = ""
    sentence: Text = ""


class Pin(msgspec.Struct, frozen=True):
    """The newest checkpoint of the log that the device has seen: tree size and base64 root hash."""

    size: Whole
    root: Text


class Conflict(msgspec.Struct, frozen=True):
    """Two checkpoints that cannot both be of one honest log: the one the device keeps, and the one it was offered."""

    kept: Pin
    offered: Pin


class LogNews(msgspec.Struct, frozen=True):
    """Section ``log``: sent for as long as the device remembers a conflict."""

    conflict: Conflict


class CheckIn(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a device sends. `boot` is an opaque id that changes with every boot; `nonce` came with the last reply."""

    v: int
    boot: Token
    seq: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
    sections: Annotated[dict[Name, Section], msgspec.Meta(max_length=LIMITS.sections)]
    nonce: Token | None = None
    reports: Annotated[tuple[DirectiveReport, ...], msgspec.Meta(max_length=LIMITS.directive_reports)] = ()
    pin: Pin | None = None


class Level(StrEnum):
    """What a device is allowed to be right now."""

    TRUSTED = "trusted"
    RESTRICTED = "restricted"
    QUARANTINED = "quarantined"
    RETIRED = "retired"


class VerdictNotice(msgspec.Struct, frozen=True):
    """The verdict, told to the device: level, the worst reasons, and when it lapses (milliseconds UTC)."""

    level: Level
    reasons: tuple[Reason, ...]
    until: Annotated[Instant, msgspec.Meta(ge=0, le=LATEST)]


class Directive(msgspec.Struct, frozen=True):
    """One numbered wish of the server. `args` is a JSON object whose shape `kind` decides."""

    id: Whole
    kind: str
    args: msgspec.Raw


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the server answers. `next_s` seconds from now, jittered; `now` helps a device whose clock is lost."""

    v: int
    seq: int
    now: Annotated[Instant, msgspec.Meta(ge=0, le=LATEST)]
    next_s: Whole
    nonce: str
    verdict: VerdictNotice
    directives: tuple[Directive, ...] = ()
    wants: tuple[str, ...] = ()
    checkpoint: str | None = None
    answers: Annotated[dict[Name, msgspec.Raw], msgspec.Meta(max_length=LIMITS.sections)] = {}
    """A feature's word to its own half on the device, by section; JSON of at most `LIMITS.answer_bytes` each."""


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """Section ``health``: does the essential function go on?"""

    ok: bool
    detail: Text = ""


class InstalledRelease(msgspec.Struct, frozen=True, omit_defaults=True):
    """Section ``release``: what the device says it runs."""

    build: Text
    version: Text = ""
    slot: Text = ""


Metrics = Annotated[dict[Name, int | float], msgspec.Meta(max_length=32)]
"""Section ``metrics``: small numbers by name."""
