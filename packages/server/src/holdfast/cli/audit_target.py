"""What ``holdfast audit`` looks at: this machine, a folder, or an image with all it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from holdfast_core.baseline.document import Seen, Target
from holdfast_probe.images import NoRoot, Part, open_target
from holdfast_probe.layout import layout_of
from holdfast_probe.roots import Root


class Opened(msgspec.Struct, frozen=True):
    """A target that can be looked at, or the reason why it cannot (`Target.trouble`)."""

    target: Target
    root: Root | None


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """The target at `path`, for as long as the block runs.

    An image without a root that can be read is no error but an answer: its parts are told, and nothing is decided.

    Raises:
        WorldError: ``image.missing`` or ``image.unreadable``.
    """
    try:
        found = open_target(path)
    except NoRoot as error:
        trouble = f"{error.sentence} {error.remedy}"
        yield Opened(Target(str(path), "image", parts=_seen(error.parts), trouble=trouble), None)
        return
    with found:
        kind: Literal["system", "folder", "image"] = "image" if path.is_file() else "folder"
        if found.root.live:
            kind = "system"
        target = Target(str(path), kind, layout=layout_of(found.root).words, parts=_seen(found.parts))
        yield Opened(target, found.root)


def _seen(parts: tuple[Part, ...]) -> tuple[Seen, ...]:
    return tuple(Seen(part.name, part.kind, part.offset, part.size, part.understood, part.sentence) for part in parts)
