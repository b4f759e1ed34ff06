"""The image repository: founded, signed by people, served whole or by what is newer, the same after a restart."""

from __future__ import annotations

import json
import re

import pytest

from holdfast.ports.events import Noted
from holdfast.update import making
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.record.model import Kind
from holdfast_core.update.agreement import ISSUED, Exemption
from holdfast_core.update.repository import SNAPSHOT_LIFE, TIMESTAMP_LIFE, Name, Online, Repository
from holdfast_core.wire.update_metadata import FileName, Versions
from repository_builders import ACTOR, DEVICE, MODEL, SCOPE, Client, People, Plant, a_release

pytestmark = pytest.mark.anyio


def everything(plant, path=""):
    return plant.images.files_newer(Versions(root=0), path, SCOPE)


def client(plant, folder):
    return Client(folder, plant.images.file(SCOPE, "1.root.json"), plant.clock)


async def test_a_founded_repository_is_what_a_plain_tuf_client_takes(tmp_path):
    plant = await Plant().found()
    taken = client(plant, tmp_path).refresh(everything(plant))
    assert taken.version("targets") == 1


async def test_before_it_is_founded_nothing_is_served_and_nothing_can_be_proposed():
    plant = Plant()
    assert everything(plant) == {}
    with pytest.raises(HostileData) as refused:
        await plant.releasing.propose_release(SCOPE, a_release(), actor=ACTOR)
    assert refused.value.code == "repository.not_founded"


async def test_a_release_is_published_once_enough_people_signed(tmp_path):
    plant = await Plant().found()
    release = a_release()
    await plant.store.commit([release])
    await plant.releasing.propose_release(SCOPE, release, actor=ACTOR)
    first = await plant.sign_all(0)
    assert [(each.role, each.have, each.need, each.in_force) for each in first] == [
        ("targets", 1, 2, False),
        (MODEL, 1, 2, False),
    ]
    assert not plant.images.is_published(SCOPE, release)
    second = await plant.sign_all(2)
    assert all(each.in_force for each in second)
    assert plant.images.is_published(SCOPE, release)
    assert plant.images.proposals(SCOPE) == []
    path = f"{MODEL}/1.0.0/rootfs.img"
    target = client(plant, tmp_path).refresh(everything(plant, path)).target(path)
    assert target.length == release.payload.size
    assert target.custom["holdfast"]["counter"] == 1
    kinds = [event.kind for event in plant.events if isinstance(event, Noted)]
    assert kinds.count(Kind.REPOSITORY_SIGNED) == 2
    published = [event.data for event in plant.events if event.kind is Kind.REPOSITORY_PUBLISHED]
    assert [len(data["signers"].split(",")) for data in published if data["role"] == MODEL] == [2]
    assert kinds.count(Kind.RELEASE_PUBLISHED) == 1


async def test_after_a_restart_every_byte_is_the_same():
    plant = await Plant().found()
    await plant.publish(a_release())
    await plant.releasing.propose_release(SCOPE, a_release("2.0.0", counter=2), actor=ACTOR)
    path = f"{MODEL}/1.0.0/rootfs.img"
    before, waiting = everything(plant, path), plant.images.ceremony(SCOPE)
    await plant.restart()
    assert everything(plant, path) == before
    assert plant.images.ceremony(SCOPE) == waiting


async def test_a_device_that_holds_all_gets_nothing_and_one_that_lacks_something_only_that():
    plant = await Plant().found()
    await plant.publish(a_release())
    path = f"{MODEL}/1.0.0/rootfs.img"
    record = plant.images.shelf(SCOPE).record
    held = Versions(1, record.timestamp.version, record.snapshot.version, 2, {MODEL: 1, "exemptions": 1})
    assert plant.images.files_newer(held, path, SCOPE) == {}
    old = Versions(1, record.timestamp.version - 1, record.snapshot.version, 2, {})
    assert set(plant.images.files_newer(old, path, SCOPE)) == {
        "timestamp.json",
        f"1.{MODEL}.json",
        "1.exemptions.json",
    }
    assert set(plant.images.files_newer(old, "", SCOPE)) == {"timestamp.json"}


