"""Bringing a retired device back, by everything that ever belonged to it: each way is refused, an incident names it.

The agent is the real one, over TLS; its image is the state folder, copied before it was retired and put back after.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent_builders import device_root
from builders import ACTOR, enrolled, new_plane, request_for
from holdfast.inventory.model_file import example_bytes
from holdfast.ports.events import Tried
from holdfast_agent import erasing
from holdfast_agent.__main__ import main
from holdfast_core.inventory.erasure import Technique
from holdfast_core.inventory.lifecycle import Lifecycle
from holdfast_core.inventory.retirement import DEADLINE, LINGER, Step
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import HOUR
from holdfast_core.wire.frame import Section
from served_builders import ServedPlane, served

FINE, FAILED = 0, 1
MODEL = example_bytes("door-camera") + b"\nretirement: {erase: agent, paths: [/data/clips]}\n"


class Image:
    """A real agent's device: its root with data, its state folder, and a copy of both in an attacker's drawer."""

    def __init__(self, folder: Path, served: ServedPlane) -> None:
        self.served, self.state, self.drawer = served, folder / "agent", folder / "drawer"
        self.root = device_root(folder)
        self.clips = self.root / "data/clips"
        self.clips.mkdir(parents=True)
        (self.clips / "one.mp4").write_bytes(b"faces")

    def run(self, *arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--state", str(self.state)])
        assert isinstance(ended.value.code, int)
        return ended.value.code

    def copy(self) -> None:
        shutil.copytree(self.state, self.drawer)

    def restore(self) -> None:
        shutil.rmtree(self.state)
        shutil.copytree(self.drawer, self.state)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ServedPlane]:
    with served(tmp_path / "plane") as plane:
        yield plane


async def add(plane: ServedPlane) -> str:
    inventory, scope = plane.plane.inventory, plane.plane.config.scope
    model = await inventory.add_model(scope, MODEL, actor=ACTOR)
    await inventory.add_device(scope, Row(1, DeviceId("cam-1"), model.reference, serial="SN-7"), actor=ACTOR)
    claim, _ = await plane.plane.identity.create_claim(plane.key("cam-1"), lifetime=HOUR, actor=ACTOR)
    return claim


@pytest.fixture
def image(tmp_path: Path, world: ServedPlane, monkeypatch: pytest.MonkeyPatch) -> Image:
    """An enrolled device, copied, then retired and erased by itself to the end."""
    monkeypatch.setattr(erasing.erase, "__kwdefaults__", {**erasing.erase.__kwdefaults__, "discard": lambda _: True})
    image = Image(tmp_path, world)
    monkeypatch.setenv("HOLDFAST_CLAIM", world.do(add(world)))
    assert image.run("enroll", world.url, "--device", "cam-1", "--ca", world.root, "--root", str(image.root)) == FINE
    assert image.run("check-in") == FINE
    image.copy()
    world.do(world.plane.retirement.retire(world.key("cam-1"), why="sold", actor=ACTOR))
    assert image.run("check-in", "--now") == FINE
    world.clock.forward(LINGER)
    assert world.do(world.plane.retirement.sweep()) == 1
    return image


def causes(plane) -> list[str]:
    return sorted(incident.cause for incident in plane.store.open_incidents(plane.config.scope))


def test_a_device_that_does_as_it_is_told_leaves_no_trace_but_the_record(image: Image, world: ServedPlane) -> None:
    """The passing control: everything is gone, all of it is certified, and nobody is alarmed."""
    ended = world.plane.retirement.require(world.key("cam-1"))
    assert ended.step is Step.REPORTED
    assert ended.report is not None
    assert [item.technique for item in ended.report.items] == [Technique.DISCARD]
    assert ended.certificate
    assert world.plane.store.device(world.key("cam-1")).lifecycle is Lifecycle.RETIRED
    assert not image.clips.exists()
    assert [path.name for path in sorted(image.state.iterdir())] == ["lock", "retired.json"]
    assert causes(world.plane) == []


def test_restored_image_is_refused_and_an_incident_says_so(
    image: Image, world: ServedPlane, capsys: pytest.CaptureFixture[str]
) -> None:
    image.restore()
    assert image.run("check-in", "--now") == FAILED
    assert "identity.revoked" in capsys.readouterr().err
    assert causes(world.plane) == ["retired-certificate"]
    (incident,) = world.plane.store.open_incidents(world.plane.config.scope)
    assert "old certificate" in incident.reasons[0].sentence
    # However often it calls, and also from a second copy: one incident, one leaf, nothing given.
    image.restore()
    assert image.run("check-in", "--now") == FAILED
    assert causes(world.plane) == ["retired-certificate"]
    assert world.posture("cam-1").verdict.level == "retired"


@pytest.mark.usefixtures("image")
def test_restored_image_does_not_renew_itself_either(world: ServedPlane) -> None:
    (credential,) = world.plane.store.credentials_of(world.key("cam-1"))
    with pytest.raises(HostileData, match=r"identity\.revoked"):
        world.do(world.plane.renewal.renew(credential.fingerprint, request_for("cam-1")))
    assert causes(world.plane) == ["retired-renewal"]


def test_image_restored_in_the_hour_after_its_report_is_a_clone(
    tmp_path: Path, world: ServedPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its credential may still repeat the report; anything else that it says is a second party's."""
    image = Image(tmp_path, world)
    monkeypatch.setenv("HOLDFAST_CLAIM", world.do(add(world)))
    assert image.run("enroll", world.url, "--device", "cam-1", "--ca", world.root, "--root", str(image.root)) == FINE
    image.copy()
    world.do(world.plane.retirement.retire(world.key("cam-1"), why="sold", actor=ACTOR))
    assert image.run("check-in") == FINE
    image.restore()
    assert image.run("check-in") == FAILED
    assert causes(world.plane) == ["clone"]
    world.clock.forward(LINGER)
    assert world.do(world.plane.retirement.sweep()) == 1
    ended = world.plane.retirement.require(world.key("cam-1"))
    assert world.plane.store.device(world.key("cam-1")).lifecycle is Lifecycle.RETIRED
    assert (ended.step, ended.certificate) == (Step.BY_HAND, "")  # what reported is not what is still there
    world.clock.forward(DEADLINE)
    assert world.do(world.plane.retirement.sweep()) == 1
    assert world.plane.retirement.require(world.key("cam-1")).step is Step.UNVERIFIED


