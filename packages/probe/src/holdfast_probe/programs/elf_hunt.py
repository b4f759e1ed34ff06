"""The hunt for programs and libraries that were built without a protection.

1. However many properties are asked, a file is opened and read once: the first hunt reads for all of them.
2. A file that does not say is not judged by guessing: it leaves the outcome open, unless the build manifest speaks.
"""

from __future__ import annotations

from collections.abc import Callable

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.programs import Elf, ElfProperty
from holdfast_core.baseline.probes.statements import Manifest
from holdfast_probe.case import Case
from holdfast_probe.hunt import Hunt
from holdfast_probe.programs.elf import ET_DYN, ET_EXEC, ElfFacts, read_elf
from holdfast_probe.programs.elf_symbols import CHECKED, FORMATS, GUARDS, SPILLS
from holdfast_probe.programs.search_paths import LoosePaths
from holdfast_probe.roots import Root
from holdfast_probe.sight import Sight, Tally, failed_by, not_applicable, passed, unknown
from holdfast_probe.statements import see_manifest
from holdfast_probe.walk import Opened, Walked, Wants

_HEAD = 4096
_SHORTEST = 52
"""Bytes of the shorter ELF header."""
_GLIBC = frozenset({
    "gencat", "getconf", "getent", "iconv", "iconvconfig", "locale", "localedef", "makedb", "memusagestat", "mtrace",
    "nscd", "pcprofiledump", "pldd", "pt_chown", "sln", "sprof", "zdump", "zic", "libmemusage.so", "libpcprofile.so",
})  # fmt: skip
_GLIBC_LIBRARIES = (
    "ld-linux", "ld.so", "libBrokenLocale", "libanl", "libc.so.6", "libc_malloc_debug", "libdl.so.2", "libm.so.6",
    "libmvec", "libnsl.so.1", "libnss_compat", "libnss_dns", "libnss_files", "libnss_hesiod", "libpthread.so.0",
    "libresolv.so.2", "librt.so.1", "libthread_db", "libutil.so.1",
)  # fmt: skip
_SILENT = "?"
"""The verdict on a file that does not say."""


class _Crew:
    """The hunts of one audit that judge the same reading of a file."""

    def __init__(self, root: Root) -> None:
        self.hunts: list[ElfFactsHunt] = []
        self.loose = LoosePaths(root)


