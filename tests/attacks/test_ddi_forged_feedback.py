"""A device, or who stole its token, lies about its update. Each lie is set against an honest word that counts."""

from __future__ import annotations

import msgspec
import pytest

from ddi_builders import after, codes, ddi_lab, replaced
from holdfast_core.attestation.model import FEATURE, DeviceState
from holdfast_core.kernel.appraisals import Appraisal, Tier
from holdfast_core.kernel.instants import DAY, HOUR, MINUTE, Instant
from holdfast_core.trust.posture import SectionState
from holdfast_core.wire.attestation import SECTION

pytestmark = pytest.mark.anyio


async def gateway(lab):
    """A client of a model that attests, and a rollout to it, within its window."""
    lab.clock.at = lab.clock.at // DAY * DAY + 2 * HOUR + MINUTE
    client = await lab.certified("gw-1", "site-gateway")
    await client.describe(hardware="board-1", release="1.0")
    await lab.rollout(await lab.release(model="site-gateway"))
    return client


async def attests(lab, name, release):
    """The device's evidence affirms a release, now."""
    posture, now = lab.store.posture(lab.key(name)), lab.clock.now()
    appraisal = Appraisal(FEATURE, Tier.AFFIRMING, (), now, Instant(now + DAY))
    state = SectionState("sha256:" + "0" * 64, now, msgspec.msgpack.encode(DeviceState(release=release)), lasting=True)
    affirmed = replaced(posture.with_appraisal(appraisal), sections={**posture.sections, SECTION: state})
    await lab.store.commit([affirmed])


async def lie(lab, client):
    """Everything that a client can say to look as if it ran the release."""
    action = await client.begin()
    await client.say(action, "downloaded")
    await client.describe(release="2.0", hardware="board-1")
    await client.say(action, "closed", "success", "I run it, believe me.")
    await client.describe(release="site-gateway:2.0")
    for _ in range(4):
        await after(lab, 30)
        await client.poll()
        await client.say(action, "closed", "success")


async def test_forged_feedback_never_gets_a_device_that_can_attest_beyond_tried(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await gateway(lab)
        await attests(lab, "gw-1", "site-gateway:1.0")
        await lie(lab, client)
        assert lab.stage("gw-1") == "tried"
        await attests(lab, "gw-1", "site-gateway:1.0")
        await client.poll()
        assert lab.stage("gw-1") == "tried"


async def test_evidence_of_the_release_from_before_the_update_proves_nothing(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await gateway(lab)
        await attests(lab, "gw-1", "site-gateway:2.0")
        lab.clock.forward(60_000)
        await lie(lab, client)
        assert lab.stage("gw-1") == "tried"


async def test_control_the_same_words_with_evidence_after_the_boot_are_taken(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await gateway(lab)
        await lie(lab, client)
        assert lab.stage("gw-1") == "tried"
        await attests(lab, "gw-1", "site-gateway:2.0")
        await client.poll()
        assert (lab.stage("gw-1"), lab.assignment("gw-1").weak) == ("soaking", False)


async def test_success_alone_before_any_restart_soaks_no_one(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release())
        action = await client.begin()
        for _ in range(20):
            assert (await client.say(action, "closed", "success")).status_code == 200
            await client.poll()
        assert lab.stage() == "tried"
        # Control: it is heard of after it could have restarted.
        await after(lab, 1)
        await client.poll()
        assert (lab.stage(), lab.assignment().weak) == ("soaking", True)


async def test_feedback_on_an_old_action_changes_nothing(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release())
        old = await client.begin()
        await client.say(old, "closed", "failure")
        await lab.rollouts.retry(lab.scope, "r1", why="again", actor="token:test")
        new = await client.begin()
        before = lab.assignment()
        for words in (("closed", "success"), ("closed", "failure"), ("proceeding", "none"), ("canceled", "none")):
            assert codes(await client.say(old, *words)) == (410, "ddi.action_over")
            assert codes(await client.say(old, *words, base="cancelAction")) == (410, "ddi.action_over")
        assert lab.assignment() == before
        assert (await client.say(new, "proceeding")).status_code == 200
        assert lab.stage() == "installing"


@pytest.mark.parametrize("action", ["0", "-1", "1", "99999999999999999999", "9" * 5000, "x", "%2e%2e", "1e3", "\u0665"])
async def test_feedback_on_an_action_that_never_was_is_refused(tmp_path, action):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release())
        own = await client.begin()
        body = {"status": {"execution": "closed", "result": {"finished": "success"}}}
        for path in (f"/deploymentBase/{action}/feedback", f"/cancelAction/{action}/feedback"):
            answer = await client.ask("POST", path, json=body)
            assert answer.status_code in (404, 410)
        assert (await client.get(f"/deploymentBase/{action}")).status_code in (404, 410)
        assert lab.stage() == "directed"
        assert (await client.ask("POST", f"/deploymentBase/{own}/feedback", json=body)).status_code == 200


async def test_after_a_halt_a_client_cannot_stop_being_counted_as_failed(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release())
        action = await client.begin()
        await client.say(action, "closed", "failure", "broken")
        await lab.halt()
        assert codes(await client.say(action, "closed", "success")) == (410, "ddi.action_over")
        assert codes(await client.say(action, "canceled", "none", base="cancelAction")) == (404, "ddi.unknown_action")
        await client.describe(release="2.0")
        assert lab.stage() == "failed"


async def test_a_client_under_way_when_it_halts_may_still_say_what_became_of_it(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release())
        action = await client.begin()
        await client.say(action, "proceeding")
        await lab.halt()
        assert (await client.say(action, "closed", "success")).status_code == 200
        assert lab.stage() == "tried"
        assert "cancelAction" not in await client.poll()


async def test_nobody_withdraws_from_a_rollout_that_goes_on(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release())
        action = await client.begin()
        assert codes(await client.say(action, "closed", "success", base="cancelAction")) == (404, "ddi.unknown_action")
        assert lab.stage() == "directed"
        await lab.halt()
        assert (await client.say(action, "closed", "success", base="cancelAction")).status_code == 200
        assert lab.stage() == "withdrawn"
