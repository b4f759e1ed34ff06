"""The driver: directives in, reports out, and an image in the other slot in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.update.install import Phase
from holdfast_core.update.time import Source
from holdfast_core.wire.frame import DirectiveState, Health
from holdfast_core.wire.orders import Order
from holdfast_core.wire.update import Order as Verdict
from holdfast_core.wire.update import Power, Slot, Step, UpdateAnswer, UpdateArgs, Window
from install_builders import NEW, OLD
from update_driver_builders import NEW_IMAGE, OLD_IMAGE, Device, Payloads, serving


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with serving(Payloads()) as payloads:
        yield Device(tmp_path, payloads)


def booted(device: Device) -> Device:
    """With the new release on trial, well, and waiting for the server's word."""
    device.offer()
    assert device.take(device.order()) == []
    device.settle()
    assert device.phase is Phase.BOOTED
    return device


def test_an_update_from_directive_to_confirmation(device: Device) -> None:
    wanted = device.offer()
    assert device.take(device.order()) == []
    device.turns()
    assert (device.phase, device.driver.speaks, device.runs) == (Phase.ARMED, True, OLD_IMAGE)
    assert device.report().attempt.step is Step.ARMED  # type: ignore[union-attr]
    assert not device.driver.speaks
    device.settle()
    assert (device.reboots, device.phase, device.runs) == (1, Phase.BOOTED, NEW_IMAGE)
    report = device.report()
    assert (report.running.release, report.running.slot, report.floor) == (NEW, "b", 1)
    assert report.attempt is not None
    assert (report.attempt.step, report.attempt.fetched) == (Step.BOOTED, wanted.length)
    device.answer(Verdict.CONFIRM)
    assert device.phase is Phase.CONFIRMING
    device.turns()
    [told] = device.take(device.order())
    assert (told.id, told.state) == (7, DirectiveState.DONE)
    report = device.report()
    assert (report.floor, report.slots) == (2, (Slot("a", OLD, 1, good=True), Slot("b", NEW, 2, good=True)))
    assert not (device.state / "payload.part").exists()
    device.boot()
    assert device.runs == NEW_IMAGE


def test_a_device_that_took_no_update_says_what_it_runs(device: Device) -> None:
    report = device.report()
    assert (report.running.release, report.installer, report.hardware) == (OLD, "file", ("board-1",))
    assert report.attempt is None
    assert report.floor == 1, "what it came with counts as confirmed"
    assert not device.driver.turn(1)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda d: d.trusted.directs.clear(), "update.not_directed"),
        (lambda d: d.trusted.images.clear(), "update.not_in_image_repository"),
        (lambda d: setattr(d.trusted, "named", "cam-2"), "update.other_device"),
        (lambda d: setattr(d.trusted, "refuses", HostileData("update.metadata_signature", "s", remedy="r")),
         "update.metadata_signature"),
    ],
    ids=["not directed", "not in the image repository", "for another device", "metadata refused"],
)  # fmt: skip
def test_what_the_repositories_do_not_say_is_refused_before_anything_is_fetched(device, change, code) -> None:
    device.offer()
    change(device)
    device.take(device.order())
    device.turns()
    [told] = device.take(device.order())
    assert (told.state, told.code) == (DirectiveState.REFUSED, code)
    assert device.payloads.sent == 0


def test_the_directive_alone_decides_nothing(device: Device) -> None:
    wanted = device.offer()
    path = wanted.path
    order = Order(7, "update", msgspec.json.encode(UpdateArgs("cam:9", path=path)).decode())
    device.take(order)
    device.turns()
    [told] = device.take(order)
    assert told.code == "update.other_release"


def test_without_a_time_to_trust_nothing_is_taken_but_it_waits(device: Device) -> None:
    device.offer()
    device.trusted.source = Source.FLOOR
    device.take(device.order())
    device.turns()
    assert (device.phase, device.install.code) == (Phase.ASKED, "update.no_time")
    device.trusted.source = Source.SIGNED
    device.clock.up_s += 61
    device.turns()
    assert device.phase is Phase.ARMED


