"""How far updates are on this device, for ``holdfast-agent status``: read from the disk and from the boot loader.

1. The journal is only read here. Where the boot loader cannot be asked, the slots are those that the journal knows, and
   why stands beside them.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from holdfast_agent.state import Config, Folder
from holdfast_agent.update.joining import FOLDER, installer_of
from holdfast_agent.update.journal import FILE, LARGEST
from holdfast_core.kernel.errors import HoldfastError
from holdfast_core.update.install import Journal, attempt_of
from holdfast_core.wire.update import Attempt, Slot, Step

_WORDS = {
    Step.WAITING: "waits to be fetched",
    Step.FETCHING: "is being fetched",
    Step.FETCHED: "is here, and is being checked",
    Step.WRITING: "is being written to the slot that does not run",
    Step.WRITTEN: "is written and read back; it waits to be booted",
    Step.ARMED: "is what the next boot tries",
    Step.BOOTED: "runs on trial, and waits to be confirmed",
    Step.CONFIRMED: "runs, and is confirmed",
    Step.FAILED: "was given up",
    Step.FELL_BACK: "was tried, and the device went back to the release before",
    Step.STOPPED: "was called off",
}


class UpdateStanding(msgspec.Struct, frozen=True):
    """The attempt under way or the last one, the slots and which of them runs, the lowest counter that is taken."""

    attempt: Attempt | None
    slots: tuple[Slot, ...]
    running: str
    floor: int
    trouble: str = ""
    """Why journal or slots could not be read."""


def standing(folder: Folder, config: Config) -> UpdateStanding:
    """How far updates are."""
    place = folder.path / FOLDER
    journal, trouble = _journal(place / FILE)
    known = tuple(Slot(each.slot, each.release, each.counter) for each in journal.holds)
    try:
        installer = installer_of(config.installer, place)
        running, slots = installer.running(), installer.slots()
    except HoldfastError as error:
        return UpdateStanding(attempt_of(journal), known, "", journal.floor, trouble or str(error))
    holds = {each.slot: each for each in journal.holds}
    named = tuple(
        Slot(each.name, holds[each.name].release, holds[each.name].counter, each.good)
        if not each.release and each.name in holds
        else each
        for each in slots
    )
    return UpdateStanding(attempt_of(journal), named, running.slot, journal.floor, trouble)


def in_lines(found: UpdateStanding) -> list[str]:
    """The standing in lines for a person."""
    lines = [f"update     {_attempt(found.attempt)}"]
    if found.attempt is not None and found.attempt.code:
        lines.append(f"           {found.attempt.sentence} [{found.attempt.code}]")
    lines += [f"slot       {_slot(slot, found.running)}" for slot in found.slots]
    if found.floor:
        lines.append(f"           Releases with a counter below {found.floor} are refused.")
    if found.trouble:
        lines.append(f"           {found.trouble}")
    return lines


def _attempt(attempt: Attempt | None) -> str:
    if attempt is None:
        return "none so far"
    percent = f", {attempt.percent} %" if attempt.step in (Step.FETCHING, Step.WRITING) else ""
    carried = ", carried here by a person" if not attempt.directive else ""
    return f"{attempt.release} {_WORDS[attempt.step]}{percent}{carried}"


def _slot(slot: Slot, running: str) -> str:
    held = f"{slot.release}, counter {slot.counter}" if slot.release else "nothing that is known by name"
    state = "runs" if slot.name == running else ("can be booted" if slot.good else "cannot be booted")
    return f"{slot.name}: {held}; {state}"


def _journal(path: Path) -> tuple[Journal, str]:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(LARGEST), type=Journal), ""
    except FileNotFoundError:
        return Journal(), ""
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Journal(), f"{path} cannot be read: {error}. [update.journal_damaged]"
