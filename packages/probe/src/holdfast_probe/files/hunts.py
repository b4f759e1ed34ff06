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


class StatusHunt(Hunt):
    """A hunt that tells an offender by its path and status alone."""

    def offends(self, path: str, status: os.stat_result) -> bool:
        """Whether this is one."""
        raise NotImplementedError

    def said(self, path: str, status: os.stat_result) -> str:
        """The path with what is wrong about it."""
        return f"{path} ({status.st_mode & 0o7777:04o})"

    def seen(self, path: str, status: os.stat_result) -> None:
        """Count it if it is one."""
        if self.offends(path, status):
            self.found.add(self.said(path, status))


class WorldWritableHunt(StatusHunt):
    """Files that everyone can write, and directories that are not sticky."""

    wants = Wants(mode_bits=0o002)
    praise = "no file and no unsticky directory is writable by everyone"

    def offends(self, path: str, status: os.stat_result) -> bool:  # noqa: ARG002  (the offence is in the mode)
        """Not a sticky directory, nor a device node or socket, which modes guard differently."""
        mode = status.st_mode
        return stat.S_ISREG(mode) or (stat.S_ISDIR(mode) and not mode & stat.S_ISVTX)


class UnownedHunt(StatusHunt, OwnersHunt):
    """Files whose uid or gid has no name."""

    wants = Wants(strangers=True)
    praise = "every file has a known owner and group"

    def offends(self, path: str, status: os.stat_result) -> bool:  # noqa: ARG002  (the walk shows strangers only)
        """Whatever the walk shows."""
        return True

    def said(self, path: str, status: os.stat_result) -> str:
        """The path with its owners."""
        return f"{path} (uid {status.st_uid}, gid {status.st_gid})"


class SetuidHunt(StatusHunt, OwnersHunt):
    """Setuid and setgid programs that the plan does not know."""

    wants = Wants(mode_bits=0o6000)
    praise = "every setuid and setgid program is expected"

    def __init__(self, root: Root, plan: Plan) -> None:
        super().__init__(root)
        self._paths = PathPattern(plan.setuid)
        self._nodes = _nodes(root, plan.setuid)

    def offends(self, path: str, status: os.stat_result) -> bool:
        """Regular files only: setgid on a directory hands down a group, it grants nothing."""
        known = self._paths.matches(path) or (status.st_dev, status.st_ino) in self._nodes
        return stat.S_ISREG(status.st_mode) and not known


class WritableHunt(StatusHunt):
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

    def offends(self, path: str, status: os.stat_result) -> bool:
        """A directory that neither is expected nor lies below one that is."""
        if not stat.S_ISDIR(status.st_mode) or self._paths.matches(path) or self._below.match(path):
            return False
        return (status.st_dev, status.st_ino) not in self._nodes


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
