"""The device's half of the check-in: what holds whatever crashes, is lost, or comes twice."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire import device
from holdfast_core.wire.codec import decode_check_in
from holdfast_core.wire.confirm import Moment
from holdfast_core.wire.device import (
    Carried,
    Carry,
    CheckInDue,
    DeviceState,
    Part,
    Refusal,
    Refused,
    Replied,
    Save,
    Send,
    enrolled_again,
    step,
)  # fmt: skip
from holdfast_core.wire.frame import (
    CheckIn,
    Directive,
    DirectiveReport,
    DirectiveState,
    Level,
    Pin,
    Reply,
    VerdictNotice,
)
from holdfast_core.wire.orders import REMEMBERED
from holdfast_core.wire.sequence import Sequence, Standing

BOOT = "0123456789abcdef"
NOW = Moment(BOOT, 1000)
LONG = b'{"text":"' + b"x" * 200 + b'"}'
DOWN = Refusal(503, "store.busy", "Busy.", "Later.")
REVOKED = Refusal(403, "identity.revoked", "Revoked.", "Ask.")


def due(*parts: Part, at: Moment = NOW, healthy: bool | None = True) -> CheckInDue:
    return CheckInDue(at, parts or (Part("health", b'{"ok":true}'),), healthy)


def reply(
    seq: int,
    *,
    directives: tuple[Directive, ...] = (),
    wants: tuple[str, ...] = (),
    next_s: int = 300,
    nonce: str = "nonce-nonce",
) -> Reply:
    verdict = VerdictNotice(Level.TRUSTED, (), Instant(10**13))
    return Reply(1, seq, Instant(10**12), next_s, nonce, verdict, directives, wants)


def directive(number: int, kind: str = "audit-now", args: bytes = b"{}") -> Directive:
    return Directive(number, kind, msgspec.Raw(args))


def sent(effects: tuple[device.Effect, ...]) -> bytes:
    return next(effect.data for effect in effects if isinstance(effect, Send))


def message(effects: tuple[device.Effect, ...]) -> CheckIn:
    return decode_check_in(sent(effects), LIMITS)


def exchange(state: DeviceState, *parts: Part, **options: object) -> DeviceState:
    state, _ = step(state, due(*parts))
    assert state.pending is not None
    return step(state, Replied(NOW, reply(state.pending.seq, **options)))[0]  # type: ignore[arg-type]  # passed through


def stored(state: DeviceState) -> DeviceState:
    """What comes back from the disk."""
    return msgspec.json.decode(msgspec.json.encode(state), type=DeviceState)


def test_a_check_in_is_durable_before_it_is_sent() -> None:
    state, effects = step(DeviceState(), due())
    assert [type(effect) for effect in effects] == [Save, Send]
    assert state.pending is not None
    assert bytes(state.pending.data) == sent(effects)
    assert message(effects).seq == 1


def test_what_was_sent_is_sent_again_byte_for_byte_after_a_crash() -> None:
    state, effects = step(DeviceState(), due())
    again, resent = step(stored(state), due(Part("health", b'{"ok":false}'), at=Moment("anotherboot", 3)))
    assert sent(resent) == sent(effects)
    assert again.seq == 1
    assert Save() not in resent  # it is on the disk already


@pytest.mark.parametrize("refusal", [DOWN, Refusal(429, "x.busy", "", ""), Refusal(0, "agent.timeout", "", "")])
def test_a_passing_failure_keeps_the_message(refusal: Refusal) -> None:
    state, effects = step(DeviceState(), due())
    state, _ = step(state, Refused(NOW, refusal))
    assert sent(step(state, due())[1]) == sent(effects)


def test_a_definite_refusal_gives_the_message_up_and_never_its_number() -> None:
    state, _ = step(DeviceState(), due())
    state, effects = step(state, Refused(NOW, Refusal(400, "checkin.malformed", "", "")))
    assert Save() in effects
    assert message(step(state, due())[1]).seq == 2


def test_a_device_refused_for_who_it_is_keeps_silent_for_hours() -> None:
    state, _ = step(DeviceState(), due())
    state, _ = step(state, Refused(NOW, REVOKED))
    assert state.waits(NOW) >= 6 * 3600
    assert state.trouble == REVOKED


def test_an_unreachable_server_wears_out_no_flash() -> None:
    state, _ = step(DeviceState(), due())
    writes = 0
    for _ in range(100):
        state, effects = step(state, Refused(NOW, DOWN))
        writes += effects.count(Save())
        state, effects = step(state, due())
        writes += effects.count(Save())
    assert writes == 1


def test_pauses_grow_to_a_bound_and_obey_the_server() -> None:
    pauses = [device.pause_s(DOWN, failures) for failures in range(1, 40)]
    assert pauses == sorted(pauses)
    assert pauses[0] == device.FIRST_PAUSE_S
    assert pauses[-1] == device.LONGEST_PAUSE_S
    assert device.pause_s(Refusal(503, "x.y", "", "", retry_after_s=5000), 1) == 5000
    assert device.pause_s(Refusal(503, "x.y", "", "", retry_after_s=10**9), 1) == device.REFUSED_PAUSE_S


def test_a_large_section_travels_as_a_digest_once_the_server_has_it() -> None:
    state = exchange(DeviceState(), Part("baseline", LONG))
    section = message(step(state, due(Part("baseline", LONG, 7)))[1]).sections["baseline"]
    assert section.digest == digest_of(LONG)
    assert section.body is msgspec.UNSET
    assert section.age_s == 7


def test_a_section_travels_whole_when_it_changed_is_wanted_or_short() -> None:
    state = exchange(DeviceState(), Part("baseline", LONG), Part("health", b'{"ok":true}'))
    changed = message(step(state, due(Part("baseline", b'"y"'), Part("health", b'{"ok":true}')))[1])
    assert changed.sections["baseline"].body == msgspec.Raw(b'"y"')
    assert changed.sections["health"].body == msgspec.Raw(b'{"ok":true}')
    state = exchange(state, Part("baseline", LONG), wants=("baseline",))
    assert state.owes_more
    assert message(step(state, due(Part("baseline", LONG)))[1]).sections["baseline"].body == msgspec.Raw(LONG)


def test_a_refused_message_teaches_nothing_of_what_the_server_holds() -> None:
    state = exchange(DeviceState(), Part("baseline", LONG))
    state, _ = step(state, due(Part("baseline", LONG)))
    state, _ = step(state, Refused(NOW, Refusal(400, "checkin.malformed", "", "")))
    assert message(step(state, due(Part("baseline", LONG)))[1]).sections["baseline"].body == msgspec.Raw(LONG)


def test_an_answer_to_another_check_in_is_no_answer() -> None:
    state, effects = step(DeviceState(), due())
    state, _ = step(state, Replied(NOW, reply(9)))
    assert state.trouble is not None
    assert state.trouble.code == "agent.reply_mismatch"
    assert sent(step(state, due())[1]) == sent(effects)


def test_an_old_message_is_followed_by_a_fresh_one() -> None:
    state, _ = step(DeviceState(), due())
    for later, owed in ((Moment(BOOT, 1030), False), (Moment(BOOT, 2000), True), (Moment("otherboot", 5), True)):
        after, _ = step(state, Replied(later, reply(1)))
        assert after.owes_more is owed


def test_the_nonce_of_the_last_reply_goes_into_the_next_check_in() -> None:
    state = exchange(DeviceState(), nonce="abcdefgh")
    assert message(step(state, due())[1]).nonce == "abcdefgh"


def test_after_a_reboot_the_next_check_in_is_due() -> None:
    state = exchange(DeviceState(), next_s=300)
    assert state.waits(Moment(BOOT, 1100)) == 200
    assert state.waits(Moment("otherboot", 1)) == 0
    assert exchange(DeviceState(), next_s=10**9).waits(NOW) == device.LONGEST_WAIT_S


def pinned(state: DeviceState, pin: Pin) -> DeviceState:
    state, _ = step(state, due())
    assert state.pending is not None
    return step(state, Replied(NOW, reply(state.pending.seq), pin))[0]


def test_the_largest_checkpoint_is_pinned_and_told() -> None:
    state = pinned(pinned(DeviceState(), Pin(5, "five")), Pin(9, "nine"))
    told = message(step(state, due())[1])
    assert told.pin == Pin(9, "nine")
    assert "log" not in told.sections


@pytest.mark.parametrize("offered", [Pin(4, "four"), Pin(5, "other")])
def test_a_log_that_shrank_or_changed_is_a_conflict_and_told(offered: Pin) -> None:
    state = pinned(pinned(DeviceState(), Pin(5, "five")), offered)
    told = message(step(state, due())[1])
    assert told.pin == Pin(5, "five")
    body = msgspec.json.decode(bytes(told.sections["log"].body))  # type: ignore[arg-type]  # asserted by decoding
    assert body == {
        "conflict": {"kept": {"size": 5, "root": "five"}, "offered": {"size": offered.size, "root": offered.root}}
    }


def test_a_directive_is_accepted_then_done_until_the_server_stops_listing_it() -> None:
    state = exchange(DeviceState(), directives=(directive(7),))
    assert message(step(state, due())[1]).reports == (DirectiveReport(7, DirectiveState.ACCEPTED),)
    done = DirectiveReport(7, DirectiveState.DONE)
    state, _ = step(state, Carried(done))
    assert state.owes_more
    for _ in range(2):
        assert message(step(state, due())[1]).reports == (done,)
        state = exchange(state, directives=(directive(7),))
        assert state.orders.open == ()
        assert not state.owes_more  # it was told; no reason to hurry
    state = exchange(state)
    assert message(step(state, due())[1]).reports == ()


def test_a_settled_directive_is_never_carried_out_again() -> None:
    state = exchange(DeviceState(), directives=(directive(7),))
    state, _ = step(state, Carried(DirectiveReport(7, DirectiveState.DONE)))
    state = exchange(stored(state))
    state, _ = step(state, due())
    assert state.pending is not None
    _, effects = step(state, Replied(NOW, reply(state.pending.seq, directives=(directive(7),))))
    assert not any(isinstance(effect, Carry) for effect in effects)


def test_a_number_that_returns_with_other_content_is_another_directive() -> None:
    state = exchange(DeviceState(), directives=(directive(7),))
    state, _ = step(state, Carried(DirectiveReport(7, DirectiveState.DONE)))
    state = exchange(state, directives=(directive(7, "plan", b'{"a":1}'),))
    assert [order.kind for order in state.orders.open] == ["plan"]
    assert state.orders.reports() == (DirectiveReport(7, DirectiveState.ACCEPTED),)


def test_a_withdrawn_directive_is_dropped() -> None:
    state = exchange(exchange(DeviceState(), directives=(directive(7),)))
    assert state.orders.open == ()
    assert state.orders.reports() == ()


def test_the_ledger_is_bounded_and_a_forgotten_number_is_stale() -> None:
    state = DeviceState()
    for number in range(1, 3 * REMEMBERED):
        state = exchange(state, directives=(directive(number),))
        state, _ = step(state, Carried(DirectiveReport(number, DirectiveState.DONE)))
    assert len(state.orders.settled) == REMEMBERED
    state = exchange(state, directives=(directive(1),))
    assert state.orders.open == ()
    assert state.orders.reports()[0].code == "directive.stale"


def test_the_count_goes_on_after_a_new_enrollment() -> None:
    state = pinned(exchange(DeviceState(), Part("baseline", LONG)), Pin(5, "five"))
    same, other = enrolled_again(state, same_root=True), enrolled_again(state, same_root=False)
    assert same.seq == other.seq == state.seq
    assert same.pin == Pin(5, "five")
    assert other.pin is None
    assert same.acked == other.acked == {}


WORLD = st.lists(
    st.tuples(
        st.sampled_from(
            ["answer", "lost request", "lost answer", "crash before save", "crash after save", "busy", "no"]
        ),
        st.booleans(),
        st.binary(max_size=3),
    ),
    max_size=40,
)


class Server:
    """The server's half, as `wire.sequence` judges it."""

    def __init__(self) -> None:
        self.sequence = Sequence()
        self.last = b""
        self.seen: dict[int, bytes] = {}

    def take(self, data: bytes) -> bytes:
        check_in = decode_check_in(data, LIMITS)
        standing = self.sequence.standing(check_in.boot, check_in.seq, digest_of(data))
        assert standing in {Standing.NEW, Standing.REBOOTED, Standing.RETRY}, standing
        if standing is not Standing.RETRY:
            assert check_in.seq not in self.seen
            self.sequence = self.sequence.after(check_in.boot, check_in.seq, digest_of(data), LIMITS)
            self.last = msgspec.json.encode(reply(check_in.seq, nonce=f"nonce-{check_in.seq:08}"))
        return self.last


