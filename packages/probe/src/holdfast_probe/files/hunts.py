"""The hunts for modes, owners and leftovers."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress

from holdfast_core.baseline.model import Plan
from holdfast_probe.hunt import Hunt, OwnersHunt
from holdfast_probe.patterns import PathPattern
from holdfast_probe.programs.elf import ET_CORE
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.walk import Opened, Wants


class WorldWritableHunt(Hunt):
    """Files that everyone can write, and directories that are not sticky."""

    wants = Wants(mode_bits=0o002)
    praise = "no file and no unsticky directory is writable by everyone"

    def seen(self, path: str, status: os.stat_result) -> None:
        """Count it unless it is a sticky directory, or a device node or socket, which modes guard differently."""
        mode = status.st_mode
        if stat.S_ISREG(mode) or (stat.S_ISDIR(mode) and not mode & stat.S_ISVTX):
            self.found.add(f"{path} ({mode & 0o7777:04o})")


class UnownedHunt(OwnersHunt):
    """Files whose uid or gid has no name."""

    wants = Wants(strangers=True)
    praise = "every file has a known owner and group"

    def seen(self, path: str, status: os.stat_result) -> None:
        """Count it."""
        self.found.add(f"{path} (uid {status.st_uid}, gid {status.st_gid})")


class SetuidHunt(OwnersHunt):
    """Setuid and setgid programs that the plan does not know."""

    wants = Wants(mode_bits=0o6000)
    praise = "every setuid and setgid program is expected"

    def __init__(self, root: Root, plan: Plan) -> None:
        super().__init__(root)
        self._paths = PathPattern(plan.setuid)
        self._nodes = _nodes(root, plan.setuid)

    def seen(self, path: str, status: os.stat_result) -> None:
        """Count regular files only: setgid on a directory hands down a group, it grants nothing."""
        known = self._paths.matches(path) or (status.st_dev, status.st_ino) in self._nodes
        if stat.S_ISREG(status.st_mode) and not known:
            self.found.add(f"{path} ({status.st_mode & 0o7777:04o})")


class WritableHunt(Hunt):
    """Directories that everyone can write and the plan does not know."""

    wants = Wants(mode_bits=0o002)
    praise = "every directory that everyone can write is expected"

    def __init__(self, root: Root, plan: Plan) -> None:
        super().__init__()
        entries = [entry.rstrip("/") or "/" for entry in plan.writable]
        below = [re.escape("/" if entry == "/" else entry + "/") for entry in entries]
        self._below = re.compile("|".join(below)) if below else re.compile(r"(?!)")
        self._paths = PathPattern(entries)
        self._nodes = _nodes(root, entries)

    def seen(self, path: str, status: os.stat_result) -> None:
        """Count it unless it is, or lies below, an expected directory."""
        if not stat.S_ISDIR(status.st_mode) or self._paths.matches(path) or self._below.match(path):
            return
        if (status.st_dev, status.st_ino) not in self._nodes:
            self.found.add(f"{path} ({status.st_mode & 0o7777:04o})")


class LeftoverHunt(Hunt):
    """Core dumps and histories."""

    wants = Wants(
        names=frozenset({
            ".bash_history", ".ash_history", ".sh_history", ".zsh_history", ".history", ".python_history",
            ".mysql_history", ".psql_history", ".sqlite_history", ".rediscli_history", ".lesshst", ".viminfo",
        }),
        content=True,
    )  # fmt: skip
    praise = "no core dump and no history file"

    def seen(self, path: str, status: os.stat_result) -> None:
        """Count a history with something in it."""
        if stat.S_ISREG(status.st_mode) and status.st_size:
            self.found.add(f"{path} ({status.st_size} bytes)")

    def opens(self, name: str, mode: int, size: int) -> bool:  # noqa: ARG002  (the collectors' shape)
        """A name that the kernel or a crash handler gives to a dump."""
        return name == "core" or name.startswith(("core.", "core-", "core_")) or name.endswith(".core")

    def content(self, path: str, file: Opened) -> int:
        """Count it if it is an ELF core, whatever it is called."""
        head = bytes(file.head[:20])
        if head[:4] == b"\x7fELF" and int.from_bytes(head[16:18], "little" if head[5] == 1 else "big") == ET_CORE:
            self.found.add(f"{path} (core dump, {file.size} bytes)")
        return 0


def _nodes(root: Root, paths: Iterable[str]) -> frozenset[tuple[int, int]]:
    """The inodes of expected paths, so that ``/bin/su`` also names ``/usr/bin/su`` where one links to the other."""
    found = set()
    for path in paths:
        with suppress(Missing, Unreadable):
            for match in root.glob(path):
                status = root.status(match)
                found.add((status.st_dev, status.st_ino))
    return frozenset(found)
