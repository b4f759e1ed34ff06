"""A disk without room: found out before the download where it can be, and survived where it cannot."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast_agent.update import guards
from holdfast_agent.update.installers import file_ab
from holdfast_core.update.install import Phase
from holdfast_core.wire.frame import DirectiveState
from update_driver_builders import NEW_IMAGE, OLD_IMAGE, Device, Payloads, serving


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with serving(Payloads()) as payloads:
        device = Device(tmp_path, payloads)
        device.offer()
        device.take(device.order())
        yield device


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_control_with_room_it_is_installed(device: Device) -> None:
    device.settle()
    assert (device.phase, device.runs) == (Phase.BOOTED, NEW_IMAGE)


def test_without_room_nothing_is_fetched_and_it_waits_until_there_is(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "SPARE", 2**60)
    device.turns()
    assert (device.phase, device.install.code, device.payloads.sent) == (Phase.WAITING, "update.disk", 0)
    monkeypatch.undo()
    device.clock.up_s += 60
    device.turns()
    assert device.phase is Phase.ARMED


def test_a_disk_that_fills_up_during_the_download_keeps_what_came(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = os.pwrite, 0

    def filling(handle: int, data: bytes, at: int) -> int:
        nonlocal written
        written += len(data)
        if written > 100_000:
            full()
        return real(handle, data, at)

    monkeypatch.setattr(os, "pwrite", filling)
    device.turns()
    assert (device.phase, device.install.code) == (Phase.FETCHING, "update.payload_disk")
    monkeypatch.undo()
    device.clock.up_s += 31
    device.turns()
    assert device.phase is Phase.ARMED
    assert device.payloads.asked[-1].startswith("bytes="), "it goes on where it stopped"


def test_a_slot_without_room_ends_the_attempt_and_leaves_what_runs(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", full)
    for _ in range(40):
        device.turns()
        device.clock.up_s += 3_600
    [told] = device.take(device.order())
    assert (told.state, told.code) == (DirectiveState.REFUSED, "installer.disk_full")
    assert not (device.state / "payload.part").exists(), "what cannot be installed is not kept"
    device.boot()
    assert (device.runs, device.reboots) == (OLD_IMAGE, 0)


def test_a_slot_that_fills_up_in_the_middle_is_no_slot_to_boot(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_ab, "_pour", full)
    device.turns()
    assert device.phase is Phase.WRITING
    device.boot()
    assert device.runs == OLD_IMAGE
    monkeypatch.undo()
    device.turns()
    assert device.phase is Phase.ARMED


def test_a_journal_without_room_stops_everything_and_loses_nothing(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = device.driver.journal
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Exception, match=r"update\.journal"):
        device.turns()
    assert device.driver.journal == before
    monkeypatch.undo()
    device.turns()
    assert device.phase is Phase.ARMED
