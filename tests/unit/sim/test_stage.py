"""How the story is told: for people, for programs, and with hostile text in it."""

from __future__ import annotations

import io
import json

from hypothesis import given
from hypothesis import strategies as st

from holdfast_sim.demo.stage import Mark, Stage


def test_json_holds_one_event_a_line() -> None:
    out = io.StringIO()
    stage = Stage(out, as_json=True, colour=True)
    stage.title("t", "b")
    stage.act(1, "one")
    stage.tell(Mark.SEEN, "door-1", "it came", level="trusted", frame=3)
    stage.table("fleet", ("A", "B"), [("x", "y")], [{"a": 1}])
    stage.end("done", good=True)
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["title", "act", "seen", "fleet", "end"]
    assert (events[2]["level"], events[2]["frame"]) == ("trusted", 3)


def test_colour_never_says_anything_alone() -> None:
    plain, painted = io.StringIO(), io.StringIO()
    for out, colour in ((plain, False), (painted, True)):
        stage = Stage(out, as_json=False, colour=colour, width=80)
        stage.tell(Mark.FOUND, "door-1", "fell", level="quarantined")
    assert "\x1b" not in plain.getvalue()
    assert "\x1b" in painted.getvalue()
    assert "! door-1" in plain.getvalue()
    assert "quarantined fell" in plain.getvalue()


@given(st.text(max_size=300))
def test_a_devices_text_cannot_steer_the_terminal(text: str) -> None:
    out = io.StringIO()
    stage = Stage(out, as_json=False, colour=False, width=80)
    stage.tell(Mark.FOUND, "door-1", text)
    stage.more(text, label="x")
    stage.table("t", ("A", "B"), [("a", text)], [])
    assert all(sign.isprintable() or sign == "\n" for sign in out.getvalue())
