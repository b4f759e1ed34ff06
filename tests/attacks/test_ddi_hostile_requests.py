"""Hostile paths, headers and bodies at the DDI API and the route of payloads. Each has the honest request beside it."""

from __future__ import annotations

import asyncio

import pytest

from ddi_builders import BOARD, Client, codes, ddi_lab
from holdfast.web.device.targets import PIECE
from holdfast_core.kernel.digests import digest_of
from holdfast_core.update.ddi_parsing import LARGEST_CONFIG, LARGEST_FEEDBACK

pytestmark = pytest.mark.anyio
ARTIFACTS = "/softwaremodules/2/artifacts/"


@pytest.mark.parametrize(
    "name",
    ["../../../etc/passwd", "..%2f..%2fholdfast.db", "%2e%2e", "fw-2.0.swu/", "fw-2.0.swu%00", "FW-2.0.SWU", "",
     "fw-2.0.swu.MD5SUM.MD5SUM", "fw-1.0.swu", "a" * 5000, "%ff", "fw-2.0.swu;x", ".MD5SUM", "fw-2.0.swu\\..\\x"],
)  # fmt: skip
async def test_a_name_that_is_not_the_artifacts_finds_nothing(tmp_path, name):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release())
        await client.begin()
        answer = await client.get(ARTIFACTS + name)
        assert answer.status_code == 404
        assert len(answer.content) < 1000
        assert (await client.get(ARTIFACTS + "fw-2.0.swu")).status_code == 200


async def test_a_device_gets_no_payload_that_it_is_not_directed_to(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client, waits = await lab.client("cam-1"), await lab.client("cam-2", labels=())
        await lab.release("3.0", 3)
        await lab.rollout(await lab.release())
        await client.begin()
        await waits.poll()
        assert lab.stage("cam-2") == "waiting"
        unknown = (404, "ddi.unknown_module")
        assert codes(await client.get("/softwaremodules/3/artifacts/fw-3.0.swu")) == unknown
        assert codes(await client.get("/softwaremodules/3/artifacts")) == unknown
        assert codes(await waits.get(ARTIFACTS + "fw-2.0.swu")) == unknown
        assert codes(await client.get("/softwaremodules/%00/artifacts")) == (404, "ddi.not_found")
        assert (await client.get(ARTIFACTS + "fw-2.0.swu")).status_code == 200


@pytest.mark.parametrize(
    "value",
    ["bytes=0-0,1-1", "bytes=" + "0-1," * 2000, "bytes=5-2", "bytes=-", "lines=1-2", "bytes=0x1-2", "bytes= - ",
     "bytes=" + "9" * 4000 + "-", "bytes=1-2-3"],
)  # fmt: skip
async def test_a_range_that_is_none_gets_the_whole_once_and_nothing_more(tmp_path, value):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release(data=bytes(10_000)))
        await client.begin()
        answer = await client.get(ARTIFACTS + "fw-2.0.swu", headers={"range": value})
        assert (answer.status_code, len(answer.content)) == (200, 10_000)
        control = await client.get(ARTIFACTS + "fw-2.0.swu", headers={"range": "bytes=1-2"})
        assert (control.status_code, len(control.content)) == (206, 2)


async def test_a_range_behind_the_end_is_told_the_size(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release(data=bytes(10_000)))
        await client.begin()
        answer = await client.get(ARTIFACTS + "fw-2.0.swu", headers={"range": "bytes=10000-"})
        assert codes(answer) == (416, "http.range")
        assert answer.headers["content-range"] == "bytes */10000"


async def test_bodies_are_bounded_before_they_are_kept(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release())
        action = await client.begin()
        for path, largest in (
            ("/configData", LARGEST_CONFIG),
            (f"/deploymentBase/{action}/feedback", LARGEST_FEEDBACK),
        ):
            sent = 0

            async def endless():
                nonlocal sent
                while sent < 100 * 1024 * 1024:
                    sent += 65_536
                    yield b" " * 65_536

            answer = await client.ask("PUT" if path == "/configData" else "POST", path, content=endless())
            assert codes(answer) == (413, "http.body_too_large")
            assert sent <= largest + 2 * 65_536
        assert (await client.say(action, "proceeding")).status_code == 200


