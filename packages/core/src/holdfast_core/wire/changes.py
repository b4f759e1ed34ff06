"""Changes to a root file tree, each with what was there before, so that it can be taken back byte for byte.

1. A change names one path, absolute and seen from the root, and both of its states; it is made only where the path is
   in the first, and taken back only where it is in the second.
2. A path is real: no component of it is a link, and none is ``.`` or ``..``, so that it cannot name a place outside.
3. Content is carried whole, so it is bounded; what is larger is changed by hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, TypeAlias

import msgspec

MAX_CONTENT = 256 * 1024
"""Bytes of one file whose content is changed."""
MAX_NAME = 240
"""Bytes of a path's last component: a file system takes 255, and a new file beside it needs a longer name."""
MAX_PATH = 4096

Mode = Annotated[int, msgspec.Meta(ge=0, le=0o7777)]
Id = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFE)]
"""A uid or gid; the highest number means "leave it" to the kernel and is none."""
Place = Annotated[str, msgspec.Meta(pattern=r"^/", max_length=MAX_PATH)]
Bytes = Annotated[bytes, msgspec.Meta(max_length=MAX_CONTENT)]
Target = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_PATH)]


def place_fault(path: str) -> str:
    """Why `path` can be no place below a root whose content is changed, or nothing when it can be."""
    first, *names = path.split("/")
    if first or not names or any(name in {"", ".", ".."} for name in names):
        return "it does not name a place below the root"
    try:
        size = len(names[-1].encode())
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if "\0" in path or size > MAX_NAME:
        return "no file can be called that, or have another beside it"
    return ""


class _Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of the changes."""

    path: Place

    def __post_init__(self) -> None:
        """Refuse a path that could lead elsewhere."""
        if fault := place_fault(self.path):
            raise ValueError(fault)


class ModeChange(_Change, frozen=True, tag="mode"):
    """The permission bits of one file or directory."""

    before: Mode
    after: Mode


class OwnerChange(_Change, frozen=True, tag="owner"):
    """The owner of one file or directory: uid and gid."""

    before: tuple[Id, Id]
    after: tuple[Id, Id]


class ContentChange(_Change, frozen=True, tag="content"):
    """The content of one regular file; `None` where there is no such file.

    `mode`, `uid` and `gid` are those of the file, before and after; a file that is made gets them.
    """

    before: Bytes | None
    after: Bytes | None
    mode: Mode = 0o644
    uid: Id = 0
    gid: Id = 0


class LinkChange(_Change, frozen=True, tag="link"):
    """Where a symbolic link points; `None` where there is none."""

    before: Target | None
    after: Target | None


class FolderChange(_Change, frozen=True, tag="folder"):
    """A directory that is made, owned by root; taken back only while it is empty."""

    mode: Mode = 0o755


Change: TypeAlias = ModeChange | OwnerChange | ContentChange | LinkChange | FolderChange


def weight(changes: Iterable[Change]) -> int:
    """About how many bytes it takes to remember `changes`: their paths and contents, before and after."""
    return sum(
        len(change.path)
        + (len(change.before or b"") + len(change.after or b"") if isinstance(change, ContentChange) else 32)
        for change in changes
    )