class _Reading:
    """Reads one file and counts the bytes, which the walk's budget is charged with."""

    def __init__(self, file: Opened) -> None:
        self._file = file
        self.count = 0

    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`."""
        data = self._file.read_at(offset, size)
        self.count += len(data)
        return data


class ElfFactsHunt(Hunt):
    """Programs and libraries without a property; the first of an audit reads for the others."""

    carried = ("found", "_judged", "_silent")

    def __init__(self, case: Case, spec: Elf) -> None:
        super().__init__()
        # First, for it may raise, and a hunt that is not to be must not read for others.
        self._stated = bool(spec.stated) and _is_stated(case, spec.stated)
        self._crew = case.once(_Crew)
        self.wants = Wants(content=not self._crew.hunts)
        self._crew.hunts.append(self)
        self._property = spec.property
        self._verdict = _VERDICTS[spec.property]
        self._under = tuple(folder.rstrip("/") + "/" for folder in spec.under) or ("/",)
        self._judged = False
        self._silent = Tally()

    def result(self, walked: Walked) -> Sight:
        """As for any hunt, but silent files leave it open, and no program at all makes it not applicable."""
        name = self._property.value
        if self.found.count:
            return failed_by(self.found)
        if walked.gap:
            return unknown(walked.gap)
        if self._silent.count and not self._stated:
            return unknown(
                f"{self._silent.count} files do not say: {_WHY_SILENT[self._property]}.", *self._silent.items()
            )
        if self._silent.count:
            return passed(
                f"the build states {name} for the {self._silent.count} files that do not say; all others have it"
            )
        if not self._judged:
            return not_applicable("There is no program of this kind.")
        return passed(_PRAISE.get(self._property, f"every program and library that is asked has {name}"))

    def opens(self, name: str, mode: int, size: int) -> bool:
        """What the kernel would execute or a program would load."""
        return size >= _SHORTEST and bool(mode & 0o111 or ".so" in name)

    def content(self, path: str, file: Opened) -> int:
        """Read one file for every hunt; what is no ELF, or is a module, object or core, is not asked."""
        if bytes(file.head[:4]) != b"\x7fELF":
            return 0
        reading = _Reading(file)
        facts = read_elf(bytes(file.head[:_HEAD]), reading.read_at)
        if facts is None or facts.kind in (ET_EXEC, ET_DYN):
            for hunt in self._crew.hunts:
                hunt.judge(path, facts)
        return reading.count

    def judge(self, path: str, facts: ElfFacts | None) -> None:
        """Judge one file; `None` where its headers are broken."""
        if not path.startswith(self._under):
            return
        if facts is None:
            self._silent.add(path)
            return
        wrong = self._wrong(path.rpartition("/")[2], facts)
        if wrong is None:
            return
        self._judged = True
        if wrong == _SILENT:
            self._silent.add(path)
        elif wrong:
            self.found.add(f"{path} ({wrong})")

    def _wrong(self, name: str, facts: ElfFacts) -> str | None:
        if self._property is ElfProperty.RPATH:
            bad = next((path for path in facts.search_paths if self._crew.loose.holds(path)), None)
            return "" if bad is None else f"search path {bad or 'empty'}"
        return self._verdict(name, facts)


def _is_stated(case: Case, fact: str) -> bool:
    return see_manifest(case, Manifest(key=fact, one_of=("true",))).outcome is Outcome.PASS


# What is wrong with a file: empty if nothing, `_SILENT` if it does not say, `None` if it is not asked.


def _nx(_name: str, facts: ElfFacts) -> str | None:
    return _SILENT if facts.executable_stack is None else "executable stack" * facts.executable_stack


def _pie(_name: str, facts: ElfFacts) -> str | None:
    if not facts.program:
        return None
    return "" if facts.pie else "fixed address"


def _relro(name: str, facts: ElfFacts) -> str | None:
    """A program needs all of it; a library the segment, since who loads it decides when symbols are bound.

    glibc and the loader can be started as programs too, and are libraries all the same.
    """
    if not facts.dynamic:
        return None
    if not facts.relro:
        return "no RELRO"
    return "partial RELRO" if facts.program and not facts.bind_now and ".so" not in name else ""


def _canary(_name: str, facts: ElfFacts) -> str | None:
    """A file that calls nothing with a buffer on the stack may have no function that needs a canary."""
    if facts.calls is None:
        return _SILENT
    if facts.calls & GUARDS:
        return ""
    spills = facts.calls & SPILLS
    return f"no stack canary, but calls {min(spills)}" if spills else None


def _fortify(name: str, facts: ElfFacts) -> str | None:
    """Only glibc leaves a trace of it: musl's headers check in place, uClibc has none to turn on.

    glibc's own programs and libraries cannot be built with it.
    """
    if facts.calls is None:
        return _SILENT
    if facts.calls & CHECKED:
        return ""
    plain = facts.calls & FORMATS
    if not plain or name in _GLIBC or name.startswith(_GLIBC_LIBRARIES):
        return None
    if any(name == "libc.so" or name.startswith("libc.musl") for name in facts.needed):
        return _SILENT
    return f"calls {min(plain)} unchecked" if any(name.startswith("libc.so.6") for name in facts.needed) else None


def _no_verdict(_name: str, _facts: ElfFacts) -> str | None:
    return None


_VERDICTS: dict[ElfProperty, Callable[[str, ElfFacts], str | None]] = {
    ElfProperty.NX: _nx,
    ElfProperty.PIE: _pie,
    ElfProperty.RELRO: _relro,
    ElfProperty.CANARY: _canary,
    ElfProperty.FORTIFY: _fortify,
    ElfProperty.RPATH: _no_verdict,
}
_PRAISE = {ElfProperty.RPATH: "no program looks for libraries where others can write"}
_BROKEN = "their headers are broken"
_STATIC = "they are static, or their symbols cannot be read"
_WHY_SILENT = {
    ElfProperty.NX: f"they have no PT_GNU_STACK, so that the architecture decides, or {_BROKEN}",
    ElfProperty.PIE: _BROKEN,
    ElfProperty.RELRO: _BROKEN,
    ElfProperty.RPATH: _BROKEN,
    ElfProperty.CANARY: _STATIC,
    ElfProperty.FORTIFY: f"{_STATIC}, or their C library leaves no trace of it",
}
