"""What a killed demo left is ended by the next one, and nothing else ever is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from holdfast_core.kernel.errors import WorldError
from holdfast_sim.demo.processes import NOTES, Alone, Note, Processes, end_left_behind
from holdfast_sim.namespaces import start_of

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def test_what_was_left_behind_is_ended(tmp_path: Path) -> None:
    process = Processes(tmp_path).start("sleeper", SLEEP)
    assert end_left_behind(tmp_path) == 1
    assert process.wait(30) != 0


def test_a_pid_that_was_given_out_again_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(SLEEP) as stranger:
        started = start_of(stranger.pid)
        (tmp_path / NOTES).write_bytes(msgspec.json.encode([Note(stranger.pid, started + "1")]))
        assert end_left_behind(tmp_path) == 0
        assert stranger.poll() is None
        # The control: with its true start the very same process is ended.
        (tmp_path / NOTES).write_bytes(msgspec.json.encode([Note(stranger.pid, started)]))
        assert end_left_behind(tmp_path) == 1


def test_a_damaged_note_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / NOTES).write_bytes(b'[{"pid":')
    assert end_left_behind(tmp_path) == 0


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    first = Alone(tmp_path / "lock")
    with pytest.raises(WorldError) as caught:
        Alone(tmp_path / "lock")
    assert caught.value.code == "demo.running"
    first.release()
    Alone(tmp_path / "lock").release()
