"""The systemd units are valid and stay as closed as `docs/reference/systemd.md` says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CEILINGS = {"holdfast.service": 1.5, "holdfast-agent.service": 3.0, "holdfast-agent-oneshot.service": 3.0}


def _exposure(unit: Path) -> float:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing (Debian: systemd)")
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    # It exits 1 above its own threshold; the figure is what counts.
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", result.stdout + result.stderr)
    assert found, result.stderr
    assert "Unknown key" not in result.stderr
    return float(found[1])


@pytest.mark.parametrize(("unit", "ceiling"), CEILINGS.items())
def test_a_unit_is_as_closed_as_recorded(checkout: Path, unit: str, ceiling: float) -> None:
    assert _exposure(checkout / "packaging" / "systemd" / unit) <= ceiling
    row = next(
        line for line in (checkout / "docs/reference/systemd.md").read_text().splitlines() if f"`{unit}`" in line
    )
    assert row.endswith(f"| {ceiling} |")


def test_a_unit_without_its_sandbox_is_over_the_ceiling(checkout: Path, tmp_path: Path) -> None:
    bare = tmp_path / "holdfast.service"
    text = (checkout / "packaging" / "systemd" / bare.name).read_text()
    bare.write_text(re.sub(r"^(Protect|Private|Restrict|Capability|SystemCall)\w+=.*\n", "", text, flags=re.MULTILINE))
    assert _exposure(bare) > CEILINGS[bare.name]


def test_every_service_of_the_folder_has_a_ceiling(checkout: Path) -> None:
    assert {path.name for path in (checkout / "packaging" / "systemd").glob("*.service")} == CEILINGS.keys()
