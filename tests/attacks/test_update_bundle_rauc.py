"""Attacks by RAUC bundles, against a real RAUC service: each is refused, and the slot that runs is untouched."""

from __future__ import annotations

import pytest

from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import Instant
from holdfast_core.supply.model import PayloadKind, target_path
from holdfast_core.update.agreement import Board, Target, accept
from update_tools import MIB, authority, bundle, code_of, installed, payload, quiet, rauc, rauc_lab

pytestmark = pytest.mark.root


@pytest.fixture
def lab(tmp_path):
    with rauc_lab(tmp_path) as made:
        yield made


def refused(lab, made, offered):
    """The codes of `verify` and of `write`, of which the second must refuse by itself as well; nothing is written."""
    stated = payload(made, offered.kind)
    codes = code_of(lab.installer.verify, made, offered), code_of(lab.installer.write, made, offered, stated, quiet)
    assert lab.boot.next() == "A"
    assert lab.holds("A", "factory")
    assert lab.slots["B"].read_bytes().strip(b"\0") == b""
    assert code_of(lab.installer.arm, offered) == "installer.slot_corrupt"
    return codes


def test_control_the_honest_bundle_is_installed(lab):
    assert installed(lab, bundle(lab.folder, "2.0"), rauc("2.0", 2)) == "B"
    assert lab.boot.next() == "B"


def test_a_bundle_under_another_ca(lab):
    authority(lab.folder, "other")
    made = bundle(lab.folder, "2.0", ca="other")
    assert refused(lab, made, rauc("2.0", 2)) == ("installer.bundle", "installer.failed")


def test_a_bundle_for_another_board(lab):
    made = bundle(lab.folder, "2.0", compatible="other-board")
    assert refused(lab, made, rauc("2.0", 2)) == ("installer.compatible", "installer.failed")


@pytest.mark.parametrize("cut", [1, 9, 4096, MIB])
def test_a_truncated_bundle(lab, cut):
    made = bundle(lab.folder, "2.0")
    made.write_bytes(made.read_bytes()[:-cut])
    assert refused(lab, made, rauc("2.0", 2)) == ("installer.bundle", "installer.failed")


@pytest.mark.parametrize("place", [0.02, 0.5, 0.9])
def test_a_bundle_with_one_bit_flipped(lab, place):
    made = bundle(lab.folder, "2.0")
    data = bytearray(made.read_bytes())
    data[int(len(data) * place)] ^= 1
    made.write_bytes(data)
    assert refused(lab, made, rauc("2.0", 2)) == ("installer.bundle", "installer.failed")


def test_a_file_that_is_no_bundle(lab):
    made = lab.folder / "none.raucb"
    made.write_bytes(bytes(MIB))
    assert refused(lab, made, rauc("2.0", 2)) == ("installer.bundle", "installer.failed")


def board(running):
    return Board("dev-1", "gw", ("board-1",), PayloadKind.RAUC, running, running, 0)


def agreed(made, offered, running):
    target = Target(
        target_path(offered.release, payload(made, offered.kind)), made.stat().st_size,
        payload(made, offered.kind).digest, offered,
    )  # fmt: skip
    return accept(board(running), target, target, named="dev-1", now=Instant(0))


def test_an_older_release_with_a_good_signature(lab):
    newer, older = bundle(lab.folder, "2.0"), bundle(lab.folder, "1.0")
    installed(lab, newer, rauc("2.0", 2))
    lab.reboot()
    lab.installer.confirm(rauc("2.0", 2))
    # Control: to RAUC itself the older bundle is as good as any.
    installed(lab, older, rauc("1.0", 1))
    assert lab.boot.next() == "A"
    assert lab.holds("A", "1.0")
    # The rules that are ours refuse it before anything is fetched.
    with pytest.raises(HostileData) as error:
        agreed(older, rauc("1.0", 1), 2)
    assert error.value.code == "update.downgrade"
    assert agreed(newer, rauc("2.0", 2), 1).offer.counter == 2


def test_a_slot_that_was_changed_after_it_was_written(lab):
    made, offered = bundle(lab.folder, "2.0"), rauc("2.0", 2)
    stated = payload(made, offered.kind)
    lab.installer.write(made, offered, stated, quiet)
    lab.installer.read_back(made, offered, stated)  # control
    with lab.slots["B"].open("r+b") as file:
        file.seek(MIB)
        file.write(b"!")
    assert code_of(lab.installer.read_back, made, offered, stated) == "installer.slot_corrupt"


def test_a_slot_that_lost_its_end(lab):
    made, offered = bundle(lab.folder, "2.0"), rauc("2.0", 2)
    stated = payload(made, offered.kind)
    lab.installer.write(made, offered, stated, quiet)
    with lab.slots["B"].open("r+b") as file:
        file.truncate(MIB)
    assert code_of(lab.installer.read_back, made, offered, stated) == "installer.slot_corrupt"
