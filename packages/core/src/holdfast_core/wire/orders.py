"""The device's ledger of directives: which are open, which are settled, what is still to be reported.

1. A directive is known by its number and its content. One that was settled is never carried out again; its report is
   repeated for as long as the server lists it.
2. What the server no longer lists is withdrawn, or its report has arrived.
3. The ledger is bounded. A number at or below the newest forgotten one is refused as stale, never carried out.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.limits import LIMITS, Limits
from holdfast_core.wire.frame import Directive, DirectiveReport, DirectiveState

REMEMBERED = 2 * LIMITS.open_directives
"""Settled directives a device remembers."""


class Order(msgspec.Struct, frozen=True):
    """An open directive; `args` is JSON text."""

    id: int
    kind: str
    args: str

    @property
    def digest(self) -> Digest:
        """Tells two directives with one number apart."""
        return _digest(self.kind, self.args.encode())


class Settled(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a directive ended here; `listed`: the server still waits for the report; `sent`: it is on its way."""

    digest: Digest
    report: DirectiveReport
    listed: bool = True
    sent: bool = False


class Orders(msgspec.Struct, frozen=True, omit_defaults=True):
    """The ledger; both lists are in rising order of numbers."""

    open: tuple[Order, ...] = ()
    settled: tuple[Settled, ...] = ()
    forgotten: int = 0

    def heard(self, directives: Sequence[Directive], limits: Limits = LIMITS) -> Orders:
        """The ledger after a reply that lists `directives`; more than the limit are left for a later reply."""
        listed = sorted(directives, key=lambda directive: directive.id)[: limits.open_directives]
        wanted = {directive.id: _digest(directive.kind, bytes(directive.args)) for directive in listed}
        kept = [
            msgspec.structs.replace(entry, listed=wanted.get(entry.report.id) == entry.digest)
            for entry in self.settled
            # A number that comes with other content is another directive: the server was restored from a backup.
            if wanted.get(entry.report.id, entry.digest) == entry.digest
        ]
        known = {entry.report.id for entry in kept}
        opened: list[Order] = []
        for directive in listed:
            if directive.id in known:
                continue
            if directive.id <= self.forgotten:
                kept.append(Settled(wanted[directive.id], _stale(directive.id)))
            else:
                opened.append(Order(directive.id, directive.kind, bytes(directive.args).decode()))
        return _bounded(opened, kept, self.forgotten)

    def settle(self, report: DirectiveReport) -> Orders:
        """The ledger after an open directive ended; one that is not open (withdrawn meanwhile) changes nothing."""
        order = next((order for order in self.open if order.id == report.id), None)
        if order is None:
            return self
        rest = [other for other in self.open if other is not order]
        return _bounded(rest, [*self.settled, Settled(order.digest, report)], self.forgotten)

    def reports(self, limits: Limits = LIMITS) -> tuple[DirectiveReport, ...]:
        """What to say about directives in the next check-in: how those ended that the server lists, what is open."""
        ended = [entry.report for entry in self.settled if entry.listed]
        accepted = [DirectiveReport(order.id, DirectiveState.ACCEPTED) for order in self.open]
        return tuple((ended + accepted)[: limits.directive_reports])

    def told(self) -> Orders:
        """The ledger once its reports stand in a check-in."""
        return msgspec.structs.replace(
            self, settled=tuple(msgspec.structs.replace(entry, sent=True) for entry in self.settled)
        )

    @property
    def has_news(self) -> bool:
        """Whether a directive ended that no check-in has spoken of."""
        return any(entry.listed and not entry.sent for entry in self.settled)


def _bounded(opened: list[Order], settled: list[Settled], forgotten: int) -> Orders:
    """Forget the oldest beyond what is remembered, those the server still lists last."""
    settled = sorted(settled, key=lambda entry: (entry.listed, entry.report.id))
    surplus = max(0, len(settled) - REMEMBERED)
    forgotten = max([forgotten, *(entry.report.id for entry in settled[:surplus])])
    kept = sorted(settled[surplus:], key=lambda entry: entry.report.id)
    return Orders(tuple(sorted(opened, key=lambda order: order.id)), tuple(kept), forgotten)


def _digest(kind: str, args: bytes) -> Digest:
    return digest_of(kind.encode() + b"\0" + args)


def _stale(number: int) -> DirectiveReport:
    return DirectiveReport(
        number,
        DirectiveState.REFUSED,
        "directive.stale",
        "This number was used before; directives are numbered upwards for ever.",
    )
