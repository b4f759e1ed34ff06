"""An event log that any device sent once is never asked for again, whichever device boots with it next."""

from __future__ import annotations

import pytest

from attest_builders import SoftTpm, booted
from attesting_builders import Builder, added, an_attester, stated
from builders import new_plane
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.instants import Instant

pytestmark = pytest.mark.anyio


def tier_of(device):
    return device.plane.store.posture(device.key).appraisal("attestation").tier


async def test_the_log_of_an_identical_device_is_not_asked_for(tmp_path):
    async with new_plane(tmp_path) as plane:
        await added(plane, Builder(), stated())
        first, second = await an_attester(plane), await an_attester(plane, "gate-2", tpm=SoftTpm())
        for device in (first, second):
            await device.tell()
            device.log = device.tpm.boot()
        assert (await first.attest(log=first.log)).wants == ()
        assert (await second.attest()).wants == ()
        assert tier_of(second) is Tier.AFFIRMING


async def test_a_device_that_goes_back_to_a_log_need_not_send_it_again(tmp_path):
    async with new_plane(tmp_path) as plane:
        await added(plane, Builder(), stated(), stated("2.0.0", made_at=Instant(1_795_000_000_001)))
        device = await an_attester(plane)
        await device.tell()
        for version in ("1.0.0", "2.0.0"):
            device.log = device.tpm.boot(booted(version))
            assert (await device.attest(log=device.log)).wants == ()
        device.log = device.tpm.boot()
        assert (await device.attest()).wants == ()
        assert tier_of(device) is Tier.AFFIRMING


async def test_a_log_that_nobody_sent_is_asked_for(tmp_path):
    async with new_plane(tmp_path) as plane:
        await added(plane, Builder(), stated())
        device = await an_attester(plane)
        await device.tell()
        device.log = device.tpm.boot()
        assert set((await device.attest()).wants) == {"boot-log", "attestation"}
