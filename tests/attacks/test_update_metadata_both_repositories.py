"""Who wants a device to take a release that two repositories did not agree on, or that somebody else signed."""

from __future__ import annotations

import copy

import msgspec
import pytest

from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY
from holdfast_core.supply.model import PayloadKind
from holdfast_core.update.agreement import DEVICE, Board, accept
from tuf_builders import DEVICE_ID, MODEL, PAYLOAD, Pair, offer, path_of, target_file
from update_trust_builders import Device

BOARD = Board(DEVICE_ID, MODEL, ("board-a",), PayloadKind.FILE, running=10, floor=10, svn_floor=1)


def verdict(device, path, board=BOARD):
    """What the device would install, as its driver asks."""
    return accept(
        board,
        device.trust.directed(path),
        device.trust.imaged(path),
        named=device.trust.named,
        now=device.trust.sense().now,
        exemptions=device.trust.exemptions(device.pair.offer.release),
    )


def refusal(work, *arguments):
    with pytest.raises(HostileData) as refused:
        work(*arguments)
    assert refused.value.remedy
    return refused.value.code


@pytest.fixture
def device(tmp_path):
    made = Device(tmp_path, Pair())
    made.ask()
    return made


def test_control_both_agree_and_the_release_is_taken(device):
    taken = verdict(device, device.pair.path)
    assert (taken.digest, taken.length, taken.offer) == (digest_of(PAYLOAD), len(PAYLOAD), device.pair.offer)


@pytest.mark.parametrize(
    "changed",
    [
        {"data": PAYLOAD + b"!"},
        {"data": b"X" * len(PAYLOAD)},
        {"offered": offer(counter=21)},
        {"offered": offer(hardware=("board-a", "board-b"))},
    ],
    ids=["length", "hash", "counter", "hardware"],
)
def test_the_director_says_other_things_of_a_target_than_the_image_repository(device, changed):
    pair = device.pair
    pair.director.targets.targets[pair.path] = target_file(
        pair.path, changed.get("data", PAYLOAD), changed.get("offered", pair.offer)
    )
    pair.director.publish()
    device.ask()
    assert refusal(verdict, device, pair.path) == "update.repositories_disagree"


def test_a_stolen_director_key_directs_to_what_no_threshold_signed(device):
    """The thief has every online key of the director, and signs whatever he likes with it."""
    pair, evil = device.pair, offer("6.6.6", counter=666)
    path = path_of(evil)
    pair.director.add(path, b"evil", offered=evil)
    pair.director.publish()
    device.ask()
    assert device.trust.directed(path) is not None
    assert refusal(verdict, device, path) == "update.not_in_image_repository"


def test_a_stolen_director_key_and_a_server_that_serves_its_own_image_repository(device):
    """The thief signs image metadata as well, with the keys that he has: the online ones of both repositories."""
    pair, evil = device.pair, offer("6.6.6", counter=666)
    path = path_of(evil)
    pair.director.add(path, b"evil", offered=evil)
    pair.director.publish()
    pair.image.add(path, b"evil", role=MODEL, offered=evil)
    pair.image.signers[MODEL] = pair.image.signers["snapshot"]
    pair.image.publish(MODEL)
    device.ask()
    assert refusal(verdict, device, path) == "update.metadata_signature"
    pair.image.signers["targets"] = pair.image.signers["timestamp"]
    pair.image.add(path, b"evil", offered=evil)
    pair.image.publish("targets")
    assert refusal(device.ask) == "update.metadata_signature"


def test_the_director_is_not_there_or_does_not_direct(device):
    other = offer("2.1.0", counter=21)
    device.pair.image.add(path_of(other), role=MODEL, offered=other)
    device.pair.image.publish()
    device.ask()
    assert device.trust.imaged(path_of(other)) is not None
    assert refusal(verdict, device, path_of(other)) == "update.not_directed"


def test_metadata_that_the_director_signed_for_another_device(tmp_path):
    device = Device(tmp_path, Pair(device="cam-2"))
    device.ask()
    assert device.trust.named == "cam-2"
    assert refusal(verdict, device, device.pair.path) == "update.other_device"


@pytest.mark.parametrize("named", ["", 5, None, ["cam-1"], "x" * 500])
def test_the_director_names_a_device_by_what_is_no_name(tmp_path, named):
    pair = Pair()
    pair.director.targets.unrecognized_fields[DEVICE] = named
    pair.director.publish()
    device = Device(tmp_path, pair)
    if named == "":
        device.ask()
        assert refusal(verdict, device, pair.path) == "update.other_device"
    else:
        assert refusal(device.ask) == "update.metadata_malformed"


def test_the_keys_of_one_product_sign_a_release_of_another(tmp_path):
    """They may sign below their own name, and put another product's offer there."""
    pair = Pair()
    other = offer("9.9.9", model="door-lock", counter=99)
    path = f"{MODEL}/9.9.9/image.bin"
    for repository, role in ((pair.image, MODEL), (pair.director, None)):
        repository.add(path, role=role, offered=other)
        repository.publish()
    device = Device(tmp_path, pair)
    device.ask()
    assert refusal(verdict, device, path) == "update.target_path"


