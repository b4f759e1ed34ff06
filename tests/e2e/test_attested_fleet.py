"""A fleet that proves what it booted, at a control plane that runs as its operator runs it.

The devices are of `holdfast_sim`: real boot images, a TPM in software each, and a microcontroller that signs tokens.
What they are worth is read where an operator reads it, through the API.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from boot_builders import boot_release, scratch
from holdfast_agent.enroll import enroll
from holdfast_agent.state import Config, Folder
from holdfast_core.kernel.digests import parse_digest
from holdfast_core.kernel.instants import Instant
from holdfast_sim import psa
from holdfast_sim.attested.device import AttestedDevice
from holdfast_sim.boot.artefacts import FIT, RECOVERY, manifest_of
from holdfast_sim.demo.api import Api
from holdfast_sim.demo.plane import NAME, Founded, Plane
from holdfast_sim.demo.processes import Processes
from holdfast_sim.mcu import BUILD, RELEASE, Sensor
from holdfast_sim.reference import ENVELOPE_TYPE, REGISTERS, Builder, statement
from tpm_builders import need

GATEWAY, SENSOR = "proving-gateway", "proving-sensor"
OLD, NEW = ("1.3.0", 3), ("1.4.0", 4)
RETIRED = {"at": "2026-01-01T00:00:00Z", "why": "1.4.0 is confirmed everywhere"}


class Operator:
    """Somebody who runs the control plane, and the devices that were made."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.folder, self.processes = folder, processes
        self.plane = Plane(folder / "control-plane", "127.0.0.1", processes)
        self.founded: Founded = self.plane.found()
        self.api: Api = self.plane.serve(self.founded.token)
        self.builder = Builder()
        self.api.post("/release-keys", {"name": "builder", "key": self.builder.public})

    def model(self, example: str, name: str, **asked: Any) -> str:
        """The example, whose verdict is about nothing but what was booted."""
        model = self.api.get(f"/models/{example}@1.0.0")["model"]
        needs = [{"appraisal": "attestation", "max_age_s": 3600}]
        model |= {"name": name, "needs": needs, "attestation": asked}
        return str(self.api.post("/models", msgspec.json.encode(model), kind="application/yaml")["reference"])

    def release(self, said: Any) -> None:
        self.api.post("/releases", self.builder.envelope(said), kind=ENVELOPE_TYPE)

    def restart(self) -> None:
        self.processes.end(NAME)
        self.api.close()
        self.api = self.plane.serve(self.founded.token)

    def claim(self, name: str) -> str:
        return str(self.api.post("/claims", {"device": name, "lifetime_s": 600})["claim"])

    def device(self, name: str) -> AttestedDevice:
        """A gateway, enrolled; it booted the new release."""
        made = AttestedDevice(name, self.folder / name, boot_release(*NEW))
        self.processes.hold(f"{name}-chip", made.tpm)
        self.api.post("/devices", {"device": name, "model": f"{GATEWAY}@1.0.0", "owner": "tests"})
        chip = made.endorsement()
        self.api.post("/tpm/chips", {"device": name, "digest": chip})
        made.bind(self.plane.url, (self.plane.data / "keys" / "root.pem").read_text())
        self.api.post(f"/tpm/chips/{chip}/release", {"why": "its key for TLS lies in a file"})
        made.enroll(self.plane.url, self.founded.root_fingerprint, self.claim(name))
        return made

    def codes(self, name: str) -> set[str]:
        return {reason["code"] for reason in self.api.get(f"/devices/{name}/attestation")["reasons"]}

    def incidents(self, name: str) -> list[str]:
        return [incident["cause"] for incident in self.api.incidents(name) if incident["closed_at"] is None]


