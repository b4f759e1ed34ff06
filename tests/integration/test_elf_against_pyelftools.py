"""The ELF reader against pyelftools: the same answers on every ELF file of this machine and of foreign packages.

Foreign packages are Debian's for other processors, both byte orders among them; they are fetched with
apt into lists of their own and unpacked, never installed. Without a network these tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.programs import Elf, ElfProperty
from holdfast_probe.programs.elf import ElfFacts, read_elf
from holdfast_probe.programs.elf_symbols import TELLING
from holdfast_probe.roots import FolderRoot
from probe_builders import ask

HOST = (Path("/usr/bin"), Path("/usr/sbin"), Path("/usr/lib"))
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "foreign"
FOREIGN = ("busybox", "dropbear-bin", "libc6", "zlib1g", "mosquitto", "libmosquitto1", "lua5.1")
ARCHITECTURES = ("mipsel", "armhf", "arm64", "s390x")
KINDS = {"ET_REL": 1, "ET_EXEC": 2, "ET_DYN": 3, "ET_CORE": 4}


def elf_files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for path in (Path(parent, name) for name in sorted(names)):
                if stat.S_ISREG(path.lstat().st_mode) and path.stat().st_size > 64 and not path.name.endswith(".debug"):
                    with path.open("rb") as file:
                        if file.read(4) == b"\x7fELF":
                            yield path


def ours(path: Path) -> ElfFacts | None:
    with path.open("rb") as file:
        return read_elf(os.pread(file.fileno(), 4096, 0), lambda at, size: os.pread(file.fileno(), size, at))


def theirs(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        elf = ELFFile(file)
        segments = list(elf.iter_segments())
        dynamic = next((s for s in segments if isinstance(s, DynamicSegment)), None)
        tags = list(dynamic.iter_tags()) if dynamic else []
        values = {t.entry.d_tag: t.entry.d_val for t in tags}
        stacks = [s["p_flags"] for s in segments if s["p_type"] == "PT_GNU_STACK"]
        paths = [getattr(t, t.entry.d_tag[3:].lower()) for t in tags if t.entry.d_tag in ("DT_RPATH", "DT_RUNPATH")]
        needed = tuple(t.needed for t in tags if t.entry.d_tag == "DT_NEEDED")
        interpreter = any(s["p_type"] == "PT_INTERP" for s in segments)
        flags, flags_1 = values.get("DT_FLAGS", 0), values.get("DT_FLAGS_1", 0)
        pie_flag = bool(flags_1 & 0x08000000)
        program = elf["e_type"] == "ET_EXEC" or (elf["e_type"] == "ET_DYN" and (interpreter or pie_flag))
        return {
            "kind": KINDS[elf["e_type"]],
            "interpreter": interpreter,
            "dynamic": dynamic is not None,
            "executable_stack": bool(stacks[-1] & 1) if stacks else None,
            "relro": any(s["p_type"] == "PT_GNU_RELRO" for s in segments),
            "bind_now": "DT_BIND_NOW" in values or bool(flags & 8) or bool(flags_1 & 1),
            "pie_flag": pie_flag,
            "search_paths": tuple(part for each in paths for part in each.split(":")),
            "needed": needed,
            "calls": None if not dynamic or (program and not needed) else called(elf),
        }


def called(elf: ELFFile) -> frozenset[str]:
    """The undefined symbols by the section headers, which our reader never looks at."""
    tables = [s for s in elf.iter_sections() if isinstance(s, SymbolTableSection) and s.name == ".dynsym"]
    names = {s.name for table in tables for s in table.iter_symbols() if s["st_shndx"] == "SHN_UNDEF"}
    return frozenset(names & TELLING)


def agree(path: Path) -> str:
    """What `path` is, after both have said the same of it."""
    try:
        expected = theirs(path)
    except (ELFError, UnicodeDecodeError):
        assert ours(path) is None, path
        return "broken"
    facts = ours(path)
    assert facts is not None, path
    assert {name: getattr(facts, name) for name in expected} == expected, path
    return {1: "object", 4: "core"}.get(facts.kind, "static" if facts.calls is None else "dynamic")


def test_every_elf_file_of_this_machine() -> None:
    files = list(elf_files(*HOST))
    if len(files) < 100:
        pytest.skip("fewer than 100 ELF files on this machine")
    counted = Counter(map(agree, files))
    assert counted["dynamic"] > 100
    assert counted.total() == len(files)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_elf_file_of_packages_for_another_processor(architecture: str) -> None:
    files = list(elf_files(fetched(architecture)))
    assert len(files) > 20
    counted = Counter(map(agree, files))
    assert counted["dynamic"] > 20


@pytest.mark.parametrize("architecture", ["mipsel", "armhf"])
def test_what_a_distribution_hardens_is_seen_as_hardened(architecture: str) -> None:
    tree = fetched(architecture)
    (tree / "etc").mkdir(exist_ok=True)
    for kind in (ElfProperty.CANARY, ElfProperty.FORTIFY):
        finding = ask(FolderRoot(tree, owners_kept=True), Elf(property=kind, under=("/usr/sbin", "/usr/bin")))
        assert not [each for each in finding.proof if "mosquitto" in each], (kind, finding)
    nothing = ask(FolderRoot(tree, owners_kept=True), Elf(property=ElfProperty.CANARY, under=("/usr/sbin",)))
    assert nothing.outcome is Outcome.PASS, nothing


def fetched(architecture: str) -> Path:
    """A folder with the unpacked packages; fetched once."""
    tree = CACHE / architecture / "tree"
    if tree.is_dir():
        return tree
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        pytest.skip("there is no apt here")
    fresh = CACHE / architecture / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    for part in ("lists/partial", "cache/archives/partial", "tree"):
        (fresh / part).mkdir(parents=True)
    apt = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "-o", f"APT::Architecture={architecture}"]
    apt += ["-o", f"APT::Architectures::={architecture}", "-o", "Dir::State::status=/dev/null"]
    apt += ["-o", f"Dir::State::Lists={fresh / 'lists'}", "-o", f"Dir::Cache={fresh / 'cache'}"]
    for command in (["update"], ["download", *FOREIGN]):
        done = subprocess.run([*apt, *command], cwd=fresh, check=False, capture_output=True, timeout=300)
    if done.returncode:
        pytest.skip(f"no packages for {architecture} can be fetched here")
    for package in fresh.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(fresh / "tree")], check=True, capture_output=True)
    (fresh / "tree").replace(tree)
    shutil.rmtree(fresh)
    return tree
