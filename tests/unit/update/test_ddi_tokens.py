"""Update tokens: shown once, kept as digests, bounded in number and life; and how people handle them."""

from __future__ import annotations

from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI

from builders import ACTOR
from ddi_builders import Client, ddi_lab
from holdfast.update.update_tokens import DEFAULT_TOKEN, LONGEST_TOKEN, TOKENS, public_id
from holdfast.web.api.callers import CALLER, Principal
from holdfast.web.api.update_tokens import router
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import HOUR, MINUTE

pytestmark = pytest.mark.anyio


async def code_of(work):
    with pytest.raises(HostileData) as refused:
        await work
    return refused.value.code


async def test_a_token_is_kept_as_its_digest_and_noted(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        key = await lab.device()
        text, made = await lab.tokens.create(key, lifetime=HOUR, actor=ACTOR)
        assert made.id == digest_of(text.encode())
        assert text not in repr(made)
        assert (made.expires_at - made.created_at, made.by) == (HOUR, ACTOR)
        await lab.tokens.revoke(key, public_id(made), actor=ACTOR)
        kinds = [leaf.data for leaf in await lab.store.history(key, kinds=(), limit=10)]
        assert any(b"update-token.created" in data for data in kinds)
        assert any(b"update-token.revoked" in data for data in kinds)
        assert not any(text.encode() in data for data in kinds)


async def test_tokens_have_bounds(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        key = await lab.device()
        for lifetime in (0, -1, LONGEST_TOKEN + 1):
            made = lab.tokens.create(key, lifetime=lifetime, actor=ACTOR)
            assert await code_of(made) == "update-token.lifetime"
        for _ in range(TOKENS):
            _, last = await lab.tokens.create(key, lifetime=DEFAULT_TOKEN, actor=ACTOR)
        more = lab.tokens.create(key, lifetime=DEFAULT_TOKEN, actor=ACTOR)
        assert await code_of(more) == "update-token.too_many"
        await lab.tokens.revoke(key, public_id(last), actor=ACTOR)
        await lab.tokens.create(key, lifetime=DEFAULT_TOKEN, actor=ACTOR)


async def test_only_devices_that_could_be_updated_get_one(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        unknown = lab.tokens.create(lab.key("nobody"), lifetime=HOUR, actor=ACTOR)
        assert await code_of(unknown) == "device.unknown"
        await lab.plane.inventory.add_device(lab.scope, Row(1, DeviceId("odd-1"), ""), actor=ACTOR)
        no_model = lab.tokens.create(lab.key("odd-1"), lifetime=HOUR, actor=ACTOR)
        assert await code_of(no_model) == "update-token.no_model"
        assert await code_of(lab.tokens.revoke(await lab.device(), "x", actor=ACTOR)) == "update-token.unknown"


async def test_the_last_use_is_noted_to_the_hour(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()

        def used():
            return lab.tokens.listed(lab.key("cam-1"))[0].used_at

        assert used() is None
        await client.get()
        first = used()
        assert first == lab.clock.now()
        lab.clock.forward(MINUTE)
        await client.get()
        assert used() == first
        lab.clock.forward(HOUR)
        await client.get()
        assert used() == lab.clock.now()


async def test_people_make_see_and_end_tokens_over_the_api(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        await lab.device()
        api = FastAPI()
        api.include_router(router)
        api.state.services = SimpleNamespace(update_tokens=lab.tokens)
        principal = Principal("os-user:anna", lab.scope)

        async def called(scope, receive, send):
            await api({**scope, "state": {CALLER: lambda _wanted: principal}}, receive, send)

        transport = httpx.ASGITransport(called)
        async with httpx.AsyncClient(transport=transport, base_url="http://test/devices/cam-1") as people:
            made = await people.post("/update-tokens", json={"lifetime_s": 3600})
            assert made.status_code == 201
            assert (await Client(lab, "cam-1", made.json()["token"]).get()).status_code == 200
            listed = (await people.get("/update-tokens")).json()["items"]
            assert [(each["id"], each["by"]) for each in listed] == [(made.json()["id"], "os-user:anna")]
            assert "token" not in listed[0]
            assert listed[0]["used_at"]
            ended = await people.delete(f"/update-tokens/{made.json()['id']}")
            assert ended.json()["revoked_at"]
            assert (await Client(lab, "cam-1", made.json()["token"]).get()).status_code == 401
            assert (await people.post("/update-tokens", json={"lifetime_s": 0})).status_code == 422
