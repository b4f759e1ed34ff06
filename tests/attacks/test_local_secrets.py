"""Who wants a local secret that is not theirs to have."""

from __future__ import annotations

import msgspec
import pytest

from api_builders import holder, problem_of
from builders import ACTOR, new_plane
from holdfast_core.identity.model import Permission
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.identity.secrets import LocalSecret
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.ids import Scope
from holdfast_core.record.model import Kind, parse_entry
from secret_builders import BMC, PUMP, device_with, fetched, set_and_confirmed

pytestmark = pytest.mark.anyio
WHY = "the field engineer is at the pump"


async def refusal(work):
    with pytest.raises((HostileData, WorldError)) as refused:
        await work
    assert refused.value.remedy
    return refused.value.code


def shown(plane):
    return [
        parse_entry(each.data) for each in plane.store.every_leaf() if parse_entry(each.data).kind is Kind.SECRET_SHOWN
    ]


async def test_control_a_device_gets_its_own_secret_and_a_person_sees_it_once(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP)
        secret = await set_and_confirmed(device)
        (seen,) = await plane.secrets.show(device.key, "pump", why=WHY, actor=ACTOR)
        assert seen.secret == secret


async def test_another_device_asks_for_the_secret(tmp_path):
    """It can only name accounts of its own: one that its model has not, or one that is another secret."""
    async with new_plane(tmp_path) as plane:
        device, same = await device_with(plane, PUMP), await device_with(plane, PUMP, name="cam-2")
        secret = await set_and_confirmed(device)
        assert (await fetched(same)).secret != secret
        for account in ("cam-1/pump", "../cam-1/pump", "root", ""):
            assert await refusal(fetched(same, account)) == "secret.unknown"


async def test_a_revoked_device_asks(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP)
        await fetched(device)
        await plane.identity.revoke(device.key, why="stolen", actor=ACTOR)
        assert await refusal(fetched(device)) == "identity.revoked"
        assert await refusal(plane.secret_delivery.confirm(device.fingerprint, "pump", 1)) == "identity.revoked"


async def test_a_retired_device_asks(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP)
        await plane.retirement.retire(device.key, why="scrapped", actor=ACTOR)
        with pytest.raises(IdentityRefused):
            await fetched(device)


async def test_a_held_device_asks(tmp_path):
    """Whoever uses its identity may be somebody else."""
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP)
        await device.check_in()
        await plane.response.quarantine(device.key, why="odd", actor=ACTOR)
        assert await refusal(fetched(device)) == "secret.held"
        assert await refusal(plane.secret_delivery.confirm(device.fingerprint, "pump", 1)) == "secret.held"
        await plane.response.release(device.key, why="all is well", actor=ACTOR)
        assert (await fetched(device)).version == 1


async def test_a_certificate_that_nobody_issued_asks(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP)
        device.fingerprint = "sha256:" + "0" * 64
        assert await refusal(fetched(device)) == "identity.unknown"


async def test_it_is_shown_twice(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP)
        await set_and_confirmed(device)
        await plane.secrets.show(device.key, "pump", why=WHY, actor=ACTOR)
        assert await refusal(plane.secrets.show(device.key, "pump", why=WHY, actor="token:eve")) == "secret.shown"
        assert [entry.actor for entry in shown(plane)] == [ACTOR]


async def test_it_is_shown_without_a_reason(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP)
        await set_and_confirmed(device)
        assert await refusal(plane.secrets.show(device.key, "pump", why="  ", actor=ACTOR)) == "why.missing"
        assert shown(plane) == []


@pytest.mark.parametrize("permission", [Permission.READ, Permission.OPERATE])
async def test_an_operator_without_the_right_asks(tmp_path, permission):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP, BMC)
        await set_and_confirmed(device)
        async with holder(plane, permission) as caller:
            answer = await caller.post("/secrets/cam-1/pump/show", json={"why": WHY})
            assert problem_of(answer) == (403, "token.permission")
            answer = await caller.post("/secrets/cam-1/ADMIN/import", json={"secret": "calvin", "why": WHY})
            assert problem_of(answer) == (403, "token.permission")
            assert "calvin" not in answer.text
        assert shown(plane) == []


