"""Whether changes would keep something from starting that has to: asked of everything that starts, however it does.

1. What has to start is what the model names, and the process by which the essential function is known; a unit or a
   script of another name counts too when it runs that program.
2. It is asked of the tree as it is before the changes: an entry that is gone, masked or written otherwise is stopped.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast_core.baseline.essential import is_gone, mentions
from holdfast_core.wire.changes import Change, ContentChange
from holdfast_probe.case import Case
from holdfast_probe.services.entries import Started, Way
from holdfast_probe.services.starts import started
from holdfast_probe.services.units import ADMIN_UNITS


def stopped(case: Case, changes: Sequence[Change]) -> str:
    """What `changes` would keep from starting although it has to, as a sentence; nothing where they stop nothing.

    Raises:
        Unreadable: nobody can say what starts.
    """
    by_path = {change.path: change for change in changes}
    items, _ = case.once(started) if case.plan.autostart or case.plan.health.process else ([], 0)
    for item in items:
        if needed := _needed(case, item):
            for path in _places(case, item):
                if (change := by_path.get(path)) is not None and _stops(change, item):
                    return f"{needed} has to start, and {path} starts it."
    return ""


def _needed(case: Case, item: Started) -> str:
    """What has to start, where that is what `item` starts."""
    process = case.plan.health.process
    for name in filter(None, (*case.plan.autostart, process)):
        if name in _own_names(item):
            return name
    # A script says what it runs in its own words, under a name of its own.
    script = process and item.way in {Way.LINK, Way.SCRIPT} and mentions(case.root.read(item.places[0]), process)
    return process if script else ""


def _own_names(item: Started) -> tuple[str, ...]:
    """What it is called; in a table the name is a port's or a terminal's, and only what is run tells what it is."""
    if item.way in {Way.LINE, Way.BLOCK} and item.aliases:
        return item.aliases
    return (item.name, item.name.partition("@")[0], *item.aliases)


def _places(case: Case, item: Started) -> list[str]:
    """Where the start of `item` is decided, as changes name it: with every link but the last followed."""
    places = []
    for path in (*item.places, f"{ADMIN_UNITS}/{item.command}") if item.way is Way.UNIT else item.places:
        folder, _, name = path.rpartition("/")
        places.append(f"{case.root.real(folder or '/').rstrip('/')}/{name}")
    return places


def _stops(change: Change, item: Started) -> bool:
    if is_gone(change):
        return True
    if not isinstance(change, ContentChange):
        return False
    if item.way is Way.LINE:
        return _line(change.before, item.number) != _line(change.after, item.number)
    return item.way is Way.BLOCK


def _line(content: bytes | None, number: int) -> str:
    lines = (content or b"").decode("utf-8", "replace").splitlines()
    return lines[number - 1] if 0 < number <= len(lines) else ""
