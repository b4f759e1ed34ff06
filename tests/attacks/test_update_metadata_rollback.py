"""Who serves metadata that is older than what a device saw, or files that never belonged together."""

from __future__ import annotations

import copy
import shutil
from datetime import timedelta

import pytest

from holdfast_agent.update import store
from holdfast_core.kernel.errors import HostileData, LimitExceeded, WorldError
from holdfast_core.wire.update_metadata import LARGEST_FILE, Brought, Versions
from tuf_builders import MODEL, Pair, key
from update_trust_builders import Device


def refusal(work, *arguments, **named):
    with pytest.raises(HostileData) as refused:
        work(*arguments, **named)
    assert refused.value.remedy
    return refused.value.code


NOTHING = Versions(0)


def everything(repository):
    """All that a repository serves, as an attacker records it."""
    return dict(repository.newer(NOTHING)) | {"timestamp.json": repository.files["timestamp.json"]}


@pytest.fixture
def device(tmp_path):
    made = Device(tmp_path, Pair())
    made.ask()
    return made


def take(device, *, director=None, image=None):
    return device.trust.take(Brought(director or {}, image or {}))


def test_control_newer_metadata_of_both_is_taken(device):
    before = device.ask()
    device.pair.director.publish()
    device.pair.image.publish()
    after = device.ask()
    assert (after.director, after.image) == (before.director + 1, before.image + 1)


@pytest.mark.parametrize("which", ["director", "image"])
def test_an_older_timestamp_is_served_again(device, which):
    repository = getattr(device.pair, which)
    recorded = everything(repository)
    repository.publish()
    device.ask()
    assert refusal(take, device, **{which: recorded}) == "update.metadata_rollback"
    assert refusal(take, device.again(), **{which: recorded}) == "update.metadata_rollback"
    assert device.trust.imaged(device.pair.path)


@pytest.mark.parametrize("which", ["director", "image"])
def test_a_new_timestamp_lists_an_older_snapshot(device, which):
    repository = getattr(device.pair, which)
    old = copy.deepcopy(repository.snapshot)
    repository.publish()
    device.ask()
    repository.snapshot = old
    repository.publish_timestamp()
    assert refusal(device.ask) == "update.metadata_rollback"


@pytest.mark.parametrize("role", ["targets", MODEL])
def test_a_new_snapshot_lists_older_targets(device, role):
    repository = device.pair.image
    old = copy.deepcopy((repository.targets, repository.delegated))
    repository.publish()
    device.ask()
    if role == "targets":
        repository.targets = old[0]
    else:
        repository.delegated[MODEL] = old[1][MODEL]
    repository.snapshot.version += 1
    repository.publish_snapshot()
    assert refusal(device.ask) == "update.metadata_rollback"


def test_a_new_snapshot_lists_a_role_no_more(device):
    repository = device.pair.image
    del repository.delegated[MODEL]
    repository.snapshot.version += 1
    repository.publish_snapshot()
    assert refusal(device.ask) == "update.metadata_mismatch"


def test_the_old_release_stays_old_after_the_attempt(device):
    recorded = everything(device.pair.image)
    device.pair.image.publish()
    device.ask()
    before = device.trust.holding()
    refusal(take, device, image=recorded)
    assert device.trust.holding() == before
    assert device.again().trust.holding() == before


@pytest.mark.parametrize("role", ["targets", MODEL, "snapshot"])
def test_files_of_two_states_are_mixed(tmp_path, role):
    """Each was signed; never together."""
    device = Device(tmp_path, Pair())
    repository = device.pair.image
    recorded = everything(repository)
    repository.publish()
    mixed = everything(repository)
    new = next(name for name in mixed if name == f"3.{role}.json")
    mixed[new] = recorded[f"2.{role}.json"]
    answer = device.pair.answer(device.question())
    code = refusal(take, device, director=dict(answer.director), image=mixed) if role != MODEL else ""
    if role == MODEL:
        take(device, director=dict(answer.director), image=mixed)
        code = refusal(device.trust.imaged, device.pair.path)
    assert code == "update.metadata_mismatch"


