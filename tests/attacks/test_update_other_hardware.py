"""A release for another board, another model, another installer, or from the past: nothing of it is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast_agent.update.installers.boot_state import load, save
from holdfast_core.supply.model import PayloadKind
from holdfast_core.update.install import Phase
from holdfast_core.wire.frame import DirectiveState
from holdfast_core.wire.orders import Order
from holdfast_core.wire.update import Order as Verdict
from holdfast_core.wire.update import UpdateArgs
from install_builders import OLD
from update_driver_builders import OLD_IMAGE, Device, Payloads, serving


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with serving(Payloads()) as payloads:
        yield Device(tmp_path, payloads)


def offered(device: Device, **changes: Any) -> str:
    """Direct the device to a release whose offer says otherwise; the code of the refusal."""
    wanted = device.offer()
    changed = msgspec.structs.replace(wanted, offer=msgspec.structs.replace(wanted.offer, **changes))
    device.trusted.directs[wanted.path] = device.trusted.images[wanted.path] = changed
    device.take(device.order())
    device.turns()
    [told] = device.take(device.order())
    assert told.state is DirectiveState.REFUSED
    assert (device.payloads.asked, device.runs) == ([], OLD_IMAGE)
    return told.code


def test_control_a_release_for_this_board_is_taken(device: Device) -> None:
    device.offer()
    device.take(device.order())
    device.turns()
    assert device.phase is Phase.ARMED


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"hardware": ("board-2",)}, "update.hardware"),
        ({"kind": PayloadKind.RAUC}, "update.installer"),
        ({"needs": 9}, "update.needs"),
        ({"release": "cam:7"}, "update.other_path"),
    ],
)
def test_what_is_not_for_this_board_is_refused_unfetched(device: Device, changes: dict[str, Any], code: str) -> None:
    assert offered(device, **changes) == code


def of_model(device: Device, release: str) -> str:
    """Direct the device to a release that is right in all but perhaps its model; the code of the refusal, if any."""
    model, _, version = release.partition(":")
    order = Order(9, "update", msgspec.json.encode(UpdateArgs(release, path=f"{model}/{version}/image.img")).decode())
    device.offer(b"for some camera", release, 9)
    told = device.take(order)
    device.turns()
    told += device.take(order)
    return told[0].code if told else ""


def test_a_release_for_another_model_on_the_same_board_is_refused_unfetched(device: Device) -> None:
    assert of_model(device, "toy-camera:9") == "update.other_model"
    assert (device.payloads.asked, device.runs) == ([], OLD_IMAGE)


def test_control_a_release_for_this_model_is_taken(device: Device) -> None:
    assert of_model(device, "cam:9") == ""
    assert device.phase is Phase.ARMED


def forget(device: Device) -> None:
    """What runs came with the device, and nobody knows its name."""
    state = load(device.slots)
    nameless = msgspec.structs.replace(state.content("a"), release="", counter=0)
    save(device.slots, state.holding("a", nameless))
    device.restart()


def test_a_device_that_was_told_its_model_needs_no_name_of_what_runs(device: Device) -> None:
    device.model = "cam"
    forget(device)
    assert of_model(device, "toy-camera:9") == "update.other_model"
    assert of_model(device, "cam:9") == ""


def test_a_device_that_nobody_told_its_model_learns_it_from_what_it_confirms(device: Device) -> None:
    forget(device)
    device.offer()
    device.take(device.order())
    device.settle()
    device.answer(Verdict.CONFIRM)
    device.turns()
    device.take(device.order())
    assert of_model(device, "toy-camera:9") == "update.other_model"


def test_a_release_on_trial_says_nothing_of_the_devices_model(device: Device) -> None:
    forget(device)
    assert of_model(device, "toy-camera:9") == ""
    device.settle()
    assert device.driver._board().model == ""
    device.answer(Verdict.REVERT, 9)
    device.settle()
    assert device.phase is Phase.FELL_BACK
    assert of_model(device, "cam:9") == ""


def test_a_board_without_a_name_takes_nothing(device: Device) -> None:
    device.hardware = ()
    device.restart()
    assert offered(device) == "update.hardware"


def test_what_is_older_than_what_was_confirmed_is_refused(device: Device) -> None:
    device.offer()
    device.take(device.order())
    device.settle()
    device.answer(Verdict.CONFIRM)
    device.turns()
    device.take(device.order())
    device.offer(b"the old one, signed and all", "cam:0", 1)
    device.take(device.order(8, "cam:0"))
    device.turns()
    [told] = device.take(device.order(8, "cam:0"))
    assert told.code == "update.downgrade"
    device.offer(OLD_IMAGE, OLD, 1)
    assert device.report().floor == 2


def test_what_is_older_than_what_the_device_came_with_is_refused(device: Device) -> None:
    device.offer(b"older still", "cam:0", 0)
    device.take(device.order(8, "cam:0"))
    device.turns()
    [told] = device.take(device.order(8, "cam:0"))
    assert told.code == "update.downgrade"
