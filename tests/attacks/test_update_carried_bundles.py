"""Attacks by whoever carries a bundle to a device without a network, or hands it another. Each has a control."""

from __future__ import annotations

import msgspec
import pytest

from carried_builders import FIRST_ROOT, MODEL, SCOPE, Remote, content, files_of, founded, released, written, zipped
from holdfast.update import making
from holdfast.update.ceremony import CeremonyFile
from holdfast.update.director import enveloped
from holdfast_core.formats.dsse import open_envelope
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.update.agreement import Exemption
from holdfast_core.update.repository import BUNDLE_TYPE, Name, Online
from repository_builders import ACTOR

pytestmark = pytest.mark.anyio
TWO, THREE = f"{MODEL}:2.0.0", f"{MODEL}:3.0.0"
PAYLOAD = f"targets/{MODEL}/2.0.0/"


@pytest.fixture
async def plant():
    return await founded()


@pytest.fixture
def remote(plant, tmp_path):
    return Remote(plant, tmp_path / "device")


@pytest.mark.parametrize("form", ["folder", "zip"])
async def test_control_a_bundle_is_installed_and_confirmed_without_a_network(plant, remote, tmp_path, form):
    files = files_of(plant, "2.0.0")
    path = written(tmp_path / "usb", files) if form == "folder" else zipped(tmp_path / "usb.zip", files)
    assert remote.take(path) == TWO
    assert (remote.runs, remote.driver.journal.floor, remote.reboots) == (content("2.0.0"), 2, 1)


async def test_control_a_clock_at_1970_is_lifted_by_the_floor_and_one_that_is_far_ahead_refuses(
    plant, remote, tmp_path
):
    path = written(tmp_path / "usb", files_of(plant, "2.0.0"))
    remote.wall = Instant(plant.now + 200 * DAY)
    assert remote.take(path) == "update.metadata_expired"
    remote.wall = Instant(0)
    assert remote.take(path) == TWO


async def test_an_older_bundle_after_a_newer_one_is_a_rollback(plant, remote, tmp_path):
    old = files_of(plant, "2.0.0")
    plant.clock.forward(DAY)
    await released(plant, "3.0.0", counter=3)
    assert remote.take(written(tmp_path / "new", files_of(plant, "3.0.0"))) == THREE
    assert remote.take(written(tmp_path / "old", old)) == "update.metadata_rollback"
    assert Remote(plant, tmp_path / "fresh").take(written(tmp_path / "old", old)) == TWO, "a control"
    assert remote.runs == content("3.0.0")


async def test_a_bundle_whose_time_is_over_is_refused(plant, remote, tmp_path):
    path = written(tmp_path / "usb", files_of(plant, "2.0.0"))
    plant.clock.forward(180 * DAY)
    assert remote.take(path) == "update.metadata_expired"


async def test_a_directors_word_whose_time_is_over_is_refused_though_its_metadata_lives(plant, remote, tmp_path):
    files = files_of(plant, "2.0.0")
    signer = plant.images.signer(SCOPE, Online.DIRECTOR)
    word = open_envelope(files["bundle.json"], BUNDLE_TYPE, {signer.keyid: signer.public}).payload
    short = {**msgspec.json.decode(word), "expires": plant.now + DAY}
    files["bundle.json"] = enveloped(BUNDLE_TYPE, msgspec.json.encode(short), signer)
    path = written(tmp_path / "usb", files)
    plant.clock.forward(2 * DAY)
    assert remote.take(path) == "update.bundle_expired"


async def test_a_bundle_for_another_site_has_nothing_for_this_device(plant, tmp_path):
    path = written(tmp_path / "usb", files_of(plant, "2.0.0"))
    assert Remote(plant, tmp_path / "harbour", "cam-3").take(path) == "update.not_directed"


async def test_a_directors_word_that_the_carrier_wrote_is_refused(plant, remote, tmp_path):
    files = files_of(plant, "2.0.0")
    thief = plant.images.signer(SCOPE, Online.BUNDLE)
    signer = plant.images.signer(SCOPE, Online.DIRECTOR)
    word = open_envelope(files["bundle.json"], BUNDLE_TYPE, {signer.keyid: signer.public}).payload
    files["bundle.json"] = enveloped(BUNDLE_TYPE, word, thief)
    assert remote.take(written(tmp_path / "usb", files)) == "update.bundle_word"


