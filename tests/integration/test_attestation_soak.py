"""A thousand devices with a TPM each attest for ten minutes: none is lost, and none is wrongly doubted.

``holdfast-sim attest-soak`` is the same by hand, with other numbers. What it prints at the end is printed here, too.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from holdfast_sim.attested.command import is_good, say
from holdfast_sim.attested.counting import Told
from holdfast_sim.attested.soak import Soak, Wanted
from holdfast_sim.demo.processes import Processes
from tpm_builders import need

GROWTH = 1.25
"""The server's memory at the end may be this much of the one at its start: caches fill, nothing leaks."""


def soaked(wanted: Wanted, folder: Path) -> Told:
    need("swtpm", "mkimage", "dtc", "veritysetup")
    processes = Processes(folder)
    try:
        soak = Soak(wanted, folder, processes, say)
        soak.provision()
        told = soak.run()
        soak.close()
    finally:
        processes.close()
    say(msgspec.json.format(msgspec.json.encode(told)).decode())
    return told


def test_a_few_devices_attest_across_restarts_and_nothing_is_doubted(tmp_path: Path) -> None:
    told = soaked(Wanted(devices=5, seconds=20, interval_s=2), tmp_path)
    assert is_good(told), told
    assert told.contacts > 5
    assert sum(told.kept.values()) >= told.quotes >= told.contacts
    assert len(told.memory) == 2
    assert all(memory.start for memory in told.memory)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_a_thousand_devices_attest_for_ten_minutes_and_memory_stays_where_it_was(tmp_path: Path) -> None:
    told = soaked(Wanted(devices=1_000, seconds=600), tmp_path)
    assert is_good(told), told
    assert told.contacts > 8_000
    assert set(told.reboots) == {"orderly", "abrupt"}
    for memory in told.memory:
        assert memory.end < memory.start * GROWTH, told.memory
