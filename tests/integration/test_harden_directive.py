"""What an operator may ask a device to mend by itself: every fix that its model can bear, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from builders import DeviceInTest, enrolled, new_plane
from holdfast.bootstrap import Plane
from holdfast_core.baseline.control import Effect, Fix
from holdfast_core.kernel.errors import HostileData

pytestmark = pytest.mark.anyio


def known_as(plane: Plane, name: str, *, effects: tuple[Effect, ...] = (), **remedy: Any) -> None:
    """Let the plane's catalogue know a control by another remedy."""
    compiler = plane.baseline._compiler
    compiler.catalogue = msgspec.structs.replace(
        compiler.catalogue,
        controls=tuple(
            msgspec.structs.replace(
                control,
                effects=effects,
                filesystems=("squashfs",) if effects else (),
                remedy=msgspec.structs.replace(control.remedy, **remedy),
            )
            if control.id == name
            else control
            for control in compiler.catalogue.controls
        ),
    )
    compiler._kept.clear()


async def asked(device: DeviceInTest, control: str = "FS-08") -> dict[str, Any]:
    await device.plane.baseline.harden(device.key, control, actor="token:ada")
    reply = await device.check_in()
    (directive,) = [each for each in reply.directives if each.kind == "harden"]
    told: dict[str, Any] = msgspec.json.decode(directive.args)
    return told


@pytest.mark.parametrize("fix", [Fix.AUTOMATIC, Fix.PLANNED])
async def test_a_fix_that_the_model_bears_becomes_a_directive_that_names_the_control_alone(
    tmp_path: Path, fix: Fix
) -> None:
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        known_as(plane, "FS-08", fix=fix)
        told = await asked(device)
        assert told["control"] == "FS-08"
        assert told["may_reboot"] is True
        assert set(told) == {"control", "confirm_s", "may_reboot", "asked_at"}, "no content ever travels"


@pytest.mark.parametrize(
    ("example", "remedy", "effects", "code"),
    [
        ("door-camera", {"fix": Fix.BY_HAND}, (), "control.by_hand"),
        ("door-camera", {"fix": Fix.PLANNED, "may_brick": True}, (), "control.may_brick"),
        ("pump-controller", {"fix": Fix.PLANNED, "reboot": True}, (), "control.reboot"),
        ("door-camera", {"fix": Fix.PLANNED}, (Effect.DISABLES_FILESYSTEM,), "control.forbidden"),
        ("soil-sensor", {"fix": Fix.PLANNED}, (), "control.not_asked"),
    ],
)
async def test_what_a_device_must_not_do_by_itself_is_refused_with_a_reason(
    tmp_path: Path, example: str, remedy: dict[str, Any], effects: tuple[Effect, ...], code: str
) -> None:
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane, example=example)
        known_as(plane, "FS-08", effects=effects, **remedy)
        with pytest.raises(HostileData) as refused:
            await plane.baseline.harden(device.key, "FS-08", actor="token:ada")
        assert (refused.value.code, refused.value.http_status) == (code, 409)
        assert refused.value.remedy


async def test_a_control_that_does_not_exist_is_not_found(tmp_path: Path) -> None:
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        with pytest.raises(HostileData) as refused:
            await plane.baseline.harden(device.key, "XX-01", actor="token:ada")
        assert refused.value.http_status == 404
