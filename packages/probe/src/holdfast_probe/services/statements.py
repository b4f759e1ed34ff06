"""Statements of syslog daemons: a line, or several where a bracket stays open."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast_probe.roots import Root
from holdfast_probe.services.texts import gathered

_LONGEST = 8192
"""Characters of one statement; a longer one is cut into several."""


def statements(root: Root, *patterns: str) -> Iterator[tuple[str, str]]:
    """Place and text of statements: a line, or several where a bracket stays open, up to a bound."""
    held: list[str] = []
    where, depth, size = "", 0, 0
    for place, line in gathered(root, *patterns):
        where = where or place
        held.append(line)
        depth += line.count("(") - line.count(")")
        size += len(line)
        if depth <= 0 or size > _LONGEST:
            yield where, " ".join(held)
            held, where, depth, size = [], "", 0, 0
    if held:
        yield where, " ".join(held)
