"""What the agent knows of itself, for a person and for a program.

1. It is read from the disk and from the boot loader, without a call to the server or a lock.
2. Next to every reason stands its remedy.
3. No secret is shown: no key, no nonce, no message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from holdfast_agent.attest import heard
from holdfast_agent.claims import claims
from holdfast_agent.clock import Clock
from holdfast_agent.means import asks
from holdfast_agent.means import in_words as attested_with
from holdfast_agent.state import Config, Folder, Written
from holdfast_core.kernel.instants import SECOND, Instant, in_words, rfc3339
from holdfast_core.wire.device import DeviceState, Refusal
from holdfast_core.wire.frame import Conflict, Level, Pin, VerdictNotice

if TYPE_CHECKING:
    from holdfast_agent.update.standing import UpdateStanding


class OpenDirective(msgspec.Struct, frozen=True):
    """A directive that is not settled."""

    id: int
    kind: str


class Status(msgspec.Struct, frozen=True):
    """The agent's own view; durations in seconds, `None` where a reboot or a missing answer makes them unknown."""

    device: str
    server: str
    root: str
    check_ins: int
    unanswered: bool
    """Whether the last check-in still waits for its answer."""
    verdict: VerdictNotice | None
    answered_s_ago: int | None
    next_in_s: int
    trouble: Refusal | None
    plan: bool
    audited_s_ago: int | None
    pin: Pin | None
    checkpoint: str
    """The signed checkpoint that was pinned; give it to ``holdfast log verify --pin``."""
    conflict: Conflict | None
    directives: tuple[OpenDirective, ...]
    trial: str
    """The control that a change on trial is to meet; empty when there is none."""
    written: Written
    attestation: str = ""
    """What the device attests with, or why with nothing."""
    update: UpdateStanding | None = None
    """How far updates are; `None` where the device has no installer."""

    @property
    def trusted(self) -> bool:
        """Whether there is nothing to act on."""
        return self.verdict is not None and self.verdict.level is Level.TRUSTED and self.trouble is None


def read_status(folder: Folder, config: Config, clock: Clock) -> Status:
    """The status in `folder`. Raises WorldError ``agent.state_damaged``."""
    stored = folder.state()
    state, now = stored.protocol, clock.now()
    return Status(
        device=config.device,
        server=config.server,
        root=config.root,
        check_ins=state.seq,
        unanswered=state.pending is not None,
        verdict=state.verdict,
        answered_s_ago=now.since(state.answered) if state.answered else None,
        next_in_s=state.waits(now),
        trouble=state.trouble,
        plan=folder.plan() is not None,
        audited_s_ago=now.since(stored.audit.full) if stored.audit else None,
        pin=state.pin,
        checkpoint=state.checkpoint,
        conflict=state.conflict,
        directives=_open(state),
        trial=state.trial.control if state.trial else "",
        written=stored.written,
        attestation=_attestation(folder, config, state),
        update=_update(folder, config),
    )


def _update(folder: Folder, config: Config) -> UpdateStanding | None:
    if not config.installer:
        return None
    from holdfast_agent.update.standing import standing  # noqa: PLC0415  (only where there is an installer)

    return standing(folder, config)


def _attestation(folder: Folder, config: Config, state: DeviceState) -> str:
    """What it attests with, whether that is asked for, and what of it cannot be read."""
    ask = heard(state)
    told = [attested_with(folder, config, ask)]
    if not asks(ask):
        told.append("the server asks for no evidence")
    if why := claims(config)[1]:
        told.append(f"without the maker's claims: {why}")
    return "; ".join(told)


def _open(state: DeviceState) -> tuple[OpenDirective, ...]:
    return tuple(OpenDirective(order.id, order.kind) for order in state.orders.open)


def as_json(status: Status) -> str:
    """The status as one JSON object; instants as RFC 3339."""
    data: dict[str, Any] = msgspec.to_builtins(status)
    if status.verdict is not None:
        data["verdict"]["until"] = rfc3339(status.verdict.until)
    return msgspec.json.format(msgspec.json.encode(data)).decode() + "\n"


def in_text(status: Status) -> str:
    """The status in lines for a person."""
    lines = [
        f"device     {status.device}",
        f"server     {status.server}",
        f"verdict    {_verdict(status.verdict)}",
        *_reasons(status),
        f"check-ins  {status.check_ins}, {_last(status)}",
        f"next       {'now' if not status.next_in_s else 'in ' + _words(status.next_in_s)}",
        f"audit      {_audit(status)}",
        f"attestation: {status.attestation}",
    ]
    if status.pin is not None:
        lines.append(f"log        {status.pin.size} entries seen, root {status.pin.root}")
    if status.conflict is not None:
        offered = status.conflict.offered
        lines.append(
            f"           CONFLICT: the server then showed a log of {offered.size} entries, root {offered.root};"
            " compare both with 'holdfast log verify'."
        )
    lines += [f"directive  {entry.id} {entry.kind}" for entry in status.directives]
    if status.trial:
        lines.append(f"trial      a change for {status.trial} waits for a healthy check-in")
    if status.update is not None:
        from holdfast_agent.update.standing import in_lines  # noqa: PLC0415  (only where there is an installer)

        lines += in_lines(status.update)
    lines.append(f"written    {status.written.files} files, {status.written.bytes} bytes since enrollment")
    return "\n".join(lines) + "\n"


def _verdict(verdict: VerdictNotice | None) -> str:
    return f"{verdict.level}, holds until {rfc3339(Instant(verdict.until))}" if verdict else "none yet"


def _reasons(status: Status) -> list[str]:
    reasons = list(status.verdict.reasons) if status.verdict else []
    lines = [f"           {reason.sentence} [{reason.code}] {reason.remedy}".rstrip() for reason in reasons]
    if status.trouble is not None:
        trouble = status.trouble
        lines.append(f"trouble    {trouble.sentence} [{trouble.code}] {trouble.remedy}")
    return lines


def _last(status: Status) -> str:
    if status.unanswered:
        return "the last one is unanswered and will be sent again"
    if status.answered_s_ago is None:
        return "none answered in this boot"
    return f"the last answered {_words(status.answered_s_ago)} ago"


def _audit(status: Status) -> str:
    if not status.plan:
        return "no plan yet"
    return "due" if status.audited_s_ago is None else f"{_words(status.audited_s_ago)} ago"


def _words(seconds: int) -> str:
    return in_words(seconds * SECOND)
