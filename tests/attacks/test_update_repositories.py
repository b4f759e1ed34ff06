"""Attacks on the update repositories: by whoever holds too few keys, the wrong ones, the server, or its disk."""

from __future__ import annotations

import json
from contextlib import suppress

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st
from tuf.api.exceptions import BadVersionNumberError, RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata

from holdfast.update import making
from holdfast.update.ceremony import CeremonyFile, decode_ceremony, encode_ceremony
from holdfast.update.director import signed_set
from holdfast.update.image_repository import target_of
from holdfast.update.metadata import read_holding
from holdfast.update.online_files import OnlineSigner, snapshot_file, timestamp_file
from holdfast.update.tuf_files import read_root, read_targets
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.supply.model import Offer, PayloadKind
from holdfast_core.update.agreement import DEVICE as DEVICE_FIELD
from holdfast_core.update.agreement import Board, Target, accept
from holdfast_core.update.repository import Direction, Issue, Name, Online, Part, Repository
from holdfast_core.wire.update_metadata import Versions
from repository_builders import ACTOR, DEVICE, MODEL, SCOPE, Client, People, Plant, a_release

pytestmark = pytest.mark.anyio
FIRST = 1_000_001
PATH = f"{MODEL}/1.0.0/rootfs.img"


def image_files(plant, path=PATH, root=0):
    return plant.images.files_newer(Versions(root), path, SCOPE)


async def director_files(plant, root=0):
    files, changes = plant.director.files_newer(DEVICE, Versions(root), plant.now)
    await plant.store.commit(changes)
    return files


def image_client(plant, folder):
    return Client(folder, plant.images.file(SCOPE, "1.root.json"), plant.clock)


def director_client(plant, folder):
    return Client(folder, plant.director.file(DEVICE, f"{FIRST}.root.json", plant.now)[0], plant.clock)


def agreed(client, path):
    """What a client's verified metadata says of a target, as the device's rule takes it."""
    info = client.target(path)
    if info is None:
        return None
    offer = msgspec.convert(info.custom["holdfast"], Offer)
    return Target(path, info.length, f"sha256:{info.hashes['sha256']}", offer)


def device_takes(director, image, path):
    named = director.updater._trusted_set.targets.unrecognized_fields[DEVICE_FIELD]
    board = Board("cam-1", MODEL, ("gw-1",), PayloadKind.FILE, 0, 0, 0)
    return accept(board, agreed(director, path), agreed(image, path), named=named, now=Instant(0))


async def published(tmp_path):
    plant = await Plant().found()
    release = a_release()
    await plant.publish(release)
    await plant.direct(release)
    return plant, director_client(plant, tmp_path / "director"), image_client(plant, tmp_path / "image")


def stolen(plant, which):
    """The thief's copy of the server's key."""
    return plant.images.shelf(SCOPE).signers[
        (Name.DIRECTOR, "targets") if which is Online.DIRECTOR else (Name.IMAGE, which.value)
    ]


def evil_set(plant, release, *, ahead=0):
    kept = plant.store.kept(Direction, SCOPE, "cam-1")
    version = kept.version + 1 + ahead
    direction = Direction(
        SCOPE, "cam-1", version=version, issued=plant.now, timestamp=version, stamped=plant.now, release=release.id
    )
    made = signed_set(direction, target_of(release), 7 * DAY, stolen(plant, Online.DIRECTOR))
    return {
        f"{version}.targets.json": made.targets,
        f"{version}.snapshot.json": made.snapshot,
        "timestamp.json": made.timestamp,
    }


async def test_a_stolen_director_key_installs_nothing_that_the_threshold_did_not_sign(tmp_path):
    plant, director, image = await published(tmp_path)
    director.refresh(await director_files(plant))
    image.refresh(image_files(plant))
    assert device_takes(director, image, PATH).length > 0, "control: the true release is taken"
    evil = a_release("6.6.6", counter=666)
    director.refresh(evil_set(plant, evil))
    with pytest.raises(HostileData) as refused:
        device_takes(director, image, f"{MODEL}/6.6.6/rootfs.img")
    assert refused.value.code == "update.not_in_image_repository"