def now() -> Instant:
    return Instant(time.time_ns() // 1_000_000)


@pytest.fixture(scope="module")
def operator() -> Iterator[Operator]:
    need("swtpm", "mkimage", "dtc", "veritysetup")
    with scratch() as folder:
        processes = Processes(folder)
        try:
            made = Operator(folder, processes)
            made.model("site-gateway", GATEWAY, registers=list(REGISTERS))
            for version, svn in (OLD, NEW):
                made.release(statement(boot_release(version, svn), GATEWAY, now()))
            made.api.post(f"/releases/{GATEWAY}:{OLD[0]}/retire", RETIRED)
            yield made
            made.api.close()
        finally:
            processes.close()


def levels(device: AttestedDevice, *acts: Callable[[], object]) -> list[str]:
    """The verdict after each act and one contact."""
    told = []
    for act in acts:
        act()
        told.append(device.contact().level)
    return told


def test_a_good_boot_is_trusted_across_restarts_of_both_sides_and_power_cuts(operator: Operator) -> None:
    device = operator.device("steady")
    acts = (
        lambda: None,
        device.boot,
        lambda: device.boot(orderly=False),
        operator.restart,
        lambda: device.boot(orderly=False),
    )
    assert levels(device, *acts) == ["trusted"] * 5
    page = operator.api.get("/devices/steady/attestation")
    assert (page["tier"], page["freshness"], page["release"]) == ("affirming", "fresh", f"{GATEWAY}:1.4.0")
    kept = operator.api.get("/devices/steady/attestation/evidence")["items"]
    assert all(each["taken"] and each["tier"] == "affirming" for each in kept)
    assert operator.api.post("/devices/steady/attestation/replay")["same"] is True
    assert operator.incidents("steady") == []


def test_another_kernel_ends_in_a_recovery_that_attests_itself_and_the_right_one_in_trust(operator: Operator) -> None:
    device = operator.device("tampered")
    assert device.contact().level == "trusted"
    good = device.machine.flash[FIT]
    device.machine.flash[FIT] = good[:4000] + bytes([good[4000] ^ 1]) + good[4001:]
    assert levels(device, device.boot) == ["quarantined"]
    assert operator.codes("tampered") == {"attestation.unrecognized_boot"}
    told = operator.api.get("/devices/tampered/attestation/explain")["differences"]
    assert "failed after u-boot" in told[0]["sentence"]
    assert "recovery" in told[1]["sentence"]
    device.machine.flash[FIT] = good
    assert levels(device, device.boot) == ["trusted"]


def test_a_genuine_old_release_is_refused_by_the_board_and_without_its_memory_by_the_server(operator: Operator) -> None:
    device = operator.device("rolled-back")
    assert device.contact().level == "trusted"
    device.machine.confirm()
    new = dict(device.machine.flash)
    kept = {name: new[name] for name in (RECOVERY, manifest_of(RECOVERY), "recovery.keys")}
    device.machine.flash.update({**boot_release(*OLD).artefacts, **kept})
    assert levels(device, device.boot) == ["quarantined"]
    assert operator.codes("rolled-back") == {"attestation.unrecognized_boot"}
    device.machine.nv.floors.clear()
    assert levels(device, device.boot) == ["quarantined"]
    assert "attestation.release_superseded" in operator.codes("rolled-back")
    device.machine.flash.update(new)
    assert levels(device, device.boot) == ["trusted"]


def test_a_clean_machines_quote_under_a_stolen_identity_is_refused_and_an_incident(operator: Operator) -> None:
    victim, clean = operator.device("victim"), operator.device("clean")
    assert [victim.contact().level, clean.contact().level] == ["trusted", "trusted"]
    own, victim.chip = victim.chip, clean.chip
    assert victim.contact().level == "quarantined"
    assert operator.codes("victim") == {"attestation.signature"}
    assert operator.incidents("victim").count("attestation") == 1
    assert operator.incidents("clean") == []
    assert clean.contact().level == "trusted"
    victim.chip = own
    assert victim.contact().level == "trusted"


def test_a_microcontroller_is_trusted_for_its_token_and_no_longer_for_another_build(operator: Operator) -> None:
    model = operator.model("soil-sensor", SENSOR, lifecycle=["secured"])
    operator.release(psa.statement(SENSOR, RELEASE, 3, BUILD, now()))
    folder = Folder(operator.folder / "sensor")
    operator.api.post("/devices", {"device": "sensor", "model": model, "owner": "tests"})
    operator.api.post("/devices/sensor/attestation/key", {"key": psa.make_key(folder.path)})
    config = Config(server=operator.plane.url, device="sensor")
    with folder.locked():
        enroll(folder, config, ca=parse_digest(operator.founded.root_fingerprint), claim=operator.claim("sensor"))
    assert level(operator, folder) == "trusted"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("holdfast_sim.mcu.BUILD", "another-build")
        assert level(operator, folder) == "quarantined"
    assert level(operator, folder) == "trusted"


def level(operator: Operator, folder: Folder) -> str:
    """The sensor's verdict after it woke up once."""
    sensor = Sensor(operator.plane.url, folder)
    try:
        sensor.contact()
    finally:
        sensor.close()
    return str(operator.api.device("sensor")["level"])
