"""Local secrets from the check-in to the person who needs one."""

from __future__ import annotations

import pytest

from api_builders import holder, problem_of
from builders import ACTOR, FakeClock, new_plane, plane_on, settled
from holdfast_core.identity.model import Permission
from holdfast_core.identity.secrets import LocalSecret
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY
from holdfast_core.record.model import Kind, parse_entry
from secret_builders import BMC, PUMP, device_with, fetched, model_with, ordered, set_and_confirmed

pytestmark = pytest.mark.anyio
WHY = "the field engineer is at the pump"


async def told(plane, kind):
    """What the record says of one kind: actor and data."""
    leaves = [parse_entry(each.data) for each in plane.store.every_leaf()]
    return [(entry.actor, bytes(entry.data)) for entry in leaves if entry.kind is kind]


def stands(device, account="pump"):
    (found,) = [
        each
        for each in device.plane.secrets.listed(device.key.scope, device=device.key.device, limit=10)
        if each.record.account == account
    ]
    return found.state.value


async def test_a_device_is_told_what_waits_and_has_a_secret_of_its_own(tmp_path):
    async with new_plane(tmp_path) as plane:
        first, second = await device_with(plane, PUMP), await device_with(plane, PUMP, name="cam-2")
        assert ordered(await first.check_in()) == {"pump": 1}
        secret = await set_and_confirmed(first)
        assert len(secret) == 24
        assert secret != await set_and_confirmed(second)
        assert stands(first) == "confirmed"
        assert ordered(await first.check_in()) == {"pump": 1}  # until its report has come
        assert ordered(await first.check_in(reports=settled(2))) == {}
        assert [actor for actor, _ in await told(plane, Kind.SECRET_CONFIRMED)] == ["device:cam-1", "device:cam-2"]


async def test_a_model_without_local_accounts_orders_nothing(tmp_path):
    async with new_plane(tmp_path) as plane:
        from builders import enrolled  # noqa: PLC0415  (only here)

        assert ordered(await (await enrolled(plane)).check_in()) == {}


async def test_an_answer_that_was_lost_is_fetched_again_and_recorded_once(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP)
        first, second = await fetched(device), await fetched(device)
        assert first.secret == second.secret
        assert len(await told(plane, Kind.SECRET_DELIVERED)) == 1


async def test_a_device_whose_confirmation_was_lost_can_still_be_entered(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP)
        before = await set_and_confirmed(device)
        await plane.secrets.rotate(device.key, "pump", why=WHY, actor=ACTOR)
        after = (await fetched(device, version=2)).secret  # set, but nobody hears of it
        assert stands(device) == "delivered"
        seen = await plane.secrets.show(device.key, "pump", why=WHY, actor=ACTOR)
        assert [(each.secret, each.confirmed) for each in seen] == [(after, False), (before, True)]
        await plane.secrets.confirm(device.key, "pump", 2, actor=ACTOR)
        assert [each.number for each in plane.store.all_kept(LocalSecret)[0].versions] == [2]


async def test_secrets_are_there_after_a_restart(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP)
        secret = await set_and_confirmed(device)
    async with plane_on(tmp_path) as plane:
        (seen,) = await plane.secrets.show(device.key, "pump", why=WHY, actor=ACTOR)
        assert seen.secret == secret


async def test_one_that_was_shown_is_replaced_at_the_next_check_in(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP)
        await device.check_in()
        secret = await set_and_confirmed(device)
        await device.check_in(reports=settled(2))
        (seen,) = await plane.secrets.show(device.key, "pump", why=WHY, actor=ACTOR)
        assert seen.secret == secret
        assert await told(plane, Kind.SECRET_SHOWN) == [
            (ACTOR, b'{"account":"pump","versions":[1],"why":"the field engineer is at the pump"}')
        ]
        assert ordered(await device.check_in()) == {"pump": 2}
        assert await set_and_confirmed(device, version=2) != secret


