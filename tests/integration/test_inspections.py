"""What people saw of a device: kept, counted, lapsed; and what the API tells of controls and baselines."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from api_builders import holder, problem_of
from builders import START, DeviceInTest, FakeClock, enrolled, new_plane
from holdfast.inventory.model_file import example_bytes
from holdfast_core.baseline.inspections import InspectionRecord
from holdfast_core.baseline.model import Outcome
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, rfc3339
from holdfast_core.record.model import Kind
from holdfast_core.wire.frame import Section

pytestmark = pytest.mark.anyio

CASING = "PHY-11"


def record(outcome: str = "pass", *, days: int = 90) -> InspectionRecord:
    made, ends = rfc3339(START)[:10], rfc3339(type(START)(START + days * DAY))[:10]
    plain = {"control": CASING, "outcome": outcome, "inspector": "Ada", "date": made, "expires": ends}
    return msgspec.convert(plain, InspectionRecord)


async def outcome(device: DeviceInTest) -> Outcome:
    report = await device.plane.baseline.report(device.key)
    assert report is not None
    return next(entry.outcome for entry in report.judged if entry.control == CASING)


async def test_what_a_person_saw_counts_until_its_last_day(tmp_path: Path) -> None:
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await enrolled(plane)
        await device.check_in()
        assert await outcome(device) is Outcome.UNKNOWN
        await plane.inspections.add(device.key, record(), actor="token:ada")
        reply = await device.check_in(sections={"baseline": Section(digest=digest_of(device.findings()))})
        assert reply.wants == ("baseline",), "the audit is read anew beside what was seen"
        await device.check_in()
        assert await outcome(device) is Outcome.PASS
        kinds = [Kind.DEVICE_INSPECTED.value]
        entries = await plane.record.history(device.key, kinds=kinds, limit=2)
        assert len(entries) == 1
        clock.forward(91 * DAY)
        assert await outcome(device) is Outcome.UNKNOWN


async def test_a_newer_look_takes_the_place_of_the_older(tmp_path: Path) -> None:
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        await plane.inspections.add(device.key, record(), actor="token:ada")
        await plane.inspections.add(device.key, record("fail"), actor="token:ada")
        assert [entry.outcome for entry in plane.inspections.of(device.key)] == ["fail"]
        assert await outcome(device) is Outcome.FAIL


async def test_nobody_inspects_what_a_device_audits_itself(tmp_path: Path) -> None:
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        with pytest.raises(HostileData) as refused:
            await plane.inspections.add(
                device.key, msgspec.structs.replace(record(), control="ACC-01"), actor="token:ada"
            )
        assert refused.value.code == "inspections.control"


async def test_inspections_over_the_api(tmp_path: Path) -> None:
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        device = await enrolled(plane)
        path = f"/devices/{device.key.device}/inspections"
        body = msgspec.to_builtins(record())
        assert (await api.post(path, json=body)).status_code == 201
        assert (await api.get(path)).json()["items"] == [body]
        assert problem_of(await api.post(path, json={**body, "photo": "cat.jpg"})) == (422, "inspections.shape")
        assert problem_of(await api.post(path, json={**body, "expires": "2020-01-01"})) == (400, "inspections.date")


async def test_controls_and_differences_over_the_api(tmp_path: Path) -> None:
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        listed = (await api.get("/controls")).json()
        assert CASING in {item["id"] for item in listed["items"]}
        shown = (await api.get(f"/controls/{CASING}")).json()
        assert shown["probe"]["kind"] == "inspection"
        assert problem_of(await api.get("/controls/ACC-99")) == (404, "control.unknown")
        names = []
        for example in ("door-camera", "edge-server"):
            added = await api.post("/models", content=example_bytes(example))
            names.append(added.json()["reference"])
        found = (await api.get(f"/models/{names[0]}/difference", params={"other": names[1]})).json()
        assert (found["before"], found["after"]) == tuple(names)
        differing = {item["control"]: item for item in found["items"]}
        assert differing["FS-91"]["after"] is None
        same = (await api.get(f"/models/{names[0]}/difference", params={"other": names[0]})).json()
        assert same["items"] == []
