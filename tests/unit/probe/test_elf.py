"""The ELF reader says what pyelftools says, on real files of this machine and on broken ones."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from holdfast_probe.programs.elf import ElfFacts, read_elf

SAMPLE = 160
FOLDERS = ("/usr/bin", "/usr/sbin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu")


def real_files() -> Iterator[Path]:
    for folder in FOLDERS:
        if not Path(folder).is_dir():
            continue
        for path in sorted(Path(folder).iterdir()):
            if stat.S_ISREG(path.lstat().st_mode) and path.stat().st_size > 64:
                with path.open("rb") as file:
                    if file.read(4) == b"\x7fELF":
                        yield path


def ours(path: Path) -> ElfFacts | None:
    with path.open("rb") as file:
        return read_elf(os.pread(file.fileno(), 64, 0), lambda at, size: os.pread(file.fileno(), size, at))


def theirs(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        elf = ELFFile(file)
        segments = list(elf.iter_segments())
        stacks = [s["p_flags"] for s in segments if s["p_type"] == "PT_GNU_STACK"]
        tags = [t for s in segments if isinstance(s, DynamicSegment) for t in s.iter_tags()]
        flags = {t.entry.d_tag: t.entry.d_val for t in tags}
        named = {"DT_RPATH": "rpath", "DT_RUNPATH": "runpath"}  # the attribute that holds the text
        paths = [getattr(t, named[t.entry.d_tag]) for t in tags if t.entry.d_tag in named]
        return {
            "interpreter": any(s["p_type"] == "PT_INTERP" for s in segments),
            "executable_stack": bool(stacks[-1] & 1) if stacks else None,
            "relro": any(s["p_type"] == "PT_GNU_RELRO" for s in segments),
            "bind_now": bool("DT_BIND_NOW" in flags or flags.get("DT_FLAGS", 0) & 8 or flags.get("DT_FLAGS_1", 0) & 1),
            "search_paths": tuple(part for p in paths for part in p.split(":")),
        }


def test_agrees_with_pyelftools_on_real_files() -> None:
    files = list(real_files())
    if len(files) < 100:
        pytest.skip("fewer than 100 ELF files on this machine")
    for path in files[:: max(1, len(files) // SAMPLE)]:
        facts = ours(path)
        assert facts is not None, path
        expected = theirs(path)
        assert {name: getattr(facts, name) for name in expected} == expected, path


def test_the_kinds_are_told_apart() -> None:
    facts = [f for f in map(ours, list(real_files())[:40]) if f is not None]
    assert any(f.pie for f in facts)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("wide", [True, False])
def test_reads_both_orders_and_widths(order: str, wide: bool) -> None:  # noqa: FBT001  (a parameter of the table)
    import struct  # noqa: PLC0415  (beside its only use)

    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    shape = "HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"
    head = struct.pack(order + shape, 3, 8, 1, 0, 64 if wide else 52, 0, 0, 0, 56 if wide else 32, 1, 0, 0, 0)
    stack = (0x6474E551, 7, 0, 0, 0, 0, 0, 0) if wide else (0x6474E551, 0, 0, 0, 0, 0, 7, 0)
    data = ident + head + struct.pack(order + ("IIQQQQQQ" if wide else "IIIIIIII"), *stack)
    facts = read_elf(data, lambda at, size: data[at : at + size])
    assert facts is not None
    assert facts.executable_stack is True
    assert not facts.program


@given(st.binary(max_size=400), st.booleans(), st.booleans())
def test_never_raises(noise: bytes, wide: bool, little: bool) -> None:  # noqa: FBT001  (drawn)
    data = b"\x7fELF" + bytes([1 + wide, 2 - little, 1]) + noise
    read_elf(data.ljust(64, b"\0"), lambda at, size: data[at : at + size])
    assert read_elf(noise.ljust(64, b"\0"), lambda at, size: noise[at : at + size]) is None or noise[:4] == b"\x7fELF"


def test_elf_error_is_not_ours() -> None:
    """The oracle raises where we answer None: the two must not be mixed up."""
    assert not issubclass(ELFError, OSError)
    assert read_elf(b"\x7fELF\x02\x01" + b"\xff" * 58, lambda _at, _size: b"") is None