def test_image_restored_while_it_is_erased_is_held_to_the_erasure(
    tmp_path: Path, world: ServedPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it reported, an old image is the device to all appearances: it gets the order to erase, nothing else."""
    image = Image(tmp_path, world)
    monkeypatch.setenv("HOLDFAST_CLAIM", world.do(add(world)))
    assert image.run("enroll", world.url, "--device", "cam-1", "--ca", world.root, "--root", str(image.root)) == FINE
    image.copy()
    world.do(world.plane.retirement.retire(world.key("cam-1"), why="sold", actor=ACTOR))
    image.restore()
    assert image.run("check-in") == FINE
    assert not image.clips.exists()
    assert [path.name for path in sorted(image.state.iterdir())] == ["lock", "retired.json"]


@pytest.mark.anyio
async def test_claim_made_before_it_was_retired_admits_nothing(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        claim, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
        await plane.retirement.retire(device.key, why="sold", actor=ACTOR)
        for _ in range(3):
            with pytest.raises(HostileData, match=r"device\.retired"):
                await plane.identity.enroll("cam-1", claim, request_for("cam-1"))
        assert causes(plane) == ["retired-claim"]
        leaves = await plane.record.history(device.key, kinds=["device.tried"], limit=10)
        assert len(leaves) == 1


@pytest.mark.anyio
async def test_claim_that_was_used_long_ago_is_told_of_too(tmp_path):
    async with new_plane(tmp_path) as plane:
        scope = plane.config.scope
        model = await plane.inventory.add_model(scope, MODEL, actor=ACTOR)
        device = await plane.inventory.add_device(scope, Row(1, DeviceId("cam-1"), model.reference), actor=ACTOR)
        claim, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
        await plane.identity.enroll("cam-1", claim, request_for("cam-1"))
        await plane.retirement.retire(device.key, why="sold", actor=ACTOR, at_once=True)
        with pytest.raises(HostileData, match=r"device\.retired"):
            await plane.identity.enroll("cam-1", claim, request_for("cam-1"))
        with pytest.raises(HostileData, match=r"claim\.unknown"):
            await plane.identity.enroll("cam-1", "hfc_guessed", request_for("cam-1"))
        assert causes(plane) == ["retired-claim"]


@pytest.mark.anyio
@pytest.mark.parametrize("tried", [Tried.TPM, Tried.MANUFACTURER, Tried.FLEET_CLAIM, Tried.APPROVAL])
async def test_every_other_proof_of_it_is_refused_and_named(tmp_path, tried):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await plane.tombstones.check(device.key, tried)  # the passing control: it lives
        await plane.retirement.retire(device.key, why="sold", actor=ACTOR)
        with pytest.raises(HostileData, match=r"device\.retired"):
            await plane.certifier.enroll(device.key, request_for("cam-1"), _never, tried=tried)
        assert causes(plane) == [f"retired-{tried.value}"]


def _never(*_: object) -> None:
    raise AssertionError("a retired device's proof was judged")


@pytest.mark.anyio
async def test_its_serial_number_comes_back_under_no_other_name(tmp_path):
    async with new_plane(tmp_path) as plane:
        scope = plane.config.scope
        model = await plane.inventory.add_model(scope, MODEL, actor=ACTOR)
        newer = await plane.inventory.add_model(scope, MODEL.replace(b"1.0.0", b"1.0.1", 1), actor=ACTOR)
        assert newer.reference != model.reference
        row = Row(1, DeviceId("cam-1"), model.reference, serial="SN-7")
        device = await plane.inventory.add_device(scope, row, actor=ACTOR)
        await plane.retirement.retire(device.key, why="sold", actor=ACTOR)
        for name, reference in (("cam-2", model.reference), ("cam-3", newer.reference)):
            with pytest.raises(HostileData, match=r"device\.serial_retired"):
                await plane.inventory.add_device(scope, Row(1, DeviceId(name), reference, serial="SN-7"), actor=ACTOR)
        unmanaged = await plane.inventory.add_device(scope, Row(1, DeviceId("cam-6"), "", serial="SN-7"), actor=ACTOR)
        with pytest.raises(HostileData, match=r"device\.serial_retired"):
            await plane.inventory.assign_model(unmanaged.key, model.reference, actor=ACTOR)
        listed = f"device,model,serial\ncam-4,{model.reference},SN-7\ncam-5,{model.reference},SN-8\n"
        added, problems = await plane.inventory.import_devices(scope, listed, actor=ACTOR)
        assert [device.key.device for device in added] == ["cam-5"]
        assert [problem.code for problem in problems] == ["device.serial_retired"]


@pytest.mark.anyio
async def test_device_that_nobody_retired_cannot_say_that_it_erased_itself(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        body = msgspec.Raw(b'{"items":[],"key":true}')
        await device.send(device.message(sections={"erasure": Section(body=body)}))
        assert plane.retirement.of(device.key) is None
        assert plane.store.device(device.key).lifecycle is Lifecycle.ACTIVE
