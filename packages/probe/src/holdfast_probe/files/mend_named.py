"""Taking away what should not be there: a file, or a line with a refused word."""

from __future__ import annotations

from holdfast_core.baseline.probes import Absent, Words
from holdfast_probe.case import Case
from holdfast_probe.editor import CannotMend, Editor

_NO_COMMENTS = (".json", ".xml", ".html")


def mend_absent(case: Case, editor: Editor, spec: Absent) -> None:
    """Remove every match; directories and what is no regular file are a person's to remove."""
    for path in _matches(case, spec.paths):
        editor.remove(path)


def mend_words(case: Case, editor: Editor, spec: Words) -> None:
    """Comment out every line that holds a refused word; what has to be there is a person's to write."""
    said: list[str] = []
    for path in _matches(case, spec.paths):
        lines = (editor.read(path) or b"").decode("utf-8", "surrogateescape").split("\n")
        new = [f"# {line}" if not _comment(line) and any(w in line for w in spec.forbid) else line for line in lines]
        if new != lines:
            if path.endswith(_NO_COMMENTS):
                raise CannotMend(path, "a file of its kind has no comments")
            editor.write(path, "\n".join(new).encode("utf-8", "surrogateescape"))
        said += [line for line in new if not _comment(line)]
    for word in spec.require:
        # Where it goes, and with what around it, only a person knows.
        if said and not any(word in line for line in said):
            raise CannotMend(spec.paths[0], f"a line with {word!r} has to be written by hand")


def _comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _matches(case: Case, patterns: tuple[str, ...]) -> list[str]:
    return [path for pattern in patterns for path in case.root.glob(pattern)]