def test_a_guard_holds_it_back_before_the_download_and_before_the_boot(device: Device) -> None:
    device.offer()
    device.power = Power(mains=False, percent=20)
    order = device.order(battery=50)
    device.take(order)
    device.turns()
    assert (device.phase, device.install.code, device.payloads.sent) == (Phase.WAITING, "update.battery", 0)
    device.power = Power(mains=True, percent=20)
    device.clock.up_s += 60
    while device.phase is not Phase.WRITTEN:
        device.driver.turn(1)
    device.power = Power(mains=False, percent=20)
    device.turns()
    assert (device.phase, device.install.code, device.report().attempt.step) == (  # type: ignore[union-attr]
        Phase.WRITTEN,
        "update.battery",
        Step.WRITTEN,
    )
    device.power = Power(mains=False, percent=80)
    device.clock.up_s += 60
    device.turns()
    assert device.phase is Phase.ARMED


def test_a_window_is_waited_for(device: Device) -> None:
    device.offer()
    minute = int(device.trusted.now) // 60_000 % 1_440
    device.take(device.order(window=Window((minute + 700) % 1_440, (minute + 740) % 1_440)))
    device.turns()
    assert device.install.code == "update.window"


def test_a_directive_that_is_listed_no_more_is_called_off(device: Device) -> None:
    device.offer()
    device.payloads.cut = 1_000
    device.take(device.order())
    device.turns()
    assert device.phase is Phase.FETCHING
    device.take()
    assert (device.phase, device.install.code) == (Phase.STOPPED, "update.withdrawn")


def test_a_stop_ends_what_has_not_booted_and_nothing_else(device: Device) -> None:
    device.offer()
    device.take(device.order())
    device.turns()
    assert device.phase is Phase.ARMED
    stop = device.order(8, stop=True)
    assert device.take(device.order(), stop) == []
    device.turns()
    told = {each.id: each for each in device.take(device.order(), stop)}
    assert (told[7].code, told[8].state) == ("update.stopped", DirectiveState.DONE)
    device.boot()
    assert device.runs == OLD_IMAGE
    assert device.take(device.order(9)) == [], "what was called off may be asked for again"


def test_a_stop_is_too_late_once_it_booted(device: Device) -> None:
    booted(device)
    [told] = device.take(device.order(), device.order(8, stop=True))
    assert (told.id, told.state, told.code) == (8, DirectiveState.REFUSED, "update.on_trial")
    assert device.phase is Phase.BOOTED


def test_a_stop_of_what_was_never_begun_is_done(device: Device) -> None:
    [told] = device.take(device.order(8, stop=True))
    assert told.state is DirectiveState.DONE


def test_the_newest_directive_counts(device: Device) -> None:
    device.offer()
    newer = device.offer(b"newest" * 9_000, "cam:3", 3)
    device.take(device.order())
    device.turns()
    assert device.phase is Phase.ARMED
    [told] = device.take(device.order(), device.order(8, "cam:3"))
    assert (told.id, told.code) == (7, "update.superseded")
    device.turns()
    device.take(device.order(8, "cam:3"))
    device.settle()
    assert (device.install.args.release, device.phase) == ("cam:3", Phase.BOOTED)
    assert len(device.runs) == newer.length


def test_what_is_on_trial_is_not_disturbed_by_another_directive(device: Device) -> None:
    booted(device)
    device.offer(b"newest", "cam:3", 3)
    told = device.take(device.order(), device.order(8, "cam:3"))
    assert [each.id for each in told] == [7], "the older one is answered; the newer one stays open"
    assert (device.phase, device.install.args.release) == (Phase.BOOTED, NEW)


@pytest.mark.parametrize("args", ["[]", "{", '{"release": 5}', "\ud800"])
def test_arguments_that_cannot_be_read_are_refused(device: Device, args: str) -> None:
    [told] = device.take(Order(7, "update", args.encode("utf-8", "replace").decode()))
    assert (told.state, told.code) == (DirectiveState.REFUSED, "directive.malformed")


@pytest.mark.parametrize("answer", [b"", b"[]", b"\xff", b'{"order": "jump"}'])
def test_an_answer_that_cannot_be_read_is_none(device: Device, answer: bytes) -> None:
    booted(device).driver.heard(answer, 99)
    assert device.phase is Phase.BOOTED


def test_an_answer_to_an_earlier_check_in_confirms_nothing(device: Device) -> None:
    booted(device)
    device.driver.heard(msgspec.json.encode(UpdateAnswer(7, Verdict.CONFIRM)), device.seq)
    assert device.phase is Phase.BOOTED


