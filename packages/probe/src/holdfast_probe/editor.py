"""Working out changes to a root without touching it: a view in which they have been made already.

1. Nothing is written: `changes` is what would have to be done, in an order in which it can be done.
2. Several mends may edit one file; each sees what the others made of it, and one change comes of it.
3. Every path is made real first: where a link leads is what is edited.
4. What cannot be edited whole (too large, not a regular file, unreadable, a name that is not UTF-8) is refused, and
   with it the mend.
5. `branch` begins a step on top of the edits so far: its changes lead on from them, and it can be thrown away alone.
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
    place_fault,
)
from holdfast_probe.roots import Missing, Root, shown


class CannotMend(WorldError):
    """A mend that cannot be worked out; a person has to do it."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            "harden.by_hand", f"{shown(path)} was left as it is: {why}.", remedy="Follow the control's steps by hand."
        )


class _Bits(msgspec.Struct, frozen=True):
    """Permission bits and owner of a file or directory."""

    mode: int
    uid: int
    gid: int

    @property
    def owner(self) -> tuple[int, int]:
        return self.uid, self.gid


class _State(msgspec.Struct):
    """What is known of a root: by path, as far as it was asked for."""

    contents: dict[str, bytes | None]
    bits: dict[str, _Bits]
    links: dict[str, str]
    """Where a link points; empty where there is none."""
    folders: dict[str, int]
    """Directories that were made, and their modes."""

    def copy(self) -> _State:
        return _State(dict(self.contents), dict(self.bits), dict(self.links), dict(self.folders))


class Editor:
    """The edits of one root."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self._was = _State({}, {}, {}, {})
        self._is = _State({}, {}, {}, {})

    def branch(self) -> Editor:
        """A new editor for which everything done here has been done already."""
        other = Editor(self.root)
        other._was, other._is = self._is.copy(), self._is.copy()
        return other

    def read(self, path: str) -> bytes | None:
        """The content of a file as edited; `None` where there is none. Raises `CannotMend`, `Unreadable`."""
        return self._content(self.root.real(path))

    def write(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Let `path` have `content`; a file that is made gets `mode` and belongs to root, and so do its folders.

        Raises:
            CannotMend: the file is too large, or no regular file.
        """
        real = self.root.real(path)
        if len(content) > MAX_CONTENT:
            raise CannotMend(path, f"it would be larger than {MAX_CONTENT} bytes")
        if self._content(real) is None:
            self._make_folders(real.rpartition("/")[0])
            self._is.bits[real] = _Bits(mode, 0, 0)
        self._is.contents[real] = content

    def remove(self, path: str) -> None:
        """Remove a regular file or a link; nothing where there is neither. The last component is not followed."""
        folder, _, name = path.rstrip("/").rpartition("/")
        place = f"{self.root.real(folder or '/').rstrip('/')}/{name}"
        if self._link(place):
            self._is.links[place] = ""
        elif not self.root.link(place) and self._content(place) is not None:
            self._is.contents[place] = None

    def take_bits(self, path: str, bits: int) -> None:
        """Take permission bits away from a file or directory."""
        real = self.root.real(path)
        now = self._bits(real)
        self._is.bits[real] = _Bits(now.mode & ~bits, now.uid, now.gid)

    def own(self, path: str, uid: int, gid: int) -> None:
        """Give a file or directory to another owner."""
        real = self.root.real(path)
        self._is.bits[real] = _Bits(self._bits(real).mode, uid, gid)

    def changes(self) -> tuple[Change, ...]:
        """What would have to be done; what came to nothing is left out."""
        was, now = self._was, self._is
        made = [FolderChange(path, mode) for path, mode in now.folders.items() if path not in was.folders]
        edited = [self._edited(path) for path, content in now.contents.items() if content != was.contents.get(path)]
        linked = [
            LinkChange(path, was.links.get(path) or None, target or None)
            for path, target in now.links.items()
            if target != was.links.get(path)
        ]
        return (*made, *edited, *linked, *self._rebitted())

    def _edited(self, path: str) -> ContentChange:
        before, after = self._was.contents.get(path), self._is.contents[path]
        bits = (self._is if before is None else self._was).bits[path]
        return ContentChange(path, before, after, bits.mode, bits.uid, bits.gid)

    def _rebitted(self) -> list[Change]:
        """The changes of owners and bits, but for files that the change of their content makes or removes."""
        found: list[Change] = []
        for path, after in self._is.bits.items():
            before = self._was.bits.get(path)
            there = path not in self._is.contents or None not in (self._was.contents[path], self._is.contents[path])
            if before is None or not there:
                continue
            if before.owner != after.owner:
                found.append(OwnerChange(path, before.owner, after.owner))
            if before.mode != after.mode:
                found.append(ModeChange(path, before.mode, after.mode))
        return found

    def _content(self, real: str) -> bytes | None:
        if real not in self._is.contents:
            self._require_place(real)
            try:
                content: bytes | None = self._load(real)
            except Missing:
                content = None
            self._was.contents[real] = self._is.contents[real] = content
        return self._is.contents[real]

    def _load(self, real: str) -> bytes:
        status = self.root.status(real)
        if not stat.S_ISREG(status.st_mode):
            raise CannotMend(real, "it is not a regular file")
        if status.st_size > MAX_CONTENT:
            raise CannotMend(real, f"it is larger than {MAX_CONTENT} bytes")
        self._bits(real)
        return self.root.read(real, limit=MAX_CONTENT)

    def _link(self, place: str) -> str:
        if place not in self._is.links:
            self._require_place(place)
            self._was.links[place] = self._is.links[place] = self.root.link(place)
        return self._is.links[place]

    def _bits(self, real: str) -> _Bits:
        if self._is.contents.get(real, b"") is None:
            raise CannotMend(real, "there is no such file")
        if real not in self._is.bits:
            self._require_place(real)
            status = self._status(real)
            bits = _Bits(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
            self._was.bits[real] = self._is.bits[real] = bits
        return self._is.bits[real]

    def _status(self, real: str) -> os.stat_result:
        try:
            status = self.root.status(real)
        except Missing:
            raise CannotMend(real, "there is no such file") from None
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise CannotMend(real, "it is neither a file nor a directory")
        return status

    def _require_place(self, real: str) -> None:
        if fault := place_fault(real):
            raise CannotMend(real, fault)

    def _make_folders(self, folder: str) -> None:
        missing = []
        while folder and folder not in self._is.folders:
            try:
                if not stat.S_ISDIR(self.root.status(folder).st_mode):
                    raise CannotMend(folder, "it is no directory")
                break
            except Missing:
                missing.append(folder)
                folder = folder.rpartition("/")[0]
        for path in reversed(missing):
            self._is.folders[path] = 0o755
