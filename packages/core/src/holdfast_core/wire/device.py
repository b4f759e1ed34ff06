"""The device's half of the check-in, as a machine: what to persist, what to send, what to make of the answer.

1. Pure: `step` takes the state and an event and returns the state and the effects, to be carried out in order.
   `Save` means: make the state as it is now durable before going on.
2. A check-in is in the state, byte for byte, and durable, before it is sent. Until it is answered or definitely
   refused the very same bytes are sent again; a number never carries two different messages.
3. `seq` only rises: refusal, reboot and new enrollment do not lower it.
4. A section travels as its digest alone while the server is known to hold the body; a body shorter than its digest
   always travels itself. Where the feature can say what changed since the body the server holds, that travels.
5. An old message that was sent again is followed by a fresh one at once: what it says of the device is out of date.
6. Being refused for who it is silences the device for hours. Failing to get through is retried with growing pauses,
   and is written down once, not every time: an unreachable server must not wear out the flash.
7. A smaller checkpoint, or another root at the same size, never replaces the pinned one; it is kept as a conflict.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.limits import LIMITS, Limits
from holdfast_core.wire import confirm
from holdfast_core.wire.codec import encode
from holdfast_core.wire.confirm import Moment, Trial
from holdfast_core.wire.frame import (
    VERSION,
    CheckIn,
    Conflict,
    DirectiveReport,
    LogNews,
    Pin,
    Reply,
    Section,
    VerdictNotice,
)
from holdfast_core.wire.orders import Order, Orders

DIGEST_BYTES = 71
"""Length of a digest's text."""
FRESH_S = 60
"""Up to this age a message that is sent again still speaks of the present."""
FIRST_PAUSE_S = 30
LONGEST_PAUSE_S = 3_600
REFUSED_PAUSE_S = 6 * 3_600
"""How long a device keeps silent after it was refused for who it is."""
LONGEST_WAIT_S = 7 * 86_400
"""The longest a server can send a device to sleep."""
JITTER = 0.25
"""Share of a pause that is added at random, so that a fleet does not come back in one moment."""
_RETRY_STATUS = frozenset({408, 425, 429})


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why the last attempt failed: the server's problem (RFC 9457), or ours with status 0."""

    status: int
    code: str
    sentence: str
    remedy: str
    retry_after_s: int = 0

    @property
    def passing(self) -> bool:
        """Whether the same bytes may yet be taken."""
        return self.status == 0 or self.status >= 500 or self.status in _RETRY_STATUS  # noqa: PLR2004  (RFC 9110, 15.6)

    @property
    def of_identity(self) -> bool:
        """Whether only a person can help."""
        return not self.passing and self.code.startswith("identity.")


class Part(msgspec.Struct, frozen=True):
    """One section as gathered: the exact bytes of its body (JSON) and how old the evidence in it is."""

    name: str
    body: bytes
    age_s: int = 0
    base: Digest | None = None
    """The digest of an earlier body, and what changed since then (JSON): both, or neither."""
    changes: bytes = b""


class Pending(msgspec.Struct, frozen=True):
    """The check-in under way: its number, its bytes, when it was composed, and what it says of the function."""

    seq: int
    data: msgspec.Raw
    composed: Moment
    digests: dict[str, Digest]
    healthy: bool | None = None


