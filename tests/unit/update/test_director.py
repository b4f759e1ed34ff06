"""The director: each device's own metadata, signed online, the same bytes whenever they are made."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuf.api.metadata import Metadata

from builders import START
from holdfast.update.director import CACHED, signed_set
from holdfast.update.making import tuf_key
from holdfast.update.online_files import OnlineSigner, key_id
from holdfast_core.formats.dsse import open_envelope
from holdfast_core.kernel.errors import Bug, WorldError
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.supply.model import Hardware, Nature, Offer, PayloadKind, Release
from holdfast_core.update.agreement import DEVICE as DEVICE_FIELD
from holdfast_core.update.agreement import Target
from holdfast_core.update.repository import TIMESTAMP_LIFE, Direction, Name, Online
from holdfast_core.wire.update_metadata import TIME_TYPE, Holding, Time, Versions
from repository_builders import DEVICE, MODEL, SCOPE, Client, MemoryKeys, Plant, a_release

pytestmark = pytest.mark.anyio
FIRST = 1_000_001


def root_of(plant):
    return plant.director.file(DEVICE, f"{FIRST}.root.json", plant.now)[0]


async def fetched(plant, versions=None, key=DEVICE):
    files, changes = plant.director.files_newer(key, versions or Versions(root=0), plant.now)
    await plant.store.commit(changes)
    return files


async def test_a_plain_tuf_client_takes_what_the_director_says_of_its_device(tmp_path):
    plant = await Plant().found()
    release = a_release()
    await plant.store.commit([release])
    await plant.direct(release)
    taken = Client(tmp_path, root_of(plant), plant.clock).refresh(await fetched(plant))
    assert taken.target(f"{MODEL}/1.0.0/rootfs.img").length == release.payload.size
    assert taken.updater._trusted_set.targets.unrecognized_fields[DEVICE_FIELD] == "cam-1"


async def test_both_repositories_say_the_same_of_a_target(tmp_path):
    plant = await Plant().found()
    release = a_release()
    await plant.publish(release)
    await plant.direct(release)
    path = plant.director.path(DEVICE)
    directed = Client(tmp_path / "d", root_of(plant), plant.clock).refresh(await fetched(plant)).target(path)
    image_files = plant.images.files_newer(Versions(root=0), path, SCOPE)
    imaged = Client(tmp_path / "i", image_files["1.root.json"], plant.clock).refresh(image_files).target(path)
    assert directed.to_dict() == imaged.to_dict()
    assert msgspec.convert(directed.custom["holdfast"], Offer) == release.offer


async def test_a_device_that_lacks_nothing_costs_neither_a_signature_nor_a_commit():
    plant = await Plant().found()
    release = a_release()
    await plant.store.commit([release])
    await plant.direct(release)
    kept = plant.store.kept(Direction, SCOPE, "cam-1")
    held = Versions(FIRST, kept.timestamp, kept.version, kept.version)
    commits = len(plant.store.commits)
    assert await fetched(plant, held) == {}
    assert plant.store.commits[commits:] == [[]]
    assert not plant.director._made


async def test_the_bytes_are_the_same_after_a_restart_and_out_of_the_cache():
    plant = await Plant().found()
    release = a_release()
    await plant.store.commit([release])
    await plant.direct(release)
    before = await fetched(plant)
    assert await fetched(plant) == before
    await plant.restart()
    assert await fetched(plant) == before


async def test_the_timestamp_alone_is_issued_again_at_half_its_life():
    plant = await Plant().found()
    assert plant.director.direct(DEVICE, None, plant.now) == (), "nobody asked for its metadata yet"
    await fetched(plant)
    kept = plant.store.kept(Direction, SCOPE, "cam-1")
    held = Versions(FIRST, kept.timestamp, kept.version, kept.version)
    plant.clock.forward(TIMESTAMP_LIFE // 2 - 1)
    assert await fetched(plant, held) == {}
    plant.clock.forward(1)
    assert set(await fetched(plant, held)) == {"timestamp.json"}
    assert plant.director.version(DEVICE) > kept.timestamp
    plant.clock.forward(200 * DAY)
    assert len(await fetched(plant, held)) == 3


async def test_directing_to_the_same_release_again_changes_nothing():
    plant = await Plant().found()
    release = a_release()
    await plant.direct(release)
    assert plant.director.direct(DEVICE, release, plant.now) == ()
    plant.clock.forward(1000)
    (to_nothing,) = plant.director.direct(DEVICE, None, plant.now)
    assert to_nothing.release == ""


async def test_a_device_that_was_directed_before_the_director_had_a_key_is_served_once_it_has(tmp_path):
    plant = Plant()
    release = a_release()
    await plant.store.commit([release])
    await plant.direct(release)
    assert (plant.director.version(DEVICE), await fetched(plant)) == (0, {})
    await plant.found()
    taken = Client(tmp_path, root_of(plant), plant.clock).refresh(await fetched(plant))
    assert taken.target(f"{MODEL}/1.0.0/rootfs.img") is not None


async def test_a_release_that_was_removed_is_directed_to_no_more(tmp_path):
    plant = await Plant().found()
    release = a_release()
    await plant.store.commit([release])
    await plant.direct(release)
    client = Client(tmp_path, root_of(plant), plant.clock).refresh(await fetched(plant))
    plant.clock.forward(1000)
    del plant.store.records[Release, SCOPE, release.id]
    client.refresh(await fetched(plant))
    assert client.target(f"{MODEL}/1.0.0/rootfs.img") is None
    assert plant.director.path(DEVICE) == ""


async def test_after_its_key_was_rotated_every_device_gets_new_files_and_takes_them(tmp_path):
    plant = await Plant().found()
    release = a_release()
    await plant.store.commit([release])
    await plant.direct(release)
    client = Client(tmp_path, root_of(plant), plant.clock).refresh(await fetched(plant))
    for _ in range(5):
        await plant.images.submit(SCOPE, await plant.rotate(Name.DIRECTOR, fresh=(Online.DIRECTOR,)), actor="token:x")
    client.refresh(await fetched(plant, Versions(FIRST)))
    assert client.version("root") == FIRST + 5
    assert client.target(f"{MODEL}/1.0.0/rootfs.img") is not None


async def test_the_time_is_signed_over_the_nonce_for_one_device():
    plant = await Plant().found()
    signer = plant.images.signer(SCOPE, Online.DIRECTOR)
    data = plant.director.signed_time(DEVICE, "nonce-0001", plant.now)
    opened = open_envelope(data, TIME_TYPE, {signer.keyid: signer.public})
    assert msgspec.json.decode(opened.payload, type=Time) == Time(plant.now, "nonce-0001", "cam-1")
    assert len(data) <= 1024


async def test_one_request_brings_both_repositories_and_the_next_brings_nothing():
    plant = await Plant().found()
    release = a_release()
    await plant.publish(release)
    await plant.direct(release)
    brought = await plant.answers.brought(DEVICE, Holding(Versions(FIRST), Versions(1), "nonce-0001"))
    assert set(brought.image) >= {"timestamp.json", "2.targets.json", f"1.{MODEL}.json"}
    assert len(brought.director) == 3
    assert brought.time
    kept, record = plant.store.kept(Direction, SCOPE, "cam-1"), plant.images.shelf(SCOPE).record
    director = Versions(FIRST, kept.timestamp, kept.version, kept.version)
    image = Versions(1, record.timestamp.version, record.snapshot.version, 2, {MODEL: 1, "exemptions": 1})
    again = await plant.answers.answer(DEVICE, msgspec.json.encode(Holding(director, image)))
    assert again == b"{}"


async def test_a_repository_that_is_not_served_keeps_no_device_from_being_directed():
    plant = await Plant().found()
    digest = plant.images.shelf(SCOPE).record.roots[0].digest
    kept = plant.store.blobs.pop((SCOPE, digest))
    await plant.restart()
    await plant.direct(a_release())
    assert plant.director.version(DEVICE) == 0
    with pytest.raises(WorldError):
        plant.director.files_newer(DEVICE, Versions(root=0), plant.now)
    plant.store.blobs[SCOPE, digest] = kept
    await plant.store.commit([a_release()])
    await plant.restart()
    assert len(await fetched(plant)) == 4
    assert plant.director.path(DEVICE)


async def test_many_devices_share_a_bounded_cache():
    plant = await Plant().found()
    for number in range(CACHED + 5):
        plant.director.files_newer(DeviceKey(SCOPE, DeviceId(f"cam-{number}")), Versions(root=0), plant.now)
    assert len(plant.director._made) == CACHED


digests = st.binary(min_size=32, max_size=32).map(lambda raw: "sha256:" + raw.hex())
offers = st.builds(
    Offer,
    release=st.from_regex(r"[a-z0-9]{1,20}:[a-z0-9.]{1,20}", fullmatch=True),
    counter=st.integers(0, 2**53 - 1),
    svn=st.integers(0, 2**53 - 1),
    kind=st.sampled_from(PayloadKind),
    hardware=st.lists(st.from_regex(Hardware.__metadata__[0].pattern, fullmatch=True), min_size=1).map(tuple),
    nature=st.sampled_from(Nature),
    needs=st.integers(0, 9),
    statement=st.just("") | digests,
)
targets = st.builds(
    Target,
    path=st.from_regex(r"[a-z0-9]{1,20}/[a-z0-9.]{1,20}/[A-Za-z0-9._+-]{1,40}", fullmatch=True),
    length=st.integers(1, 2**34),
    digest=digests,
    offer=offers,
)
SIGNER = OnlineSigner(MemoryKeys().create("x", None))


@given(
    st.none() | targets, st.integers(1, 2**53 - 1), st.from_regex(r"[a-z0-9][a-z0-9._-]{0,61}[a-z0-9]", fullmatch=True)
)
def test_python_tuf_reads_and_verifies_whatever_the_director_signs(target, version, device):
    direction = Direction(SCOPE, device, version=version, issued=START, timestamp=version, stamped=Instant(START + 1))
    made = signed_set(direction, target, DAY, SIGNER)
    for data in made:
        read = Metadata.from_bytes(data)
        tuf_key(SIGNER.public).verify_signature(read.signatures[SIGNER.keyid], read.signed_bytes)
        assert read.signed_bytes in data
    assert tuf_key(SIGNER.public).keyid == key_id(SIGNER.public)


def test_text_that_would_have_to_be_escaped_is_never_signed():
    direction = Direction(SCOPE, 'a"b', version=1, issued=START, timestamp=1, stamped=START)
    with pytest.raises(Bug):
        signed_set(direction, None, DAY, SIGNER)