@given(WORLD)
def test_no_interleaving_of_crashes_and_losses_looks_like_a_clone(world: list[tuple[str, bool, bytes]]) -> None:
    server = Server()
    disk = DeviceState()
    state = disk
    numbers: dict[int, bytes] = {}
    boots = 0
    highest = 0
    for what, reboot, noise in world:
        boots += reboot
        at = Moment(f"boot-{boots:08}", 1)
        if reboot:
            state = stored(disk)
        state, effects = step(state, due(Part("metrics", msgspec.json.encode({"n": noise.hex()})), at=at))
        if what == "crash before save":
            state = stored(disk)
            continue
        if Save() in effects:
            disk = state
        if what == "crash after save":
            state = stored(disk)
            continue
        data = sent(effects)
        seq = decode_check_in(data, LIMITS).seq
        assert numbers.setdefault(seq, data) == data
        assert seq >= highest
        highest = seq
        state, disk = settle(what, server, (state, disk), data, at)


def settle(
    what: str, server: Server, both: tuple[DeviceState, DeviceState], data: bytes, at: Moment
) -> tuple[DeviceState, DeviceState]:
    """Let the world do `what` to one exchange; return memory and disk after it."""
    state, disk = both
    outcomes: dict[str, Callable[[], device.Event]] = {
        "answer": lambda: Replied(at, msgspec.json.decode(server.take(data), type=Reply)),
        "lost answer": lambda: (server.take(data), Refused(at, Refusal(0, "agent.timeout", "", "")))[1],
        "lost request": lambda: Refused(at, Refusal(0, "agent.unreachable", "", "")),
        "busy": lambda: Refused(at, DOWN),
        "no": lambda: Refused(at, Refusal(400, "checkin.malformed", "", "")),
    }
    after, effects = step(state, outcomes[what]())
    return after, (after if Save() in effects else disk)