class DeviceState(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything the device's half of the protocol remembers; all of it is durable."""

    seq: int = 0
    pending: Pending | None = None
    nonce: str | None = None
    verdict: VerdictNotice | None = None
    acked: dict[str, Digest] = {}
    """The digests whose bodies the server holds."""
    wants: tuple[str, ...] = ()
    answers: dict[str, str] = {}
    """What the server's features last said to their own half here (JSON), by section."""
    orders: Orders = Orders()
    pin: Pin | None = None
    checkpoint: str = ""
    """The signed checkpoint that `pin` is of, whole: whoever verifies an export against it needs its signature."""
    conflict: Conflict | None = None
    answered: Moment | None = None
    due: Moment | None = None
    """When to check in next."""
    trouble: Refusal | None = None
    failures: int = 0
    trial: Trial | None = None
    stale_pending: bool = False
    """The message just answered was an old one: a fresh one is owed."""

    @property
    def owes_more(self) -> bool:
        """Whether another check-in should follow at once."""
        return bool(self.wants) or self.stale_pending or self.orders.has_news or self.trial is not None

    def waits(self, at: Moment) -> int:
        """Seconds until the next check-in is due; 0 when it is, or when a reboot makes it impossible to say."""
        if self.due is None or self.due.boot != at.boot:
            return 0
        return max(0, self.due.up_s - at.up_s)


class CheckInDue(msgspec.Struct, frozen=True):
    """Time to speak. `parts` are ignored while an earlier message is unanswered."""

    at: Moment
    parts: tuple[Part, ...]
    healthy: bool | None = None


class Replied(msgspec.Struct, frozen=True):
    """The server answered. `pin` is what its checkpoint says, if there was one and it could be read."""

    at: Moment
    reply: Reply
    pin: Pin | None = None


class Refused(msgspec.Struct, frozen=True):
    """The attempt failed. `jitter` is a random number of [0, 1)."""

    at: Moment
    refusal: Refusal
    jitter: float = 0.0


class Carried(msgspec.Struct, frozen=True):
    """A directive ended."""

    report: DirectiveReport


class TrialBegins(msgspec.Struct, frozen=True):
    """A commit-confirmed change is to be made."""

    trial: Trial


Event: TypeAlias = CheckInDue | Replied | Refused | Carried | TrialBegins | confirm.TrialEvent


class Save(msgspec.Struct, frozen=True):
    """Make the state durable before going on."""


class Send(msgspec.Struct, frozen=True):
    """Send these bytes."""

    data: bytes


class Carry(msgspec.Struct, frozen=True):
    """Carry out these directives; each ends in a `Carried`, or in `TrialBegins`."""

    orders: tuple[Order, ...]


Effect: TypeAlias = Save | Send | Carry | confirm.Apply | confirm.Undo
Step: TypeAlias = tuple[DeviceState, tuple[Effect, ...]]


def step(state: DeviceState, event: Event, limits: Limits = LIMITS) -> Step:
    """The state after `event`, and what to do."""
    match event:
        case CheckInDue():
            return _due(state, event, limits)
        case Replied():
            return _replied(state, event, limits)
        case Refused():
            return _refused(state, event)
        case Carried(report):
            return msgspec.structs.replace(state, orders=state.orders.settle(report)), ()
        case TrialBegins(trial):
            return _tried(state, confirm.begin(trial))
    return _tried(state, confirm.step(state.trial, event)) if state.trial else (state, ())


def enrolled_again(state: DeviceState, *, same_root: bool) -> DeviceState:
    """The state under a new certificate: the count goes on, and the pin too where the authority is the same one."""
    if not same_root:
        return DeviceState(seq=state.seq, trial=state.trial)
    return DeviceState(
        seq=state.seq, trial=state.trial, pin=state.pin, checkpoint=state.checkpoint, orders=state.orders
    )


def _due(state: DeviceState, event: CheckInDue, limits: Limits) -> Step:
    if state.pending is not None:
        return state, (Send(bytes(state.pending.data)),)  # it is durable already: rule 2
    pending = _compose(state, event, limits)
    after = msgspec.structs.replace(
        state, seq=pending.seq, pending=pending, orders=state.orders.told(), stale_pending=False
    )
    return after, (Save(), Send(bytes(pending.data)))


def _compose(state: DeviceState, event: CheckInDue, limits: Limits) -> Pending:
    digests = {part.name: digest_of(part.body) for part in event.parts}
    sections = {part.name: _section(state, part, digests[part.name]) for part in event.parts}
    if state.conflict is not None:
        body = msgspec.json.encode(LogNews(state.conflict))
        sections["log"] = Section(body=msgspec.Raw(body))
    message = CheckIn(
        v=VERSION,
        boot=event.at.boot,
        seq=state.seq + 1,
        sections=sections,
        nonce=state.nonce,
        reports=state.orders.reports(limits),
        pin=state.pin,
    )
    return Pending(message.seq, msgspec.Raw(encode(message)), event.at, digests, event.healthy)


def _section(state: DeviceState, part: Part, digest: Digest) -> Section:
    known = state.acked.get(part.name) == digest and part.name not in state.wants
    if known and len(part.body) > DIGEST_BYTES:
        return Section(digest=digest, age_s=part.age_s)
    leans = part.base is not None and state.acked.get(part.name) == part.base and part.name not in state.wants
    if leans and len(part.changes) + 2 * DIGEST_BYTES < len(part.body):
        return Section(digest=digest, base=part.base, body=msgspec.Raw(part.changes), age_s=part.age_s)
    return Section(body=msgspec.Raw(part.body), age_s=part.age_s)


def _replied(state: DeviceState, event: Replied, limits: Limits) -> Step:
    pending, reply, at = state.pending, event.reply, event.at
    if pending is None or reply.seq != pending.seq:
        mismatch = Refusal(
            0,
            "agent.reply_mismatch",
            f"The server answered check-in {reply.seq}, which is not the one that was sent.",
            "Look for a proxy that caches; answers to check-ins must not be stored on the way.",
        )
        return _refused(state, Refused(at, mismatch))
    age = at.since(pending.composed)
    pin, conflict = _pinned(state, event.pin)
    after = msgspec.structs.replace(
        state,
        pending=None,
        nonce=reply.nonce,
        verdict=reply.verdict,
        acked={**state.acked, **{n: d for n, d in pending.digests.items() if n not in reply.wants}},
        wants=reply.wants[: limits.sections],
        answers=_heard(state.answers, reply, limits),
        orders=state.orders.heard(reply.directives, limits),
        pin=pin,
        checkpoint=state.checkpoint if pin == state.pin else reply.checkpoint or "",
        conflict=conflict,
        answered=at,
        due=Moment(at.boot, at.up_s + min(max(1, reply.next_s), LONGEST_WAIT_S)),
        trouble=None,
        failures=0,
        stale_pending=age is None or age > FRESH_S,
    )
    after, effects = step(after, confirm.Answered(pending.seq, pending.healthy, at), limits)
    if effects == (Save(),):
        effects = ()  # the one below is soon enough: nothing is touched in between
    trial = after.trial
    todo = tuple(order for order in after.orders.open if trial is None or trial.directive != order.id)
    return after, (*effects, Carry(todo), Save()) if todo else (*effects, Save())


def _heard(before: dict[str, str], reply: Reply, limits: Limits) -> dict[str, str]:
    """The answers in force; one that is longer than anybody may have a device remember is left out."""
    heard = {name: bytes(raw).decode() for name, raw in reply.answers.items() if len(bytes(raw)) <= limits.answer_bytes}
    kept = {**before, **heard}
    return before if kept == before else dict(list(kept.items())[-limits.sections :])


def _pinned(state: DeviceState, offered: Pin | None) -> tuple[Pin | None, Conflict | None]:
    if offered is None or offered == state.pin:
        return state.pin, state.conflict
    if state.pin is None or offered.size > state.pin.size:
        return offered, state.conflict
    return state.pin, Conflict(state.pin, offered)


def _refused(state: DeviceState, event: Refused) -> Step:
    refusal, at = event.refusal, event.at
    failures = min(state.failures + 1, 64)
    pause = pause_s(refusal, failures)
    pending = state.pending if refusal.passing else None
    after = msgspec.structs.replace(
        state,
        pending=pending,
        # What was refused may have leaned on digests the server does not hold after all.
        acked=state.acked if refusal.passing else {},
        trouble=refusal,
        failures=failures,
        due=Moment(at.boot, at.up_s + pause + int(pause * JITTER * event.jitter)),
    )
    told_before = state.trouble is not None and state.trouble.code == refusal.code and pending is state.pending
    return after, () if told_before else (Save(),)


def pause_s(refusal: Refusal, failures: int) -> int:
    """Seconds to wait after the `failures`-th failure in a row."""
    if refusal.of_identity:
        return REFUSED_PAUSE_S
    pause = min(FIRST_PAUSE_S << min(failures - 1, 16), LONGEST_PAUSE_S)
    return max(pause, min(refusal.retry_after_s, REFUSED_PAUSE_S))


def _tried(state: DeviceState, result: confirm.Next) -> Step:
    """Fold the trial's answer into the state: its journal is our state, and its report goes into the ledger."""
    trial, effects = result
    after = msgspec.structs.replace(state, trial=trial)
    ours: list[Effect] = []
    for effect in effects:
        match effect:
            case confirm.Settle(report):
                after = msgspec.structs.replace(after, orders=after.orders.settle(report))
                ours.append(Save())
            case confirm.Journal():
                ours.append(Save())
            case confirm.Apply() | confirm.Undo():
                ours.append(effect)
    return after, tuple(ours)
