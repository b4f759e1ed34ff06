"""Images as roots: what a user brings, opened so that an audit can ask it, whatever it is packed in.

1. Nothing is unpacked into a tree on a disk: an image's nodes are an index, its contents are read where they lie.
2. Everything that was seen is named, with its place; what was not understood is a gap on which nothing passes.
3. An image without a root tree raises `NoRoot`, which says what was seen instead.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_probe.images.explore import Explorer, look_at_kernels
from holdfast_probe.images.limits import Exceeded, ImageLimits, Meter
from holdfast_probe.images.root import ImageRoot
from holdfast_probe.images.source import FileSource
from holdfast_probe.images.survey import Found, Part, Survey, choose
from holdfast_probe.roots import FolderRoot, LiveRoot, Root, Told, shown

__all__ = ["ImageLimits", "NoRoot", "Part", "Target", "open_target"]


class NoRoot(HostileData):
    """There is no root tree in an image; `parts` are what there is.

    Codes: ``image.limit`` (larger or slower than allowed), ``image.truncated`` (it ends too early),
    ``image.encrypted`` (what is in it looks so), ``image.unknown`` (nothing else is known of it).
    """

    def __init__(self, code: str, sentence: str, *, remedy: str, parts: tuple[Part, ...] = ()) -> None:
        super().__init__(code, sentence, remedy=remedy)
        self.parts = parts


class Target:
    """Something to audit, open until it is closed; a context manager.

    Args:
        root: what the probes ask.
        parts: what it is made of; none for folders and running systems.
        survey: what holds its files open.
    """

    def __init__(self, root: Root, parts: tuple[Part, ...] = (), survey: Survey | None = None) -> None:
        self.root = root
        self.parts = parts
        self._survey = survey

    def close(self) -> None:
        """Close what is open."""
        if self._survey is not None:
            self._survey.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_target(
    path: Path,
    *,
    limits: ImageLimits = ImageLimits(),  # noqa: B008  (frozen)
    clock: Callable[[], float] = time.monotonic,
) -> Target:
    """What `path` is: ``/`` the running system, a folder, or an image.

    Args:
        path: a folder, or a regular file of any size.
        limits: what reading an image may cost.
        clock: rising seconds.

    Raises:
        WorldError: ``image.missing`` or ``image.unreadable``: `path` does not open or is no folder and no file.
        NoRoot: there is no root tree in it.
    """
    source = _opened(path)
    if source is None:
        return Target(LiveRoot() if path.resolve() == Path("/") else FolderRoot(path))
    survey = Survey(Meter(limits, clock))
    survey.kept.append(source)
    try:
        return _target(source, survey, limits)
    except BaseException:
        survey.close()
        raise


def _opened(path: Path) -> FileSource | None:
    """The file at `path`, open; `None`: it is a folder."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return None
        if not stat.S_ISREG(mode):
            raise WorldError(
                "image.unreadable",
                f"{shown(str(path))} is neither a file nor a folder.",
                remedy="Give a folder, an archive or an image file.",
            )
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        raise WorldError(
            "image.missing", f"There is no {shown(str(path))}.", remedy="Look at the spelling of the path."
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it does not open"
        raise WorldError(
            "image.unreadable", f"{shown(str(path))} could not be read: {why}.", remedy="Look at its permissions."
        ) from None
    return FileSource(fd)


def _target(source: FileSource, survey: Survey, limits: ImageLimits) -> Target:
    if source.size > limits.image_bytes:
        raise NoRoot(
            "image.limit", f"It is larger than {limits.image_bytes} bytes.", remedy="Look at its parts one by one."
        )
    Explorer(survey, source).run()
    try:
        found = choose(survey)
    except Exceeded as error:
        found = None
        survey.limited = True
        survey.gap(error.sentence)
    if found is None:
        raise _no_root(survey)
    return Target(ImageRoot(found.tree, _told(survey, found)), tuple(survey.parts), survey)


def _told(survey: Survey, found: Found) -> Told:
    tree = found.tree
    look_at_kernels(survey, tree)
    if tree.damage:
        survey.gap(f"{found.name}: {tree.damage.rstrip('.')}.")
    return survey.told(tree.kind if tree.is_filesystem else "")


def _no_root(survey: Survey) -> NoRoot:
    parts = tuple(survey.parts)
    if survey.limited:
        code, sentence = "image.limit", "No root was found before a limit was reached."
    elif survey.encrypted:
        code, sentence = "image.encrypted", "No root was found in it, and parts of it look encrypted or packed."
    elif survey.truncated:
        code, sentence = "image.truncated", "No root was found in it, and parts of it end too early or are damaged."
    else:
        code, sentence = "image.unknown", "No root tree was found in it."
    seen = survey.gaps[:1] or [f"{part.name}: {part.sentence}" for part in parts[:1]]
    return NoRoot(
        code,
        " ".join((sentence, *(shown(each, limit=200) for each in seen))),
        remedy="Give the folder or the image that holds /etc and /bin, decrypted and whole.",
        parts=parts,
    )
