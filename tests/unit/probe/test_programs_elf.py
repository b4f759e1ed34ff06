"""What the ELF hunts make of programs of every width and byte order, and that they share one reading."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elf_builders import EXECUTABLE, HARDENED, program
from holdfast_core.baseline.model import BuildManifest, Outcome
from holdfast_core.baseline.probes.programs import Elf, ElfProperty
from holdfast_probe.audit import audit
from holdfast_probe.programs import elf_hunt
from holdfast_probe.programs.elf import read_elf
from holdfast_probe.programs.elf_symbols import TELLING
from holdfast_probe.roots import FolderRoot
from probe_builders import a_plan, ask, grow

BROKEN = {
    ElfProperty.NX: program(stack=7),
    ElfProperty.PIE: program(kind=EXECUTABLE),
    ElfProperty.RELRO: program(relro=False),
    ElfProperty.CANARY: program(calls=("strcpy", "__printf_chk")),
    ElfProperty.FORTIFY: program(calls=("__stack_chk_fail", "printf")),
    ElfProperty.RPATH: program(rpath="/tmp/lib"),  # noqa: S108  (searched for, not used)
}


@pytest.mark.parametrize("wide", [True, False], ids=["64", "32"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("machine", [3, 8, 40, 62, 183, 243], ids=["x86", "mips", "arm", "x86-64", "aarch64", "riscv"])
def test_reads_what_a_program_calls_in_every_shape(machine: int, order: str, wide: bool) -> None:  # noqa: FBT001  (a parameter of the table)
    data = program(wide=wide, order=order, machine=machine, calls=(*HARDENED, "memcpy"), rpath="/opt/lib")
    facts = read_elf(data, lambda at, size: data[at : at + size])
    assert facts is not None
    assert facts.calls == set(HARDENED)
    assert facts.needed == ("libc.so.6",)
    assert facts.search_paths == ("/opt/lib",)
    assert facts.pie
    assert facts.bind_now


@pytest.mark.parametrize("kind", BROKEN)
def test_a_hardened_program_passes_and_one_without_fails(tmp_path: Path, kind: ElfProperty) -> None:
    grow(tmp_path, {"bin/good": (program(), 0o755)})
    assert ask(tmp_path, Elf(property=kind)).outcome is Outcome.PASS
    grow(tmp_path, {"bin/bad": (BROKEN[kind], 0o755)})
    finding = ask(tmp_path, Elf(property=kind))
    assert finding.outcome is Outcome.FAIL
    assert [each for each in finding.proof if each.startswith("/bin/bad (")]
    assert len(finding.proof) == 1
    for other in set(BROKEN) - {kind}:
        assert ask(tmp_path, Elf(property=other)).outcome is Outcome.PASS


@pytest.mark.parametrize("kind", [ElfProperty.CANARY, ElfProperty.FORTIFY])
def test_a_static_program_says_nothing_unless_the_build_does(tmp_path: Path, kind: ElfProperty) -> None:
    grow(tmp_path, {"bin/static": (program(needed=()), 0o755)})
    spec = Elf(property=kind, stated="so")
    assert ask(tmp_path, spec).outcome is Outcome.UNKNOWN
    assert ask(tmp_path, spec, manifest=BuildManifest("b", {"so": False})).outcome is Outcome.UNKNOWN
    assert ask(tmp_path, spec, manifest=BuildManifest("b", {"so": True})).outcome is Outcome.PASS
    grow(tmp_path, {"bin/bad": (BROKEN[kind], 0o755)})
    assert ask(tmp_path, spec, manifest=BuildManifest("b", {"so": True})).outcome is Outcome.FAIL


def test_musl_leaves_no_trace_of_fortify_and_uclibc_has_none(tmp_path: Path) -> None:
    spec = Elf(property=ElfProperty.FORTIFY)
    for libc, outcome in (("libc.so", Outcome.UNKNOWN), ("libc.so.0", Outcome.NOT_APPLICABLE)):
        grow(tmp_path, {"bin/x": (program(calls=("printf",), needed=(libc,)), 0o755)})
        assert ask(tmp_path, spec).outcome is outcome


def test_a_program_that_fills_no_buffer_needs_no_canary(tmp_path: Path) -> None:
    grow(tmp_path, {"bin/x": (program(calls=("memcpy", "read")), 0o755)})
    assert ask(tmp_path, Elf(property=ElfProperty.CANARY)).outcome is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("folders", "path", "outcome"),
    [
        ({}, "/opt/lib", Outcome.PASS),
        ({"opt/lib/": ("", 0o755)}, "/opt/lib", Outcome.PASS),
        ({"opt/lib/": ("", 0o777)}, "/opt/lib", Outcome.FAIL),
        ({"opt/": ("", 0o777)}, "/opt/lib", Outcome.FAIL),
        ({"opt/": ("", 0o1777)}, "/opt/lib", Outcome.FAIL),
        ({"opt/": ("", 0o1777), "opt/lib/": ("", 0o755)}, "/opt/lib", Outcome.PASS),
        ({}, "lib", Outcome.FAIL),
        ({}, "/opt/lib:", Outcome.FAIL),
        ({}, "$ORIGIN/../lib", Outcome.PASS),
    ],
)
def test_a_search_path_is_loose_where_others_can_put_a_library(tmp_path: Path, folders, path: str, outcome) -> None:
    grow(tmp_path, {"bin/x": (program(rpath=path), 0o755), **folders})
    assert ask(tmp_path, Elf(property=ElfProperty.RPATH)).outcome is outcome


def test_all_properties_share_one_reading_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path, {"bin/a": (program(), 0o755), "bin/b": (program(), 0o755)})
    read: list[bytes] = []

    def counted(head: bytes, read_at):
        read.append(head)
        return read_elf(head, read_at)

    monkeypatch.setattr(elf_hunt, "read_elf", counted)
    asked = [(f"XX-{n:02d}", Elf(property=kind)) for n, kind in enumerate(ElfProperty)]
    found = audit(FolderRoot(tmp_path, owners_kept=True), asked, a_plan())
    assert {finding.outcome for finding in found.findings} == {Outcome.PASS}
    assert len(read) == 2


def test_under_narrows_one_hunt_and_not_the_others(tmp_path: Path) -> None:
    grow(tmp_path, {"bin/x": (program(), 0o755), "srv/x": (BROKEN[ElfProperty.NX], 0o755)})
    asked = [("XX-01", Elf(property=ElfProperty.NX, under=("/bin",))), ("XX-02", Elf(property=ElfProperty.NX))]
    found = audit(FolderRoot(tmp_path, owners_kept=True), asked, a_plan())
    assert [finding.outcome for finding in found.findings] == [Outcome.PASS, Outcome.FAIL]


@given(st.data())
def test_damage_anywhere_never_raises_and_never_invents_a_call(data: st.DataObject) -> None:
    whole = bytearray(program(wide=data.draw(st.booleans()), order=data.draw(st.sampled_from("<>"))))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(4, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.integers(64, len(whole)))])
    facts = read_elf(damaged, lambda at, size: damaged[max(at, 0) : max(at, 0) + size])
    assert facts is None or facts.calls is None or facts.calls <= TELLING
