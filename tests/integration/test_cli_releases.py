"""The commands for releases, rollouts and slots: on a folder, and beside a running server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import FakeClock, data_folder, plane_on
from holdfast.adapters.system import SystemClock
from holdfast.cli import upload as uploading
from holdfast.cli.connection import Api
from holdfast.cli.waves import DEFAULT, seconds, wave
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.instants import MINUTE
from reference_builders import WHY, Commands
from release_builders import HARDWARE, MODEL, NAME, NEW, OLD, an_updater, begun, published
from server_process import ServerProcess, configured

SECOND_PERSON = "token:second"
CARRYING = ("--model", MODEL, "--hardware", HARDWARE, "--nature", "security", "--kind", "file")
PAYLOAD = bytes(range(256)) * 40


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """A data folder with four cameras, one at another site, that said an hour ago what they run."""
    folder = data_folder(tmp_path / "data")

    async def prepare() -> None:
        clock = FakeClock(SystemClock().now() - 10 * MINUTE)
        async with plane_on(folder, clock=clock) as plane:
            for number in range(4):
                site = "berlin" if number else "lab"
                device = await an_updater(plane, f"cam-{number}", site=site, labels=(("ring", str(number)),))
                await device.say()

    asyncio.run(prepare())
    return Commands(folder)


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    path = tmp_path / "rootfs-2.0.img"
    path.write_bytes(PAYLOAD)
    return path


def adding(payload: Path, version: str = "2.0", counter: int = 2) -> tuple[str, ...]:
    return ("release", "add", str(payload), "--version", version, "--counter", str(counter), *CARRYING)


def approved(commands: Commands, release: str = NEW) -> None:
    """Approve it as somebody else than who works on the command line, and have it signed."""

    async def approve() -> None:
        async with plane_on(commands.folder, clock=FakeClock(SystemClock().now())) as plane:
            await published(plane, release)
            await plane.updating.releases.approve(plane.config.scope, release, actor=SECOND_PERSON)

    asyncio.run(approve())


def test_a_release_is_added_shown_and_listed(commands, payload, tmp_path):
    sbom = tmp_path / "bom.json"
    sbom.write_text('{"bomFormat": "CycloneDX"}')
    told = commands.told(*adding(payload), "--sbom", str(sbom), "--support-end", "2031-01-31", "--needs", "1")
    release = told["release"]
    assert (release["release"], release["file"], release["size"]) == (NEW, "rootfs-2.0.img", len(PAYLOAD))
    assert (release["digest"], release["sbom"]) == (digest_of(PAYLOAD), digest_of(sbom.read_bytes()))
    page = commands.says("release", "show", NEW, code=3)
    for words in (
        "security update, counter 2, svn 0",
        "It may not roll out yet",
        "1 more approval(s) (holdfast release approve)",
        "rootfs-2.0.img, 10.2 kB, plain image",
        "release counter 1 and later",
        "2031-01-31, in",
        "nobody; 1 needed",
        "0 devices by their own word, 0 of them proved it",
    ):
        assert words in page, words
    assert NEW in commands.says("release", "list")
    again = commands.says(*adding(payload), "--sbom", str(sbom), "--support-end", "2031-01-31", "--needs", "1")
    assert "is here" in again, "the same again changes nothing"
    assert "No release can be installed yet" in commands.says("release", "list", "--model", "other")


def test_who_added_a_release_cannot_approve_it_and_somebody_else_can(commands, payload):
    commands.run(*adding(payload))
    assert "[release.own]" in commands.says("release", "approve", NEW, code=1)
    approved(commands)
    page = commands.says("release", "show", NEW)
    assert "It may roll out." in page
    assert SECOND_PERSON in page


def test_the_policy_is_shown_and_changed_in_parts(commands):
    assert "none: no validation is needed" in commands.says("release", "policy")
    assert commands.told("release", "policy", "--lab-site", "lab") == {"approvals": 1, "lab_sites": ["lab"]}
    assert commands.told("release", "policy", "--approvals", "2") == {"approvals": 2, "lab_sites": ["lab"]}
    assert "alone" in commands.says("release", "policy", "--approvals", "0", "--no-lab")
    commands.run("release", "policy", "--no-lab", "--lab-site", "x", code=2)


def test_a_release_is_validated_by_the_lab(commands, payload, tmp_path):
    commands.run(*adding(payload))
    commands.run("release", "policy", "--lab-site", "lab")
    results = tmp_path / "report.xml"
    results.write_text("<testsuite failures='0'/>")
    validating = ("release", "validate", NEW, "--device", "bench", "--results", str(results), "--ticket", "CHG-1")
    runs_new(commands)
    assert "[release.not_proved]" in commands.says(*validating, "--device", "cam-0", code=1)
    said = commands.says(*validating)
    assert f"is validated by bench, CHG-1. Keep {results}: {digest_of(results.read_bytes())}" in said
    assert "By the devices' own word" in said
    assert "CHG-1, on bench, by their own word" in commands.says("release", "show", NEW, code=3)


def runs_new(commands: Commands) -> None:
    """Let one more device of the lab say that it runs the new release."""

    async def say() -> None:
        async with plane_on(commands.folder, clock=FakeClock(SystemClock().now())) as plane:
            device = await an_updater(plane, "bench", site="lab")
            device.runs = NEW
            await device.say()

    asyncio.run(say())


def test_a_rollout_from_its_draft_to_its_end(commands, payload):
    commands.run(*adding(payload))
    made = commands.says("rollout", "create", "cameras-2", "--release", NEW, "--wave", "lab:label=ring=0,soak=10min")
    assert "is written down, for 4 devices; nothing has begun" in made
    assert "[rollout.not_cleared]" in commands.says("rollout", "start", "cameras-2", "--yes", code=1)
    approved(commands)
    planned = commands.says("rollout", "plan", "cameras-2")
    for words in ("4 devices", "Waves", "EVERY DEVICE FALLS SILENT", "Taken for granted"):
        assert words in planned, words
    commands.run("rollout", "start", "cameras-2", code=2)
    assert "wave lab is open" in commands.says("rollout", "start", "cameras-2", "--yes")
    shown = commands.says("rollout", "show", "cameras-2")
    assert "waiting 4" in shown
    assert "started by os-user:" in shown
    listed = commands.told("rollout", "devices", "cameras-2")["items"]
    assert [(each["device"], each["stage"]) for each in listed] == [(f"cam-{n}", "waiting") for n in range(4)]
    assert "No device failed" in commands.says("rollout", "devices", "cameras-2", "--bad")
    assert "No device fits" in commands.says("rollout", "devices", "cameras-2", "--stage", "done")
    assert "[why.missing]" in commands.says("rollout", "pause", "cameras-2", code=1)
    assert "pauses" in commands.says("rollout", "pause", "cameras-2", *WHY)
    assert "goes on" in commands.says("rollout", "resume", "cameras-2", *WHY)
    commands.run("rollout", "abort", "cameras-2", *WHY, code=2)
    assert "has ended" in commands.says("rollout", "abort", "cameras-2", *WHY, "--yes")
    assert "aborted" in commands.says("rollout", "list")
    (line,) = commands.run("rollout", "watch", "cameras-2", "--json").stdout.splitlines()
    assert json.loads(line)["state"] == "aborted"
    assert "[rollout.unknown]" in commands.says("rollout", "show", "other", code=1)


def test_why_a_rollout_stands_still_and_who_failed_is_told_in_full(tmp_path):
    folder = data_folder(tmp_path / "data")

    async def fail() -> None:
        async with plane_on(folder, clock=FakeClock(SystemClock().now() - 10 * MINUTE)) as plane:
            devices = [await an_updater(plane, f"cam-{number}") for number in range(5)]
            for each in devices:
                await each.say()
            await begun(plane)
            for each in devices:
                await each.say()
            (canary,) = [each for each in devices if each.args is not None]
            await canary.install()
            await canary.fall_back()
            await plane.updating.watch.tick()

    asyncio.run(fail())
    commands = Commands(folder)
    page = commands.says("rollout", "show", NAME, code=3)
    for words in (
        f"{NAME} halted {NEW}",
        "It stands still: Wave 'canary': 1 of 1",
        "[rollout.failures]",
        "do this: ",
        "< fell back 1",
        "· waiting 4",
        "halted by server",
    ):
        assert words in page, words
    bad = commands.says("rollout", "devices", NAME, "--bad")
    assert "canary fell back" in bad
    assert "The self-test failed. [update.fell_back_self_test]" in bad
    (told,) = commands.told("rollout", "devices", NAME, "--bad")["items"]
    slots = commands.says("device", "slots", told["device"])
    assert "fell back" in slots
    assert f"{NAME}: {NEW}" in slots
    assert "halted" in commands.says("rollout", "list")
    assert "[rollout.still_bad]" in commands.says("rollout", "resume", NAME, *WHY, code=1)
    assert "wait again" in commands.says("rollout", "retry", NAME, *WHY)
    assert "goes on" in commands.says("rollout", "resume", NAME, *WHY)


def test_watching_ends_when_nothing_moves_any_more(commands, payload, monkeypatch):
    commands.run(*adding(payload))
    commands.run("rollout", "create", NAME, "--release", NEW)
    draft = commands.told("rollout", "show", NAME)
    pages = [{**draft, "state": state} for state in ("running", "running", "halted")]
    get = Api.get

    def moved(api: Api, path: str, **query: object) -> object:
        return pages.pop(0) if path == f"/rollouts/{NAME}" else get(api, path, **query)

    monkeypatch.setattr(Api, "get", moved)
    lines = commands.run("rollout", "watch", NAME, "--every", "0.2", "--json").stdout.splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["running", "halted"], "a line for each change"
    pages.append({**draft, "state": "finished"})
    assert f"{NAME} finished {NEW}" in commands.says("rollout", "watch", NAME)


def test_slots_tell_what_a_device_runs(commands, payload):
    commands.run(*adding(payload, "1.0", 1))
    page = commands.says("device", "slots", "cam-0")
    assert f"cam-0 runs {OLD}" in page
    assert "by its own word alone" in page
    assert "may not be booted" in page
    told = commands.told("device", "slots", "cam-0")
    assert [(slot["slot"], slot["runs"]) for slot in told["slots"]] == [("a", True), ("b", False)]
    commands.run("device", "add", "new-1", "--model", "door-camera@1.0.0")
    assert "has never said what it runs" in commands.says("device", "slots", "new-1")
    assert "[device.unknown]" in commands.says("device", "slots", "nobody", code=1)


def test_a_rollout_is_read_from_a_file(commands, payload, tmp_path):
    commands.run(*adding(payload))
    file = tmp_path / "rollout.yaml"
    file.write_text(
        f"""
