"""A root seen with the eyes of anybody on the device: for probes that came with a plan.

1. Such a probe is data from a server, and a server can be taken over. Its answer, one word at a time, could carry away
   a file; so it reads only what every account of the device may read anyhow.
2. What it may not read is `unknown`, with that reason. Names, modes and links are no secret.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from holdfast_probe.gaze import Gaze
from holdfast_probe.roots import FILE_BYTES, Root, Told, Unreadable

_EVERYBODY_READS = 0o004


class PublicRoot:
    """`root`, but for the content of files that are not everybody's to read."""

    def __init__(self, root: Root) -> None:
        self._root = root

    @property
    def told(self) -> Told:
        """See `Root`."""
        return self._root.told

    @property
    def live(self) -> bool:
        """See `Root`."""
        return self._root.live

    @property
    def owners_kept(self) -> bool:
        """See `Root`."""
        return self._root.owners_kept

    def walk(self, gaze: Gaze, *, skip: frozenset[str], devices: frozenset[int]) -> None:  # noqa: ARG002  (see `Root`)
        """Never done: what walks is shown every file's content, whoever may read it. Raises `Unreadable`."""
        raise Unreadable("/", "a probe that came with the plan looks at named files only")

    def status(self, path: str) -> os.stat_result:
        """See `Root`."""
        return self._root.status(path)

    def read(self, path: str, *, limit: int = FILE_BYTES) -> bytes:
        """See `Root`. Raises `Unreadable` also for what is not everybody's to read."""
        if not self._root.status(path).st_mode & _EVERYBODY_READS:
            raise Unreadable(path, "not everybody on the device may, and this probe came with the plan")
        return self._root.read(path, limit=limit)

    def real(self, path: str) -> str:
        """See `Root`."""
        return self._root.real(path)

    def link(self, path: str) -> str:
        """See `Root`."""
        return self._root.link(path)

    def listing(self, path: str) -> tuple[str, ...]:
        """See `Root`."""
        return self._root.listing(path)

    def glob(self, pattern: str) -> tuple[str, ...]:
        """See `Root`."""
        return self._root.glob(pattern)

    def present(self, pattern: str) -> tuple[str, ...]:
        """See `Root`."""
        return self._root.present(pattern)

    def proc_lines(self, name: str) -> Iterator[bytes]:
        """See `Root`."""
        return self._root.proc_lines(name)