def test_a_snapshot_is_exchanged_for_one_that_the_timestamp_hashes_otherwise(tmp_path):
    pair = Pair()
    pair.image.hashes = True
    pair.image.publish()
    device = Device(tmp_path, pair)
    answer = device.pair.answer(device.question())
    name = f"{pair.image.snapshot.version}.snapshot.json"
    swapped = copy.deepcopy(pair.image.snapshot)
    swapped.expires += timedelta(seconds=1)  # as long as before
    image = dict(answer.image)
    assert take(device, director=dict(answer.director), image=image)
    fresh = Device(tmp_path / "two", pair)
    image[name] = pair.image.sign(swapped)
    assert refusal(take, fresh, director=dict(answer.director), image=image) == "update.metadata_mismatch"


def test_the_director_s_metadata_is_served_as_the_image_repository_s(device):
    pair = device.pair
    pair.director.publish()
    answer = everything(pair.director)
    answer.pop("1.root.json")
    assert refusal(take, device, image={n: d for n, d in answer.items() if "root" not in n}).startswith(
        "update.metadata"
    )
    assert refusal(take, device, image=answer).startswith("update.metadata")
    assert device.again().trust.imaged(pair.path)


def test_one_role_is_served_as_another(device):
    image = device.pair.image
    image.publish()
    answer = everything(image)
    assert refusal(take, device, image=answer | {"timestamp.json": answer["3.snapshot.json"]}) in {
        "update.metadata_mismatch",
        "update.metadata_signature",
    }


def test_a_diamond_of_delegations_lets_no_role_speak_for_a_delegator_that_did_not_sign_it(tmp_path):
    """Two roles delegate to one name with different keys; what one of them vouches for is not vouched for by both."""
    pair = Pair()
    image = pair.image
    image.delegate("left", ["left/*"], terminating=False)
    image.delegate("right", ["right/*"], terminating=False)
    image.delegate("shared", ["left/*", "right/*"], "shared-left", delegator="left")
    image.delegate("shared", ["left/*", "right/*"], "shared-right", delegator="right")
    image.signers["shared"] = [key("shared-left")]
    image.add("left/1", role="shared", offered=pair.offer)
    image.add("right/1", role="shared", offered=pair.offer)
    image.publish()
    device = Device(tmp_path, pair)
    device.ask()
    held = {f"{image.delegated[name].version}.{name}.json" for name in ("left", "right", "shared")}
    assert held <= set(everything(image))
    device.trust = device.started()
    answer = everything(image)
    answer.pop("1.root.json")
    take(device, director={}, image=answer)
    assert refusal(device.trust.imaged, "left/1") == "update.target_path"  # found, and only its place is wrong here
    assert refusal(device.trust.imaged, "right/1") == "update.metadata_signature"


def test_delegations_in_a_circle_or_without_end(tmp_path):
    pair = Pair()
    image = pair.image
    image.delegate("a", ["deep/*"], terminating=False)
    for number, (name, parent) in enumerate(zip("bcdefghijkl", "abcdefghijk", strict=True)):
        image.delegate(name, ["deep/*"], f"deep-{number}", delegator=parent, terminating=False)
    image.delegate("a", ["deep/*"], "image-a", delegator="l", terminating=False)
    image.add("deep/1", role="l", offered=pair.offer)
    image.publish()
    device = Device(tmp_path, pair)
    device.ask()
    assert device.trust.imaged("deep/1") is None


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"signed":{}}', b"[" * 16_000, b'{"a":' * 3_000, b"9" * 16_000],
)
@pytest.mark.parametrize("name", ["timestamp.json", "3.snapshot.json", "3.targets.json", "2.root.json"])
def test_files_that_are_no_metadata(device, name, data):
    image = device.pair.image
    image.publish()
    assert refusal(take, device, image=everything(image) | {name: data}) == "update.metadata_malformed"


