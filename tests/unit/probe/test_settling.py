"""What a running system's files say of controls that what runs does not meet yet."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from holdfast_core.baseline.control import Control
from holdfast_core.baseline.probes import Absent, Every, ProbeSpec, Sysctl, WorldWritable
from holdfast_probe.audit import audit
from holdfast_probe.catalogue import shipped_catalogue
from holdfast_probe.roots import LiveRoot
from holdfast_probe.settling import settled
from probe_builders import a_plan, grow

KPTR = Sysctl(key="kernel.kptr_restrict", one_of=("1", "2"))


def a_control(probe: ProbeSpec) -> Control:
    base = next(each for each in shipped_catalogue().controls if each.id == "FS-08")
    return msgspec.structs.replace(base, probe=probe)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {"/proc/sys/kernel/kptr_restrict": "0\n", "/etc/sysctl.d/10.conf": "kernel.kptr_restrict = 1\n"}
    return grow(tmp_path, files | {"/etc/init.d/S02sysctl": "sysctl --system\n"})


def test_a_setting_that_is_written_but_not_in_force_is_settled(tree: Path) -> None:
    (live,) = audit(LiveRoot(tree), [("FS-08", KPTR)], a_plan()).findings
    assert live.outcome.value == "fail"
    assert settled(tree, [a_control(KPTR)], a_plan()) == {"FS-08"}
    (tree / "etc/sysctl.d/10.conf").write_text("kernel.kptr_restrict = 0\n")
    assert settled(tree, [a_control(KPTR)], a_plan()) == set()


def test_what_walks_is_not_asked_again(tree: Path) -> None:
    assert settled(tree, [a_control(Every((Absent(("/none",)), WorldWritable())))], a_plan()) == set()
    assert settled(tree, [], a_plan()) == set()
