"""The hunt for programs and libraries that were built without a protection."""

from __future__ import annotations

from contextlib import suppress

from holdfast_core.baseline.probes import Elf, ElfProperty
from holdfast_probe.hunt import Hunt
from holdfast_probe.programs.elf import ET_DYN, ET_EXEC, ElfFacts, read_elf
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.sight import Sight, Tally, failed_by, not_applicable, passed, unknown
from holdfast_probe.walk import WINDOW, Opened, Walked, Wants


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
