"""A release that boots and is well by its own word, and has lost its server: the device goes back by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast_core.update.install import Phase
from holdfast_core.wire.frame import DirectiveState
from holdfast_core.wire.update import Order as Verdict
from holdfast_core.wire.update import Step
from update_driver_builders import NEW_IMAGE, OLD_IMAGE, Device, Payloads, serving


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    """On trial, self-test passed."""
    with serving(Payloads()) as payloads:
        device = Device(tmp_path, payloads)
        device.offer()
        device.take(device.order(confirm_s=600))
        device.settle()
        assert (device.phase, device.runs) == (Phase.BOOTED, NEW_IMAGE)
        yield device


def test_control_a_release_that_reaches_its_server_is_kept(device: Device) -> None:
    device.clock.up_s = 500
    device.answer(Verdict.CONFIRM)
    device.turns()
    device.clock.up_s = 10_000
    device.turns()
    device.boot()
    assert (device.phase, device.runs) == (Phase.CONFIRMED, NEW_IMAGE)


@pytest.mark.parametrize("answers", [0, 3], ids=["never heard of", "told to wait only"])
def test_what_is_not_confirmed_in_time_goes_back(device: Device, answers: int) -> None:
    for _ in range(answers):
        device.answer(Verdict.WAIT)
    device.clock.up_s = 599
    device.turns()
    assert device.phase is Phase.BOOTED
    device.clock.up_s = 600
    device.turns()
    assert device.phase is Phase.REVERTED
    device.boot()
    assert device.runs == OLD_IMAGE
    [told] = device.take(device.order(confirm_s=600))
    code = "update.fell_back_unconfirmed" if answers else "update.fell_back_no_contact"
    assert (told.state, told.code) == (DirectiveState.REFUSED, code)
    report = device.report()
    assert report.attempt is not None
    assert (report.attempt.step, report.floor) == (Step.FELL_BACK, 1)


def test_a_confirmation_that_comes_too_late_is_none(device: Device) -> None:
    device.clock.up_s = 600
    device.turns()
    device.answer(Verdict.CONFIRM)
    device.turns()
    device.boot()
    device.turns()
    assert (device.phase, device.runs) == (Phase.FELL_BACK, OLD_IMAGE)


def test_a_clock_on_the_wall_that_stands_still_or_jumps_changes_nothing(device: Device) -> None:
    device.trusted.now = type(device.trusted.now)(0)
    device.clock.up_s = 600
    device.turns()
    assert device.phase is Phase.REVERTED


def test_an_agent_that_crashes_on_trial_again_and_again_does_not_gain_time(device: Device) -> None:
    for up_s in range(100, 600, 100):
        device.clock.up_s = up_s
        device.restart()
        device.turns()
        assert device.phase is Phase.BOOTED
    device.clock.up_s = 600
    device.restart()
    device.turns()
    assert device.phase is Phase.REVERTED


def test_a_release_that_reboots_again_and_again_runs_out_of_attempts(device: Device) -> None:
    for _ in range(10):
        device.boot()
        device.turns()
    assert (device.phase, device.runs) == (Phase.FELL_BACK, OLD_IMAGE)
