"""Payloads leave the disk once nobody needs them, never before, and only where an admin says so."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from api_builders import holder, problem_of
from builders import FakeClock, new_plane, plane_on
from holdfast.update.uploads import IDLE
from holdfast_core.identity.model import Permission
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.ids import Scope
from holdfast_core.update.model import Wave
from holdfast_core.update.repository import Withdrawal
from reference_builders import Commands
from release_builders import (
    ADDER,
    APPROVER,
    NAME,
    NEW,
    OLD,
    PAYLOAD,
    PEOPLE,
    WHY,
    an_updater,
    begun,
    declared,
    founded,
    offered,
    published,
    release,
    send,
)

pytestmark = pytest.mark.anyio
FILE = digest_of(PAYLOAD + b"2.0")


async def signed(plane):
    """Have the signers sign whatever waits for them."""
    images, scope = plane.updating.images, plane.config.scope
    files = [msgspec.structs.replace(f, metadata=PEOPLE.sign(f.metadata)) for f in images.ceremony(scope).files]
    await images.submit(scope, files, actor=ADDER)


async def withdrawn(plane, name=NEW):
    """Have the signers take a release out."""
    scope = plane.config.scope
    await plane.updating.releasing.propose_withdrawal(scope, name, why=WHY, actor=ADDER)
    await signed(plane)


async def names(plane):
    """The payloads that may go."""
    return [each.digest for each in await plane.updating.pruning.prunable(plane.config.scope)]


async def test_the_payload_of_a_withdrawn_release_is_shown_first_and_goes_when_an_admin_says_so(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as admin:
        await offered(plane, "2.0")
        told = (await admin.post("/update/prune", json={})).json()
        assert told == {"items": [], "size": 0, "gone": False}, "what is published stays"
        await withdrawn(plane)
        shown = (await admin.post("/update/prune", json={})).json()
        assert [(each["digest"], each["releases"]) for each in shown["items"]] == [(FILE, [NEW])]
        assert (shown["size"], shown["gone"]) == (len(PAYLOAD) + 3, False)
        assert plane.updating.artefacts.holds(FILE), "it is only shown"
        gone = (await admin.post("/update/prune", json={"yes": True})).json()
        assert gone == {**shown, "gone": True}
        assert not plane.updating.artefacts.holds(FILE)
        assert (await admin.get(f"/update/releases/{NEW}")).json()["digest"] == FILE, "the release itself stays"
        kinds = [leaf.data for leaf in await plane.store.leaves(0, 500)]
        assert sum(b"release.pruned" in data and FILE.encode() in data for data in kinds) == 1
        assert (await admin.post("/update/prune", json={"yes": True})).json()["items"] == []


async def test_only_an_admin_lets_payloads_go(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.OPERATE) as operator:
        await offered(plane, "2.0")
        await withdrawn(plane)
        for body in ({}, {"yes": True}):
            assert problem_of(await operator.post("/update/prune", json=body))[0] == 403
        assert plane.updating.artefacts.holds(FILE)


async def test_what_was_never_published_or_waits_for_its_signers_again_stays(tmp_path):
    async with new_plane(tmp_path) as plane:
        await founded(plane)
        added = await offered(plane, "2.0", publish=False)
        assert await names(plane) == [], "it waits to be proposed"
        await published(plane, NEW)
        await withdrawn(plane)
        assert await names(plane) == [FILE], "the control"
        await plane.updating.releasing.propose_release(plane.config.scope, added, actor=ADDER)
        assert await names(plane) == [], "it is proposed again"
        await published(plane, NEW)
        assert plane.store.kept(Withdrawal, plane.config.scope, NEW) is None
        assert await names(plane) == []


async def test_what_a_device_is_directed_to_stays(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await an_updater(plane, "cam-1")
        await device.say()
        await begun(plane, Wave("all"))
        await device.say()
        await withdrawn(plane)
        assert await names(plane) == []
        await plane.updating.rollouts.abort(plane.config.scope, NAME, why=WHY, actor=APPROVER)
        await device.say()
        assert await names(plane) == [FILE], "the control: it is called off"


async def test_what_two_releases_share_stays_while_one_of_them_is_in_force(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane, holder(plane) as admin:
        await founded(plane)
        await release(admin)
        same = await admin.post("/update/releases", json=declared("3.0", PAYLOAD + b"2.0"))
        assert same.status_code == 201, same.text
        await signed(plane)
        clock.forward(IDLE + 1)
        await withdrawn(plane)
        assert await names(plane) == []
        await withdrawn(plane, "door-camera:3.0")
        assert await names(plane) == [FILE], "the control"


async def test_what_another_scope_needs_or_sent_stays(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        async with holder(plane, scope=Scope("other", "production"), name="theirs") as theirs:
            await release(theirs)
            await send(theirs, b"another one of theirs")
        await offered(plane, "2.0")
        await withdrawn(plane)
        clock.forward(IDLE + 1)
        assert await names(plane) == []


async def test_a_file_that_nobody_made_a_release_of_goes_after_an_hour(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane, holder(plane) as admin:
        await send(admin, PAYLOAD)
        assert await names(plane) == [], "its release may be about to be added"
        clock.forward(IDLE + 1)
        assert await names(plane) == [digest_of(PAYLOAD)]
    async with plane_on(tmp_path, clock=clock) as plane:
        assert await names(plane) == [digest_of(PAYLOAD)], "also of a server that ended"
        async with holder(plane, name="other") as admin:
            assert (await send(admin, PAYLOAD)).json()["whole"]
        assert await names(plane) == [], "it was sent again"


async def test_a_withdrawal_is_remembered_over_a_restart(tmp_path):
    async with new_plane(tmp_path) as plane:
        await offered(plane, "2.0")
        await withdrawn(plane)
    async with plane_on(tmp_path) as plane:
        assert await names(plane) == [FILE]


async def test_a_release_whose_payload_left_is_proposed_again_once_it_was_sent_again(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as admin:
        await offered(plane, "2.0")
        await withdrawn(plane)
        await plane.updating.pruning.prune(plane.config.scope, actor=ADDER)
        missing = await admin.post(f"/update/releases/{NEW}/propose")
        assert problem_of(missing) == (404, "artefact.missing")
        assert (await send(admin, PAYLOAD + b"2.0")).json()["whole"]
        assert (await admin.post(f"/update/releases/{NEW}/propose")).json() == {"proposed": True}


async def test_releases_are_listed_in_pages(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as admin:
        for number, version in enumerate(("1.0", "2.0", "3.0")):
            await release(admin, version, counter=number + 1)
        first = (await admin.get("/update/releases?limit=2")).json()
        assert [each["release"] for each in first["items"]] == ["door-camera:3.0", NEW]
        assert first["next"] == NEW
        last = (await admin.get(f"/update/releases?limit=2&after={NEW}")).json()
        assert ([each["release"] for each in last["items"]], last["next"]) == ([OLD], None)
        whole = (await admin.get("/update/releases?limit=3&model=door-camera")).json()
        assert (len(whole["items"]), whole["next"]) == (3, None)


def test_the_command_shows_first_lets_go_with_yes_and_follows_pages(tmp_path, monkeypatch):
    folder = tmp_path / "data"

    async def prepare():
        async with new_plane(folder) as plane, holder(plane) as admin:
            await offered(plane, "2.0")
            await withdrawn(plane)
            for number, version in enumerate(("1.0", "3.0")):
                await release(admin, version, counter=7 + number)

    asyncio.run(prepare())
    commands = Commands(folder)
    assert commands.told("release", "prune")["gone"] is False
    assert "holdfast release prune --yes" in commands.says("release", "prune")
    assert "1 payload left the disk" in commands.says("release", "prune", "--yes")
    assert "Every payload is needed." in commands.says("release", "prune")
    monkeypatch.setattr("holdfast.cli.connection.PAGE", 1)
    assert len(commands.told("release", "list")["items"]) == 3