async def test_a_stolen_director_key_cannot_change_what_a_published_release_is(tmp_path):
    plant, director, image = await published(tmp_path)
    image.refresh(image_files(plant))
    director.refresh(evil_set(plant, a_release(payload=b"evil")))
    with pytest.raises(HostileData) as refused:
        device_takes(director, image, PATH)
    assert refused.value.code == "update.repositories_disagree"


async def test_versions_that_a_thief_ran_far_ahead_are_forgotten_with_his_key(tmp_path):
    plant, director, image = await published(tmp_path)
    director.refresh(await director_files(plant))
    director.refresh(evil_set(plant, a_release(), ahead=2**50))
    plant.clock.forward(1000)
    with pytest.raises(BadVersionNumberError):
        director.refresh(await director_files(plant))
    await plant.images.submit(SCOPE, await plant.rotate(Name.DIRECTOR, fresh=(Online.DIRECTOR,)), actor=ACTOR)
    far = Versions(FIRST, 2**50, 2**50, 2**50)
    files, changes = plant.director.files_newer(DEVICE, far, plant.now)
    await plant.store.commit(changes)
    director.refresh(files)
    image.refresh(image_files(plant))
    assert device_takes(director, image, PATH).path == PATH


async def test_after_the_rotation_the_thief_of_the_old_director_key_is_nobody(tmp_path):
    plant, director, _ = await published(tmp_path)
    director.refresh(await director_files(plant))
    evil = evil_set(plant, a_release(), ahead=10**6)
    await plant.images.submit(SCOPE, await plant.rotate(Name.DIRECTOR, fresh=(Online.DIRECTOR,)), actor=ACTOR)
    director.refresh(await director_files(plant, FIRST))
    with pytest.raises(UnsignedMetadataError):
        director.refresh(evil)


async def test_a_root_of_the_director_never_passes_as_the_next_root_of_the_image_repository(tmp_path):
    """Its online key would become the key of all targets; the same people signed it."""
    plant, _, image = await published(tmp_path)
    image.refresh(image_files(plant))
    (directors,) = await plant.rotate(Name.DIRECTOR)
    with pytest.raises(RepositoryError):
        image.refresh({**image_files(plant), "2.root.json": directors.metadata})
    with pytest.raises(HostileData) as refused:
        await plant.images.submit(SCOPE, [CeremonyFile(Name.IMAGE, "root", directors.metadata)], actor=ACTOR)
    assert refused.value.code == "repository.other"


async def test_control_roots_that_count_alike_would_pass_for_each_other(tmp_path):
    plant, _, image = await published(tmp_path)
    image.refresh(image_files(plant))
    state = plant.images.shelf(SCOPE).state
    plan = making.plan_of(state.root(Name.IMAGE).root, await plant.images.online(SCOPE))
    naive = making.new_root(Name.DIRECTOR, SCOPE, plan, now=plant.now, before=state.root(Name.IMAGE).root)
    with pytest.raises(UnsignedMetadataError, match="timestamp"):
        image.refresh({**image_files(plant), "2.root.json": plant.people.sign(naive.data)})
    taken = json.loads((tmp_path / "image" / "root.json").read_bytes())
    assert taken["signed"]["x-holdfast-repository"] == "director"


async def test_a_rotation_below_the_threshold_is_refused_by_server_and_client(tmp_path):
    plant, _, image = await published(tmp_path)
    image.refresh(image_files(plant))
    one = People(3, 1)
    files = await plant.rotate(Name.IMAGE, people=one, signers=(0,))
    with pytest.raises(HostileData) as refused:
        await plant.images.submit(SCOPE, files, actor=ACTOR)
    assert refused.value.code == "repository.threshold"
    with pytest.raises(UnsignedMetadataError):
        image.refresh({**image_files(plant), "2.root.json": files[0].metadata})


