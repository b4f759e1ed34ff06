"""The same people sign for two environments: what they signed for one counts for nothing in the other."""

from __future__ import annotations

import msgspec
import pytest
from tuf.api.metadata import Metadata

from holdfast.update import making
from holdfast.update.online_files import OnlineSigner, snapshot_file, timestamp_file
from holdfast_agent.update.trust import Trust
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.update.repository import SCOPE as MEMBER
from holdfast_core.update.repository import Issue, Name, Online, Part
from holdfast_core.wire.update_metadata import Brought
from repository_builders import DEVICE, MODEL, SCOPE, Plant, a_release

pytestmark = pytest.mark.anyio
STAGING = Scope("acme", "staging")
PATH = f"{MODEL}/1.0.0/rootfs.img"


@pytest.fixture
async def plant():
    plant = await Plant().found()
    await plant.publish(a_release())
    await plant.direct(a_release())
    return plant


def started(plant, folder):
    return Trust(folder, "cam-1", wall=plant.clock.now, up=lambda: 60_000, built=Instant(plant.now - DAY))


async def a_device(plant, folder):
    """A device that verified everything once."""
    trust = started(plant, folder)
    trust.begin(plant.images.shelf(SCOPE).state.roots[Name.DIRECTOR][0].data, plant.images.file(SCOPE, "1.root.json"))
    return trust


def code_of(call, *arguments):
    with pytest.raises(HostileData) as refused:
        call(*arguments)
    return refused.value.code


@pytest.mark.parametrize("name", [Name.IMAGE, Name.DIRECTOR])
async def test_a_root_of_the_other_environment_is_no_next_root_of_this_one(plant, tmp_path, name):
    trust = await a_device(plant, tmp_path)
    plan = making.RootPlan(plant.people.holders, plant.people.holders, await plant.images.online(SCOPE))
    before = plant.images.shelf(SCOPE).state.root(name).root

    def brought(scope):
        root = plant.people.sign(making.new_root(name, scope, plan, now=plant.now, before=before).data)
        return Brought(**{name.value: {f"{before.version + 1}.root.json": root}})

    assert code_of(trust.take, brought(STAGING)) == "update.metadata_other_scope"
    assert getattr(trust.holding(), name.value).root == before.version
    # Control: the same of its own environment is followed; all that is missing is what follows a root.
    assert code_of(trust.take, brought(SCOPE)) == "update.metadata_missing"
    assert getattr(trust.holding(), name.value).root == before.version + 1


@pytest.mark.parametrize("role", ["targets", MODEL])
async def test_targets_that_people_signed_for_the_other_environment_are_refused(plant, tmp_path, role):
    for scope, code in ((SCOPE, ""), (STAGING, "update.metadata_other_scope")):
        trust = await a_device(plant, tmp_path / str(scope))
        brought = await answered(plant, trust, role, scope)
        if not code:
            trust.take(brought)
            assert trust.imaged(PATH).path == PATH, "a control"
        else:
            assert code_of(trust.take, brought) == code
            assert MODEL not in trust.holding().image.roles, "it is not kept"
            assert code_of(trust.imaged, PATH) == "update.metadata_missing", "it is asked for again"


async def test_roots_of_two_environments_are_not_pinned_together(plant, tmp_path):
    plan = making.RootPlan(plant.people.holders, plant.people.holders, await plant.images.online(SCOPE))
    image = plant.images.file(SCOPE, "1.root.json")
    for scope, code in ((STAGING, "update.metadata_other_scope"), (SCOPE, "")):
        director = plant.people.sign(making.new_root(Name.DIRECTOR, scope, plan, now=plant.now).data)
        trust = started(plant, tmp_path)
        if code:
            assert code_of(trust.begin, director, image) == code
            assert not trust.is_begun
        else:
            trust.begin(director, image)
    assert code_of(started(plant, tmp_path / "b").begin, image, image) == "update.metadata_other_repository"


def stolen(plant, which):
    return OnlineSigner(plant.keys.keys[f"update/acme/production/{which.value}/1"])


async def answered(plant, trust, role, scope):
    """What a server answers whose online keys are stolen: one role as people signed it for `scope`."""
    told = msgspec.json.decode(await plant.answers.answer(DEVICE, msgspec.json.encode(trust.holding())), type=Brought)
    state = plant.images.shelf(SCOPE).state
    data = state.targets.data if role == "targets" else state.roles[role]
    made = Metadata.from_bytes(data)
    made.signed.unrecognized_fields[MEMBER] = str(scope)
    made.signed.version += 1
    made.signatures.clear()
    data = plant.people.sign(made.to_bytes())
    part = Part(role, made.signed.version, digest_of(data), len(data))
    issue = Issue(10**11, plant.now)
    snapshot = snapshot_file(
        issue, DAY, [*(each for name, each in state.parts.items() if name != role), part],
        stolen(plant, Online.SNAPSHOT),
    )  # fmt: skip
    stamp = timestamp_file(issue, DAY, snapshot, issue.version, stolen(plant, Online.TIMESTAMP))
    image = {name: each for name, each in told.image.items() if not name.endswith((f".{role}.json", ".snapshot.json"))}
    image |= {f"{part.version}.{role}.json": data, f"{issue.version}.snapshot.json": snapshot, "timestamp.json": stamp}
    return msgspec.structs.replace(told, image=image)
