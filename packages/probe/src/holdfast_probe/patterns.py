"""Path patterns: ``*``, ``?`` and ``[...]`` match inside one component, as a shell does.

1. Component by component, so that no pattern, however many stars it has, takes more than its length times the path's.
2. A pattern that a shell would match nothing with, such as a range that runs backwards, matches nothing here.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable


class PathPattern:
    """Matches the paths that any of some patterns does; none match nothing."""

    def __init__(self, globs: Iterable[str]) -> None:
        self._patterns = [tuple(glob.split("/")) for glob in globs]

    def matches(self, path: str) -> bool:
        """Whether the whole of `path` does."""
        names = path.split("/")
        return any(len(parts) == len(names) and all(map(fnmatch.fnmatchcase, names, parts)) for parts in self._patterns)


def fits_any(name: str, patterns: Iterable[str]) -> bool:
    """Whether a plain name fits one of the patterns."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