async def test_every_file_is_there_under_the_name_that_a_tuf_client_asks_for():
    plant = await Plant().found()
    await plant.publish(a_release())
    files = everything(plant, f"{MODEL}/1.0.0/rootfs.img")
    for name, data in files.items():
        assert plant.images.file(SCOPE, name) == data
    assert plant.images.file(SCOPE, "9.root.json") is None
    assert plant.images.file(SCOPE, "../1.root.json") is None


async def test_a_client_between_two_requests_still_finds_the_snapshot_before_the_newest():
    plant = await Plant().found()
    version = plant.images.shelf(SCOPE).record.snapshot.version
    before = plant.images.file(SCOPE, f"{version}.snapshot.json")
    await plant.publish(a_release())
    assert plant.images.shelf(SCOPE).record.snapshot.version > version
    assert plant.images.file(SCOPE, f"{version}.snapshot.json") == before
    assert plant.images.file(SCOPE, "1.targets.json") is not None


async def test_snapshot_and_timestamp_are_signed_again_when_half_of_their_life_is_over(tmp_path):
    plant = await Plant().found()
    record = plant.images.shelf(SCOPE).record
    plant.clock.forward(TIMESTAMP_LIFE // 2 - 1)
    assert await plant.images.refresh_due(plant.now) == 0
    plant.clock.forward(1)
    assert await plant.images.refresh_due(plant.now) == 1
    stamped = plant.images.shelf(SCOPE).record
    assert (stamped.snapshot, stamped.timestamp.version > record.timestamp.version) == (record.snapshot, True)
    plant.clock.forward(SNAPSHOT_LIFE // 2)
    assert await plant.images.refresh_due(plant.now) == 1
    assert plant.images.shelf(SCOPE).record.snapshot.version > record.snapshot.version
    assert client(plant, tmp_path).refresh(everything(plant)).version("targets") == 1
    assert json.loads(plant.images.file(SCOPE, "timestamp.json"))["signed"][ISSUED] == plant.now


async def test_two_releases_wait_together_and_whoever_signed_the_first_signs_again():
    plant = await Plant().found()
    await plant.publish(a_release())
    await plant.releasing.propose_release(SCOPE, a_release("2.0.0", counter=2), actor=ACTOR)
    await plant.sign_all(0)
    await plant.releasing.propose_release(SCOPE, a_release("3.0.0", counter=3), actor=ACTOR)
    (waits,) = plant.images.proposals(SCOPE)
    assert (waits.proposal.signatures, len(waits.proposal.whys)) == ((), 2)
    await plant.sign_all(0, 1)
    assert plant.images.is_published(SCOPE, a_release("2.0.0", counter=2))
    assert plant.images.is_published(SCOPE, a_release("3.0.0", counter=3))


async def test_what_was_signed_of_a_proposal_that_was_overtaken_does_not_count():
    plant = await Plant().found()
    await plant.publish(a_release())
    await plant.releasing.propose_release(SCOPE, a_release("2.0.0", counter=2), actor=ACTOR)
    old = plant.images.ceremony(SCOPE).files
    await plant.releasing.propose_release(SCOPE, a_release("3.0.0", counter=3), actor=ACTOR)
    signed = [type(each)(each.repository, each.role, plant.people.sign(each.metadata, 0)) for each in old]
    with pytest.raises(HostileData) as refused:
        await plant.images.submit(SCOPE, signed, actor=ACTOR)
    assert refused.value.code == "repository.threshold"


async def test_a_proposal_expires():
    plant = await Plant().found()
    await plant.releasing.propose_release(SCOPE, a_release(), actor=ACTOR)
    files = plant.images.ceremony(SCOPE).files
    plant.clock.forward(31 * DAY)
    assert plant.images.proposals(SCOPE) == []
    signed = [type(each)(each.repository, each.role, plant.people.sign(each.metadata)) for each in files]
    with pytest.raises(HostileData) as refused:
        await plant.images.submit(SCOPE, signed, actor=ACTOR)
    assert refused.value.code == "repository.superseded"


async def test_a_model_may_have_signers_of_its_own():
    plant, product = await Plant().found(), People(2, 1)
    await plant.releasing.propose_delegation(SCOPE, MODEL, product.holders, actor=ACTOR)
    await plant.sign_all()
    release = a_release()
    await plant.releasing.propose_release(SCOPE, release, actor=ACTOR)
    (file,) = plant.images.ceremony(SCOPE).files
    with pytest.raises(HostileData) as refused:
        await plant.images.submit(SCOPE, [type(file)(Name.IMAGE, MODEL, plant.people.sign(file.metadata))], actor=ACTOR)
    assert refused.value.code == "repository.signature"
    await plant.images.submit(SCOPE, [type(file)(Name.IMAGE, MODEL, product.sign(file.metadata))], actor=ACTOR)
    assert plant.images.is_published(SCOPE, release)


async def test_a_release_can_be_withdrawn_and_is_gone_then(tmp_path):
    plant = await Plant().found()
    release = a_release()
    await plant.publish(release)
    await plant.releasing.propose_withdrawal(SCOPE, release.id, why="it bricks", actor=ACTOR)
    await plant.sign_all()
    assert not plant.images.is_published(SCOPE, release)
    path = f"{MODEL}/1.0.0/rootfs.img"
    assert client(plant, tmp_path).refresh(everything(plant, path)).target(path) is None


async def test_a_release_under_a_published_name_is_refused_when_it_is_another():
    plant = await Plant().found()
    await plant.publish(a_release())
    with pytest.raises(HostileData) as refused:
        await plant.releasing.propose_release(SCOPE, a_release(payload=b"other"), actor=ACTOR)
    assert refused.value.code == "repository.taken"
    assert await plant.releasing.propose_release(SCOPE, a_release(), actor=ACTOR) == ()


@pytest.mark.parametrize("model", ["root", "targets", "snapshot", "timestamp", "exemptions"])
async def test_no_model_takes_a_name_that_tuf_uses(model):
    plant = await Plant().found()
    with pytest.raises(HostileData) as refused:
        await plant.releasing.propose_release(SCOPE, a_release(model=model), actor=ACTOR)
    assert refused.value.code == "repository.reserved"


async def test_an_exemption_travels_with_the_metadata_of_its_release(tmp_path):
    plant = await Plant().found()
    release = a_release()
    await plant.publish(release)
    leave = Exemption(release.id, ("cam-1",), Instant(plant.now + DAY), "2.0.0 loses the camera")
    await plant.releasing.propose_exemption(SCOPE, "back-to-1", leave, actor=ACTOR)
    await plant.sign_all()
    path = f"{MODEL}/1.0.0/rootfs.img"
    files = everything(plant, path)
    (name,) = [name for name in files if name.startswith("targets/")]
    assert re.fullmatch(FileName.__metadata__[0].pattern, name)
    taken = client(plant, tmp_path).refresh(files)
    info = taken.target("exemptions/back-to-1.json")
    taken.updater.download_target(info)
    assert not [each for each in everything(plant, f"{MODEL}/9.9.9/x") if each.startswith("targets/")]
    await plant.restart()
    assert everything(plant, path) == files
    plant.clock.forward(2 * DAY)
    again = Exemption(release.id, ("cam-2",), Instant(plant.now + DAY), "another")
    await plant.releasing.propose_exemption(SCOPE, "again", again, actor=ACTOR)
    await plant.sign_all()
    assert [each.path for each in plant.images.shelf(SCOPE).state.exemptions] == ["exemptions/again.json"]


async def test_people_and_keys_of_targets_rotate_and_devices_follow(tmp_path):
    plant = await Plant().found()
    await plant.publish(a_release())
    path = f"{MODEL}/1.0.0/rootfs.img"
    taken = client(plant, tmp_path).refresh(everything(plant, path))
    new = People(3, 2)
    files = await plant.rotate(Name.IMAGE, people=new)
    state = plant.images.shelf(SCOPE).state
    made = list(files)
    for role in (MODEL, "exemptions"):
        renewed = making.finished(making.next_file(state.role(role), now=plant.now))
        made.append(type(files[0])(Name.IMAGE, role, new.sign(renewed.data)))
    await plant.images.submit(SCOPE, made, actor=ACTOR)
    taken.refresh(everything(plant, path))
    assert (taken.version("root"), taken.version("targets")) == (2, 3)
    assert taken.target(path) is not None


async def test_a_root_that_would_leave_targets_unsigned_is_refused_whole():
    plant = await Plant().found()
    files = await plant.rotate(Name.IMAGE, people=People(3, 2), targets=False)
    with pytest.raises(HostileData) as refused:
        await plant.images.submit(SCOPE, files, actor=ACTOR)
    assert refused.value.code == "repository.threshold"
    assert plant.images.shelf(SCOPE).state.root(Name.IMAGE).root.version == 1


async def test_an_online_key_made_anew_counts_from_the_root_that_names_it(tmp_path):
    plant = await Plant().found()
    taken = client(plant, tmp_path).refresh(everything(plant))
    before = plant.images.shelf(SCOPE).signers[Name.IMAGE, "timestamp"].keyid
    files = await plant.rotate(Name.IMAGE, fresh=(Online.TIMESTAMP, Online.SNAPSHOT))
    assert plant.images.shelf(SCOPE).signers[Name.IMAGE, "timestamp"].keyid == before
    await plant.images.submit(SCOPE, files, actor=ACTOR)
    assert plant.images.shelf(SCOPE).signers[Name.IMAGE, "timestamp"].keyid != before
    taken.refresh(everything(plant))
    await plant.restart()
    taken.refresh(everything(plant))


async def test_a_root_that_names_a_key_the_server_does_not_have_changes_nothing():
    plant, other = await Plant().found(), Plant()
    online = await other.images.online(SCOPE)
    state = plant.images.shelf(SCOPE).state
    plan = making.RootPlan(plant.people.holders, plant.people.holders, online)
    root = making.new_root(Name.IMAGE, SCOPE, plan, now=plant.now, before=state.root(Name.IMAGE).root)
    file = plant.images.ceremony(SCOPE).current[0]
    with pytest.raises(WorldError) as refused:
        await plant.images.submit(SCOPE, [type(file)(Name.IMAGE, "root", plant.people.sign(root.data))], actor=ACTOR)
    assert refused.value.code == "repository.key_away"
    assert plant.store.kept(Repository, SCOPE, "image").roots[-1].version == 1


async def test_submitting_what_is_in_force_again_changes_nothing():
    plant = await Plant().found()
    before = plant.images.shelf(SCOPE)
    await plant.images.submit(SCOPE, plant.images.ceremony(SCOPE).current, actor=ACTOR)
    assert plant.images.shelf(SCOPE).record == before.record


async def test_a_role_about_to_expire_is_proposed_anew_once():
    plant = await Plant().found()
    assert await plant.releasing.renew(SCOPE) == ()
    plant.clock.forward(310 * DAY)
    assert {each.role for each in await plant.releasing.renew(SCOPE)} == {"targets", "exemptions"}
    assert await plant.releasing.renew(SCOPE) == ()
    await plant.sign_all()
    assert plant.images.shelf(SCOPE).state.parts["targets"].version == 2


async def test_a_server_restored_from_a_backup_issues_above_all_that_it_ever_issued():
    plant = await Plant().found()
    backup = dict(plant.store.records)
    for _ in range(3):
        plant.clock.forward(4 * DAY)
        await plant.images.refresh_due(plant.now)
    newest = plant.images.shelf(SCOPE).record.timestamp.version
    await plant.direct(a_release())
    directed = plant.director.version(DEVICE)
    plant.store.records = backup
    await plant.restart()
    plant.clock.forward(4 * DAY)
    await plant.images.refresh_due(plant.now)
    assert plant.images.shelf(SCOPE).record.timestamp.version > newest
    await plant.direct(a_release())
    assert plant.director.version(DEVICE) > directed
