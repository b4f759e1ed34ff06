"""The collectors: what the probes that walk look for, and how each comes to its result.

1. A collector holds a bounded tally, nothing per file.
2. What fails, fails also when the walk was cut short; what found nothing passes only on a whole walk.
3. Owners and setuid bits that an extraction lost prove nothing: without a hit the result is `unknown`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress

from holdfast_core.baseline.model import Plan
from holdfast_core.baseline.probes import Elf, ElfProperty, PrivateKeys
from holdfast_probe.elf import ET_CORE, ET_DYN, ET_EXEC, ElfFacts, read_elf
from holdfast_probe.keys import KEY_BYTES, MARK, bare_key, may_be_bare, private_keys
from holdfast_probe.patterns import PathPattern
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.sight import Sight, Tally, failed_by, not_applicable, passed, unknown
from holdfast_probe.walk import OVERLAP, WINDOW, Collector, Opened, Walked, Wants

_LOST = "This tree was extracted without root: owners and setuid bits are not the device's."


class Hunt(Collector):
    """A collector that looks for offenders; none on a whole walk passes."""

    praise = "nothing found"

    def __init__(self) -> None:
        self.found = Tally()

    def result(self, walked: Walked) -> Sight:
        """The outcome after the walk."""
        if self.found.count:
            return failed_by(self.found)
        return unknown(walked.gap) if walked.gap else passed(self.praise)


class OwnersHunt(Hunt):
    """A hunt that means nothing where owners and setuid bits were lost."""

    def __init__(self, root: Root) -> None:
        super().__init__()
        self._kept = root.owners_kept

    def result(self, walked: Walked) -> Sight:
        """As for any hunt, but no pass on a tree that lost what is looked for."""
        return super().result(walked) if self._kept or self.found.count else unknown(_LOST)


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


class KeyHunt(Hunt):
    """Private keys that decode."""

    wants = Wants(content=True)

    def __init__(self, spec: PrivateKeys, *, file_bytes: int) -> None:
        super().__init__()
        self._allow = PathPattern(spec.allow)
        self._most = file_bytes
        self.praise = f"no private key in the first {file_bytes // 1024} KiB of each file"

    def opens(self, name: str, mode: int, size: int) -> bool:  # noqa: ARG002  (the collectors' shape)
        """Anything large enough to hold a key: they lie under any name."""
        return size >= 48  # noqa: PLR2004  (the shortest, Ed25519 in DER)

    def content(self, path: str, file: Opened) -> int:
        """Count it if a key decodes in what is searched of it."""
        kinds: tuple[str, ...] = ()
        obj = file.head.obj
        if isinstance(obj, bytearray) and obj.find(MARK, 0, len(file.head)) >= 0:
            kinds = private_keys(_whole(file))
        elif may_be_bare(bytes(file.head[:32]), file.size):
            kind = bare_key(bytes(file.head[: file.size]))
            kinds = (kind,) if kind else ()
        beyond = 0
        if not kinds and file.size > len(file.head) and self._most > len(file.head):
            kinds, beyond = self._further(file)
        if kinds and not self._allow.matches(path):
            self.found.add(f"{path} ({kinds[0]} private key)")
        return beyond

    def _further(self, file: Opened) -> tuple[tuple[str, ...], int]:
        """Search window after window, up to the cap; a hole in a sparse file costs no disk."""
        position = len(file.head) - OVERLAP
        read = 0
        while position < min(file.size, self._most):
            window = file.read_at(position, WINDOW)
            read += len(window)
            if MARK in window and (
                kinds := private_keys(file.read_at(max(0, position - OVERLAP), WINDOW + 2 * KEY_BYTES))
            ):
                return kinds, read
            if len(window) <= OVERLAP:
                break
            position += len(window) - OVERLAP
        return (), read


class ElfFactsHunt(Hunt):
    """Programs and libraries without a property."""

    wants = Wants(content=True)

    def __init__(self, root: Root, spec: Elf) -> None:
        super().__init__()
        self._root = root
        self._property = spec.property
        self._under = tuple(folder.rstrip("/") + "/" for folder in spec.under)
        self._judged = False
        self.praise = f"every program and library that is asked has {spec.property.value}"
        self._silent = Tally()
        self._loose: dict[str, bool] = {}

    def result(self, walked: Walked) -> Sight:
        """As for any hunt, but silent headers leave it open, and no program at all makes it not applicable."""
        if self.found.count:
            return failed_by(self.found)
        if walked.gap:
            return unknown(walked.gap)
        if self._silent.count:
            why = (
                f"{self._silent.count} files do not say (no PT_GNU_STACK, or broken headers): the architecture decides."
            )
            return unknown(why, *self._silent.items())
        return passed(self.praise) if self._judged else not_applicable("There is no program of this kind.")

    def opens(self, name: str, mode: int, size: int) -> bool:
        """What the kernel would execute or a program would load."""
        return size >= 52 and bool(mode & 0o111 or ".so" in name)  # noqa: PLR2004  (the shorter ELF header)

    def content(self, path: str, file: Opened) -> int:
        """Judge one file; what is no ELF, or is a module, object or core, is not asked."""
        if bytes(file.head[:4]) != b"\x7fELF" or not path.startswith(self._under or "/"):
            return 0
        facts = read_elf(bytes(file.head[:4096]), file.read_at)
        if facts is None:
            self._silent.add(path)
        elif facts.kind in (ET_EXEC, ET_DYN):
            verdict = self._verdict(facts)
            if verdict is None:
                return 0
            self._judged = True
            if verdict:
                (self._silent if verdict == "?" else self.found).add(path if verdict == "?" else f"{path} ({verdict})")
        return 0

    def _verdict(self, facts: ElfFacts) -> str | None:
        """What is wrong, empty if nothing, ``?`` if the file does not say, `None` if it is not asked."""
        match self._property:
            case ElfProperty.NX:
                return "?" if facts.executable_stack is None else "executable stack" * facts.executable_stack
            case ElfProperty.PIE:
                return None if not facts.program else "" if facts.pie else "fixed address"
            case ElfProperty.RELRO:
                return _relro(facts)
            case ElfProperty.RPATH:
                bad = [p for p in facts.search_paths if self._is_loose(p)]
                return f"search path {bad[0] or 'empty'}" if bad else ""

    def _is_loose(self, path: str) -> bool:
        """Whether others could put a library where this search path points."""
        if path.startswith(("$ORIGIN", "${ORIGIN}")):
            return False
        if not path.startswith("/") or path.startswith(("/tmp/", "/var/tmp/", "/home/", "/dev/shm/")):  # noqa: S108  (searched for, not used)
            return True
        if path not in self._loose and len(self._loose) < WINDOW:
            self._loose[path] = False
            with suppress(Missing, Unreadable):
                self._loose[path] = bool(self._root.status(path).st_mode & 0o002)
        return self._loose.get(path, False)


def _relro(facts: ElfFacts) -> str | None:
    """A program needs all of it; a library the segment, since who loads it decides when symbols are bound."""
    if not facts.dynamic:
        return None
    if not facts.relro:
        return "no RELRO"
    return "partial RELRO" if facts.program and not facts.bind_now else ""


def _whole(file: Opened) -> bytes:
    """The searched window, with as much after it as a key at its end may need."""
    if file.size <= len(file.head):
        return bytes(file.head)
    return bytes(file.head) + file.read_at(len(file.head), KEY_BYTES)


def _nodes(root: Root, paths: Iterable[str]) -> frozenset[tuple[int, int]]:
    """The inodes of expected paths, so that ``/bin/su`` also names ``/usr/bin/su`` where one links to the other."""
    found = set()
    for path in paths:
        with suppress(Missing, Unreadable):
            for match in root.glob(path):
                status = root.status(match)
                found.add((status.st_dev, status.st_ino))
    return frozenset(found)
