"""Two slots in files: what is written, what is armed, what boots, and what is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_agent.update.installers.boot_state import TRIES, BootState, image, load, runs, save
from holdfast_agent.update.installers.file_ab import FileAB
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HoldfastError, HostileData, WorldError
from holdfast_core.supply.model import Payload, PayloadKind
from holdfast_core.wire.update import Slot
from holdfast_sim.updating import bootloader
from install_builders import NEW, OLD, offer
from update_driver_builders import NEW_IMAGE, OLD_IMAGE

STATED = Payload(PayloadKind.FILE, "image.img", len(NEW_IMAGE), digest_of(NEW_IMAGE))


class Slots:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "slots"
        self.payload = folder / "payload"
        self.payload.write_bytes(NEW_IMAGE)
        bootloader.found(self.folder, OLD_IMAGE, release=OLD, counter=1)
        self.installer = FileAB(self.folder)
        self.percents: list[int] = []

    def write(self) -> str:
        return self.installer.write(self.payload, offer(), STATED, self.percents.append)

    def ready(self) -> None:
        self.write()
        self.installer.read_back(self.payload, offer(), STATED)

    def tried(self) -> None:
        self.ready()
        self.installer.arm(offer())
        assert bootloader.boot(self.folder) == "b"


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    return Slots(tmp_path)


def code_of(doing, *arguments: object) -> str:
    with pytest.raises(HoldfastError) as raised:
        doing(*arguments)
    return raised.value.code


def test_a_device_from_the_factory_runs_slot_a(slots: Slots) -> None:
    running = slots.installer.running()
    assert (running.slot, running.release, running.counter) == ("a", OLD, 1)
    assert slots.installer.slots() == (Slot("a", OLD, 1, good=True), Slot("b"))
    assert not slots.installer.on_trial()


def test_a_release_is_written_read_back_armed_tried_and_confirmed(slots: Slots) -> None:
    assert slots.write() == "b"
    assert slots.installer.slots()[1] == Slot("b", NEW, 2, good=False)
    slots.installer.read_back(slots.payload, offer(), STATED)
    assert bootloader.boot(slots.folder) == "a", "until it is armed the next boot is the slot that runs"
    slots.installer.arm(offer())
    assert bootloader.boot(slots.folder) == "b"
    assert slots.installer.on_trial()
    slots.installer.confirm(offer())
    assert not slots.installer.on_trial()
    assert {bootloader.boot(slots.folder) for _ in range(9)} == {"b"}
    assert bootloader.content(slots.folder) == NEW_IMAGE


@pytest.mark.parametrize("times", [1, 2, 3])
def test_every_call_may_be_repeated(slots: Slots, times: int) -> None:
    for _ in range(times):
        slots.write()
    for _ in range(times):
        slots.installer.read_back(slots.payload, offer(), STATED)
    for _ in range(times):
        slots.installer.arm(offer())
    bootloader.boot(slots.folder)
    for _ in range(times):
        slots.installer.confirm(offer())
    assert load(slots.folder).primary == "b"


def test_what_was_not_read_back_is_not_armed(slots: Slots) -> None:
    assert code_of(slots.installer.arm, offer()) == "installer.slot_corrupt"
    slots.write()
    assert code_of(slots.installer.arm, offer()) == "installer.slot_corrupt"
    slots.installer.read_back(slots.payload, offer(), STATED)
    assert code_of(slots.installer.arm, offer("cam:3", 3)) == "installer.slot_corrupt"


def test_what_does_not_run_is_not_confirmed(slots: Slots) -> None:
    slots.ready()
    slots.installer.arm(offer())
    assert code_of(slots.installer.confirm, offer()) == "installer.slot_corrupt"


def test_nothing_is_written_while_a_slot_is_on_trial(slots: Slots) -> None:
    slots.tried()
    assert code_of(slots.write) == "installer.on_trial"
    assert image(slots.folder, "a").read_bytes() == OLD_IMAGE


def test_disarmed_before_the_boot_the_old_slot_boots(slots: Slots) -> None:
    slots.ready()
    slots.installer.arm(offer())
    slots.installer.revert()
    slots.installer.revert()
    assert bootloader.boot(slots.folder) == "a"


def test_reverted_on_trial_the_old_slot_boots(slots: Slots) -> None:
    slots.tried()
    slots.installer.revert()
    assert bootloader.boot(slots.folder) == "a"
    assert slots.installer.slots()[1].good is False


def test_a_trial_has_its_tries_and_no_more(slots: Slots) -> None:
    slots.tried()
    assert [bootloader.boot(slots.folder) for _ in range(TRIES)] == ["b"] * (TRIES - 1) + ["a"]
    assert slots.installer.slots()[1].good is False


def test_an_image_that_ends_early_is_not_written_whole(slots: Slots) -> None:
    slots.payload.write_bytes(NEW_IMAGE[:-1])
    assert code_of(slots.write) == "installer.failed"
    assert code_of(slots.installer.read_back, slots.payload, offer(), STATED) == "installer.slot_corrupt"
    assert bootloader.boot(slots.folder) == "a"


def test_a_larger_image_before_leaves_nothing_behind(slots: Slots) -> None:
    image(slots.folder, "b").write_bytes(bytes(3 * len(NEW_IMAGE)))
    slots.tried()
    assert image(slots.folder, "b").read_bytes() == NEW_IMAGE


def test_progress_is_told(slots: Slots, tmp_path: Path) -> None:
    large = bytes(40 * 1024 * 1024)
    (tmp_path / "large").write_bytes(large)
    stated = Payload(PayloadKind.FILE, "large", len(large), digest_of(large))
    slots.installer.write(tmp_path / "large", offer(), stated, slots.percents.append)
    assert slots.percents == [40, 80]
    slots.installer.read_back(tmp_path / "large", offer(), stated)


def test_an_empty_image_is_refused(slots: Slots) -> None:
    slots.payload.write_bytes(b"")
    with pytest.raises(HostileData) as raised:
        slots.installer.verify(slots.payload, offer())
    assert raised.value.code == "installer.empty"


@given(st.binary(max_size=200).filter(lambda data: data.strip() not in (b"a", b"b")))
def test_a_boot_state_of_any_bytes_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("state")
    (folder / "boot.json").write_bytes(data)
    (folder / "running").write_bytes(data)
    for read in (load, runs):
        with pytest.raises(WorldError) as raised:
            read(folder)
        assert raised.value.code == "installer.boot_state"


def test_a_boot_state_is_never_half(slots: Slots) -> None:
    state = load(slots.folder)
    whole = msgspec.json.encode(state)
    for length in range(len(whole)):
        (slots.folder / "boot.json").write_bytes(whole[:length])
        with pytest.raises(WorldError):
            load(slots.folder)
    save(slots.folder, state)
    assert load(slots.folder) == state
    with pytest.raises(WorldError):
        save(slots.folder / "missing", BootState({}))
