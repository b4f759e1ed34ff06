"""A device with a good identity tries to fill the record by failing and passing in turns, as fast as it can."""

from __future__ import annotations

import pytest

from builders import FakeClock, enrolled, new_plane
from holdfast_core.kernel.errors import LimitExceeded
from holdfast_core.kernel.instants import SECOND
from holdfast_core.wire.frame import Level

pytestmark = pytest.mark.anyio
CONTACT = 900
FLAPS = 200


async def flap(plane, device):
    """How many of `FLAPS` check-ins were taken, and how many leaves they left."""
    before, refused = plane.store.log_size(), []
    for turn in range(FLAPS):
        try:
            await device.check_in(failing=("ACC-05",) if turn % 2 else ())
        except LimitExceeded as error:
            refused.append((error.code, error.http_status))
    assert set(refused) == {("checkin.too_often", 429)}
    return FLAPS - len(refused), plane.store.log_size() - before


async def test_flapping_between_trusted_and_quarantined_is_cut_off(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await enrolled(plane)
        most = plane.limits.check_ins_per_contact
        taken, leaves = await flap(plane, device)
        assert taken == most
        assert leaves <= 4 * most + 2  # verdict, incident, directive, and its settling
        # Another device is served meanwhile, and this one again when its time has come.
        assert (await (await enrolled(plane, "cam-2")).check_in()).verdict.level is Level.TRUSTED
        clock.forward(CONTACT * SECOND)
        assert (await device.check_in()).verdict.level is Level.TRUSTED


async def test_control_a_device_that_calls_when_told_is_never_refused(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await enrolled(plane)
        for _ in range(FLAPS):
            clock.forward((await device.check_in()).next_s * SECOND)


async def test_a_clock_that_is_set_back_locks_no_device_out(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await enrolled(plane)
        await flap(plane, device)
        clock.forward(-CONTACT * SECOND)
        assert (await device.check_in()).seq == device.seq
