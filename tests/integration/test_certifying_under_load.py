"""More devices than the authority certifies at once: the rest is told when to come again, and loses nothing."""

from __future__ import annotations

import asyncio
import http.client

import msgspec
import pytest

from builders import ACTOR, FakeClock, FakeRandomness, data_folder, request_for
from holdfast.bootstrap import Plane
from holdfast.config import Config
from holdfast.inventory.model_file import example_bytes
from holdfast.web.problems import rendered
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import HOUR
from holdfast_core.kernel.limits import LIMITS

pytestmark = pytest.mark.anyio
DEVICES, AT_ONCE = 12, 3


async def test_who_is_too_much_is_told_when_to_come_again_and_then_gets_in(tmp_path):
    limits = msgspec.structs.replace(LIMITS, certifying=AT_ONCE)
    folder = data_folder(tmp_path)
    plane = Plane.open(Config(), folder, clock=FakeClock(), randomness=FakeRandomness(), limits=limits)
    try:
        scope = plane.config.scope
        model = await plane.inventory.add_model(scope, example_bytes("door-camera"), actor=ACTOR)
        waiting = []
        for number in range(DEVICES):
            name = f"cam-{number}"
            device = await plane.inventory.add_device(scope, Row(1, DeviceId(name), model.reference), actor=ACTOR)
            claim, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
            waiting.append((name, claim, request_for(name)))
        rounds = 0
        while waiting:
            outcomes = await asyncio.gather(*(plane.identity.enroll(*one) for one in waiting), return_exceptions=True)
            refused = [error for error in outcomes if isinstance(error, HostileData)]
            assert {error.code for error in refused} <= {"identity.busy"}
            assert len(refused) == max(0, len(waiting) - AT_ONCE)
            for error in refused:
                answer = rendered(error)
                assert answer.status_code == http.client.SERVICE_UNAVAILABLE
                assert 20 <= int(answer.headers["retry-after"]) < 60
            waiting = [one for one, said in zip(waiting, outcomes, strict=True) if isinstance(said, HostileData)]
            rounds += 1
        assert rounds == DEVICES // AT_ONCE
    finally:
        await plane.close()