async def test_an_administrator_of_another_environment_asks(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP)
        await set_and_confirmed(device)
        async with holder(plane, scope=Scope("default", "test")) as caller:
            answer = await caller.post("/secrets/cam-1/pump/show", json={"why": WHY})
            assert problem_of(answer) == (404, "device.unknown")
            assert (await caller.get("/secrets")).json()["items"] == []


async def put(plane, record, **fields):
    await plane.store.commit([msgspec.structs.replace(record, **fields)])


async def test_somebody_changes_the_sealed_bytes_in_the_database(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP)
        await set_and_confirmed(device)
        (record,) = plane.store.all_kept(LocalSecret)
        (version,) = record.versions
        for sealed in (version.sealed[:-1] + bytes([version.sealed[-1] ^ 1]), version.sealed[:-1], b"", b"hunter2"):
            await put(plane, record, versions=(msgspec.structs.replace(version, sealed=sealed),))
            code = await refusal(plane.secrets.show(device.key, "pump", why=WHY, actor=ACTOR))
            assert code in {"vault.refused", "vault.malformed"}
        assert shown(plane) == []


async def test_somebody_puts_the_secret_of_one_device_in_the_place_of_anothers(tmp_path):
    """So that a person who may see the one is told the other."""
    async with new_plane(tmp_path) as plane:
        device, other = await device_with(plane, PUMP), await device_with(plane, PUMP, name="cam-2")
        await set_and_confirmed(device)
        await set_and_confirmed(other)
        mine, theirs = plane.store.all_kept(LocalSecret)
        await put(plane, mine, versions=theirs.versions)
        assert await refusal(plane.secrets.show(device.key, "pump", why=WHY, actor=ACTOR)) == "vault.refused"


async def test_somebody_puts_an_old_secret_in_the_place_of_the_new_one(tmp_path):
    """An old password that leaked would be told as the one in force."""
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP)
        await set_and_confirmed(device)
        (old,) = plane.store.all_kept(LocalSecret)
        await plane.secrets.rotate(device.key, "pump", why=WHY, actor=ACTOR)
        await set_and_confirmed(device, version=2)
        (new,) = plane.store.all_kept(LocalSecret)
        forged = msgspec.structs.replace(new.versions[0], sealed=old.versions[0].sealed)
        await put(plane, new, versions=(forged,))
        assert await refusal(plane.secrets.show(device.key, "pump", why=WHY, actor=ACTOR)) == "vault.refused"


async def test_an_old_version_is_fetched_and_confirmed_again(tmp_path):
    """A request that was recorded on the way, or a restored image, brings no old secret back."""
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP)
        await set_and_confirmed(device)
        await plane.secrets.rotate(device.key, "pump", why=WHY, actor=ACTOR)
        await set_and_confirmed(device, version=2)
        assert await refusal(fetched(device, version=1)) == "secret.stale"
        assert await refusal(plane.secret_delivery.confirm(device.fingerprint, "pump", 1)) == "secret.stale"
        (record,) = plane.store.all_kept(LocalSecret)
        assert record.current is not None
        assert record.current.number == 2


async def test_a_version_that_does_not_wait_is_fetched_or_confirmed(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP)
        for version in (0, 2, 2**53 - 1):
            assert await refusal(fetched(device, version=version)) == "secret.stale"
        assert await refusal(plane.secret_delivery.confirm(device.fingerprint, "pump", 1)) == "secret.stale"
        await set_and_confirmed(device)
        assert await refusal(fetched(device, version=1)) == "secret.stale"
        assert await refusal(fetched(device, version=2)) == "secret.stale"