async def test_control_at_the_threshold_a_device_five_roots_behind_follows(tmp_path):
    plant, _, image = await published(tmp_path)
    image.refresh(image_files(plant))
    for _ in range(5):
        files = await plant.rotate(Name.IMAGE, fresh=(Online.TIMESTAMP, Online.SNAPSHOT))
        await plant.images.submit(SCOPE, files, actor=ACTOR)
    image.refresh(image_files(plant, root=1))
    assert image.version("root") == 6
    assert image.target(PATH) is not None


async def proposed(plant):
    await plant.releasing.propose_release(SCOPE, a_release("2.0.0", counter=2), actor=ACTOR)
    (file,) = plant.images.ceremony(SCOPE).files
    return file


async def test_a_proposal_signed_by_a_key_of_somebody_else_gets_no_further(tmp_path):
    plant, _, _ = await published(tmp_path)
    file = await proposed(plant)
    signed = msgspec.structs.replace(file, metadata=People(2, 2).sign(file.metadata))
    with pytest.raises(HostileData) as refused:
        await plant.images.submit(SCOPE, [signed], actor=ACTOR)
    assert refused.value.code == "repository.signature"
    assert not plant.images.is_published(SCOPE, a_release("2.0.0", counter=2))


async def test_a_proposal_signed_twice_by_one_person_is_signed_once(tmp_path):
    plant, _, _ = await published(tmp_path)
    await proposed(plant)
    for _ in range(3):
        (progress,) = await plant.sign_all(1, 1)
        assert (progress.have, progress.in_force) == (1, False)
    (progress,) = await plant.sign_all(0)
    assert progress.in_force, "control: another person's signature counts"


async def test_one_key_under_two_names_does_not_count_twice(tmp_path):
    plant, _, _ = await published(tmp_path)
    root = json.loads(plant.images.file(SCOPE, "1.root.json"))
    keyid = root["signed"]["roles"]["targets"]["keyids"][0]
    root["signed"]["keys"]["f" * 64] = root["signed"]["keys"][keyid]
    root["signed"]["roles"]["targets"]["keyids"] = [keyid, "f" * 64]
    with pytest.raises(HostileData) as refused:
        read_root(json.dumps(root).encode())
    assert refused.value.code == "repository.key_twice"


async def test_a_signature_moved_from_one_proposal_to_another_does_not_count(tmp_path):
    plant, _, _ = await published(tmp_path)
    file = await proposed(plant)
    other = Metadata.from_bytes(plant.people.sign(plant.images.file(SCOPE, f"1.{MODEL}.json")))
    moved = Metadata.from_bytes(file.metadata)
    moved.signatures.update(other.signatures)
    with pytest.raises(HostileData) as refused:
        await plant.images.submit(SCOPE, [CeremonyFile(Name.IMAGE, MODEL, moved.to_bytes())], actor=ACTOR)
    assert refused.value.code == "repository.signature"


async def test_mix_and_match_across_published_snapshots_is_refused(tmp_path):
    plant, _, image = await published(tmp_path)
    old = image_files(plant)
    await plant.publish(a_release("2.0.0", counter=2))
    new = image_files(plant)
    snapshot = next(name for name in old if name.endswith("snapshot.json"))
    current = next(name for name in new if name.endswith("snapshot.json"))
    fresh = image_client(plant, tmp_path / "fresh")
    with pytest.raises(RepositoryError):
        fresh.refresh({**new, current: old[snapshot]})
    with pytest.raises(RepositoryError):
        image.refresh({**new, f"2.{MODEL}.json": old[f"1.{MODEL}.json"]}).target(PATH)
    assert image.refresh(new).target(f"{MODEL}/2.0.0/rootfs.img") is not None, "control"


