"""What ``holdfast audit`` looks at: this machine, or a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from holdfast_core.baseline.document import Target
from holdfast_core.kernel.errors import WorldError
from holdfast_probe.roots import FolderRoot, LiveRoot, Root


class Opened(msgspec.Struct, frozen=True):
    """A target that can be looked at, or the reason why it cannot (`Target.trouble`)."""

    target: Target
    root: Root | None


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """The target at `path`, for as long as the block runs.

    Raises:
        WorldError: ``audit.no_target`` when nothing is there.
    """
    if not path.exists():
        raise WorldError(
            "audit.no_target", f"There is no {path}.", remedy="Give a folder, an image file, or / for this machine."
        )
    if not path.is_dir():
        raise WorldError(
            "audit.not_a_tree",
            f"{path} is a file, and an audit looks at a folder.",
            remedy="Unpack the image first, for example: unsquashfs -d rootfs IMAGE, or binwalk -e IMAGE.",
        )
    if path.resolve() == Path("/"):
        yield Opened(Target("/", "system"), LiveRoot())
    else:
        yield Opened(Target(str(path), "folder"), FolderRoot(path))
