"""Every recorded conversation is still understood, and answered as it was.

Not compared, because they differ by their nature: the checkpoint (the log's key is made anew), and once the catalogue
has grown beyond the recorded one the plan's content, the verdict on it and when it lapses.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conversation_builders import Conversation, Turn, replay
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.codec import decode_check_in, decode_reply
from holdfast_probe.catalogue import shipped_catalogue

FOLDER = Path(__file__).parent / "conversations"
FILES = sorted(FOLDER.glob("v*/*.json"))


def recorded(path: Path) -> Conversation:
    return msgspec.json.decode(path.read_bytes(), type=Conversation)


def same_catalogue(conversation: Conversation) -> bool:
    """Whether what was recorded was judged by the catalogue in force."""
    return any(shipped_catalogue().digest in turn.reply for turn in conversation.turns)


def comparable(turn: Turn, *, judged: bool) -> Any:
    """An answer without what differs by nature; `judged`: with what hangs on the catalogue."""
    if turn.refused:
        return turn.refused
    reply: dict[str, Any] = msgspec.json.decode(turn.reply)
    reply.pop("checkpoint", None)
    if not judged:
        del reply["verdict"]
        for directive in reply.get("directives", ()):
            if directive["kind"] == "plan":
                directive["args"] = sorted(directive["args"])
    return reply


def test_the_conversations_of_this_version_are_there() -> None:
    names = {path.stem for path in FILES if path.parent.name == "v1"}
    assert names == {"enroll-first", "unchanged", "body-on-demand", "directives", "retry", "clone"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_it_is_still_understood(path: Path) -> None:
    for turn in recorded(path).turns:
        seq = decode_check_in(turn.request.encode(), LIMITS).seq
        assert turn.refused or decode_reply(turn.reply.encode(), LIMITS).seq == seq


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_it_is_answered_as_it_was(path: Path, tmp_path: Path) -> None:
    conversation = recorded(path)
    again = asyncio.run(replay(conversation, tmp_path))
    judged = same_catalogue(conversation)
    said = [comparable(turn, judged=judged) for turn in conversation.turns]
    assert [comparable(turn, judged=judged) for turn in again.turns] == said


@pytest.mark.parametrize("name", ["retry", "clone"])
def test_the_recording_shows_what_it_is_named_after(name: str) -> None:
    turns = recorded(FOLDER / "v1" / f"{name}.json").turns
    if name == "retry":
        assert turns[0].reply == turns[1].reply != ""
        assert turns[3].refused == "checkin.replayed"
    else:
        assert turns[1].refused == "identity.clone-sequence"