async def test_the_thief_of_snapshot_and_timestamp_keys_cannot_take_a_release_back_from_a_device_that_saw_it(tmp_path):
    plant, _, image = await published(tmp_path)
    old_role = image_files(plant)[f"1.{MODEL}.json"]
    await plant.publish(a_release("2.0.0", counter=2))
    image.refresh(image_files(plant))
    image.target(PATH)
    state = plant.images.shelf(SCOPE).state
    parts = [part for role, part in state.parts.items() if role != MODEL]
    parts.append(Part(MODEL, 1, digest_of(old_role), len(old_role)))
    issue = Issue(plant.images.shelf(SCOPE).record.snapshot.version + 9, plant.now)
    snapshot = snapshot_file(issue, DAY, parts, stolen(plant, Online.SNAPSHOT))
    stamp = timestamp_file(issue, DAY, snapshot, issue.version, stolen(plant, Online.TIMESTAMP))
    evil = {"timestamp.json": stamp, f"{issue.version}.snapshot.json": snapshot, f"1.{MODEL}.json": old_role}
    with pytest.raises(BadVersionNumberError):
        image.refresh(evil)


async def test_an_older_record_in_the_store_is_refused_by_devices_and_never_by_silence(tmp_path):
    plant, _, image = await published(tmp_path)
    old = plant.store.kept(Repository, SCOPE, "image")
    await plant.publish(a_release("2.0.0", counter=2))
    image.refresh(image_files(plant)).target(PATH)
    plant.store.records[Repository, SCOPE, "image"] = old
    await plant.restart()
    record = plant.images.shelf(SCOPE).record
    held = Versions(1, record.timestamp.version + 1, record.snapshot.version + 1, 2, {MODEL: 2})
    with pytest.raises(BadVersionNumberError):
        image.refresh(plant.images.files_newer(held, PATH, SCOPE))


@pytest.mark.parametrize("what", ["root", "targets", MODEL])
async def test_a_file_that_was_changed_in_the_store_is_not_served(tmp_path, what):
    plant, _, _ = await published(tmp_path)
    record = plant.store.kept(Repository, SCOPE, "image")
    part = {"root": record.roots[0], "targets": record.targets}.get(what) or record.role(what)
    plant.store.blobs[SCOPE, part.digest] = plant.store.blobs[SCOPE, part.digest].replace(b"2027", b"2097")
    await plant.restart()
    with pytest.raises(WorldError) as refused:
        image_files(plant)
    assert refused.value.code == "repository.damaged"
    assert not plant.images.is_published(SCOPE, a_release())


async def test_a_file_that_was_exchanged_in_the_store_with_its_digest_is_not_served_either(tmp_path):
    plant, _, _ = await published(tmp_path)
    record = plant.store.kept(Repository, SCOPE, "image")
    state = plant.images.shelf(SCOPE).state
    made = making.next_file(state.role(MODEL), now=plant.now)
    making.with_target(made, target_of(a_release("6.6.6", counter=666)))
    evil = People(2, 2).sign(making.finished(made).data)
    plant.store.blobs[SCOPE, digest_of(evil)] = evil
    part = Part(MODEL, 2, digest_of(evil), len(evil))
    plant.store.records[Repository, SCOPE, "image"] = record.with_role(part)
    await plant.restart()
    with pytest.raises(WorldError) as refused:
        image_files(plant)
    assert refused.value.code == "repository.damaged"


async def test_control_what_nobody_touched_in_the_store_is_served(tmp_path):
    plant, _, image = await published(tmp_path)
    await plant.restart()
    assert image.refresh(image_files(plant)).target(PATH) is not None


async def test_what_was_signed_for_one_environment_is_not_taken_in_another():
    plant = Plant()
    staging = Scope("acme", "staging")
    online = await plant.images.online(staging)
    plan = making.RootPlan(plant.people.holders, plant.people.holders, online)
    root = making.new_root(Name.IMAGE, SCOPE, plan, now=plant.now)
    with pytest.raises(HostileData) as refused:
        await plant.images.submit(
            staging, [CeremonyFile(Name.IMAGE, "root", plant.people.sign(root.data))], actor=ACTOR
        )
    assert refused.value.code == "repository.other"


