"""A walk in many sittings, put down and read back from its own bytes each time, finds what one walk finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from holdfast_core.baseline.model import Findings
from holdfast_core.baseline.probes import parts
from holdfast_probe.audit import HUNTS, audit, sit
from holdfast_probe.bookmark import Mark
from holdfast_probe.catalogue import shipped_catalogue
from holdfast_probe.roots import FolderRoot
from holdfast_probe.whole import Sitting
from probe_builders import Files, a_plan, der_ec_key, grow, pem

WALKING = [
    (control.id, control.probe)
    for control in shipped_catalogue().controls
    if control.probe is not None and any(type(part) in HUNTS for part in parts(control.probe))
]
TREE: Files = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "root/.bash_history": "ls\n",
    "usr/lib/a/b/c/deep.pem": pem("EC PRIVATE KEY", der_ec_key()),
    "usr/lib/a/open": ("x", 0o666),
    "usr/share/doc/x/y": ("x", 0o666),
    "usr/top": ("x", 0o666),
    "top": ("x", 0o666),
    "srv/open/": ("", 0o777),
    "opt/one/two/three/four/five": ("x", 0o4755),
    "usr/bin/tool": (b"\x7fELF\x02\x01\x01" + bytes(60), 0o755),
}


def in_sittings(root: FolderRoot, over: Callable[[], bool]) -> tuple[Findings, int]:
    mark, count = None, 0
    while True:
        count += 1
        found, mark = sit(root, WALKING, a_plan(), Sitting(over, mark))
        if mark is None:
            return found, count
        mark = msgspec.json.decode(msgspec.json.encode(mark), type=Mark)


@pytest.fixture
def root(tmp_path: Path) -> FolderRoot:
    return FolderRoot(grow(tmp_path, TREE), owners_kept=True)


def test_every_sitting_ends_at_once_and_nothing_is_lost_or_counted_twice(root: FolderRoot) -> None:
    whole = audit(root, WALKING, a_plan())
    found, count = in_sittings(root, lambda: True)
    assert found == whole
    assert count > 10


def test_a_sitting_that_lasts_is_one_walk(root: FolderRoot) -> None:
    found, count = in_sittings(root, lambda: False)
    assert (found, count) == (audit(root, WALKING, a_plan()), 1)


def test_until_the_walk_has_ended_nothing_passes_on_it(root: FolderRoot) -> None:
    found, mark = sit(root, WALKING, a_plan(), Sitting(lambda: True))
    assert mark is not None
    assert not [entry.control for entry in found.findings if entry.outcome == "pass"]


def test_a_mark_stays_small(tmp_path: Path) -> None:
    """A finished folder stands for all below it."""
    grow(tmp_path, {f"usr/share/doc{n}/x": "x" for n in range(300)} | {"var/lib/x": "x", "zz/x": "x"})
    marks = []
    mark = None
    while True:
        _, mark = sit(FolderRoot(tmp_path), WALKING, a_plan(), Sitting(lambda: True, mark))
        if mark is None:
            break
        marks.append(len(mark.done))
    assert marks[-1] <= 4
