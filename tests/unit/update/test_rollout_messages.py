"""Every turn of a rollout is a leaf of the record, and a message to whoever listens outside."""

from __future__ import annotations

import msgspec
import pytest

from builders import FakeRandomness
from holdfast.ports.events import RolloutTurned
from holdfast.ports.store import Delivery, Leaf
from holdfast.record.service import leaves_of
from holdfast.response.service import IncidentListener
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.record.model import Kind, parse_entry
from holdfast_core.update.model import Rollout, RolloutState, Selection, Turn, Wave

SCOPE = Scope("acme", "production")
TURN = Turn(Instant(1_800_000_000_000), "halted", 0, "server", "rollout.failures", "1 of 1 failed.")
ROLLOUT = Rollout(
    SCOPE,
    "cameras-2",
    release="door-camera:2.0",
    selection=Selection("door-camera"),
    waves=(Wave("all"),),
    state=RolloutState.HALTED,
)
HALTED = RolloutTurned(ROLLOUT, Kind.ROLLOUT_HALTED, TURN)


def test_a_turn_stands_in_the_record_with_its_reason():
    (leaf,) = leaves_of(HALTED)
    assert isinstance(leaf, Leaf)
    entry = parse_entry(leaf.data)
    told = msgspec.json.decode(entry.data)
    assert (entry.kind, entry.actor, told["rollout"]) == (Kind.ROLLOUT_HALTED, "server", "cameras-2")
    assert (told["code"], told["why"]) == ("rollout.failures", "1 of 1 failed.")


def test_who_made_a_rollout_left_on_record_what_they_asked_for():
    (leaf,) = leaves_of(RolloutTurned(ROLLOUT, Kind.ROLLOUT_CREATED, TURN))
    told = msgspec.json.decode(parse_entry(leaf.data).data)
    assert {"selection", "waves", "thresholds", "guards", "back"} <= told.keys()


@pytest.mark.parametrize("listens", [True, False])
def test_a_turn_is_a_message_where_somebody_listens(listens):
    listener = IncidentListener(store=None, randomness=FakeRandomness(), webhook=listens)
    changes = listener(HALTED)
    assert len(changes) == listens
    for delivery in changes:
        assert isinstance(delivery, Delivery)
        body = msgspec.json.decode(delivery.body)
        assert (body["type"], body["data"]["state"]) == ("rollout.halted", "halted")
        assert body["data"]["turn"]["code"] == "rollout.failures"