async def test_a_first_root_that_its_own_people_did_not_sign_founds_nothing():
    plant = Plant()
    online = await plant.images.online(SCOPE)
    plan = making.RootPlan(plant.people.holders, plant.people.holders, online)
    root = making.new_root(Name.IMAGE, SCOPE, plan, now=plant.now)
    with pytest.raises(HostileData) as refused:
        await plant.images.submit(
            SCOPE, [CeremonyFile(Name.IMAGE, "root", plant.people.sign(root.data, 0))], actor=ACTOR
        )
    assert refused.value.code == "repository.threshold"


def a_root():
    people, key = People(), ed25519.Ed25519PrivateKey.generate().public_key()
    plan = making.RootPlan(people.holders, people.holders, dict.fromkeys(Online, key))
    return people.sign(making.new_root(Name.IMAGE, SCOPE, plan, now=Instant(0)).data)


def a_targets():
    people = People()
    return people.sign(making.first_targets(SCOPE, people.holders, now=Instant(0)).data)


SAMPLES = (a_root(), a_targets())
CEREMONY = encode_ceremony(
    decode_ceremony(msgspec.json.encode({"kind": "holdfast-ceremony", "scope": "a/b", "files": []}))
)
READERS = (read_root, read_targets, decode_ceremony, read_holding)


def only_hostile(reader, data):
    with suppress(HostileData):
        reader(data)


@pytest.mark.parametrize("reader", READERS)
@given(data=st.binary(max_size=200) | st.text(max_size=50).map(lambda text: json.dumps(text).encode()))
def test_arbitrary_bytes_are_refused_with_words(reader, data):
    only_hostile(reader, data)


@pytest.mark.parametrize("reader", READERS)
@given(data=st.data())
def test_valid_files_with_bytes_changed_are_refused_with_words_or_read(reader, data):
    sample = bytearray(data.draw(st.sampled_from((*SAMPLES, CEREMONY))))
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.integers(0, len(sample) - 1))
        sample[where : where + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    only_hostile(reader, bytes(sample))


@pytest.mark.parametrize("sample", range(2))
def test_files_cut_off_anywhere_are_refused_with_words(sample):
    data = SAMPLES[sample]
    for length in range(len(data)):
        only_hostile(READERS[sample], data[:length])


@pytest.mark.parametrize(
    "text",
    [
        '{"signatures":[],"signed":' + "[" * 100_000,
        '{"signatures":[],"signed":{"_type":"targets","version":true,"spec_version":"1.0.31","expires":"2030-01-01T00:00:00Z","targets":{}}}',
        '{"signatures":[],"signed":{"_type":"targets","version":1.5,"spec_version":"1.0.31","expires":"2030-01-01T00:00:00Z","targets":{}}}',
        '{"signatures":[],"signed":{"_type":"targets","version":'
        + "9" * 5000
        + ',"spec_version":"1.0.31","expires":"2030-01-01T00:00:00Z","targets":{}}}',
        '{"signatures":[],"signed":{"_type":"targets","version":1,"spec_version":"1.0.31","expires":"2030-01-01T00:00:00Z","targets":{"\\ud800":{"length":1,"hashes":{"sha256":"0"}}}}}',
        '{"signatures":[{"keyid":"a","sig":"zz"},{"keyid":"a","sig":"zz"}],"signed":{"_type":"targets"}}',
    ],
)
def test_targets_made_to_trip_a_reader_are_refused_with_words(text):
    with pytest.raises(HostileData):
        read_targets(text.encode())


def test_control_what_people_signed_is_read():
    assert read_root(SAMPLES[0]).root.version == 1
    assert read_targets(SAMPLES[1]).targets.version == 1
    assert OnlineSigner(ed25519.Ed25519PrivateKey.generate()).keyid