@pytest.mark.parametrize("how", ["swapped", "cut", "missing"])
async def test_another_payload_than_was_signed_is_never_written(plant, remote, tmp_path, how):
    files = files_of(plant, "2.0.0")
    (name,) = [each for each in files if each.startswith(PAYLOAD)]
    if how == "missing":
        del files[name]
    else:
        files[name] = b"evil!" + files[name][5:] if how == "swapped" else files[name][:-1]
    code = {"swapped": "update.digest", "cut": "update.wrong_length", "missing": "update.payload_disk"}[how]
    for path in (written(tmp_path / "usb", files), zipped(tmp_path / "usb.zip", files)):
        assert remote.take(path) == code
    assert (remote.runs, remote.reboots) == (content("1.0.0"), 0)
    assert remote.driver.journal.install is None


async def test_the_word_of_one_bundle_does_not_direct_to_what_stands_in_another(plant, remote, tmp_path):
    old = files_of(plant, "2.0.0")
    plant.clock.forward(DAY)
    await released(plant, "3.0.0", counter=3)
    new = files_of(plant, "3.0.0")
    (payload,) = [each for each in old if each.startswith(PAYLOAD)]
    mixed = {**new, payload: old[payload], "bundle.json": old["bundle.json"]}
    assert remote.take(written(tmp_path / "mixed", mixed)) == "update.bundle_mixed"
    swapped = {**new, "metadata/timestamp.json": old["metadata/timestamp.json"]}
    assert remote.take(written(tmp_path / "swapped", swapped)).startswith("update.metadata_")
    assert remote.take(written(tmp_path / "new", new)) == THREE, "a control"


async def test_going_back_needs_an_exemption_and_it_travels_in_the_bundle(plant, remote, tmp_path):
    await released(plant, "3.0.0", counter=3)
    assert remote.take(written(tmp_path / "new", files_of(plant, "3.0.0"))) == THREE
    plant.clock.forward(DAY)
    back = next(each for (_, _, name), each in plant.store.records.items() if name == TWO)
    for device in plant.store.fleet:
        await plant.direct(back, device.key)
    assert remote.take(written(tmp_path / "back", files_of(plant, "2.0.0"))) == "update.downgrade"
    leave = Exemption(TWO, ("cam-1",), Instant(plant.now + 9 * DAY), "3.0.0 loses the camera")
    await plant.releasing.propose_exemption(SCOPE, "back", leave, actor=ACTOR)
    await plant.sign_all()
    plant.clock.forward(1000)
    assert remote.take(written(tmp_path / "leave", files_of(plant, "2.0.0"))) == TWO


async def test_an_offline_root_that_the_image_roots_signers_did_not_sign_is_refused(plant, remote, tmp_path):
    files = files_of(plant, "2.0.0")
    name = f"offline/{FIRST_ROOT[Name.OFFLINE]}.root.json"
    root = msgspec.json.decode(files[name])
    files[name] = msgspec.json.encode({**root, "signatures": root["signatures"][:1]})
    assert remote.take(written(tmp_path / "usb", files)) == "update.metadata_signature"


async def test_a_root_of_another_repository_by_the_same_people_is_no_root_of_bundles(plant, remote, tmp_path):
    files = files_of(plant, "2.0.0")
    root = files.pop(f"offline/{FIRST_ROOT[Name.OFFLINE]}.root.json")
    assert root
    files["offline/9.root.json"] = files["image/1.root.json"]
    assert remote.take(written(tmp_path / "usb", files)) == "update.bundle_other_root"


async def test_an_offline_root_of_another_environment_by_the_same_people_is_refused(plant, remote, tmp_path):
    files = files_of(plant, "2.0.0")
    name = f"offline/{FIRST_ROOT[Name.OFFLINE]}.root.json"
    plan = making.RootPlan(plant.people.holders, plant.people.holders, await plant.images.online(SCOPE))
    for scope, code in ((Scope("acme", "staging"), "update.metadata_other_scope"), (SCOPE, TWO)):
        made = making.new_root(Name.OFFLINE, scope, plan, now=plant.now, before=None)
        assert remote.take(written(tmp_path / code, {**files, name: plant.people.sign(made.data)})) == code


async def test_a_rotated_bundle_key_is_followed_and_the_thief_of_the_old_one_refused(plant, remote, tmp_path):
    old = files_of(plant, "2.0.0")
    rotated = await plant.rotate(Name.OFFLINE, fresh=(Online.BUNDLE,))
    assert isinstance(rotated[0], CeremonyFile)
    await plant.images.submit(SCOPE, rotated, actor=ACTOR)
    plant.clock.forward(1000)
    new = files_of(plant, "2.0.0")
    stolen = {**new, "metadata/timestamp.json": old["metadata/timestamp.json"]}
    assert remote.take(written(tmp_path / "stolen", stolen)) == "update.metadata_signature"
    assert remote.take(written(tmp_path / "new", new)) == TWO, "a control"
    assert remote.take(written(tmp_path / "old", old)) == "update.metadata_rollback"
