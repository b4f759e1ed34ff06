"""Names that anybody on a device can give, and what they do to an audit that is put down and gone on with."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from agent_builders import a_plan
from holdfast_agent.audit import look_heavy
from holdfast_agent.state import Config
from holdfast_core.baseline.model import Findings, Outcome
from holdfast_core.inventory.model import HealthProbe
from probe_builders import grow

PLAN = a_plan("FS-06", health=HealthProbe("self-reported"))


def whole(root: Path) -> Findings:
    config, walk = Config("https://x", "cam-1", root=str(root)), b""
    known: Findings | None = None
    for _ in range(100):
        seen = look_heavy(PLAN, known, config, wall_s=0, breath=lambda: True, walk=walk)
        known, walk = seen.findings, seen.walk
        if not walk:
            break
    assert not walk, "it ends"
    assert known is not None
    return known


def fails(root: Path) -> tuple[str, ...]:
    (finding,) = whole(root).findings
    assert finding.outcome is Outcome.FAIL
    return finding.proof


def test_a_plain_tree_is_looked_at_whole(tmp_path: Path) -> None:
    grow(tmp_path, {"var/a/open": ("x", 0o666), "zz/b": "x"})
    assert fails(tmp_path) == ("/var/a/open (0666)",)


def test_a_folder_whose_name_is_no_text_does_not_end_the_agent(tmp_path: Path) -> None:
    grow(tmp_path, {"var/a/open": ("x", 0o666), "zz/b": "x"})
    for name in (b"\xff", b"\xe9\n%2F", b"%25"):
        (tmp_path / "var" / os.fsdecode(name)).mkdir()
    odd = tmp_path / "var" / os.fsdecode(b"\xff") / "open"
    odd.write_text("x")
    odd.chmod(0o666)
    assert fails(tmp_path) == ("/var/\\xff/open (0666)", "/var/a/open (0666)")


def test_a_path_without_end_does_not_end_the_agent(tmp_path: Path) -> None:
    deep = "/".join(["var", *["d" * 250] * 12])
    grow(tmp_path, {f"{deep}/open": ("x", 0o666), "zz/b": "x"})
    (proof,) = fails(tmp_path)
    assert proof.startswith("/var/ddd")


@pytest.mark.parametrize("left", [b"{", b'{"done":7}', msgspec.json.encode({"done": ["x" * 5000]})])
def test_a_damaged_mark_begins_anew(tmp_path: Path, left: bytes) -> None:
    grow(tmp_path, {"var/a/open": ("x", 0o666)})
    config = Config("https://x", "cam-1", root=str(tmp_path))
    seen = look_heavy(PLAN, None, config, wall_s=0, breath=lambda: False, walk=left)
    assert [entry.outcome for entry in seen.findings.findings] == [Outcome.FAIL]
