"""A device whose clock is lost, seen from the server: at 1970, or years behind, it still enrolls and checks in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from holdfast_core.kernel.instants import DAY
from served_builders import served

AGENT = str(Path(sys.executable).with_name("holdfast-agent"))
BEHIND = 14 * 365 * DAY


def test_an_agent_whose_clock_is_years_behind_the_certificates_it_is_shown(tmp_path: Path) -> None:
    """The server's certificates begin fourteen years from now: to this machine none of them is valid yet."""
    with served(tmp_path / "plane", ahead=BEHIND) as plane:
        state = ("--state", str(tmp_path / "state"))
        (tmp_path / "root").mkdir()
        enroll = [AGENT, "enroll", plane.url, "--device", "cam-1", "--ca", plane.root, "--root", str(tmp_path / "root")]
        environ = {**os.environ, "HOLDFAST_CLAIM": plane.claim("cam-1")}
        subprocess.run([*enroll, *state], env=environ, check=True)
        subprocess.run([AGENT, "check-in", *state], check=True)
        assert plane.posture("cam-1").sequence.last >= 1
        assert plane.posture("cam-1").hold is None
