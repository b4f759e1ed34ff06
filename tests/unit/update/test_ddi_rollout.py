"""A client of hawkBit's device API goes through a rollout like any other device."""

from __future__ import annotations

import hashlib

import pytest

from ddi_builders import HOST, after, codes, ddi_lab, replaced
from holdfast_core.supply.model import Nature, PayloadKind

pytestmark = pytest.mark.anyio


async def test_a_client_goes_from_waiting_to_done_by_the_weaker_path(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await client.describe(mac="00:11")
        await lab.rollout(await lab.release())
        assert lab.stage() == "waiting"
        await client.install()
        assert lab.stage() == "tried"
        await after(lab, 2)
        await client.poll()
        assert (lab.stage(), lab.assignment().weak) == ("soaking", True)
        await after(lab, 11)
        links = await client.poll()
        assert lab.stage() == "done"
        assert lab.director.directed == [("cam-1", "door-camera:2.0")]
        installed = await client.follow(links, "installedBase")
        assert installed["deployment"]["update"] == "skip"
        assert installed["deployment"]["chunks"][0]["version"] == "2.0"


async def test_a_device_without_anything_to_do_is_told_when_to_ask_again(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        answer = await client.get()
        told = answer.json()
        hours, minutes, seconds = told["config"]["polling"]["sleep"].split(":")
        slept = 3600 * int(hours) + 60 * int(minutes) + int(seconds)
        assert 0.9 * 900 <= slept <= 1.1 * 900
        assert told["_links"] == {"configData": {"href": f"https://{HOST}/DEFAULT/controller/v1/cam-1/configData"}}
        assert (await client.describe(serial="7")).status_code == 200
        assert await client.poll() == {}


async def test_what_a_client_is_told_to_install_has_all_that_clients_look_for(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await client.describe(serial="7")
        data = b"payload" * 1000
        await lab.rollout(await lab.release(data=data, counter=7))
        links = await client.poll()
        assert set(links) == {"deploymentBase"}
        told = await client.follow(links, "deploymentBase")
        assert 0 < int(told["id"]) < 2**31
        assert f"/deploymentBase/{told['id']}?c=" in links["deploymentBase"]
        assert len(links["deploymentBase"].partition("/deploymentBase/")[2]) < 35
        deployment = told["deployment"]
        assert (deployment["download"], deployment["update"]) == ("attempt", "attempt")
        assert deployment["maintenanceWindow"] == "available"
        (chunk,) = deployment["chunks"]
        (artifact,) = chunk["artifacts"]
        assert (chunk["part"], chunk["version"], chunk["name"]) == ("os", "2.0", "door-camera")
        assert (artifact["filename"], artifact["size"]) == ("fw-2.0.swu", len(data))
        assert artifact["hashes"] == {
            name: hashlib.new(name, data, usedforsecurity=False).hexdigest() for name in ("sha1", "md5", "sha256")
        }
        href = f"https://{HOST}/DEFAULT/controller/v1/cam-1/softwaremodules/7/artifacts/fw-2.0.swu"
        assert artifact["_links"] == {
            "download": {"href": href},
            "md5sum": {"href": href + ".MD5SUM"},
            "download-http": {"href": href},
            "md5sum-http": {"href": href + ".MD5SUM"},
        }
        listed = await client.get("/softwaremodules/7/artifacts")
        assert listed.json() == [artifact]
        md5 = await client.get("/softwaremodules/7/artifacts/fw-2.0.swu.MD5SUM")
        assert md5.text == f"{artifact['hashes']['md5']}  fw-2.0.swu\n"


async def test_an_mcu_gets_the_one_part_that_zephyr_takes(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release(kind=PayloadKind.MCUBOOT, file="app.bin"))
        told = await client.follow(await client.poll(), "deploymentBase")
        assert [chunk["part"] for chunk in told["deployment"]["chunks"]] == ["bApp"]


async def test_a_security_release_is_forced(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release(nature=Nature.SECURITY))
        told = await client.follow(await client.poll(), "deploymentBase")
        assert told["deployment"]["update"] == "forced"


async def test_progress_shows_while_it_installs(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release())
        action = await client.begin()
        await client.say(action, "download")
        assert (lab.stage(), lab.assignment().percent) == ("installing", 0)
        await client.say(action, "proceeding", progress={"cnt": 3, "of": 4})
        assert lab.assignment().percent == 75
        await client.say(action, "proceeding", "none", "a line of a log", progress={"cnt": 9, "of": 0})
        assert lab.assignment().percent == 75
        await client.say(action, "downloaded")
        assert lab.stage() == "installing"


@pytest.mark.parametrize(("execution", "code"), [("closed", "ddi.failure"), ("rejected", "ddi.rejected")])
async def test_a_failure_is_told_with_the_clients_own_words(tmp_path, execution, code):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release())
        action = await client.begin()
        await client.say(action, execution, "failure", "", "no space\x1b[2J", "slot is busy")
        known = lab.assignment()
        assert (known.stage.value, known.code) == ("failed", code)
        assert known.sentence == "no space\\x1b[2J; slot is busy"
        assert "deploymentBase" not in await client.poll()


async def test_a_client_that_names_its_release_is_held_to_it(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await client.describe(release="1.0")
        await lab.rollout(await lab.release())
        await client.install()
        known = lab.assignment()
        assert (known.stage.value, known.code, lab.known().attempt.code) == ("installing", "", "ddi.not_booted")
        await after(lab, 5)
        links = await client.poll()
        assert lab.stage() == "installing"
        assert set(links) == {"configData"}
        await client.describe(release="2.0")
        assert lab.stage() == "soaking"
        await after(lab, 5)
        assert "configData" in await client.poll()
        await client.describe(release="1.0")
        assert (lab.stage(), lab.assignment().code) == ("fell-back", "update.left")


async def test_a_client_that_says_failure_after_success_fell_back(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release())
        action = await client.install()
        await client.say(action, "closed", "failure", "booted into the old slot")
        assert (lab.stage(), lab.assignment().code) == ("fell-back", "ddi.fell_back")


async def test_a_repeated_word_changes_nothing(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release())
        action = await client.install()
        before = lab.assignment()
        assert (await client.say(action, "closed", "success")).status_code == 200
        assert lab.assignment() == before


async def test_attributes_after_a_success_are_a_word_after_the_restart(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await client.describe(serial="7")
        await lab.rollout(await lab.release())
        lab.clock.forward(1000)
        await client.install()
        assert "configData" in await client.poll()
        await client.describe(serial="7")
        assert lab.stage() == "soaking"


async def test_an_action_of_another_trial_has_another_and_higher_number(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release())
        first = await client.begin()
        await client.say(first, "closed", "failure", "no")
        await lab.rollouts.retry(lab.scope, "r1", why="once more", actor="token:test")
        second = await client.begin()
        assert int(second) > int(first)
        assert codes(await client.say(first, "closed", "success")) == (410, "ddi.action_over")
        assert lab.stage() == "directed"
        await client.say(second, "closed", "success")
        assert lab.stage() == "tried"


async def test_a_halted_rollout_calls_off_who_is_under_way_and_offers_nothing_to_others(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        busy, idle = await lab.client("cam-1"), await lab.client("cam-2")
        await lab.rollout(await lab.release())
        action = await busy.begin()
        await busy.say(action, "proceeding")
        await lab.halt()
        assert set(await idle.poll()) == {"configData"}
        links = await busy.poll()
        assert "deploymentBase" not in links
        told = await busy.follow(links, "cancelAction")
        assert told == {"id": action, "cancelAction": {"stopId": action}}
        assert codes(await busy.get(f"/deploymentBase/{action}")) == (410, "ddi.action_over")
        answer = await busy.say(action, "closed", "success", "stopped", base="cancelAction")
        assert answer.status_code == 200
        assert lab.stage("cam-1") == "withdrawn"
        assert "cancelAction" not in await busy.poll()
        assert (await busy.say(action, "closed", "success", base="cancelAction")).status_code == 200
        assert codes(await idle.get("/cancelAction/5")) == (404, "ddi.unknown_action")


async def test_a_client_that_cannot_stop_goes_on(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release())
        action = await client.begin()
        await lab.halt()
        await client.say(action, "rejected", "failure", "too late", base="cancelAction")
        assert lab.stage() == "directed"
        await client.say(action, "closed", "success")
        assert lab.stage() == "tried"


async def test_a_canceled_action_that_nobody_called_off_is_a_failure(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release())
        action = await client.begin()
        await client.say(action, "canceled", "none", "the user said no")
        assert (lab.stage(), lab.assignment().code) == ("failed", "ddi.canceled")


async def test_outside_its_window_a_device_waits_and_is_woken_when_it_opens(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        lab.clock.at = 1_795_000_000_000 // 86_400_000 * 86_400_000 + 12 * 3_600_000
        client = await lab.client(maintenance_window="14:00-16:00", contact_interval_s=86_400)
        await client.describe(serial="7")
        await lab.rollout(await lab.release(), deadline_s=60)
        await client.poll()
        answer = await client.get()
        assert answer.json()["_links"] == {}
        assert "02:00:00" <= answer.json()["config"]["polling"]["sleep"] <= "02:03:00"
        assert (lab.stage(), lab.assignment().code) == ("directed", "update.window")
        await after(lab, 60)
        assert lab.stage() == "directed"
        action = lab.known().action
        told = (await client.get(f"/deploymentBase/{action}")).json()["deployment"]
        assert (told["download"], told["update"], told["maintenanceWindow"]) == ("skip", "skip", "unavailable")
        # SWUpdate reports a skipped action as a success.
        assert (await client.say(action, "closed", "success", "Skipped Update.")).status_code == 200
        assert lab.stage() == "directed"
        lab.clock.forward(61 * 60_000)
        links = await client.poll()
        assert "deploymentBase" in links
        assert lab.assignment().code == ""
        assert await client.begin() == str(action)
        await client.say(action, "proceeding")
        lab.clock.forward(3 * 3_600_000)
        assert "deploymentBase" in await client.poll()
        await client.say(action, "closed", "success")
        assert lab.stage() == "tried"


async def test_a_windows_hours_are_the_devices_own(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        lab.clock.at = 1_795_000_000_000 // 86_400_000 * 86_400_000 + 12 * 3_600_000
        labels = (("hardware", "board-1"), ("utc-offset", "+02:30"))
        client = await lab.client(maintenance_window="14:00-16:00", labels=labels)
        await lab.rollout(await lab.release())
        assert "deploymentBase" in await client.poll()


async def test_the_board_is_what_people_say_and_else_what_the_client_says(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        unknown = await lab.client("cam-1", labels=())
        said = await lab.client("cam-2", labels=())
        contradicted = await lab.client("cam-3", labels=(("hardware", "board-9"),))
        await lab.rollout(await lab.release())
        for client in (said, contradicted):
            await client.describe(hardware="board-7, board-1")
        found = [("deploymentBase" in await client.poll()) for client in (unknown, said, contradicted)]
        assert found == [False, True, False]


async def test_a_device_on_hold_is_offered_nothing(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.certified("cam-1")
        await client.describe(hardware="board-1")
        await lab.rollout(await lab.release())
        await lab.plane.response.quarantine(lab.key("cam-1"), why="a test", actor="token:test")
        assert await client.poll() == {}
        assert lab.stage() == "waiting"
        await lab.plane.response.release(lab.key("cam-1"), why="a test", actor="token:test")
        assert "deploymentBase" in await client.poll()


async def test_a_device_whose_agent_updates_it_is_refused(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.certified("cam-1")
        posture = lab.store.posture(lab.key("cam-1"))
        from holdfast_core.trust.posture import SectionState  # noqa: PLC0415  (of this test alone)

        state = SectionState("sha256:" + "0" * 64, lab.clock.now(), b"", lasting=True)
        await lab.store.commit([replaced(posture, sections={"update": state})])
        assert codes(await client.get()) == (409, "ddi.agent")
        lab.clock.forward(3 * 900_000)
        assert (await client.get()).status_code == 200


async def test_a_silent_client_counts_and_one_that_polls_does_not_also_after_a_restart(tmp_path):
    from holdfast.update.ledger import Ledger  # noqa: PLC0415  (of this test alone)

    async with ddi_lab(tmp_path) as lab:
        client, quiet = await lab.client("cam-1"), await lab.client("cam-2")
        await lab.rollout(await lab.release(), silent=100.0, failed=100.0)
        action = await client.begin()
        await quiet.begin()
        await client.say(action, "proceeding")
        for _ in range(5):
            await after(lab, 15)
            await client.poll()
        assert (lab.stage("cam-1"), lab.stage("cam-2")) == ("installing", "silent")
        fresh = Ledger(lab.store, lab.clock)
        assert fresh.last_seen(lab.key("cam-1")) is None
        lab.service.__class__(store=lab.store, clock=lab.clock, ledger=fresh, desk=lab.desk, pace=lambda *_: None)
        assert lab.clock.now() - fresh.last_seen(lab.key("cam-1")) <= 900_000


async def test_polls_that_change_nothing_write_nothing(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await client.describe(serial="7")
        await lab.rollout(await lab.release())
        await client.begin()
        written = []
        lab.store.watch_changes(written.append)
        for _ in range(20):
            lab.clock.forward(1000)
            assert "deploymentBase" in await client.poll()
        assert written == []


async def test_nothing_waits_for_consent_on_the_device(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        assert (await client.get("/confirmationBase")).json() == {"autoConfirm": {"active": True}}
