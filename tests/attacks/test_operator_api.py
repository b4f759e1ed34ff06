"""Attacks on the operator API, each beside a control that passes."""

from __future__ import annotations

import pytest

from api_builders import anybody, holder, problem_of, remote_app
from builders import ACTOR, FakeClock, enrolled, new_plane
from holdfast.inventory.model_file import example_bytes
from holdfast_core.identity.model import Permission
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.ids import DeviceId, Scope
from holdfast_core.kernel.instants import HOUR

pytestmark = pytest.mark.anyio


async def test_calling_without_a_token_or_with_one_that_is_none(tmp_path):
    async with new_plane(tmp_path) as plane:
        app = remote_app(plane)
        for headers, code in (
            ({}, "token.required"),
            ({"authorization": "Basic Zm9vOmJhcg=="}, "token.required"),
            ({"authorization": "Bearer"}, "token.invalid"),
            ({"authorization": "Bearer hft_" + "A" * 43}, "token.invalid"),
            ({"authorization": "Bearer hft_\u00fc"}, "token.invalid"),
        ):
            async with anybody(app) as api:
                raw = {name: value.encode("latin-1") for name, value in headers.items()}
                answer = await api.get("/devices", headers=raw)
                assert problem_of(answer) == (401, code)
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert problem_of(await api.get("/no/such/path", headers=raw)) == (401, code)
        async with holder(plane) as api:
            assert (await api.get("/devices")).status_code == 200


async def test_telling_unknown_revoked_and_expired_tokens_apart(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        scope, app = plane.config.scope, remote_app(plane)
        texts = ["hft_never_was"]
        for name in ("revoked", "expired", "good"):
            hours = 1 if name == "expired" else 9
            text, _ = await plane.tokens.create(
                scope, name, permission=Permission.ADMIN, lifetime=hours * HOUR, actor=ACTOR
            )
            texts.append(text)
        good = texts.pop()
        for text in texts[1:]:
            async with anybody(app, authorization=f"Bearer {text}") as api:
                assert (await api.get("/status")).status_code == 200
        await plane.tokens.revoke(scope, "revoked", actor=ACTOR)
        clock.forward(HOUR)
        answers = set()
        for text in texts:
            async with anybody(app, authorization=f"Bearer {text}") as api:
                answer = await api.get("/status")
                assert problem_of(answer) == (401, "token.invalid")
                answers.add((answer.content, tuple(sorted(answer.headers.items()))))
        assert len(answers) == 1
        async with anybody(app, authorization=f"Bearer {good}") as api:
            assert (await api.get("/status")).status_code == 200


async def test_seeing_another_scopes_device(tmp_path):
    async with new_plane(tmp_path) as plane:
        await enrolled(plane, "cam-1")
        other = Scope("rival", "production")
        async with holder(plane, scope=other) as spy, holder(plane) as owner:
            assert (await owner.get("/devices/cam-1")).status_code == 200
            for path in ("/devices/cam-1", "/devices/cam-1/report", "/devices/cam-1/history"):
                assert problem_of(await spy.get(path)) == (404, "device.unknown")
            assert problem_of(await spy.post("/devices/cam-1/quarantine", json={"why": "x"})) == (404, "device.unknown")
            assert (await spy.get("/devices")).json()["items"] == []
            assert (await spy.get("/models")).json()["items"] == []
            assert (await spy.get("/status")).json()["counts"] == {}
            theirs = (await spy.get("/log/leaves")).json()["items"]
            assert {item["entry"]["scope"]["tenant"] for item in theirs} == {"rival"}
            assert "cam-1" not in (await spy.get("/log/leaves")).text
            assert problem_of(await spy.get("/log/export")) == (403, "log.whole")
            assert "cam-1" in (await owner.get("/log/leaves")).text
            assert (await owner.get("/log/export")).status_code == 200


async def test_what_is_the_installations_from_another_scope(tmp_path):
    """The vault holds every tenant's secrets, and one chip is in one device, whoever's it is."""
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane, "cam-1")
        chip = f"sha256:{'ab' * 32}"
        await plane.chips.pin(device.key, chip, actor=ACTOR)
        rival = Scope("rival", "production")
        model = await plane.inventory.add_model(rival, example_bytes("door-camera"), actor=ACTOR)
        await plane.inventory.add_device(rival, Row(1, DeviceId("fan-1"), model.reference), actor=ACTOR)
        async with holder(plane, scope=rival) as spy, holder(plane) as owner:
            assert problem_of(await spy.post("/vault/rotate")) == (403, "vault.not_installation")
            taken = await spy.post("/tpm/chips", json={"device": "fan-1", "digest": chip})
            assert problem_of(taken) == (409, "tpm.ek_bound")
            assert "cam-1" not in taken.text
            assert (await owner.post("/vault/rotate")).status_code == 200


async def test_acting_with_a_token_that_may_only_look(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane, "cam-1")
        await device.check_in()
        why = {"why": "because"}
        operate = (
            ("POST", "/devices/cam-1/quarantine", why),
            ("POST", "/devices/cam-1/release", why),
            ("POST", "/devices/cam-1/audit", None),
            ("POST", "/devices/cam-1/harden", {"control": "AUTH-01"}),
            ("POST", "/devices/cam-1/model", {"model": "x@1"}),
            ("POST", "/devices", {"device": "new"}),
            ("POST", "/devices/import", None),
            ("POST", "/claims", {"device": "cam-1"}),
            ("POST", "/incidents/inc_1/close", why),
        )
        admin = (
            ("POST", "/models", None),
            ("POST", "/devices/cam-1/retire", why),
            ("POST", "/devices/cam-1/revoke", why),
            ("GET", "/tokens", None),
            ("POST", "/tokens", {"name": "mine", "permission": "admin"}),
            ("DELETE", "/tokens/robot", None),
            ("GET", "/log/export", None),
        )
        size = plane.store.log_size() + 2  # the two tokens
        async with (
            holder(plane, Permission.READ, name="looker") as looker,
            holder(plane, Permission.OPERATE, name="operator") as operator,
        ):
            for method, path, body in (*operate, *admin):
                assert problem_of(await looker.request(method, path, json=body)) == (403, "token.permission"), path
            for method, path, body in admin:
                assert problem_of(await operator.request(method, path, json=body)) == (403, "token.permission"), path
            assert plane.store.log_size() == size
            assert (await looker.get("/devices/cam-1")).json()["level"] == "trusted"
            held = await operator.post("/devices/cam-1/quarantine", json=why)
            assert held.json()["level"] == "quarantined"


async def test_climbing_out_of_the_path(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        await plane.inventory.import_devices(plane.config.scope, "device\ncam-1\n", actor=ACTOR)
        for path in (
            "/devices/%2e%2e%2f%2e%2e%2fkeys%2froot.key",
            "/devices/..%2ftokens",
            "/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
            "/devices/..%5c..",
            "/devices/cam-1%00",
            "/devices//etc/passwd",
            "/incidents/..%2f..",
        ):
            status, code = problem_of(await api.get(path))
            assert (status, code) in {
                (404, "request.no_such_path"),
                (400, "name.invalid"),
                (404, "model.unknown"),
                (404, "incident.unknown"),
            }, path
        assert problem_of(await api.post("/devices", json={"device": "../../x"})) == (400, "name.invalid")
        assert (await api.get("/devices/cam-1")).status_code == 200