@pytest.mark.parametrize("name", ["timestamp.json", "3.snapshot.json", "3.targets.json", "2.root.json"])
def test_endless_data(device, name):
    image = device.pair.image
    image.publish()
    with pytest.raises(LimitExceeded) as refused:
        take(device, image=everything(image) | {name: b" " * (LARGEST_FILE + 1)})
    assert refused.value.code == "update.metadata_too_large"
    assert device.again().ask()


@pytest.mark.parametrize("name", ["timestamp.json", "3.snapshot.json", "3.targets.json"])
def test_a_file_is_left_out(tmp_path, name):
    device = Device(tmp_path, Pair())
    device.pair.image.publish()
    answer = device.pair.answer(device.question())
    image = {n: d for n, d in answer.image.items() if n != name}
    assert refusal(take, device, director=dict(answer.director), image=image) == "update.metadata_missing"
    assert device.again().ask()


def test_unsigned_and_forged_metadata(device):
    image = device.pair.image
    image.publish()
    for signers in ([], [key("somebody")], image.signers["snapshot"]):
        image.files["timestamp.json"] = image.sign(image.timestamp, signers)
        assert refusal(device.ask) == "update.metadata_signature"


def test_one_signature_counts_once_for_a_threshold(tmp_path):
    pair = Pair(people=3, threshold=2)
    device = Device(tmp_path, pair)
    one = pair.image.signers["targets"][:1]
    pair.image.signers["targets"] = one
    pair.image.publish("targets")
    assert refusal(device.ask) == "update.metadata_signature"
    twice = pair.image.files["3.targets.json"].replace(b'"signatures":[', b'"signatures":[' + signature_of(pair) + b",")
    pair.image.files["3.targets.json"] = twice
    assert refusal(device.ask) in {"update.metadata_malformed", "update.metadata_signature"}


def signature_of(pair):
    data = pair.image.files["3.targets.json"]
    return data[data.index(b"[{") + 1 : data.index(b"}]") + 1]


# ---- roots


def rotated(pair, *, people):
    """A new root whose threshold of 2 has signed as far as `people` (of the old keys) did."""
    pair.image.rotate("root", "new-a", "new-b", "new-c", people=people)
    pair.image.publish()


def test_control_a_root_rotation_that_the_threshold_signed(device):
    image = device.pair.image
    rotated(device.pair, people=[*image.signers["root"][:2], key("new-a"), key("new-b")])
    assert device.ask().image == 3
    assert device.trust.holding().image.root == 2


@pytest.mark.parametrize(
    "signers",
    [("image-root-0", "new-a", "new-b"), ("image-root-0", "image-root-1", "new-a"), ("new-a", "new-b"), ()],
    ids=["old-below", "new-below", "only-new", "none"],
)
def test_a_root_rotation_below_the_threshold(device, signers):
    rotated(device.pair, people=[key(name) for name in signers] or [key("somebody")])
    assert refusal(device.ask) == "update.metadata_signature"
    assert device.again().trust.holding().image.root == 1


def test_a_device_that_slept_through_five_rotations_follows_them(device):
    for number in range(5):
        for repository in (device.pair.image, device.pair.director):
            repository.rotate("root", *(f"{repository.name}-{number}-{letter}" for letter in "abc"))
            repository.rotate("timestamp", f"{repository.name}-timestamp-{number}")
            repository.publish()
    holding = device.question()
    checked = device.trust.take(device.pair.answer(holding, signer="director-timestamp-4"))
    assert checked.image == device.pair.image.timestamp.version
    assert device.trust.holding().image.root == 11
    assert device.again().trust.imaged(device.pair.path)


def test_the_old_keys_count_no_more_after_a_rotation(device):
    image = device.pair.image
    old = list(image.signers["timestamp"])
    image.rotate("timestamp", "timestamp-anew")
    image.publish()
    device.ask()
    image.signers["timestamp"] = old
    image.publish()
    assert refusal(device.ask) == "update.metadata_signature"


