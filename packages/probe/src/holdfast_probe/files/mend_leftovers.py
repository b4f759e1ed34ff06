"""Removing core dumps and histories: each of them, or none.

What a finding names are a few; so the walk is made again, and what it counts is kept. A dump that is too large to be
brought back is a person's to remove.
"""

from __future__ import annotations

import os
import time

from holdfast_core.baseline.probes import CoreFiles
from holdfast_probe.case import Case
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.files.hunts import LeftoverHunt
from holdfast_probe.walk import Opened
from holdfast_probe.whole import whole_walk

_MOST = 256


class _Gathered(LeftoverHunt):
    """The paths of what is counted: one more than a mend would remove."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    def seen(self, path: str, status: os.stat_result) -> None:
        """Keep the path of a history that counts."""
        before = self.found.count
        super().seen(path, status)
        self._keep(path, before)

    def content(self, path: str, file: Opened) -> int:
        """Keep the path of a dump that counts."""
        before = self.found.count
        read = super().content(path, file)
        self._keep(path, before)
        return read

    def _keep(self, path: str, before: int) -> None:
        if self.found.count > before and len(self.paths) <= _MOST:
            self.paths.append(path)


def mend_leftovers(case: Case, editor: Editor, _spec: CoreFiles) -> None:
    """Remove every one of them."""
    gathered = _Gathered()
    walked = whole_walk(case, (gathered,), clock=time.monotonic).run()
    if walked.gap:
        raise CannotMend("/", f"not all of it was seen ({walked.gap.rstrip('.')})")
    if len(gathered.paths) > _MOST:
        raise CannotMend("/", f"more than {_MOST} files are concerned")
    for path in sorted(gathered.paths):
        editor.remove(path)
