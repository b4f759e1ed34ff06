"""What operators say of chips: over the API, with what stands in the record and who may say it."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from api_builders import holder, problem_of
from builders import ACTOR, new_plane, plane_on
from certificate_builders import authority, leaf
from holdfast.inventory.model_file import example_bytes
from holdfast_core.identity.model import Permission
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.record.model import parse_entry

pytestmark = pytest.mark.anyio

CHIP = "sha256:" + "ab" * 32


async def add(plane, *names):
    scope = plane.config.scope
    model = await plane.inventory.add_model(scope, example_bytes("door-camera"), actor=ACTOR)
    for name in names:
        await plane.inventory.add_device(scope, Row(1, DeviceId(name), model.reference), actor=ACTOR)


async def recorded(plane):
    return [parse_entry(leaf.data) for leaf in await plane.store.leaves(0, 100)]


async def test_a_chip_is_pinned_listed_and_released_on_record(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        await add(plane, "cam-1")
        pinned = await api.post("/tpm/chips", json={"device": "cam-1", "digest": CHIP})
        assert pinned.status_code == 201
        assert (await api.get("/tpm/chips")).json()["items"] == [pinned.json()]
        released = await api.post(f"/tpm/chips/{CHIP}/release", json={"why": "the board was replaced"})
        assert released.json()["device"] == "cam-1"
        assert (await api.get("/tpm/chips")).json()["items"] == []
        said = [(entry.kind, entry.device, entry.actor) for entry in await recorded(plane)]
        assert said[-2:] == [("tpm.bound", "cam-1", "token:robot"), ("tpm.released", "cam-1", "token:robot")]


async def test_chips_and_roots_survive_a_restart(tmp_path):
    root, _ = authority("maker")
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        await add(plane, "cam-1")
        await api.post("/tpm/chips", json={"device": "cam-1", "digest": CHIP})
        pem = root.public_bytes(Encoding.PEM).decode()
        trusted = await api.post("/tpm/roots", json={"name": "maker", "certificate": pem, "first_use": True})
        assert trusted.status_code == 201
    async with plane_on(tmp_path) as plane:
        (binding,) = plane.chips.bindings(plane.config.scope)
        (kept,) = plane.chips.roots(plane.config.scope)
        assert (binding.device, f"sha256:{binding.id}") == ("cam-1", CHIP)
        assert x509.load_der_x509_certificate(kept.certificate) == root
        assert kept.first_use
        await plane.chips.distrust(plane.config.scope, "maker", why="it was broken into", actor=ACTOR)
        assert plane.chips.roots(plane.config.scope) == []


REFUSALS = {
    "no such device": ({"device": "cam-9", "digest": CHIP}, (404, "device.unknown")),
    "no digest": ({"device": "cam-2", "digest": "sha256:xyz"}, (400, "digest.invalid")),
    "a chip that another device has": ({"device": "cam-2", "digest": CHIP}, (409, "tpm.ek_bound")),
    "a device that has a chip": ({"device": "cam-1", "digest": "cd" * 32}, (409, "tpm.device_bound")),
}


@pytest.mark.parametrize(("body", "refusal"), REFUSALS.values(), ids=REFUSALS)
async def test_pinning_is_refused(tmp_path, body, refusal):
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        await add(plane, "cam-1", "cam-2")
        await api.post("/tpm/chips", json={"device": "cam-1", "digest": CHIP})
        assert problem_of(await api.post("/tpm/chips", json=body)) == refusal
        assert len((await api.get("/tpm/chips")).json()["items"]) == 1


async def test_what_is_no_authority_is_not_trusted(tmp_path):
    issuer, key = authority("maker")
    certificate, _ = leaf("chip", issuer, key)
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        for pem in (certificate.public_bytes(Encoding.PEM).decode(), "nothing", "\u2014"):
            answer = await api.post("/tpm/roots", json={"name": "maker", "certificate": pem})
            assert problem_of(answer) == (400, "tpm.root_invalid")


async def test_a_reader_looks_and_an_operator_pins_but_only_an_admin_trusts(tmp_path):
    async with new_plane(tmp_path) as plane:
        await add(plane, "cam-1")
        async with holder(plane, Permission.READ, name="eye") as api:
            assert (await api.get("/tpm/roots")).status_code == 200
            pinned = await api.post("/tpm/chips", json={"device": "cam-1", "digest": CHIP})
            assert problem_of(pinned) == (403, "token.permission")
        async with holder(plane, Permission.OPERATE, name="hand") as api:
            assert (await api.post("/tpm/chips", json={"device": "cam-1", "digest": CHIP})).status_code == 201
            trusted = await api.post("/tpm/roots", json={"name": "maker", "certificate": ""})
            assert problem_of(trusted) == (403, "token.permission")
