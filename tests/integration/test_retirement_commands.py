"""Retiring, replacing, confirming and certifying, as people and programs do it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api_builders import holder, problem_of
from builders import ACTOR, enrolled, new_plane
from holdfast.cli.app import build
from holdfast_core.inventory.model import Sanitizing
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.ids import DeviceId

runner = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "100"})
WORD = {"method": "clear", "technique": "factory reset", "by": "M. Weber", "evidence": digest_of(b"receipt")}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def run(folder: Path, *arguments: str) -> Result:
    return runner.invoke(build(), [*arguments, "--data", str(folder)])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with one camera in use and one that never came."""
    folder = tmp_path / "data"

    async def fill() -> None:
        async with new_plane(folder) as plane:
            device = await enrolled(plane)
            await device.check_in()
            await plane.inventory.add_device(plane.config.scope, Row(1, DeviceId("cam-9"), ""), actor=ACTOR)

    asyncio.run(fill())
    return folder


def test_a_device_is_retired_confirmed_and_certified_and_anybody_can_check_it(data: Path, tmp_path: Path) -> None:
    retired = run(data, "device", "retire", "cam-1", "--why", "scrapped", "--yes")
    assert retired.exit_code == 0
    assert "Erase it by hand" in " ".join(retired.stderr.split())
    early = run(data, "device", "certificate", "cam-1")
    assert early.exit_code == 1
    assert "sanitization.not_verified" in early.stderr
    receipt = tmp_path / "receipt.jpg"
    receipt.write_bytes(b"receipt")
    word = ("--method", "clear", "--technique", "factory reset", "--by", "M. Weber", "--evidence", str(receipt))
    confirmed = run(data, "device", "erased", "cam-1", *word)
    assert confirmed.exit_code == 0, confirmed.output
    shown = run(data, "device", "show", "cam-1").stdout
    assert "erased, on the word of M. Weber" in shown
    file, key = tmp_path / "certificate.txt", tmp_path / "key"
    assert run(data, "device", "certificate", "cam-1", "-o", str(file)).exit_code == 0
    key.write_text(json.loads(run(data, "log", "show", "--json").stdout)["verifier_key"])
    checked = runner.invoke(build(), ["certificate", "verify", str(file), "--key", str(key)])
    assert checked.exit_code == 0, checked.output
    assert "Verified" in checked.stdout
    assert digest_of(b"receipt") in "".join(checked.stdout.split())
    said = json.loads(runner.invoke(build(), ["certificate", "verify", str(file), "--key", str(key), "--json"]).stdout)
    assert (said["device"], said["method"], said["verified_by"]) == ("cam-1", "clear", "M. Weber")
    file.write_text(file.read_text().replace("M. Weber", "N. Weber"))
    forged = runner.invoke(build(), ["certificate", "verify", str(file), "--key", str(key)])
    assert forged.exit_code == 1
    assert "note.signature_wrong" in forged.stderr


def test_the_page_for_a_customer_holds_the_note_and_no_script(data: Path, tmp_path: Path) -> None:
    run(data, "device", "retire", "cam-1", "--why", "<script>alert(1)</script>", "--yes")
    (tmp_path / "receipt").write_bytes(b"receipt")
    word = ("--method", "purge", "--technique", "shredded", "--by", "M. Weber", "--evidence", str(tmp_path / "receipt"))
    assert run(data, "device", "erased", "cam-1", *word).exit_code == 0
    page = run(data, "device", "certificate", "cam-1", "--html").stdout
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "holdfast certificate of sanitization v1" in page
    assert "Purge" in page


def test_a_device_is_replaced_and_the_new_ones_claim_is_printed(data: Path) -> None:
    asked = run(data, "device", "replace", "cam-1", "cam-2", "--why", "broken lens")
    assert asked.exit_code == 2
    replaced = run(data, "device", "replace", "cam-1", "cam-2", "--why", "broken lens", "--yes")
    assert replaced.exit_code == 0, replaced.output
    assert replaced.stdout.startswith("HOLDFAST_CLAIM=hfc_")
    assert "--device cam-2" in replaced.stdout
    assert "cam-2" in run(data, "device", "show", "cam-1").stdout
    new = json.loads(run(data, "device", "show", "cam-2", "--json").stdout)
    assert (new["replaces"], new["lifecycle"], new["owner"]) == ("cam-1", "expected", ACTOR)


def test_a_device_that_never_came_holds_nothing_to_erase(data: Path) -> None:
    retired = json.loads(run(data, "device", "retire", "cam-9", "--why", "never came", "--yes", "--json").stdout)
    assert (retired["lifecycle"], retired["retirement"]["step"]) == ("retired", "not-owed")


@pytest.mark.anyio
async def test_what_cannot_be_confirmed_is_refused(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as api:
        await enrolled(plane)
        assert problem_of(await api.post("/devices/cam-1/erased", json=WORD)) == (404, "retirement.none")
        assert problem_of(await api.get("/devices/cam-1/certificate")) == (404, "retirement.none")
        assert (await api.get("/devices/cam-1")).json()["retirement"] is None
        await api.post("/devices/cam-1/retire", json={"why": "scrapped", "days": 3})
        for change, expected in (
            ({"technique": " "}, (400, "retirement.text")),
            ({"technique": "x" * 200}, (400, "retirement.text")),
            ({"at": "2999-01-01T00:00:00Z"}, (400, "retirement.text")),
            ({"evidence": "a photo"}, (400, "digest.invalid")),
            ({"method": "wash"}, (422, "request.invalid")),
        ):
            assert problem_of(await api.post("/devices/cam-1/erased", json={**WORD, **change})) == expected
        assert (await api.post("/devices/cam-1/erased", json=WORD)).json()["retirement"]["certified"]
        assert problem_of(await api.post("/devices/cam-1/erased", json=WORD)) == (409, "retirement.not_allowed")


def test_methods_are_in_the_order_of_the_standard() -> None:
    assert Sanitizing.DESTROY.reaches(Sanitizing.PURGE)
    assert not Sanitizing.CLEAR.reaches(Sanitizing.PURGE)