async def test_what_a_client_says_is_fit_to_be_shown_and_short(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        await lab.rollout(await lab.release())
        action = await client.begin()
        await client.describe(note="\x1b[31m\u202eevil\n")
        assert lab.known().attribute("note") == "\\x1b[31m\\u202eevil\\n"
        await client.say(action, "closed", "failure", *["\x1b]0;owned\x07 " * 500] * 40)
        sentence = lab.assignment().sentence
        assert sentence.isprintable()
        assert len(sentence) <= 400


@pytest.mark.parametrize("host", ["evil.test/x?", "a b", "", "x" * 400, 'h"><script>', "[::1", "h:99999999"])
async def test_a_host_that_is_none_is_not_repeated(tmp_path, host):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        answer = await client.get(headers={"host": host})
        assert codes(answer) == (400, "ddi.host")
        assert (await client.get(headers={"host": "[::1]:8444"})).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["door-camera/2.0/{hex}.fw-3.0.swu", "door-camera/3.0/{hex}.fw-2.0.swu", "door-camera/2.0/{zero}.fw-2.0.swu",
     "door-camera/2.0/fw-2.0.swu", "door-camera/2.0/{HEX}.fw-2.0.swu", "../2.0/{hex}.fw-2.0.swu",
     "door-camera/%2e%2e/{hex}.fw-2.0.swu", "door-camera/2.0/{hex}.", "door-camera/2.0/x", "a:b/c:d/{hex}.fw-2.0.swu",
     "site-gateway/2.0/{gateway}.fw-2.0.swu"],
)  # fmt: skip
async def test_a_target_that_is_not_for_the_device_finds_nothing(tmp_path, path):
    async with ddi_lab(tmp_path) as lab:
        device = await lab.certified("cam-1")
        mine, other = await lab.release(), await lab.release(model="site-gateway", data=b"gateway")
        digits = mine.payload.digest.partition(":")[2]
        named = {"hex": digits, "HEX": digits.upper(), "zero": "0" * 64, "gateway": other.payload.digest[7:]}
        answer = await device.get(f"/v1/update/targets/{path}".format(**named), absolute=True)
        assert answer.status_code == 404
        control = await device.get(f"/v1/update/targets/door-camera/2.0/{digits}.fw-2.0.swu", absolute=True)
        assert digest_of(control.content) == mine.payload.digest


async def test_a_target_is_given_to_certificates_only(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client("cam-1")
        release = await lab.release()
        path = f"/v1/update/targets/door-camera/2.0/{release.payload.digest[7:]}.fw-2.0.swu"
        assert codes(await client.get(path, absolute=True)) == (401, "identity.certificate_required")
        certified = await lab.certified("cam-2")
        assert (await certified.get(path, absolute=True)).status_code == 200
        await lab.plane.identity.revoke(lab.key("cam-2"), why="stolen", actor="token:test")
        assert (await certified.get(path, absolute=True)).status_code in (401, 403)


async def test_a_payload_that_is_gone_or_was_changed_is_not_served_as_whole(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        release = await lab.release()
        await lab.rollout(release)
        await client.begin()
        (file,) = [each for each in (tmp_path / "artefacts").rglob("*") if release.payload.digest[7:] in each.name]
        file.write_bytes(file.read_bytes()[:-1])
        assert codes(await client.get(ARTIFACTS + "fw-2.0.swu")) == (500, "artefact.corrupt")
        file.unlink()
        assert codes(await client.get(ARTIFACTS + "fw-2.0.swu")) == (404, "artefact.missing")
        assert (await client.get()).status_code == 200


async def test_hashes_of_a_payload_that_was_changed_are_not_given_out(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = await lab.client()
        release = await lab.release()
        await lab.rollout(release)
        (file,) = [each for each in (tmp_path / "artefacts").rglob("*") if release.payload.digest[7:] in each.name]
        whole = file.read_bytes()
        file.write_bytes(b"x" + whole[1:])
        links = await client.poll()
        assert codes(await client.get(links["deploymentBase"], absolute=True)) == (500, "artefact.corrupt")
        file.write_bytes(whole)
        assert (await client.get(links["deploymentBase"], absolute=True)).status_code == 200


async def test_a_device_that_goes_away_is_not_read_for(tmp_path):
    async with ddi_lab(tmp_path) as lab:
        client = Client(lab, "cam-1", await lab.token(await lab.device(labels=(("hardware", BOARD),))))
        await lab.rollout(await lab.release(data=bytes(40 * PIECE)))
        await client.begin()
        opened = []
        really = lab.artefacts.open
        lab.artefacts.open = lambda digest: opened.append(really(digest)) or opened[-1]
        sent, gone = [], asyncio.Event()
        scope = {
            "type": "http", "method": "GET", "path": client.root + ARTIFACTS + "fw-2.0.swu", "query_string": b"",
            "headers": [(b"authorization", f"TargetToken {client.token}".encode()), (b"host", b"x")],
            "extensions": {}, "scheme": "https", "root_path": "", "http_version": "1.1",
        }  # fmt: skip

        async def receive():
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)
            if len(sent) == 4:
                gone.set()
            await asyncio.sleep(0)

        await lab.app(scope, receive, send)
        assert len(sent) < 8
        assert opened[0]._handle < 0
        whole = await client.get(ARTIFACTS + "fw-2.0.swu")
        assert len(whole.content) == 40 * PIECE
        assert opened[1]._handle < 0
