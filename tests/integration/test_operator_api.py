"""The operator API, route by route, over a real store."""

from __future__ import annotations

import asyncio
import json
import shlex
from pathlib import Path

import httpx
import pytest

from api_builders import anybody, holder, problem_of, remote_app
from builders import enrolled, new_plane
from holdfast.cli.connection import own_name
from holdfast.inventory.model_file import example_bytes
from holdfast.serving import services_of
from holdfast.web.api.app import openapi_text, operator_app
from holdfast.web.device.app import device_app
from holdfast.web.device.protocol import LocalProtocol
from holdfast.web.health import health_app
from holdfast.web.listeners import Listener, bind_local
from holdfast_core.identity.model import Permission
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.instants import HOUR
from holdfast_core.record.export import parse_header, parse_line

pytestmark = pytest.mark.anyio


async def test_a_model_is_added_once_listed_and_shown_with_its_baseline(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        added = await api.post("/models", content=example_bytes("door-camera"))
        again = await api.post("/models", content=example_bytes("door-camera"))
        assert (added.status_code, again.status_code) == (201, 201)
        reference = added.json()["reference"]
        assert [item["reference"] for item in (await api.get("/models")).json()["items"]] == [reference]
        shown = (await api.get(f"/models/{reference}")).json()
        assert shown["class"] == shown["model"]["class"] == "linux-iot"
        assert [answer["question"] for answer in shown["answers"]] == ["integrity", "update", "recovery"]
        baseline = (await api.get(f"/models/{reference}/baseline")).json()
        assert sum(baseline["counts"].values()) == len(baseline["lines"]) > 0
        assert all(line["reason"] for line in baseline["lines"])
        assert baseline["plan"]["controls"]
        changed = example_bytes("door-camera").replace(b"description: ", b"description: other ", 1)
        assert problem_of(await api.post("/models", content=changed)) == (409, "model.exists")


async def test_a_device_is_added_claimed_enrolled_held_released_and_retired(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        device = await enrolled(plane, "cam-1")
        await device.check_in()
        shown = (await api.get("/devices/cam-1")).json()
        assert shown["level"] == shown["verdict"]["level"] == "trusted"
        assert shown["sections"]["health"]["body"] == {"ok": True}
        assert [entry["kind"] for entry in shown["desired"]["open"]] == ["plan"]
        assert shown["credentials"][0]["fingerprint"] == device.fingerprint
        held = (await api.post("/devices/cam-1/quarantine", json={"why": "smells odd"})).json()
        assert held["level"] == "quarantined"
        assert (await api.get("/devices/cam-1")).json()["hold"]["by"] == "token:robot"
        freed = (await api.post("/devices/cam-1/release", json={"why": "it was the cable"})).json()
        assert freed["level"] == "trusted"
        assert problem_of(await api.post("/devices/cam-1/release", json={"why": "again"})) == (409, "response.not_held")
        assert (await api.post("/devices/cam-1/audit")).json()["kind"] == "audit-now"
        report = (await api.get("/devices/cam-1/report")).json()
        assert 0 < report["coverage"] <= 1
        assert report["judged"]
        assert (await api.post("/devices/cam-1/revoke", json={"why": "lost"})).json() == {"ended": 1}
        retired = (await api.post("/devices/cam-1/retire", json={"why": "scrapped"})).json()
        assert (retired["lifecycle"], retired["level"]) == ("retired", "retired")
        history = (await api.get("/devices/cam-1/history", params={"kinds": "device.retired"})).json()["items"]
        assert [item["entry"]["data"] for item in history] == [{"why": "scrapped", "erasure": "by-hand"}]
        assert history[0]["entry"]["actor"] == "token:robot"


async def test_a_claim_comes_with_the_exact_command_for_the_device(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        await api.post("/models", content=example_bytes("door-camera"))
        reference = (await api.get("/models")).json()["items"][0]["reference"]
        body = {"device": "cam-2", "model": reference, "labels": {"b": "2", "a": "1"}, "site": "north"}
        added = await api.post("/devices", json=body)
        assert added.status_code == 201
        assert added.json()["labels"] == {"a": "1", "b": "2"}
        assert (added.json()["lifecycle"], added.json()["level"]) == ("expected", None)
        made = await api.post("/claims", json={"device": "cam-2", "lifetime_s": 60})
        assert made.status_code == 201
        told = made.json()
        assert shlex.split(told["command"]) == [
            f"HOLDFAST_CLAIM={told['claim']}",
            "holdfast-agent",
            "enroll",
            "https://localhost:8444",
            "--device",
            "cam-2",
            "--ca",
            plane.authority.root_fingerprint,
        ]
        assert problem_of(await api.get("/devices/cam-2/report")) == (409, "device.not_enrolled")


async def test_an_import_adds_what_stands_and_tells_what_does_not(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        text = "device,model,site\npump-1,,south\nPump 2,,south\npump-3,nobody@1,south\n"
        told = (await api.post("/devices/import", content=text, headers={"content-type": "text/csv"})).json()
        assert told["added"] == ["pump-1"]
        assert [(p["line"], p["code"]) for p in told["problems"]] == [(3, "name.invalid"), (4, "model.unknown")]
        assert (await api.get("/devices/pump-1")).json()["lifecycle"] == "unmanaged"
        assert problem_of(await api.post("/devices/import", content=b"\xff\xfe")) == (400, "rows.not_text")


async def test_pages_of_devices_join_to_the_whole_list(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        names = [f"d-{number}" for number in range(5)]
        rows = "\n".join(f"{name},{'north' if name < 'd-3' else 'south'}" for name in names)
        await api.post("/devices/import", content=f"device,site\n{rows}\n")
        seen, after = [], ""
        for _ in names:
            page = (await api.get("/devices", params={"limit": 2, "after": after})).json()
            seen += [item["device"] for item in page["items"]]
            after = page["next"]
            if after is None:
                break
        assert seen == names
        north = (await api.get("/devices", params={"site": "north"})).json()
        assert [item["device"] for item in north["items"]] == names[:3]
        assert north["next"] is None
        assert (await api.get("/devices", params={"level": "trusted"})).json()["items"] == []
        assert (await api.get("/devices", params={"lifecycle": "unmanaged", "limit": 5})).json()["next"] is None


async def test_an_incident_is_listed_shown_and_closed(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        await (await enrolled(plane, "cam-1")).check_in()
        await api.post("/devices/cam-1/quarantine", json={"why": "odd"})
        (incident,) = (await api.get("/incidents")).json()["items"]
        assert (incident["device"], incident["severity"]) == ("cam-1", "critical")
        assert (await api.get(f"/incidents/{incident['id']}")).json() == incident
        assert (await api.get("/status")).json()["open_incidents"] == 1
        closed = (await api.post(f"/incidents/{incident['id']}/close", json={"why": "seen"})).json()
        assert closed["closed_why"] == "closed by token:robot: seen"
        assert (await api.get("/incidents")).json()["items"] == []
        everything = (await api.get("/incidents", params={"state": "all", "device": "cam-1"})).json()["items"]
        assert [item["id"] for item in everything] == [incident["id"]]
        again = await api.post(f"/incidents/{incident['id']}/close", json={"why": "seen"})
        assert problem_of(again) == (409, "incident.closed")
        assert problem_of(await api.get("/incidents/inc_none")) == (404, "incident.unknown")


async def test_a_token_is_shown_once_works_and_ends(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        made = (await api.post("/tokens", json={"name": "ci", "permission": "read"})).json()
        async with anybody(remote_app(plane), authorization=f"Bearer {made['token']}") as ci:
            assert (await ci.get("/status")).status_code == 200
            listed = (await api.get("/tokens")).json()["items"]
            assert {item["name"] for item in listed} == {"robot", "ci"}
            assert made["token"] not in json.dumps(listed)
            assert (await api.delete("/tokens/ci")).json()["revoked_at"]
            assert problem_of(await ci.get("/status")) == (401, "token.invalid")
        assert problem_of(await api.delete("/tokens/ci")) == (404, "token.unknown")


async def test_the_log_is_paged_and_its_export_is_whole(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        await enrolled(plane, "cam-1")
        head = (await api.get("/log/checkpoint")).json()
        first = (await api.get("/log/leaves", params={"limit": 2})).json()
        assert [item["index"] for item in first["items"]] == [0, 1]
        rest = (await api.get("/log/leaves", params={"start": first["next"]})).json()
        assert (rest["items"][-1]["index"], rest["next"]) == (head["size"] - 1, None)
        answer = await api.get("/log/export")
        assert answer.headers["content-type"] == "application/x-ndjson"
        header, *lines = answer.content.splitlines(keepends=True)
        assert parse_header(header).checkpoint == head["checkpoint"]
        assert [parse_line(line).index for line in lines] == list(range(head["size"]))


async def test_the_status_says_how_the_fleet_stands(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        await (await enrolled(plane, "cam-1")).check_in()
        told = (await api.get("/status")).json()
        assert told["counts"] == {"trusted": 1}
        assert told["scope"] == {"tenant": "default", "environment": "production"}
        assert told["log_size"] == plane.store.log_size()
        assert told["root_fingerprint"] == plane.authority.root_fingerprint


@pytest.mark.parametrize(
    ("method", "path", "content", "expected"),
    [
        ("GET", "/nothing", b"", (404, "request.no_such_path")),
        ("PUT", "/devices", b"", (405, "request.method")),
        ("POST", "/devices", b"{", (422, "request.invalid")),
        ("POST", "/devices", b'{"device":"a","modle":"x"}', (422, "request.invalid")),
        ("POST", "/devices", b"[" * 60_000, (400, "request.unreadable")),
        ("POST", "/devices", b"\xff", (400, "request.unreadable")),
        ("GET", "/devices?limit=0", b"", (422, "request.invalid")),
        ("GET", "/devices/nobody", b"", (404, "device.unknown")),
        ("POST", "/models", b"\x00", (400, "model.not_yaml")),
    ],
)
async def test_every_refusal_is_a_problem(tmp_path, method, path, content, expected):
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        headers = {"content-type": "application/json"}
        assert problem_of(await api.request(method, path, content=content, headers=headers)) == expected


async def test_what_nobody_foresaw_is_a_problem_that_says_nothing_of_the_inside(tmp_path, monkeypatch):
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        assert (await api.get("/status")).status_code == 200

        def broken(_scope):
            raise ZeroDivisionError("secret detail")

        monkeypatch.setattr(plane.store, "counts", broken)
        answer = await api.get("/status")
        assert problem_of(answer) == (500, "server.unexpected")
        assert "secret" not in answer.text


async def test_a_full_disk_is_a_problem_that_says_when_to_come_back(tmp_path, monkeypatch):
    async with new_plane(tmp_path) as plane, holder(plane) as api:

        def full(_changes):
            raise WorldError("store.full", "The disk is full.", remedy="Free space.", http_status=507)

        monkeypatch.setattr(plane.store._writer, "write", full)
        answer = await api.post("/devices", json={"device": "a"})
        assert problem_of(answer) == (507, "store.full")
        assert int(answer.headers["retry-after"]) > 0
        monkeypatch.undo()
        assert (await api.post("/devices", json={"device": "a"})).status_code == 201


def test_the_committed_description_is_current(checkout):
    committed = (checkout / "docs/reference/openapi.json").read_text()
    assert committed == openapi_text(), "run tools/write_openapi.py"


def test_the_description_is_complete():
    document = json.loads(openapi_text())
    operations = [op for path in document["paths"].values() for op in path.values()]
    names = [op["operationId"] for op in operations]
    assert len(set(names)) == len(names) > 34
    for op in operations:
        assert op["tags"]
        assert op["responses"]["default"] == {"$ref": "#/components/responses/Problem"}
        assert "422" not in op["responses"]
    assert set(document["components"]["responses"]) == {"Problem", "Unauthorised"}


async def test_the_local_socket_needs_no_token_and_records_the_users_name(tmp_path):
    async with new_plane(tmp_path) as plane:
        path = tmp_path / "s"
        app = operator_app(services_of(plane, 8444), local=True)
        listener = Listener(app, bind_local(path), tls=None, limits=plane.limits, protocol=LocalProtocol)
        serving = asyncio.create_task(listener.listen())
        await asyncio.wait_for(_started(listener), 30)
        try:
            assert path.stat().st_mode & 0o777 == 0o600
            transport = httpx.AsyncHTTPTransport(uds=str(path))
            async with httpx.AsyncClient(transport=transport, base_url="http://holdfast/api/v1") as api:
                assert (await api.post("/devices", json={"device": "a"})).status_code == 201
                (entry,) = (await api.get("/devices/a/history")).json()["items"]
                assert entry["entry"]["actor"] == own_name()
        finally:
            listener.should_exit = True
            await serving


async def _started(listener):
    while not listener.started:  # noqa: ASYNC110  (the listener has a flag, no event)
        await asyncio.sleep(0.01)


async def test_health_tells_a_store_that_cannot_write_and_one_that_can_again(tmp_path, monkeypatch):
    async with new_plane(tmp_path) as plane:
        await enrolled(plane, "cam-1")
        health, _ = health_app(
            services_of(plane, 8444), device_app(plane.check_ins, plane.enrollment, plane.limits, plane.secret_delivery)
        )
        async with httpx.AsyncClient(transport=httpx.ASGITransport(health), base_url="http://test") as probe:
            assert (await probe.get("/livez")).status_code == 200
            assert (await probe.get("/readyz")).json() == {"ready": True, "reasons": []}

            def full(_changes):
                raise WorldError("store.full", "The disk is full.", remedy="Free space.", http_status=507)

            monkeypatch.setattr(plane.store._writer, "write", full)
            with pytest.raises(WorldError):
                await plane.tokens.create(
                    plane.config.scope, "x", permission=Permission.READ, lifetime=HOUR, actor="server"
                )
            answer = await probe.get("/readyz")
            assert answer.status_code == 503
            assert answer.json()["reasons"][0]["code"] == "store.full"
            assert (await probe.get("/livez")).status_code == 200
            assert 'holdfast_commit_failures_total{code="store.full"}' in (await probe.get("/metrics")).text
            monkeypatch.undo()
            assert (await probe.get("/readyz")).status_code == 200


async def test_metrics_count_without_naming_anybody(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane, "cam-secret")
        inner = device_app(plane.check_ins, plane.enrollment, plane.limits, plane.secret_delivery)
        health, counted = health_app(services_of(plane, 8444), inner)
        await device.check_in()

        async def proven(scope, receive, send):
            await counted({**scope, "extensions": {"holdfast.peer": device.fingerprint}}, receive, send)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(proven), base_url="http://test") as caller:
            assert (await caller.post("/v1/check-in", content=device.message())).status_code == 200
            assert (await caller.post("/v1/check-in", content=b"{}")).status_code == 400
        async with httpx.AsyncClient(transport=httpx.ASGITransport(health), base_url="http://test") as probe:
            text = (await probe.get("/metrics")).text
        assert 'holdfast_check_ins_total{outcome="accepted"} 1.0' in text
        assert 'holdfast_check_ins_total{outcome="refused"} 1.0' in text
        assert 'holdfast_devices{verdict="trusted"} 1.0' in text
        assert f"holdfast_log_size {float(plane.store.log_size())}" in text
        assert "cam-secret" not in text
        assert str(Path(tmp_path)) not in text
