"""Attacks on the operator API through what is sent to it, each beside a control that passes."""

from __future__ import annotations

import msgspec
import pytest

from api_builders import anybody, holder, problem_of, remote_app
from builders import enrolled, new_plane
from holdfast.serving import services_of
from holdfast.web.api.app import operator_app
from holdfast.web.device.protocol import as_local_user
from holdfast_core.wire.frame import Section

pytestmark = pytest.mark.anyio
MARKUP = "<script>alert(1)</script>\"'&"


async def test_sending_more_than_is_taken(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        limits = plane.limits
        fits = b'{"device":"a"}'.ljust(limits.operator_bytes)
        headers = {"content-type": "application/json"}
        assert (await api.post("/devices", content=fits, headers=headers)).status_code == 201
        for path, limit in (
            ("/devices", limits.operator_bytes),
            ("/models", limits.model_bytes),
            ("/devices/import", limits.rows_text),
        ):
            announced = await api.post(path, content=b"x", headers={"content-length": str(limit + 1)})
            assert problem_of(announced) == (413, "http.body_too_large")

        taken = 0

        async def a_long_body():
            nonlocal taken
            for _ in range(64):
                taken += 16_384
                yield b"a" * 16_384

        assert problem_of(await api.post("/models", content=a_long_body())) == (413, "http.body_too_large")
        assert taken <= limits.model_bytes + 2 * 16_384
        async with anybody(remote_app(plane)) as stranger:
            taken = 0
            assert problem_of(await stranger.post("/models", content=a_long_body())) == (401, "token.required")
            assert taken == 0


async def test_breaking_out_of_a_line_through_the_reason(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        await (await enrolled(plane, "cam-1")).check_in()
        for why in ("x\r\nset-cookie: a=b", "x\nx", "\x1b[2Jx", "\u202egnp", "y" * 513):
            answer = await api.post("/devices/cam-1/quarantine", json={"why": why})
            assert problem_of(answer) == (422, "request.invalid")
            assert "set-cookie" not in answer.headers
            assert why not in answer.text
        for why in ("", "   ", "\t"):
            assert problem_of(await api.post("/devices/cam-1/quarantine", json={"why": why})) == (400, "why.missing")
        assert (await api.get("/devices/cam-1")).json()["level"] == "trusted"
        plain = await api.post("/devices/cam-1/quarantine", json={"why": "it hums, überlaut"})
        assert plain.json()["reason"]["sentence"].endswith("it hums, überlaut")


async def test_smuggling_markup_through_what_a_device_says(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        device = await enrolled(plane, "cam-1")
        told = msgspec.json.encode({"ok": False, "detail": MARKUP})
        await device.check_in(sections={"health": Section(body=msgspec.Raw(told))})
        assert (await api.get("/devices/cam-1")).json()["sections"]["health"]["body"]["detail"] == MARKUP
        body = {"device": "cam-2", "owner": MARKUP}
        assert (await api.post("/devices", json=body)).status_code == 201
        for path in ("/devices/cam-1", "/devices/cam-2", "/devices", "/devices/cam-2/history"):
            answer = await api.get(path)
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-security-policy"].startswith("default-src 'none'")
            assert answer.headers["cache-control"] == "no-store"
            assert "access-control-allow-origin" not in answer.headers
        assert (await api.get("/devices/cam-2")).json()["owner"] == MARKUP
        refused = await api.get("/models/" + MARKUP.replace("/", ""), headers={"origin": "https://evil.example"})
        assert problem_of(refused) == (404, "model.unknown")
        assert refused.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in refused.headers


async def test_using_the_local_socket_as_somebody_else(tmp_path, monkeypatch):
    async with new_plane(tmp_path) as plane:
        monkeypatch.setattr("os.geteuid", lambda: 1234)
        app = operator_app(services_of(plane, 8444), local=True)

        def calling(user):
            async def called(scope, receive, send):
                await app(as_local_user(scope, user), receive, send)

            return called

        for stranger in (app, calling(4321)):
            async with anybody(stranger) as api:
                assert problem_of(await api.get("/status")) == (403, "local.not_owner")
        for user in (1234, 0):
            async with anybody(calling(user)) as api:
                assert (await api.get("/status")).status_code == 200
