"""A running server lets the verdict of a silent device fall by itself, also when it fell silent before the start."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from builders import ACTOR, request_for
from holdfast.bootstrap import Plane
from holdfast.cli.app import build
from holdfast.config import Config
from holdfast.inventory.model_file import example_bytes
from holdfast_core.baseline.model import Finding, Findings, Outcome
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.digests import canonical, digest_of
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import HOUR
from holdfast_core.wire.codec import encode
from holdfast_core.wire.frame import CheckIn, Section
from server_process import Caller, ServerProcess, configured

PATIENCE_S = 120


async def prepare(config: Config, folder: Path) -> bytes:
    """Enroll a device that should call every second; the body of a good audit."""
    plane = Plane.open(config, folder)
    text = example_bytes("door-camera").replace(b"contact_interval_s: 900", b"contact_interval_s: 1")
    model = await plane.inventory.add_model(config.scope, text, actor=ACTOR)
    device = await plane.inventory.add_device(config.scope, Row(1, DeviceId("cam-1"), model.reference), actor=ACTOR)
    claim, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
    key = ec.generate_private_key(ec.SECP256R1())
    chain = await plane.identity.enroll("cam-1", claim, request_for("cam-1", key))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "cam-1.pem").write_bytes(pem + b"".join(c.public_bytes(Encoding.PEM) for c in chain))
    plan = plane.baseline.show(model).plan
    await plane.close()
    found = tuple(Finding(control, Outcome.PASS) for control in plan.controls)
    return msgspec.json.encode(Findings(digest_of(canonical(plan)), found))


def shown(folder: Path) -> dict[str, object]:
    told = CliRunner().invoke(build(), ["device", "show", "cam-1", "--json", "--data", str(folder)])
    assert told.exit_code == 0, told.output
    document: dict[str, object] = json.loads(told.stdout)
    return document


def wait_until_it_falls(folder: Path) -> dict[str, object]:
    deadline = time.monotonic() + PATIENCE_S
    while (page := shown(folder))["level"] == "trusted" and time.monotonic() < deadline:
        time.sleep(0.5)
    return page


@pytest.mark.parametrize("restart", [False, True], ids=["while it runs", "begun before it started"])
def test_a_silent_device_falls_though_nobody_asks_for_it(tmp_path: Path, *, restart: bool) -> None:
    body = asyncio.run(prepare(configured(tmp_path), tmp_path))
    with ServerProcess(tmp_path) as server:
        sections = {"baseline": Section(body=msgspec.Raw(body)), "health": Section(body=msgspec.Raw(b'{"ok":true}'))}
        with Caller(server, tmp_path / "cam-1.pem") as caller:
            status, reply = caller.post(encode(CheckIn(v=1, boot="boot-0001", seq=1, sections=sections)))
        assert (status, json.loads(reply)["verdict"]["level"]) == (200, "trusted")
        if restart:
            server.process.kill()
            server.process.wait()
        else:
            page = wait_until_it_falls(tmp_path)
    if restart:
        with ServerProcess(tmp_path):
            page = wait_until_it_falls(tmp_path)
    assert (page["level"], page["reason"]["code"]) == ("restricted", "checkin.silent")
    last = CliRunner().invoke(build(), ["log", "show", "--device", "cam-1", "--json", "--data", str(tmp_path)])
    kinds = [item["entry"]["kind"] for item in json.loads(last.stdout)["items"]]
    assert "verdict.changed" in kinds[-3:]
