"""Whether a device takes a release: every rule alone, the order of rules, and what no combination may let through."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.supply.model import Nature, Offer, PayloadKind
from holdfast_core.update.agreement import Board, Exemption, Target, accept

NOW = Instant(1_800_000_000_000)
OFFER = Offer("cam:2.0.0", 20, 3, PayloadKind.FILE, ("board-a", "board-b"), Nature.FEATURE, needs=5)
TARGET = Target("cam/2.0.0/image.bin", 100, digest_of(b"image"), OFFER)
BOARD = Board("cam-1", "cam", ("board-b",), PayloadKind.FILE, running=10, floor=10, svn_floor=3)
BACK = Exemption("cam:2.0.0", ("cam-1",), Instant(NOW + DAY), "lab")


def changed(value, **fields):
    return msgspec.structs.replace(value, **fields)


def offering(**fields):
    offer = changed(OFFER, **fields)
    file = TARGET.path.rpartition("/")[2]
    return changed(TARGET, path=f"{offer.release.replace(':', '/')}/{file}", offer=offer)


def decided(board=BOARD, director=TARGET, image=TARGET, *, named="cam-1", exemptions=()):
    """The target, or why it is refused."""
    try:
        return accept(board, director, image, named=named, now=NOW, exemptions=exemptions)
    except HostileData as error:
        return error.code.removeprefix("update.")


def both(target, board=BOARD, **rest):
    return decided(board, target, target, **rest)


def test_control_a_release_that_both_state_and_that_fits():
    assert decided() == TARGET


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"director": None}, "not_directed"),
        ({"named": "cam-2"}, "other_device"),
        ({"named": ""}, "other_device"),
        ({"named": "CAM-1"}, "other_device"),
        ({"image": None}, "not_in_image_repository"),
        ({"image": changed(TARGET, length=101)}, "repositories_disagree"),
        ({"image": changed(TARGET, digest=digest_of(b"other"))}, "repositories_disagree"),
        ({"image": changed(TARGET, path="cam/2.0.0/other.bin")}, "repositories_disagree"),
        (
            {"director": changed(TARGET, path="door/2.0.0/a.bin"), "image": changed(TARGET, path="door/2.0.0/a.bin")},
            "other_path",
        ),
        ({"director": offering(svn=9)}, "repositories_disagree"),
        ({"director": offering(sbom="x")}, "repositories_disagree"),
    ],
)
def test_the_repositories_must_agree_and_name_the_device(changes, code):
    assert decided(**changes) == code


@pytest.mark.parametrize(
    ("offer", "board", "code"),
    [
        ({"release": "door:2.0.0"}, {}, "other_model"),
        ({"hardware": ("board-c",)}, {}, "hardware"),
        ({}, {"hardware": ()}, "hardware"),
        ({"kind": PayloadKind.RAUC}, {}, "installer"),
        ({"needs": 11}, {}, "needs"),
        ({"svn": 2}, {}, "downgrade_svn"),
        ({"counter": 9}, {}, "downgrade"),
    ],
)
def test_each_rule_about_the_board_and_the_order_refuses_alone(offer, board, code):
    assert both(offering(**offer), changed(BOARD, **board)) == code


@pytest.mark.parametrize(
    ("offer", "board"),
    [({"counter": 10}, {}), ({"svn": 3}, {}), ({"needs": 10}, {}), ({"release": "door:1"}, {"model": ""})],
    ids=["same-counter", "same-svn", "needs-just-this", "model-unknown"],
)
def test_the_edges_of_the_rules_let_through(offer, board):
    assert isinstance(both(offering(**offer), changed(BOARD, **board)), Target)


def test_every_refusal_says_what_to_do():
    with pytest.raises(HostileData, match="knows no") as refused:
        accept(BOARD, TARGET, None, named="cam-1", now=NOW)
    assert refused.value.remedy
    assert refused.value.sentence.endswith(".")


def test_a_name_that_only_begins_alike_is_another_model():
    assert both(offering(release="cam2:2.0.0")) == "other_model"
    assert both(offering(release="cam")) != "other_model"  # such a name is refused where releases are parsed


LOW = changed(BOARD, floor=30)


def test_control_an_exemption_lets_the_device_go_back():
    assert both(TARGET, LOW) == "downgrade"
    assert both(TARGET, LOW, exemptions=(BACK,)) == TARGET


@pytest.mark.parametrize(
    "fields", [{"release": "cam:1.0.0"}, {"devices": ("cam-2",)}, {"until": NOW}, {"until": Instant(0)}]
)
def test_an_exemption_that_does_not_fit_says_why(fields):
    with pytest.raises(HostileData, match=r"\(the exemption") as refused:
        accept(LOW, TARGET, TARGET, named="cam-1", now=NOW, exemptions=(changed(BACK, **fields),))
    assert refused.value.code == "update.downgrade"
    one_fits = (changed(BACK, **fields), BACK)
    assert both(TARGET, LOW, exemptions=one_fits) == TARGET


def test_an_exemption_lifts_the_counter_and_nothing_else():
    for offer, board, code in (
        ({"svn": 2}, {}, "downgrade_svn"),
        ({"needs": 99}, {}, "needs"),
        ({"hardware": ("board-c",)}, {}, "hardware"),
    ):
        assert both(offering(**offer), changed(LOW, **board), exemptions=(BACK,)) == code


counters = st.integers(0, 40)
boards = st.builds(
    Board,
    device=st.sampled_from(["cam-1", "cam-2"]),
    model=st.sampled_from(["cam", "door", ""]),
    hardware=st.lists(st.sampled_from(["board-a", "board-c"]), max_size=2).map(tuple),
    installer=st.sampled_from(PayloadKind),
    running=counters,
    floor=counters,
    svn_floor=st.integers(0, 5),
)
targets = st.builds(
    lambda length, counter, svn, release, needs: changed(
        offering(counter=counter, svn=svn, release=release, needs=needs), length=length
    ),
    st.sampled_from([100, 101]),
    counters,
    st.integers(0, 5),
    st.sampled_from(["cam:2.0.0", "door:2.0.0"]),
    counters,
)
exempt = st.builds(
    Exemption,
    release=st.sampled_from(["cam:2.0.0", "door:2.0.0"]),
    devices=st.sampled_from([("cam-1",), ("cam-2",), ("cam-1", "cam-2")]),
    until=st.sampled_from([Instant(NOW - 1), NOW, Instant(NOW + 1)]),
    why=st.just("x"),
)


@given(
    boards,
    st.none() | targets,
    st.none() | targets,
    st.sampled_from(["cam-1", "cam-2", ""]),
    st.lists(exempt, max_size=3),
)
def test_whatever_is_taken_breaks_no_rule(board, director, image, named, exemptions):
    taken = decided(board, director, image, named=named, exemptions=tuple(exemptions))
    if isinstance(taken, str):
        return
    assert taken == director == image
    assert named == board.device
    assert set(taken.offer.hardware) & set(board.hardware)
    assert taken.offer.kind is board.installer
    assert not board.model or taken.offer.release.startswith(board.model + ":")
    assert taken.offer.svn >= board.svn_floor
    assert taken.offer.needs <= board.running
    fitting = [
        e for e in exemptions if e.release == taken.offer.release and board.device in e.devices and e.until > NOW
    ]
    assert taken.offer.counter >= board.floor or fitting


@given(boards, targets, targets, st.lists(exempt, max_size=3))
def test_the_director_alone_installs_nothing(board, director, image, exemptions):
    """Whatever it says: what is taken is what the image repository states, or nothing."""
    taken = decided(board, director, image, named=board.device, exemptions=tuple(exemptions))
    assert isinstance(taken, str) or taken == image
    assert isinstance(decided(board, director, None, named=board.device, exemptions=tuple(exemptions)), str)


@given(st.binary(max_size=300))
def test_an_exemption_of_any_bytes_is_one_or_is_refused(data):
    try:
        made = msgspec.json.decode(data, type=Exemption)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return
    assert made.devices
    assert made.why
