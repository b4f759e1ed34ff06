"""Working out changes to a root without touching it: a view in which they have been made already.

1. Nothing is written: `changes` is what would have to be done, in the order in which it was asked for.
2. Several mends may edit one file; each sees what the others made of it, and one change comes of it.
3. Every path is made real first: where a link leads is what is edited.
4. What cannot be edited whole (too large, not a regular file, unreadable) is refused, and with it the mend.
"""

from __future__ import annotations

import os
import stat

import msgspec

from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire.changes import (
    MAX_CONTENT,
    Change,
    ContentChange,
    FolderChange,
    LinkChange,
    ModeChange,
    OwnerChange,
)
from holdfast_probe.roots import Missing, Root, shown


class CannotMend(WorldError):
    """A mend that cannot be worked out; a person has to do it."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            "harden.by_hand", f"{shown(path)} was left as it is: {why}.", remedy="Follow the control's steps by hand."
        )


class _Content(msgspec.Struct):
    """A regular file as it is and as it is to be."""

    before: bytes | None
    after: bytes | None
    mode: int
    uid: int
    gid: int


class Editor:
    """The edits of one root."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self._contents: dict[str, _Content] = {}
        self._links: dict[str, tuple[str | None, str | None]] = {}
        self._modes: dict[str, tuple[int, int]] = {}
        self._owners: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {}
        self._folders: dict[str, int] = {}

    def read(self, path: str) -> bytes | None:
        """The content of a file as edited; `None` where there is none. Raises `CannotMend`, `Unreadable`."""
        return self._content(self.root.real(path)).after

    def write(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Let `path` have `content`; a file that is made gets `mode` and belongs to root, and so do its folders.

        Raises:
            CannotMend: the file is too large, or no regular file.
        """
        real = self.root.real(path)
        if len(content) > MAX_CONTENT:
            raise CannotMend(path, f"it would be larger than {MAX_CONTENT} bytes")
        entry = self._content(real)
        if entry.before is None and entry.after is None:
            self._make_folders(real.rpartition("/")[0])
            entry.mode = mode
        entry.after = content

    def remove(self, path: str) -> None:
        """Remove a regular file or a link; nothing where there is neither. The last component is not followed."""
        folder, _, name = path.rstrip("/").rpartition("/")
        place = f"{self.root.real(folder or '/').rstrip('/')}/{name}"
        target = self.root.link(place)
        if target:
            self._links[place] = (target, None)
        else:
            self._content(place).after = None

    def take_bits(self, path: str, bits: int) -> None:
        """Take permission bits away from a file or directory."""
        real, status = self._status(path)
        before, after = self._modes.get(real, (stat.S_IMODE(status.st_mode), stat.S_IMODE(status.st_mode)))
        self._modes[real] = (before, after & ~bits)

    def own(self, path: str, uid: int, gid: int) -> None:
        """Give a file or directory to another owner."""
        real, status = self._status(path)
        self._owners[real] = ((status.st_uid, status.st_gid), (uid, gid))

    def changes(self) -> tuple[Change, ...]:
        """What would have to be done; what came to nothing is left out."""
        found: list[Change] = [FolderChange(path, mode) for path, mode in self._folders.items()]
        for path, entry in self._contents.items():
            if entry.before != entry.after:
                found.append(ContentChange(path, entry.before, entry.after, entry.mode, entry.uid, entry.gid))
        found.extend(LinkChange(path, before, after) for path, (before, after) in self._links.items())
        gone = {path for path, entry in self._contents.items() if entry.after is None}
        for path, (mode, bits) in self._modes.items():
            if mode != bits and path not in gone:
                found.append(ModeChange(path, mode, bits))
        found.extend(
            OwnerChange(path, before, after)
            for path, (before, after) in self._owners.items()
            if before != after and path not in gone
        )
        return tuple(found)

    def _content(self, real: str) -> _Content:
        if real not in self._contents:
            try:
                status = self.root.status(real)
            except Missing:
                self._contents[real] = _Content(None, None, 0o644, 0, 0)
            else:
                if not stat.S_ISREG(status.st_mode):
                    raise CannotMend(real, "it is not a regular file")
                if status.st_size > MAX_CONTENT:
                    raise CannotMend(real, f"it is larger than {MAX_CONTENT} bytes")
                data = self.root.read(real, limit=MAX_CONTENT)
                self._contents[real] = _Content(data, data, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
        return self._contents[real]

    def _status(self, path: str) -> tuple[str, os.stat_result]:
        real = self.root.real(path)
        try:
            return real, self.root.status(real)
        except Missing:
            raise CannotMend(path, "there is no such file") from None

    def _make_folders(self, folder: str) -> None:
        missing = []
        while folder and folder not in self._folders:
            try:
                if not stat.S_ISDIR(self.root.status(folder).st_mode):
                    raise CannotMend(folder, "it is no directory")
                break
            except Missing:
                missing.append(folder)
                folder = folder.rpartition("/")[0]
        for path in reversed(missing):
            self._folders[path] = 0o755
