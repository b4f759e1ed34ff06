"""``holdfast rollout start | pause | resume | retry | abort``: what a person does to a rollout.

Every act but the first needs a reason, and both stand in the record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.rollout import RolloutArgument, path_of
from holdfast.cli.session import Session, command, confirmed

if TYPE_CHECKING:
    from holdfast.cli.connection import Api

WhyOption = Annotated[str, typer.Option("--why", help="Why, in a sentence; it stands in the record.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
AnywayOption = Annotated[bool, typer.Option("--anyway", help="Forgive the devices that made it halt.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "start")(start)
    command(app, "pause")(pause)
    command(app, "resume")(resume)
    command(app, "retry")(retry)
    command(app, "abort")(abort)


def start(session: Session, *, rollout: RolloutArgument, yes: YesOption = False) -> None:
    """Begin: every device gets its wave, and the first wave opens. Devices begin when they next call."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)

    with connected(session.folder) as api:
        if not yes:
            confirmed(_question(api, rollout), yes=yes)
        told = api.post(path_of(rollout, "/start"))
    said = f"{rollout} goes on: wave {told['wave']} is open. Watch it: holdfast rollout watch {rollout}"
    _told(session, told, said)


def _question(api: Api, rollout: str) -> str:
    """What is about to begin, and the worst that it may do."""
    from holdfast.cli.plan_text import worst  # noqa: PLC0415  (rule 3 of the package)

    draft = api.get(path_of(rollout))
    if draft["started_at"]:
        return f"Begin {rollout} again?"
    ahead = worst(api.get(path_of(rollout, "/plan")))
    first = draft["waves"][0]["name"]
    return f"Roll {draft['release']} out to {draft['selected']} devices, beginning with wave {first!r}? {ahead}"


def pause(session: Session, *, rollout: RolloutArgument, why: WhyOption = "") -> None:
    """Begin with nobody more. What is under way goes on."""
    _act(session, rollout, "pause", {"why": why}, f"{rollout} pauses. Go on: holdfast rollout resume {rollout}")


def resume(session: Session, *, rollout: RolloutArgument, why: WhyOption = "", anyway: AnywayOption = False) -> None:
    """Go on after a pause or a halt. It is refused where the rollout would halt again at once."""
    _act(session, rollout, "resume", {"why": why, "anyway": anyway}, f"{rollout} goes on.")


def retry(session: Session, *, rollout: RolloutArgument, why: WhyOption = "") -> None:
    """Let the devices that failed, fell back or were called off try once more."""
    said = f"The devices of {rollout} that failed wait again. If it stands still: holdfast rollout resume {rollout}"
    _act(session, rollout, "retry", {"why": why}, said)


def abort(session: Session, *, rollout: RolloutArgument, why: WhyOption = "", yes: YesOption = False) -> None:
    """End a rollout for good. What has not booted the release is called off; what has, keeps it."""
    confirmed(f"End {rollout} for good? Devices that run the release already keep it.", yes=yes)
    _act(session, rollout, "abort", {"why": why}, f"{rollout} has ended. Devices hear of it when they next call.")


def _act(session: Session, rollout: str, act: str, body: dict[str, Any], said: str) -> None:
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)

    with connected(session.folder) as api:
        told = api.post(path_of(rollout, f"/{act}"), body)
    _told(session, told, said)


def _told(session: Session, told: dict[str, Any], said: str) -> None:
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415  (rule 3 of the package)

    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), said)
