"""The files of a root, to be read: as they are, or as an editor has them by now."""

from __future__ import annotations

from typing import Protocol

from holdfast_probe.editor import Editor
from holdfast_probe.roots import Missing


class Source(Protocol):
    """Where the text of files comes from: a root, or a view of it in which edits have been made."""

    def read(self, path: str) -> bytes:
        """The content of a file. Raises `Missing` or `Unreadable`."""

    def glob(self, pattern: str) -> tuple[str, ...]:
        """The existing paths that match."""


class EditedFiles:
    """The files of a root as edited so far."""

    def __init__(self, editor: Editor) -> None:
        self._editor = editor

    def read(self, path: str) -> bytes:
        """See `Source`."""
        content = self._editor.read(path)
        if content is None:
            raise Missing(path)
        return content

    def glob(self, pattern: str) -> tuple[str, ...]:
        """See `Source`; what an edit adds or removes does not show in it."""
        return self._editor.root.glob(pattern)
