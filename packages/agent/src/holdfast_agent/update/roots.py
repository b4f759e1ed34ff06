"""The first roots of a device: those that its server has, or those that its factory left in a folder.

1. From the server they are taken once, at the first contact: the person who pinned the server vouches for it.
2. Where the factory left them, nothing of the kind is taken from a network, then or later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire.update_metadata import LARGEST_FILE, Brought

DIRECTOR_ROOT, IMAGE_ROOT = "director.root.json", "image.root.json"
_ROOT = re.compile(r"[0-9]{1,15}\.root\.json")


def first_roots(brought: Brought) -> tuple[bytes, bytes]:
    """The first roots of director and image repository in an answer. Raises WorldError ``update.no_repositories``."""
    return _first_root(brought.director), _first_root(brought.image)


def factory_roots(folder: Path) -> tuple[bytes, bytes]:
    """The roots of director and image repository in `folder`. Raises WorldError ``update.factory_roots``."""
    return _read(folder / DIRECTOR_ROOT), _read(folder / IMAGE_ROOT)


def _first_root(files: Mapping[str, bytes]) -> bytes:
    numbered = {int(name.partition(".")[0]): name for name in files if _ROOT.fullmatch(name)}
    if not numbered:
        raise WorldError(
            "update.no_repositories",
            "The server has no update repositories yet.",
            remedy="On the server: holdfast keys found, or the ceremony of its page.",
        )
    return files[numbered[min(numbered)]]


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise _unusable(path, error.strerror or type(error).__name__) from error
    if len(data) > LARGEST_FILE:
        raise _unusable(path, f"it has more than {LARGEST_FILE} bytes")
    return data


def _unusable(path: Path, why: str) -> WorldError:
    return WorldError(
        "update.factory_roots",
        f"{path}, a root of the factory's, cannot be read: {why}.",
        remedy="Put director.root.json and image.root.json there, or enroll the device again without --update-roots.",
    )
