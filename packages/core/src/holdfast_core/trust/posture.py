"""Posture: everything the server remembers of one device between two check-ins; one row a device.

1. A posture is replaced as a whole, in the same transaction as what follows from the change.
2. A directive keeps its number for ever; one kind has at most one open directive at a time.
3. A wish that was settled is not issued again until its arguments change, so a refusal cannot become a loop.
"""

from __future__ import annotations

import msgspec

from holdfast_core.baseline.inspections import InspectionRecord
from holdfast_core.kernel.appraisals import Appraisal
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.kernel.instants import Instant
from holdfast_core.trust.model import Hold, Verdict
from holdfast_core.wire.frame import Directive, DirectiveReport, DirectiveState, Pin
from holdfast_core.wire.sequence import Sequence


class Wish(msgspec.Struct, frozen=True):
    """What a feature wants of a device: a directive that has no number yet. `args` is JSON; build it with `wish`.

    `digest` identifies it: two wishes of a kind with one digest are the same wish. It is kept, because every check-in
    compares it.
    """

    kind: str
    args: bytes
    digest: Digest


def wish(kind: str, args: bytes) -> Wish:
    """A wish of `kind` with `args`, a JSON object."""
    return Wish(kind, args, digest_of(args))


class OpenDirective(msgspec.Struct, frozen=True):
    """A directive on its way: sent until the device settles it. `by` is who asked: a feature or a person."""

    id: int
    wish: Wish
    issued_at: Instant
    by: str
    accepted: bool = False


class Settled(msgspec.Struct, frozen=True):
    """How the last directive of a kind ended."""

    kind: str
    digest: Digest
    state: DirectiveState
    code: str = ""
    id: int = 0
    by: str = ""
    about: str = ""
    """The control that it named, where it named one."""


class _About(msgspec.Struct, frozen=True):
    control: str = ""


class Desired(msgspec.Struct, frozen=True):
    """The numbered directives of one device: the next number, those open, and how the last of each kind ended."""

    next_id: int = 1
    open: tuple[OpenDirective, ...] = ()
    settled: tuple[Settled, ...] = ()

    def wants(self, wish: Wish) -> bool:
        """Whether `wish` is neither open nor settled."""
        return not any(entry.wish == wish for entry in self.open) and not any(
            entry.kind == wish.kind and entry.digest == wish.digest for entry in self.settled
        )

    def issue(self, wish: Wish, *, by: str, now: Instant) -> Desired:
        """With `wish` as a new directive; an open one of the same kind is withdrawn, for the newest wish counts."""
        kept = tuple(entry for entry in self.open if entry.wish.kind != wish.kind)
        opened = OpenDirective(self.next_id, wish, now, by)
        return Desired(self.next_id + 1, (*kept, opened), self.settled)

    def report(self, report: DirectiveReport) -> Desired:
        """After a device's word on a directive; one that is not open changes nothing, for reports repeat."""
        entry = next((entry for entry in self.open if entry.id == report.id), None)
        if entry is None:
            return self
        if report.state is DirectiveState.ACCEPTED:
            accepted = msgspec.structs.replace(entry, accepted=True)
            return msgspec.structs.replace(self, open=tuple(accepted if e is entry else e for e in self.open))
        about = msgspec.json.decode(entry.wish.args, type=_About).control
        ended = Settled(entry.wish.kind, entry.wish.digest, report.state, report.code, entry.id, entry.by, about)
        return Desired(
            self.next_id,
            tuple(e for e in self.open if e is not entry),
            (*(s for s in self.settled if s.kind != ended.kind), ended),
        )

    def directives(self) -> tuple[Directive, ...]:
        """What goes into the reply."""
        return tuple(Directive(e.id, e.wish.kind, msgspec.Raw(e.wish.args)) for e in self.open)


class SectionState(msgspec.Struct, frozen=True):
    """What is remembered of one section: the digest last appraised and when the evidence under it was gathered.

    `body` holds small bodies only (health, release, metrics); large ones are kept by digest outside the posture.
    """

    digest: Digest
    gathered_at: Instant
    body: bytes = b""
    basis: str = ""
    """What it was read against; empty where that cannot change."""
    lasting: bool = False
    """Whether `body` is the feature's own memory of the device, which outlives an enrollment."""


class Posture(msgspec.Struct, frozen=True):
    """One device between two check-ins.

    `reply` holds the bytes last answered, for a byte-identical resend; `nonce` went with it: what the next
    evidence is bound to where its appraiser asks for freshness.
    """

    key: DeviceKey
    verdict: Verdict
    sequence: Sequence = Sequence()
    appraisals: tuple[Appraisal, ...] = ()
    sections: dict[str, SectionState] = {}
    hold: Hold | None = None
    identified: bool = True
    """Whether it has a credential in force; a revocation ends that, an enrollment begins it."""
    last_seen: Instant | None = None
    next_due: Instant | None = None
    nonce: str = ""
    desired: Desired = Desired()
    pin: Pin | None = None
    reply: bytes = b""
    inspections: tuple[InspectionRecord, ...] = ()
    """What people saw of it, in control order."""

    def appraisal(self, feature: str) -> Appraisal | None:
        """`feature`'s last reading."""
        return next((appraisal for appraisal in self.appraisals if appraisal.feature == feature), None)

    def with_appraisal(self, appraisal: Appraisal) -> Posture:
        """With `appraisal` in place of its feature's last one; kept in feature order, so that bytes are stable."""
        others = [a for a in self.appraisals if a.feature != appraisal.feature]
        return msgspec.structs.replace(self, appraisals=tuple(sorted((*others, appraisal), key=lambda a: a.feature)))
