"""Reading the settings that services are given: lines, commands, folders.

1. What is missing is empty or `None`; what is there and cannot be read raises `Unreadable`, as the root has it.
2. A line is stripped and never searched with a pattern that looks back: hostile lines cost their length once.
"""

from __future__ import annotations

import re
import shlex
import stat

from holdfast_probe.roots import Missing, Root, Unreadable

MOST_FILES = 256
"""Files read for one question, however many a pattern fits."""
MOST_BYTES = 4 * 1024 * 1024
"""Read of all these files together."""
LINE_CHARS = 4096
"""No line is longer whose words are asked for: what splits them takes more than a line's length to do so."""
_SPECIAL = frozenset("\"'\\#")
SHELLS = frozenset({"sh", "ash", "bash", "dash", "zsh", "hush", "msh", "ksh", "csh", "mksh", "rbash"})
WRAPPERS = frozenset({"busybox", "env", "nice", "exec", "start-stop-daemon", "nohup", "setsid", "sudo", "su-exec"})
_SHARED = WRAPPERS | {"sh"}


def numbered(root: Root, path: str, comment: str = "#") -> list[tuple[int, str]] | None:
    """The stripped lines that are neither empty nor a comment, with their numbers; `None` if there is no such file."""
    try:
        text = root.read(path).decode("utf-8", "replace")
    except Missing:
        return None
    return [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith(tuple(comment))
    ]


def gathered(root: Root, *patterns: str, comment: str = "#") -> list[tuple[str, str]]:
    """Place (``path:number``) and line of all files that match. Raises `Unreadable` beyond `MOST_BYTES`.

    A folder that matches is passed over; what is neither it nor a regular file is `Unreadable`.
    """
    found: list[tuple[str, str]] = []
    left = MOST_BYTES
    for path in fitting(root, *patterns):
        if not stat.S_ISDIR(root.status(path).st_mode):
            lines_here = numbered(root, path, comment) or ()
            left -= sum(len(line) for _, line in lines_here)
            found += [(f"{path}:{number}", line) for number, line in lines_here]
        if left < 0:
            raise Unreadable(path, f"with those beside it, it holds more than {MOST_BYTES} bytes")
    return found


def lines(root: Root, path: str) -> list[str] | None:
    """The stripped lines that are no comment, or `None` if there is no such file."""
    found = numbered(root, path)
    return None if found is None else [line for _, line in found]


def text(root: Root, path: str) -> str:
    """The content of a file, or an empty string where there is none."""
    try:
        return root.read(path).decode("utf-8", "replace")
    except Missing:
        return ""


def names(root: Root, folder: str) -> tuple[str, ...]:
    """The names in a folder; none where there is no such folder."""
    try:
        return root.listing(folder)
    except Missing:
        return ()


def exists(root: Root, path: str) -> bool:
    """Whether something is there, links followed."""
    try:
        root.status(path)
    except Missing:
        return False
    return True


def fitting(root: Root, *patterns: str) -> list[str]:
    """The paths that match, in the order of the patterns. Raises `Unreadable` beyond `MOST_FILES`."""
    paths = list(dict.fromkeys(path for pattern in patterns for path in root.glob(pattern)))
    if len(paths) > MOST_FILES:
        raise Unreadable(patterns[0], f"it fits more than {MOST_FILES} files")
    return paths


def words(line: str) -> list[str]:
    """The words of a line as a shell splits them; a quote that is never closed is taken as it stands.

    Raises:
        Unreadable: it is longer than `LINE_CHARS`.
    """
    if len(line) > LINE_CHARS:
        raise Unreadable("A line", f"it is longer than {LINE_CHARS} characters", remedy="Write it in shorter ones.")
    plain = line.replace("\t", " ")
    if plain.isprintable() and _SPECIAL.isdisjoint(plain):
        return plain.split()
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return line.split()


def unquoted(value: str) -> str:
    """A value without the quotes around it."""
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def truthy(value: str) -> bool:
    """What settings files write for yes."""
    return value.strip().lower() in {"1", "yes", "true", "on", "enabled"}


def programs(command: str) -> list[str]:
    """The base names of the words in a command that could be programs, in order, shells and wrappers last."""
    parts = re.split(r"[\s;&|()`\"']+", command)
    bases = [w.rsplit("/", 1)[-1] for w in parts if "/" in w or not w.startswith("-")]
    found = list(dict.fromkeys(w.lstrip("-@:+!") for w in bases if re.fullmatch(r"[-@:+!]*[A-Za-z][\w.@+-]*", w)))
    return [n for n in found if n not in _SHARED] + [n for n in found if n in _SHARED]
