"""Somebody calls the DDI API as a device that they are not. Each refusal stands beside a call that is let in."""

from __future__ import annotations

import pytest

from builders import ACTOR
from ddi_builders import Client, codes, ddi_lab
from holdfast.update.update_tokens import public_id
from holdfast_core.kernel.instants import DAY, HOUR

pytestmark = pytest.mark.anyio
PATHS = (
    ("GET", ""),
    ("PUT", "/configData"),
    ("GET", "/deploymentBase/1"),
    ("POST", "/deploymentBase/1/feedback"),
    ("GET", "/cancelAction/1"),
    ("POST", "/cancelAction/1/feedback"),
    ("GET", "/installedBase/1"),
    ("GET", "/confirmationBase"),
    ("GET", "/softwaremodules/2/artifacts"),
    ("GET", "/softwaremodules/2/artifacts/fw-2.0.swu"),
)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "ddi.unidentified"),
        ({"authorization": ""}, "ddi.unidentified"),
        ({"authorization": "TargetToken"}, "ddi.token"),
        ({"authorization": "TargetToken hfu_guessed"}, "ddi.token"),
        ({"authorization": "TargetToken " + "x" * 10_000}, "ddi.token"),
        ({"authorization": "GatewayToken {token}"}, "ddi.gateway_token"),
        ({"authorization": "Bearer {token}"}, "ddi.unidentified"),
        ({"authorization": "Basic {token}"}, "ddi.unidentified"),
        ({"authorization": "{token}"}, "ddi.unidentified"),
    ],
)
async def test_who_shows_no_identity_of_the_device_is_refused_everywhere(tmp_path, headers, code):
    async with ddi_lab(tmp_path) as lab:
        good = await lab.client()
        sent = {name: value.format(token=good.token) for name, value in headers.items()}
        nobody = Client(lab, "cam-1", headers=sent)
        for method, path in PATHS:
            answer = await nobody.ask(method, path, content=b"{}" if method != "GET" else None)
            assert codes(answer) == (401, code)
            assert "www-authenticate" in answer.headers
        assert lab.known() is None
        assert (await good.get()).status_code == 200


async def test_another_devices_token_opens_nothing(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        one, two = await lab.client("cam-1"), await lab.client("cam-2")
        await lab.rollout(await lab.release())
        await two.begin()
        thief = Client(lab, "cam-2", one.token)
        for method, path in PATHS:
            assert codes(await thief.ask(method, path, content=b"{}")) == (403, "ddi.other_device")
        assert codes(await Client(lab, "cam-9", one.token).get()) == (403, "ddi.other_device")
        assert (await one.get()).status_code == (await two.get()).status_code == 200


async def test_another_tenant_is_refused(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        for tenant, status in (("default", 200), ("DEFAULT", 200), ("other", 403), ("..", 404), ("default%2f", 404)):
            found = await Client(lab, "cam-1", client.token, tenant=tenant).get()
            assert found.status_code == status, tenant


async def test_an_expired_or_revoked_token_opens_nothing(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        key = await lab.device()
        short, kept = await lab.token(key, lifetime=HOUR), await lab.token(key)
        ended, made = await lab.tokens.create(key, lifetime=DAY, actor=ACTOR)
        for text in (short, kept, ended):
            assert (await Client(lab, "cam-1", text).get()).status_code == 200
        await lab.tokens.revoke(key, public_id(made), actor=ACTOR)
        lab.clock.forward(HOUR)
        found = [(await Client(lab, "cam-1", text).get()).status_code for text in (short, kept, ended)]
        assert found == [401, 200, 401]


async def test_a_token_ends_with_the_life_of_its_device_and_with_its_owner(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client("cam-1")
        other = await lab.client("cam-2")
        assert (await other.get()).status_code == 200
        await lab.plane.retirement.retire(lab.key("cam-2"), why="broken", actor=ACTOR)
        assert codes(await other.get()) == (401, "ddi.token")
        device = lab.store.device(lab.key("cam-1"))
        lab.clock.forward(1000)
        from msgspec.structs import replace  # noqa: PLC0415  (of this test alone)

        await lab.store.commit([replace(device, owner_since=lab.clock.now())])
        assert codes(await client.get()) == (401, "ddi.token")
        assert (await Client(lab, "cam-1", await lab.token(lab.key("cam-1"))).get()).status_code == 200


async def test_a_certificate_speaks_for_its_own_device_while_it_is_in_force(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        one, two = await lab.certified("cam-1"), await lab.certified("cam-2")
        thief = Client(lab, "cam-2", fingerprint=one.fingerprint)
        assert codes(await thief.get()) == (403, "ddi.other_device")
        unknown = Client(lab, "cam-1", fingerprint="sha256:" + "0" * 64)
        assert (await unknown.get()).status_code in (401, 403)
        assert (await one.get()).status_code == (await two.get()).status_code == 200
        await lab.plane.identity.revoke(lab.key("cam-1"), why="stolen", actor=ACTOR)
        assert (await one.get()).status_code in (401, 403)
        assert (await two.get()).status_code == 200


async def test_a_certificate_counts_before_a_token(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        token = (await lab.client("cam-1")).token
        two = await lab.certified("cam-2")
        both = Client(lab, "cam-1", token, fingerprint=two.fingerprint)
        assert codes(await both.get()) == (403, "ddi.other_device")
        assert (await Client(lab, "cam-2", token, fingerprint=two.fingerprint).get()).status_code == 200


async def test_a_token_is_nowhere_on_the_disk(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await client.get()
        await lab.store.settled()
        texts = [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
        assert not any(client.token.encode() in text for text in texts)
        (made,) = lab.tokens.listed(lab.key("cam-1"))
        assert any(made.id.encode() in text for text in texts)  # its digest is: the search finds what is there


async def test_one_device_cannot_flood_the_server(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client, other = await lab.client("cam-1"), await lab.client("cam-2")
        found = [(await client.get()).status_code for _ in range(300)]
        assert set(found) == {200, 429}
        assert (await other.get()).status_code == 200
        lab.clock.forward(HOUR)
        assert (await client.get()).status_code == 200
