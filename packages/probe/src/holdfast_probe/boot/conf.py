"""Reading what ``*.d`` folders of boot-time settings say: sysctl's and modprobe's share one way of precedence.

1. Files count in the order of their names; of one name only the first folder's counts.
2. A backslash at the end of a line goes on with the next; ``#`` and ``;`` begin comments.

Sources: sysctl.d(5), modprobe.d(5).
"""

from __future__ import annotations

from holdfast_probe.roots import Root
from holdfast_probe.services.texts import fitting


def by_name(root: Root, folders: tuple[str, ...]) -> list[str]:
    """The ``.conf`` files of the folders in the order in which they count."""
    chosen: dict[str, str] = {}
    for folder in folders:
        for path in fitting(root, f"{folder}/*.conf"):
            chosen.setdefault(path.rsplit("/", 1)[-1], path)
    return [chosen[name] for name in sorted(chosen)]


def settings_lines(text: str) -> list[str]:
    """The stripped lines that say something."""
    joined = text.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip() and line.lstrip()[0] not in "#;"]


def lines_of(root: Root, path: str) -> list[str]:
    """The same of a file. Raises `Missing` or `Unreadable`."""
    return settings_lines(root.read(path).decode("utf-8", "replace"))


def without(text: str, lines: frozenset[str]) -> str:
    """`text` without the lines, stripped and joined as `settings_lines` has them, that are among `lines`."""
    kept: list[str] = []
    pending: list[str] = []
    for line in text.splitlines(keepends=True):
        pending.append(line)
        if line.rstrip("\r\n").endswith("\\"):
            continue
        if not lines.intersection(settings_lines("".join(pending))):
            kept += pending
        pending = []
    return "".join(kept + pending)
