"""Attacks on bundles that people carry to sites without a network, and the device's rule that they meet.

`taken` is that rule, as an agent carries it out: the chain of image roots from the pinned one, the offline root by the
image root's own signers, TUF from there, the director's word by the director's root, then `agreement.accept`.
"""

from __future__ import annotations

import io
import json
import zipfile

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from tuf.api.exceptions import ExpiredMetadataError, RepositoryError, UnsignedMetadataError

from builders import START
from holdfast.cli.keys_bundle import write_bundle
from holdfast.update.bundle import DIRECTED, Bundles
from holdfast.update.director import enveloped
from holdfast.update.making import public_of
from holdfast.update.online_files import OnlineSigner, snapshot_file, timestamp_file
from holdfast.update.tuf_files import read_root, require_threshold
from holdfast_core.formats.dsse import open_envelope
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.kernel.digests import canonical
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.supply.model import Offer, PayloadKind
from holdfast_core.update.agreement import Board, Target, accept
from holdfast_core.update.repository import (
    BUNDLE_TYPE,
    FIRST_ROOT,
    REPOSITORY,
    SCOPE,
    Issue,
    Name,
    Online,
    SiteTargets,
)
from repository_builders import ACTOR, MODEL, Client, Plant, a_release
from repository_builders import SCOPE as HERE

pytestmark = pytest.mark.anyio
PATH = f"{MODEL}/1.0.0/rootfs.img"
OFFLINE = FIRST_ROOT[Name.OFFLINE]


async def carried(**about):
    """A founded plant with two gateways at a site, and the bundle for it."""
    plant = await Plant().found()
    await plant.publish(a_release())
    for name, site in (("cam-1", "mine-4"), ("cam-2", "mine-4"), ("cam-3", "harbour")):
        key = DeviceKey(HERE, DeviceId(name))
        plant.store.fleet.append(Device(key, Lifecycle.ENROLLED, START, f"{MODEL}@1", site=site))
        await plant.direct(a_release(), key)
    plant.bundles = Bundles(store=plant.store, images=plant.images, director=plant.director)
    return plant, plant.bundles.make(HERE, "mine-4", now=plant.now, **about)


def chain(pinned, files, folder):
    """The newest root of a chain that begins with the pinned one."""
    trusted = pinned
    while (data := files.get(f"{folder}/{trusted.root.version + 1}.root.json")) is not None:
        following = read_root(data)
        require_threshold(trusted.root, "root", following)
        require_threshold(following.root, "root", following)
        trusted = following
    return trusted


def taken(plant, files, folder, *, device="cam-1"):
    """The target that a device takes from a bundle; raises why it does not."""
    image = chain(read_root(plant.images.file(HERE, "1.root.json")), files, "image")
    offline = read_root(next(files[name] for name in sorted(files, reverse=True) if name.startswith("offline/")))
    require_threshold(image.root, "root", offline)
    said = (offline.root.unrecognized_fields[REPOSITORY], offline.root.unrecognized_fields[SCOPE])
    assert said == ("offline", str(HERE))
    served = {name.removeprefix("metadata/"): data for name, data in files.items()}
    client = Client(folder, offline.data, plant.clock).refresh(served)
    director = chain(read_root(files[f"director/{FIRST_ROOT[Name.DIRECTOR]}.root.json"]), files, "director")
    keyid = director.root.roles["targets"].keyids[0]
    opened = open_envelope(files[DIRECTED], BUNDLE_TYPE, {keyid: public_of(director.root.keys[keyid])})
    word = msgspec.json.decode(opened.payload, type=SiteTargets)
    if plant.now >= word.expires or word.scope != str(HERE):
        raise HostileData("update.bundle_expired", "The director's word has expired.", remedy="Carry a new bundle.")
    mine = next((each for each in word.targets if device in each.devices), None)
    directed = Target(mine.path, mine.length, mine.digest, mine.offer) if mine else None
    info = client.target(directed.path) if directed else None
    imaged = None
    if info is not None:
        offer = msgspec.convert(info.custom["holdfast"], Offer)
        imaged = Target(info.path, info.length, f"sha256:{info.hashes['sha256']}", offer)
    board = Board(device, MODEL, ("gw-1",), PayloadKind.FILE, 0, 0, 0)
    return accept(board, directed, imaged, named=device, now=plant.now)


def resigned(plant, files, *, key=None, life=180 * DAY, version=10**11):
    """The bundle with a snapshot and timestamp of the thief's making."""
    signer = OnlineSigner(key) if key else plant.images.signer(HERE, Online.BUNDLE)
    state, issue = plant.images.shelf(HERE).state, Issue(version, plant.now)
    snapshot = snapshot_file(issue, life, list(state.parts.values()), signer)
    stamp = timestamp_file(issue, life, snapshot, version, signer)
    return {**files, f"metadata/{version}.snapshot.json": snapshot, "metadata/timestamp.json": stamp}


async def test_control_a_device_of_the_site_takes_its_release_for_half_a_year(tmp_path):
    plant, bundle = await carried()
    assert taken(plant, bundle.files, tmp_path / "a").path == PATH
    plant.clock.forward(179 * DAY)
    assert taken(plant, bundle.files, tmp_path / "b").path == PATH
    (artefact,) = bundle.artefacts
    assert (artefact.size, artefact.name.startswith(f"targets/{MODEL}/1.0.0/")) == (a_release().payload.size, True)


async def test_an_old_bundle_is_refused_once_its_time_is_over(tmp_path):
    plant, bundle = await carried()
    plant.clock.forward(180 * DAY)
    with pytest.raises(ExpiredMetadataError):
        taken(plant, bundle.files, tmp_path)


