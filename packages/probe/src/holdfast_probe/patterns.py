"""Path patterns: ``*``, ``?`` and ``[...]`` match inside one component, as a shell does."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NOTHING = re.compile(r"(?!)")


def path_pattern(globs: Iterable[str]) -> re.Pattern[str]:
    """One expression that matches (`fullmatch`) the paths any of `globs` does; none match nothing."""
    parts = [_translated(glob) for glob in globs]
    return re.compile("|".join(parts), re.DOTALL) if parts else _NOTHING


def _translated(glob: str) -> str:
    out = []
    position = 0
    while position < len(glob):
        char = glob[position]
        close = glob.find("]", position + 2) if char == "[" else -1
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif close > 0 and "/" not in glob[position:close]:
            inside = glob[position + 1 : close].replace("\\", "\\\\")
            out.append("[" + ("^/" + inside[1:] if inside[0] == "!" else inside) + "]")
            position = close
        else:
            out.append(re.escape(char))
        position += 1
    return "(?:" + "".join(out) + ")"