def test_a_link_of_the_chain_is_missing_or_exchanged(tmp_path):
    device = Device(tmp_path, Pair())
    image = device.pair.image
    for number in range(3):
        image.rotate("root", f"a{number}", f"b{number}", f"c{number}")
    image.rotate("timestamp", "later")
    image.publish()
    answer = device.pair.answer(device.question())
    lacking = {n: d for n, d in answer.image.items() if n != "3.root.json"}
    assert refusal(take, device, director=dict(answer.director), image=lacking) == "update.metadata_signature"
    swapped = answer.image | {"3.root.json": answer.image["4.root.json"]}
    assert refusal(take, device, director=dict(answer.director), image=swapped) == "update.metadata_signature"
    assert device.ask()


def test_a_fast_forward_is_undone_by_new_keys(device):
    image = device.pair.image
    image.timestamp.version = image.snapshot.version = 9_999
    image.publish_snapshot()
    assert device.ask().image == 10_000
    image.rotate("timestamp", "timestamp-anew")
    image.rotate("snapshot", "snapshot-anew")
    image.timestamp.version, image.snapshot.version = 4, 5
    image.publish_snapshot()
    assert refusal(device.ask) == "update.metadata_missing"
    assert device.ask().image == 5


# ---- what lies on the device


def test_roots_are_pinned_once(tmp_path):
    device = Device(tmp_path, Pair())
    pair = device.pair
    device.trust.begin(pair.director.first_root, pair.image.first_root)
    assert refusal(device.trust.begin, pair.image.first_root, pair.director.first_root) == "update.already_pinned"
    other = Device(tmp_path / "two", pair, begun=False)
    assert not other.trust.is_begun
    forged = pair.image.sign(pair.image.root, [key("somebody")])
    assert refusal(other.trust.begin, forged, pair.image.first_root) == "update.metadata_signature"
    assert refusal(other.trust.begin, b"{}", pair.image.first_root) == "update.metadata_malformed"
    assert not other.trust.is_begun
    with pytest.raises(WorldError) as refused:
        other.trust.holding()
    assert refused.value.code == "update.not_pinned"


def test_local_metadata_is_lost_and_the_attacker_serves_what_the_device_has_outgrown(device):
    """Only the marks are left, and they suffice."""
    recorded = {name: everything(getattr(device.pair, name)) for name in ("director", "image")}
    device.pair.image.publish()
    device.pair.director.publish()
    device.ask()
    folder = device.folder / "tuf"
    shutil.rmtree(folder / store.FILES)
    (folder / store.INDEX).unlink()
    device.again()
    assert device.trust.holding().image.timestamp == 0
    assert refusal(take, device, **recorded) == "update.metadata_rollback"
    assert refusal(take, device.again(), **recorded) == "update.metadata_rollback"
    assert device.ask()
    assert device.trust.imaged(device.pair.path)


def test_local_roots_are_lost_and_the_attacker_keeps_the_new_ones_back(device):
    """He stole the keys that the new root replaced."""
    image = device.pair.image
    image.rotate("timestamp", "timestamp-anew")
    image.publish()
    device.ask()
    recorded = everything(image)
    shutil.rmtree(device.folder / "tuf" / store.FILES)
    del recorded["1.root.json"], recorded["2.root.json"]
    image.signers["timestamp"] = [key("image-timestamp-0")]
    image.publish_timestamp()
    stolen = recorded | {"timestamp.json": image.files["timestamp.json"]}
    director = everything(device.pair.director)
    assert refusal(take, device.again(), director=director, image=stolen) == "update.metadata_rollback"


def test_the_marks_are_lost_and_the_kept_metadata_still_refuses_what_is_older(device):
    recorded = {name: everything(getattr(device.pair, name)) for name in ("director", "image")}
    device.pair.image.publish()
    device.pair.director.publish()
    device.ask()
    (device.folder / "tuf" / store.MARKS).write_bytes(b"{")
    assert refusal(take, device.again(), **recorded) == "update.metadata_rollback"