async def test_a_bundle_for_another_site_is_not_taken(tmp_path):
    plant, bundle = await carried()
    with pytest.raises(HostileData) as refused:
        taken(plant, bundle.files, tmp_path, device="cam-3")
    assert refused.value.code == "update.not_directed"


async def test_the_directors_word_cannot_be_written_by_whoever_carries_the_bundle(tmp_path):
    plant, bundle = await carried()
    envelope = json.loads(bundle.files[DIRECTED])
    opened = plant.images.signer(HERE, Online.DIRECTOR)
    word = open_envelope(bundle.files[DIRECTED], BUNDLE_TYPE, {opened.keyid: opened.public}).payload
    evil = enveloped(BUNDLE_TYPE, word.replace(b"cam-2", b"cam-3"), OnlineSigner(ed25519.Ed25519PrivateKey.generate()))
    assert envelope["signatures"][0]["keyid"] == opened.keyid
    with pytest.raises(HostileData) as refused:
        taken(plant, {**bundle.files, DIRECTED: evil}, tmp_path, device="cam-3")
    assert refused.value.code == "dsse.signature"


async def test_the_thief_of_the_bundle_key_installs_nothing_that_people_did_not_sign(tmp_path):
    plant, bundle = await carried()
    assert taken(plant, resigned(plant, bundle.files), tmp_path / "control").path == PATH
    forged = bundle.files[f"metadata/1.{MODEL}.json"].replace(b"1.0.0", b"6.6.6")
    with pytest.raises(RepositoryError):
        taken(plant, {**resigned(plant, bundle.files), f"metadata/1.{MODEL}.json": forged}, tmp_path / "a")


async def test_the_thief_of_the_timestamp_key_makes_no_bundle(tmp_path):
    plant, bundle = await carried()
    thief = plant.keys.keys["update/acme/production/timestamp/1"]
    with pytest.raises(UnsignedMetadataError):
        taken(plant, resigned(plant, bundle.files, key=thief), tmp_path)


async def test_the_thief_of_the_bundle_key_says_nothing_to_devices_that_are_online(tmp_path):
    plant, bundle = await carried()
    files = {name.removeprefix("metadata/"): data for name, data in resigned(plant, bundle.files).items()}
    online = Client(tmp_path, plant.images.file(HERE, "1.root.json"), plant.clock)
    with pytest.raises(UnsignedMetadataError):
        online.refresh(files)
    with pytest.raises(RepositoryError):
        online.refresh({**files, "2.root.json": bundle.files[f"offline/{OFFLINE}.root.json"]})


async def test_an_offline_root_that_too_few_people_signed_is_refused(tmp_path):
    plant, bundle = await carried()
    files = await plant.rotate(Name.OFFLINE, fresh=(Online.BUNDLE,), signers=(0,))
    with pytest.raises(HostileData) as refused:
        taken(plant, {**bundle.files, f"offline/{OFFLINE + 1}.root.json": files[0].metadata}, tmp_path)
    assert refused.value.code == "repository.threshold"


async def test_an_older_bundle_after_a_newer_one_is_a_rollback(tmp_path):
    plant, old = await carried()
    plant.clock.forward(DAY)
    new = plant.bundles.make(HERE, "mine-4", now=plant.now)
    assert taken(plant, new.files, tmp_path).path == PATH
    with pytest.raises(RepositoryError):
        taken(plant, old.files, tmp_path)


async def test_after_the_bundle_key_was_rotated_the_next_bundle_is_taken_and_the_thiefs_is_not(tmp_path):
    plant, old = await carried()
    thief = plant.keys.keys["update/acme/production/bundle/1"]
    await plant.images.submit(HERE, await plant.rotate(Name.OFFLINE, fresh=(Online.BUNDLE,)), actor=ACTOR)
    new = plant.bundles.make(HERE, "mine-4", now=Instant(plant.now + 1000))
    assert taken(plant, new.files, tmp_path / "a").path == PATH
    with pytest.raises(UnsignedMetadataError):
        taken(plant, resigned(plant, new.files, key=thief), tmp_path / "b")
    assert taken(plant, old.files, tmp_path / "c").path == PATH, "until its time is over, for who never heard of it"


async def test_no_bundle_is_made_of_what_is_not_published_nor_for_nobody_nor_for_longer():
    plant, _ = await carried()
    newer = a_release("2.0.0", counter=2)
    for about, code in (
        ({"release": newer}, "bundle.not_published"),
        ({"life": 181 * DAY}, "bundle.life"),
    ):
        with pytest.raises(HostileData) as refused:
            plant.bundles.make(HERE, "mine-4", now=plant.now, **about)
        assert refused.value.code == code
    with pytest.raises(HostileData) as refused:
        plant.bundles.make(HERE, "nowhere", now=plant.now)
    assert refused.value.code == "bundle.empty"


async def test_the_same_bundle_is_the_same_file(tmp_path):
    plant, bundle = await carried()
    payload = tmp_path / "rootfs.img"
    payload.write_bytes(b"image1.0.0")
    (artefact,) = bundle.artefacts
    for name in ("a.zip", "b.zip"):
        write_bundle(tmp_path / name, bundle.files, {artefact.name: payload})
    data = (tmp_path / "a.zip").read_bytes()
    assert data == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read(artefact.name) == b"image1.0.0"
        assert canonical(sorted(archive.namelist())) == canonical(sorted({*bundle.files, artefact.name}))
    assert plant.bundles.make(HERE, "mine-4", now=plant.now).files == bundle.files