def test_the_keys_of_one_product_sign_below_the_name_of_another(tmp_path):
    pair = Pair()
    other = offer("9.9.9", model="door-lock", counter=99)
    pair.image.add(path_of(other), role=MODEL, offered=other)
    pair.image.publish()
    pair.director.add(path_of(other), offered=other)
    pair.director.publish()
    device = Device(tmp_path, pair)
    device.ask()
    assert refusal(verdict, device, path_of(other)) == "update.not_in_image_repository"


@pytest.mark.parametrize(
    "custom",
    [None, {}, {"holdfast": None}, {"holdfast": {"release": "x"}}, {"holdfast": "x"}, [1], "x"],
    ids=["none", "empty", "null", "short", "text", "list", "string"],
)
def test_a_target_without_a_proper_offer(device, custom):
    pair = device.pair
    target = target_file(pair.path)
    if custom is not None:
        target.unrecognized_fields["custom"] = custom
    pair.director.targets.targets[pair.path] = target
    pair.director.publish()
    code = None
    try:
        device.ask()
        code = refusal(verdict, device, pair.path)
    except HostileData as error:
        code = error.code
    assert code in {"update.target_malformed", "update.metadata_malformed"}


def test_a_target_that_is_hashed_by_something_weaker(device):
    pair = device.pair
    target = target_file(pair.path, offered=pair.offer)
    target.hashes = {"md5": "0" * 32}
    pair.director.targets.targets[pair.path] = target
    pair.director.publish()
    device.ask()
    assert refusal(verdict, device, pair.path) == "update.target_malformed"


def downgraded(tmp_path, **exemption):
    """A device that confirmed counter 30 and is directed to 20, with an exemption like that."""
    device = Device(tmp_path, Pair())
    device.pair.exempt(**exemption)
    device.ask()
    return lambda: verdict(device, device.pair.path, msgspec.structs.replace(BOARD, running=30, floor=30))


def test_control_an_exemption_that_the_threshold_signed_lets_the_device_go_back(tmp_path):
    assert downgraded(tmp_path)().offer.counter == 20


@pytest.mark.parametrize(
    "exemption",
    [{"release": f"{MODEL}:1.0.0"}, {"devices": ("cam-2",)}, {"until": 1}],
    ids=["release", "device", "ended"],
)
def test_an_exemption_that_is_for_something_else(tmp_path, exemption):
    assert refusal(downgraded(tmp_path, **exemption)) == "update.downgrade"


def test_an_exemption_whose_content_was_exchanged(tmp_path):
    device = Device(tmp_path, Pair())
    data = device.pair.exempt(devices=("cam-2",))
    for name, content in list(device.pair.image.artefacts.items()):
        if content == data:
            device.pair.image.artefacts[name] = data.replace(b"cam-2", b"cam-1")
    device.ask()
    board = msgspec.structs.replace(BOARD, running=30, floor=30)
    assert device.trust.exemptions(device.pair.offer.release) == ()
    assert refusal(verdict, device, device.pair.path, board) == "update.downgrade"


def test_an_exemption_that_product_keys_or_the_director_signed(tmp_path):
    device = Device(tmp_path, Pair())
    device.pair.image.signers["exemptions"] = device.pair.image.signers[MODEL]
    device.pair.exempt()
    device.ask()
    assert refusal(device.trust.exemptions, device.pair.offer.release) == "update.metadata_signature"
    pair = Pair()
    forged = Device(tmp_path / "two", pair)
    pair.director.delegate("exemptions", ["exemptions/*"])
    copied = copy.deepcopy(pair)
    copied.exempt()
    name, data = next((n, d) for n, d in copied.image.artefacts.items() if n.startswith("exemptions/") and "." in n)
    pair.director.add("exemptions/back.json", data, role="exemptions")
    pair.director.publish()
    pair.image.artefacts[name] = data
    forged.ask()
    assert forged.trust.exemptions(pair.offer.release) == ()


def test_an_exemption_that_was_taken_back_does_not_count_any_more(tmp_path):
    device = Device(tmp_path, Pair())
    device.pair.exempt()
    device.ask()
    assert device.trust.exemptions(device.pair.offer.release)
    device.pair.image.delegated["exemptions"].targets.clear()
    device.pair.image.publish("exemptions")
    device.ask()
    assert device.trust.exemptions(device.pair.offer.release) == ()
    assert device.again().trust.exemptions(device.pair.offer.release) == ()


def test_an_exemption_lasts_only_as_long_as_it_says(tmp_path):
    device = Device(tmp_path, Pair())
    device.pair.exempt(until=device.pair.now + DAY)
    device.ask()
    board = msgspec.structs.replace(BOARD, running=30, floor=30)
    assert verdict(device, device.pair.path, board)
    device.pass_time(DAY)
    assert refusal(verdict, device, device.pair.path, board) == "update.downgrade"