release: {NEW}
selection: {{sites: [berlin]}}
waves:
  - first:device=cam-1,soak=2h,at-once=1
  - {{name: rest, percent: 100, soak_s: 600}}
thresholds: {{failed: 2}}
back: true
"""
    )
    told = commands.told("rollout", "create", "from-file", "--file", str(file))
    first, rest = told["waves"]
    assert (first["devices"], first["soak_s"], first["at_once"]) == (["cam-1"], 7200, 1)
    assert (rest["percent"], rest["soak_s"], told["thresholds"]["failed"], told["back"]) == (100, 600, 2, True)
    assert told["selected"] == 3
    file.write_text("- not\n- a rollout\n")
    assert "[rollout.file]" in commands.says("rollout", "create", "x", "--file", str(file), code=1)
    file.write_text("waves: [a, ]: b")
    assert "[rollout.not_yaml]" in commands.says("rollout", "create", "x", "--file", str(file), code=1)
    file.write_text(f"release: {NEW}\nwaves: [all:100%]\nsurprise: 1\n")
    assert "surprise" in commands.says("rollout", "create", "x", "--file", str(file), code=1)
    commands.run("rollout", "create", "x", code=2)
    commands.run("rollout", "create", "x", "--file", str(file), "--release", NEW, code=2)


def test_waves_are_written_short():
    assert wave("canary:1%", {"soak_s": 60}) == {"name": "canary", "percent": 1.0, "soak_s": 60}
    assert wave("lab:label=ring=0,label=a=b=c", {})["labels"] == {"ring": "0", "a": "b=c"}
    assert wave("x:device=a,device=b,per-hour=3", {}) == {"name": "x", "devices": ["a", "b"], "per_hour": 3}
    assert [wave(each, {})["percent"] for each in DEFAULT] == [1, 10, 100]
    assert [seconds(each, "--soak") for each in ("90", "90s", "5m", "5min", "2h", "1d")] == [
        90, 90, 300, 300, 7200, 86400,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "written",
    ["", "canary", "canary:", ":1%x", "a:1", "a:label=x", "a:soak=soon", "a:at-once=-1", "a:device=", "a:1%,,"],
)
def test_what_is_no_wave_is_told_as_one(commands, written):
    commands.run("rollout", "create", "x", "--release", NEW, "--wave", written, code=2)


# Beside a running server


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Commands]:
    configured(tmp_path / "served")
    with ServerProcess(tmp_path / "served"):
        yield Commands(tmp_path / "served")


def test_a_release_goes_to_a_running_server_in_pieces_and_on_from_where_it_stopped(served, payload, monkeypatch):
    monkeypatch.setattr(uploading, "PIECE", 1000)
    sent: list[str] = []
    put = Api.put

    def cut(api: Api, path: str, content: bytes, **headers: str) -> object:
        sent.append(headers["content_range"])
        if len(sent) == 4:
            raise WorldError("server.gone", "The line was cut.", remedy="Repeat the command.")
        return put(api, path, content, **headers)

    monkeypatch.setattr(Api, "put", cut)
    assert "[server.gone]" in served.says(*adding(payload), code=1)
    assert len(sent) == 4
    assert served.told(*adding(payload))["release"]["digest"] == digest_of(PAYLOAD)
    assert sent[4].startswith("bytes 3000-3999/"), "three pieces were there"
    assert len(sent) == 3 + 1 + 8
    stored = served.folder / "artefacts" / "sha256"
    assert [path.read_bytes() for path in stored.glob("*/*")] == [PAYLOAD]


def test_a_file_that_changes_while_it_is_sent_is_refused(served, payload, monkeypatch):
    monkeypatch.setattr(uploading, "PIECE", 4096)
    put = Api.put

    def swapped(api: Api, path: str, content: bytes, **headers: str) -> object:
        return put(api, path, content[:-1] + b"!", **headers)

    monkeypatch.setattr(Api, "put", swapped)
    assert "[artefact.other_digest]" in served.says(*adding(payload), code=1)
    assert list((served.folder / "artefacts" / "incoming").iterdir()) == []
    monkeypatch.setattr(Api, "put", put)
    assert served.told(*adding(payload))["release"]["release"] == NEW, "the control"


def test_a_file_that_is_empty_missing_or_cut_short_is_told(commands, payload, monkeypatch):
    assert "[files.unreadable]" in commands.says(*adding(payload.with_name("none")), code=1)
    payload.write_bytes(b"")
    assert "[artefact.empty]" in commands.says(*adding(payload), code=1)
    payload.write_bytes(PAYLOAD)
    get = Api.get

    def shortened(api: Api, path: str, **query: object) -> object:
        payload.write_bytes(b"")
        return get(api, path, **query)

    monkeypatch.setattr(Api, "get", shortened)
    assert "[files.changed]" in commands.says(*adding(payload), code=1)


def test_an_upload_that_somebody_else_makes_too_is_given_up_in_the_end(commands, payload, monkeypatch):
    calls = []

    def conflict(_api: Api, _path: str, _content: bytes, **_headers: str) -> object:
        calls.append(1)
        raise HostileData("artefact.offset", "Somebody else was here.", remedy="Wait.", http_status=409)

    monkeypatch.setattr(Api, "put", conflict)
    assert "[artefact.offset]" in commands.says(*adding(payload), code=1)
    assert len(calls) == uploading.RETRIES + 1