def test_metadata_that_the_server_says_is_newer_is_fetched_once(device: Device) -> None:
    device.driver.heard(msgspec.json.encode(UpdateAnswer(director=4)), 2)
    device.turns()
    device.turns()
    assert device.trusted.refreshed == 1
    device.trusted.refuses = HostileData("update.metadata_expired", "It expired.", remedy="Wait.")
    device.driver.heard(msgspec.json.encode(UpdateAnswer(director=4)), 3)
    device.turns()
    assert "update.metadata_expired" in device.said[0]


def test_a_device_that_is_not_well_goes_back_after_a_while(device: Device) -> None:
    device.offer()
    device.take(device.order())
    device.well = Health(ok=False, detail="nothing listens")
    device.settle()
    assert device.phase is Phase.TRIAL
    device.clock.up_s = 300
    device.turns()
    assert (device.phase, device.reboots) == (Phase.REVERTED, 2)
    device.boot()
    [told] = device.take(device.order())
    assert (device.runs, told.code) == (OLD_IMAGE, "update.fell_back_self_test")
    assert "nothing listens" in told.sentence
    assert device.report().slots[1].good is False
    [again] = device.take(device.order(9))
    assert again.code == "update.fell_back_self_test", "the same trial is not made again"
    assert device.take(device.order(9, trial=2)) == []


def test_a_device_without_a_probe_is_well_when_its_agent_runs(device: Device) -> None:
    device.well = None
    assert booted(device).phase is Phase.BOOTED


def test_a_carried_release_needs_no_server(device: Device, tmp_path: Path) -> None:
    wanted = device.offer()
    (tmp_path / "usb.img").write_bytes(NEW_IMAGE + b"and more than was signed")
    device.driver.carry(UpdateArgs(NEW, path=wanted.path), wanted, tmp_path / "usb.img")
    device.settle()
    device.turns()
    assert (device.phase, device.payloads.asked, device.runs) == (Phase.CONFIRMED, [], NEW_IMAGE)
    assert device.report().attempt.directive == 0  # type: ignore[union-attr]
    with pytest.raises(WorldError) as raised:
        device.driver.carry(UpdateArgs("cam:3", path="x"), wanted, tmp_path / "missing.img")
    assert raised.value.code == "update.payload_disk"


def test_a_second_carried_release_waits_for_the_first(device: Device, tmp_path: Path) -> None:
    wanted = device.offer()
    (tmp_path / "usb.img").write_bytes(NEW_IMAGE)
    device.driver.carry(UpdateArgs(NEW, path=wanted.path), wanted, tmp_path / "usb.img")
    with pytest.raises(WorldError) as raised:
        device.driver.carry(UpdateArgs(NEW, path=wanted.path), wanted, tmp_path / "usb.img")
    assert raised.value.code == "update.busy"


def test_a_damaged_journal_is_told_and_never_begun_anew(device: Device) -> None:
    device.take(device.order())
    (device.state / "journal.json").write_bytes(b"{")
    with pytest.raises(WorldError) as raised:
        device.restart()
    assert raised.value.code == "update.journal_damaged"


def test_a_journal_that_cannot_be_written_stops_the_machine(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    from holdfast_agent.update import journal  # noqa: PLC0415  (what is replaced in it is its own name)

    device.offer()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "replace", full)
    with pytest.raises(WorldError) as raised:
        device.take(device.order())
    assert raised.value.code == "update.journal"
    assert device.driver.journal.install is None, "what is not durable is not remembered"
    assert device.trusted.refreshed == 0


def test_a_device_that_cannot_tell_its_slots_refuses_and_says_why(device: Device) -> None:
    (device.slots / "running").unlink()
    device.restart()
    [told] = device.take(device.order())
    assert told.code == "installer.boot_state"
    assert device.driver.part() is None
    assert "running" in device.said[0]


def test_a_slot_that_reads_back_wrong_is_written_again(device: Device) -> None:
    device.offer()
    device.take(device.order())
    while device.phase is not Phase.READING:
        device.driver.turn(1)
    with (device.slots / "b.img").open("r+b") as slot:
        slot.write(b"rot")
    device.turns()
    assert (device.phase, device.install.writes) == (Phase.ARMED, 2)


def test_what_runs_already_is_done_without_a_look_at_the_server(device: Device) -> None:
    [told] = device.take(device.order(release=OLD))
    assert (told.state, device.trusted.refreshed) == (DirectiveState.DONE, 0)
