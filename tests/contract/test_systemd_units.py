"""The systemd units are valid and stay as closed as `docs/reference/systemd.md` says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CEILINGS = {
    "holdfast.service": 1.5,
    "holdfast-agent.service": 3.0,
    "holdfast-agent-oneshot.service": 3.0,
    "holdfast-gateway.service": 2.0,
}


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


@pytest.mark.parametrize("name", ["tpm", "harden", "erase"])
@pytest.mark.parametrize("unit", ["holdfast-agent.service", "holdfast-agent-oneshot.service"])
def test_a_drop_in_says_what_systemd_understands(checkout: Path, tmp_path: Path, unit: str, name: str) -> None:
    folder = checkout / "packaging" / "systemd"
    both = tmp_path / unit
    both.write_text((folder / unit).read_text() + (folder / f"holdfast-agent-{name}.conf").read_text())
    exposure = _exposure(both)
    assert name != "tpm" or exposure <= CEILINGS[unit], "the chip alone opens nothing else"


def _setting(file: Path, name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", file.read_text(), re.MULTILINE)
    return str(value)


def test_the_agent_opens_a_chip_that_belongs_to_the_group_tss_by_that_group_alone(
    checkout: Path, tmp_path: Path
) -> None:
    """Debian's rule: ``MODE="0660", OWNER="tss", GROUP="tss"``. Root with the unit's capabilities is no exception."""
    folder = checkout / "packaging" / "systemd"
    group = _setting(folder / "holdfast-agent-tpm.conf", "SupplementaryGroups")
    assert group == "tss"
    if os.geteuid() or shutil.which("setpriv") is None:
        pytest.skip("this takes root, and setpriv of util-linux")
    chip, somebody = tmp_path / "tpmrm0", 4_242
    chip.touch()
    os.chown(chip, somebody, somebody)
    chip.chmod(0o660)
    tmp_path.chmod(0o755)
    capabilities = _setting(folder / "holdfast-agent.service", "CapabilityBoundingSet").lower().split()
    bounds = ",".join(["-all", *(f"+{each.removeprefix('cap_')}" for each in capabilities)])
    opening = f"import os; os.open({str(chip)!r}, os.O_RDWR)"

    def opens(*groups: str) -> bool:
        command = ["setpriv", f"--bounding-set={bounds}", "--no-new-privs", *groups, sys.executable, "-c", opening]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0 or "PermissionError" in done.stderr, done.stderr
        return done.returncode == 0

    assert opens(f"--groups={somebody}")
    assert not opens("--clear-groups")


def test_every_service_of_the_folder_has_a_ceiling(checkout: Path) -> None:
    assert {path.name for path in (checkout / "packaging" / "systemd").glob("*.service")} == CEILINGS.keys()