async def test_an_old_one_is_replaced_when_its_days_are_over(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await device_with(plane, b"{name: pump, kind: service, rotate_days: 3}")
        await device.check_in()
        await set_and_confirmed(device)
        await device.check_in(reports=settled(2))
        clock.forward(3 * DAY - 1)
        assert stands(device) == "confirmed"
        clock.forward(1)
        assert ordered(await device.check_in()) == {"pump": 2}


async def test_one_that_a_person_types_in_is_made_shown_and_confirmed_by_hand(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, BMC)
        assert ordered(await device.check_in()) == {}
        with pytest.raises(HostileData) as refused:
            await fetched(device, "ADMIN")
        assert refused.value.code == "secret.stale"
        await plane.secrets.rotate(device.key, "ADMIN", why=WHY, actor=ACTOR)
        assert stands(device, "ADMIN") == "waiting"
        with pytest.raises(HostileData) as refused:
            await plane.secrets.confirm(device.key, "ADMIN", 1, actor=ACTOR)
        assert refused.value.code == "secret.not_delivered"
        (seen,) = await plane.secrets.show(device.key, "ADMIN", why=WHY, actor=ACTOR)
        assert (len(seen.secret), seen.confirmed) == (16, False)
        await plane.secrets.confirm(device.key, "ADMIN", 1, actor=ACTOR)
        assert stands(device, "ADMIN") == "confirmed"
        (again,) = await plane.secrets.show(device.key, "ADMIN", why=WHY, actor=ACTOR)
        assert (again.secret, again.confirmed) == (seen.secret, True)
        assert stands(device, "ADMIN") == "due"


async def test_one_that_is_on_the_device_already_is_kept_and_due(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP)
        await plane.secrets.take_over(device.key, "pump", "of the sticker", why=WHY, actor=ACTOR)
        assert stands(device) == "due"
        assert ordered(await device.check_in()) == {"pump": 2}
        await set_and_confirmed(device, version=2)
        for bad in ("", "two\nlines", "x" * 513):
            with pytest.raises(HostileData) as refused:
                await plane.secrets.take_over(device.key, "pump", bad, why=WHY, actor=ACTOR)
            assert refused.value.code == "secret.unfit"


async def test_a_rotated_vault_opens_every_secret_and_no_older_bytes(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, other = await device_with(plane, PUMP), await device_with(plane, PUMP, name="cam-2")
        secret = await set_and_confirmed(device)
        await set_and_confirmed(other)
        await plane.secrets.rotate(device.key, "pump", why=WHY, actor=ACTOR)
        newer = (await fetched(device, version=2)).secret
        old = {version.sealed for each in plane.store.all_kept(LocalSecret) for version in each.versions}
        done = await plane.vault_keys.rotate(plane.config.scope, actor=ACTOR)
        assert (done.resealed, done.destroyed) == (3, 1)
        new = {version.sealed for each in plane.store.all_kept(LocalSecret) for version in each.versions}
        assert not old & new
        seen = await plane.secrets.show(device.key, "pump", why=WHY, actor=ACTOR)
        assert [each.secret for each in seen] == [newer, secret]


async def test_many_accounts_come_a_few_at_a_time(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, *(b"{name: a%d, kind: service}" % number for number in range(10)))
        assert sorted(ordered(await device.check_in())) == [f"a{number}" for number in range(8)]
        for number in range(8):
            await set_and_confirmed(device, f"a{number}")
        assert ordered(await device.check_in(reports=settled(2))) == {"a8": 1, "a9": 1}


async def test_when_four_were_fetched_and_none_confirmed_a_person_has_to_look(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP)
        told = [(await fetched(device)).secret]
        for version in (2, 3, 4):
            await plane.secrets.rotate(device.key, "pump", why=WHY, actor=ACTOR)
            told.append((await fetched(device, version=version)).secret)
        with pytest.raises(HostileData) as refused:
            await plane.secrets.rotate(device.key, "pump", why=WHY, actor=ACTOR)
        assert refused.value.code == "secret.unconfirmed"
        seen = await plane.secrets.show(device.key, "pump", why=WHY, actor=ACTOR)
        assert [each.secret for each in seen] == told[::-1]
        assert not any(each.secret in repr(seen) for each in seen)
        await plane.secrets.confirm(device.key, "pump", 3, actor=ACTOR)
        await plane.secrets.rotate(device.key, "pump", why=WHY, actor=ACTOR)
        assert (await fetched(device, version=5)).version == 5


async def test_the_operator_api_says_the_same_and_takes_who_may_into_account(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_with(plane, PUMP, BMC)
        secret = await set_and_confirmed(device)
        at = "/secrets/cam-1/pump"
        async with holder(plane, Permission.READ, name="reader") as reader:
            items = (await reader.get("/secrets")).json()["items"]
            assert [(each["account"], each["state"], each["version"]) for each in items] == [
                ("ADMIN", "due", 0),
                ("pump", "confirmed", 1),
            ]
            assert secret not in (await reader.get("/secrets", params={"device": "cam-1"})).text
            assert problem_of(await reader.post(f"{at}/rotate", json={"why": WHY})) == (403, "token.permission")
        async with holder(plane, Permission.ADMIN) as admin:
            assert problem_of(await admin.post(f"{at}/show", json={"why": " "})) == (400, "why.missing")
            answer = await admin.post(f"{at}/show", json={"why": WHY})
            assert answer.json()["items"] == [{"version": 1, "secret": secret, "confirmed": True}]
            assert answer.headers["cache-control"] == "no-store"
            assert (await admin.post(f"{at}/rotate", json={"why": WHY})).json()["state"] == "due"
            kept = await admin.post("/secrets/cam-1/ADMIN/import", json={"secret": "calvin", "why": WHY})
            assert (kept.json()["version"], kept.json()["state"]) == (1, "due")
            again = await admin.post("/secrets/cam-1/ADMIN/rotate", json={"why": WHY})
            assert again.json()["unconfirmed"] == [2]
            await admin.post("/secrets/cam-1/ADMIN/show", json={"why": WHY})
            done = await admin.post("/secrets/cam-1/ADMIN/confirm", json={"version": 2})
            assert (done.json()["version"], done.json()["state"]) == (2, "confirmed")
            wrong = await admin.post("/secrets/cam-1/nobody/show", json={"why": WHY})
            assert problem_of(wrong) == (404, "secret.unknown")
            assert problem_of(await admin.get("/secrets", params={"device": "cam-9"})) == (404, "device.unknown")


@pytest.mark.parametrize(
    ("account", "code"),
    [
        (b"{name: -rf, kind: service}", "model.account_name"),
        (b"{name: 'a:b', kind: service}", "model.account_name"),
        (b"{name: pump, kind: service, length: 6}", "model.account_weak"),
        (b"{name: pump, kind: service, length: 12, alphabet: digits}", "model.account_weak"),
        (b"{name: pump, kind: service, length: 129}", "model.account_weak"),
        (b"{name: pump, kind: service, rotate_days: 0}", "model.number"),
    ],
)
async def test_an_account_that_cannot_be_is_refused_with_its_model(tmp_path, account, code):
    async with new_plane(tmp_path) as plane:
        with pytest.raises(HostileData) as refused:
            await plane.inventory.add_model(plane.config.scope, model_with(account), actor=ACTOR)
        assert refused.value.code == code


async def test_an_account_that_is_named_twice_is_refused(tmp_path):
    async with new_plane(tmp_path) as plane:
        with pytest.raises(HostileData) as refused:
            await plane.inventory.add_model(plane.config.scope, model_with(PUMP, PUMP), actor=ACTOR)
        assert refused.value.code == "model.duplicate"
