"""Editing lines of settings files: taking some out, changing a value, and leaving every other byte alone.

1. Lines are counted as the readers of this area count them.
2. A line that is taken out stays as a comment, so that a person sees what stood there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from holdfast_probe.editor import CannotMend, Editor

_SHELL = re.compile(
    r"(?:^|[\s;])(?:if|then|else|elif|fi|for|do|done|case|esac|while|until|\{|\}|\(|\))(?:$|[\s;])|\\$|;;$|[{}&|]\s?$"
)
"""What makes a line a part of a larger command of a shell."""


def change_lines(editor: Editor, path: str, numbers: Iterable[int], change: Callable[[str], str]) -> None:
    """Change the lines with these numbers; `change` is given a line without its end. Raises `CannotMend`."""
    content = editor.read(path)
    if content is None:
        raise CannotMend(path, "there is no such file")
    found = content.decode("utf-8", "surrogateescape").splitlines(keepends=True)
    for number in numbers:
        if not 0 < number <= len(found):
            raise CannotMend(path, "it is not what it was when it was looked at")
        line = found[number - 1]
        body = line.rstrip("\r\n")
        found[number - 1] = change(body) + line[len(body) :]
    editor.write(path, "".join(found).encode("utf-8", "surrogateescape"))


def comment_out(editor: Editor, path: str, numbers: Iterable[int]) -> None:
    """Make comments of lines."""
    change_lines(editor, path, numbers, lambda line: line if line.lstrip().startswith("#") else f"#{line}")


def silence_commands(editor: Editor, path: str, numbers: Iterable[int]) -> None:
    """Make a shell script's commands do nothing; a line that its neighbours depend on is refused."""

    def silenced(line: str) -> str:
        if line.lstrip().startswith(": #"):
            return line
        if _SHELL.search(line.strip().removesuffix("&").strip()):
            raise CannotMend(path, "the line is part of a larger command")
        blank = line[: len(line) - len(line.lstrip())]
        return f"{blank}: # {line.lstrip()}"

    change_lines(editor, path, numbers, silenced)


def place(where: str) -> tuple[str, int]:
    """Path and line number of ``path:number``. Raises `CannotMend`."""
    path, _, number = where.rpartition(":")
    if not number.isdigit():
        raise CannotMend(where, "it does not say where")
    return path, int(number)
