"""Changes to a root file tree, each with what was there before, so that it can be taken back byte for byte.

1. A change names one path, absolute and seen from the root, and both of its states; it is made only where the path is
   in the first, and taken back only where it is in the second.
2. A path is real: no component of it is a link.
3. Content is carried whole, so it is bounded; what is larger is changed by hand.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

MAX_CONTENT = 256 * 1024
"""Bytes of one file whose content is changed."""

Mode = Annotated[int, msgspec.Meta(ge=0, le=0o7777)]
Id = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)]
Place = Annotated[str, msgspec.Meta(pattern=r"^/", max_length=4096)]
Bytes = Annotated[bytes, msgspec.Meta(max_length=MAX_CONTENT)]


class _Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of the changes."""

    path: Place


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

    before: str | None
    after: str | None


class FolderChange(_Change, frozen=True, tag="folder"):
    """A directory that is made, owned by root; taken back only while it is empty."""

    mode: Mode = 0o755


Change: TypeAlias = ModeChange | OwnerChange | ContentChange | LinkChange | FolderChange
