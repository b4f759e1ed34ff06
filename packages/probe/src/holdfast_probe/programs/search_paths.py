"""Whether others could put a library where a program looks for one."""

from __future__ import annotations

import stat
from contextlib import suppress

from holdfast_probe.roots import Missing, Root, Unreadable

_MAX_KEPT = 4096
_MAX_DEPTH = 64
_OPEN = ("/tmp/", "/var/tmp/", "/dev/shm/", "/home/")  # noqa: S108  (searched for, not used)
_OTHERS = 0o002


class LoosePaths:
    """Search paths that are relative, empty, or where somebody else than root can write; answers are kept, bounded."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._known: dict[str, bool] = {}

    def holds(self, path: str) -> bool:
        """Whether `path` is one."""
        if path.startswith(("$ORIGIN", "${ORIGIN}")):  # beside the program, which is judged by its own folder
            return False
        if not path.startswith("/") or f"{path}/".startswith(_OPEN):
            return True
        if path not in self._known:
            if len(self._known) >= _MAX_KEPT:
                return self._writable(path)
            self._known[path] = self._writable(path)
        return self._known[path]

    def _writable(self, path: str) -> bool:
        """Whether the folder, or one above it, is open to everyone; a sticky folder guards what is there already."""
        parts = [part for part in path.split("/") if part][:_MAX_DEPTH]
        there = True
        for depth in range(len(parts), 0, -1):
            with suppress(Missing, Unreadable):
                mode = self._root.status("/" + "/".join(parts[:depth])).st_mode
                guarded = bool(mode & stat.S_ISVTX) and there and depth < len(parts)
                if mode & _OTHERS and not guarded:
                    return True
                there = True
                continue
            there = False
        return False
