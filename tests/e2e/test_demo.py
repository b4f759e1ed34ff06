"""The demo, run as a person runs it: every step of its story is there, and nothing of it stays behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast_core.kernel.errors import WorldError
from holdfast_sim.packages import PackageStore

# Minutes on a machine that does other things besides; the demo's own patience ends it sooner when a step is missing.
pytestmark = [pytest.mark.timeout(1_500), pytest.mark.root]

DEVICES = {"plant-server", "gateway-1", "door-1", "door-2", "pump-1", "soil-1"}


@pytest.fixture(scope="module")
def story(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    packages = checkout / ".cache" / "debs"
    try:
        PackageStore(packages).fetch(["base-files", "base-passwd"])
    except WorldError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("demo") / "run"
    words = [sys.executable, "-m", "holdfast_sim", "demo", "--once", "--json", "--dir", str(folder)]
    process = subprocess.Popen(
        [*words, "--packages", str(packages)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # whatever it starts is of this session, so what it leaves behind is found
    )
    out, err = process.communicate()
    assert process.returncode == 0, out[-3000:] + err[-3000:]
    return [
        {"event": "process", "pid": process.pid, "folder": str(folder)},
        *(json.loads(line) for line in out.splitlines()),
    ]


def test_every_device_enrolls_and_gets_a_verdict(story: list[dict[str, Any]]) -> None:
    assert {event["device"] for event in story if "fingerprint" in event} == DEVICES
    fleet = {row["device"]: row for row in _only(story, "fleet")["rows"]}
    assert set(fleet) == DEVICES
    assert fleet["door-1"]["verdict"] == fleet["soil-1"]["verdict"] == fleet["gateway-1"]["verdict"] == "trusted"
    assert fleet["pump-1"]["verdict"] in {"trusted", "restricted"}
    assert fleet["door-2"]["verdict"] in {"quarantined", "restricted"}
    assert all(row["coverage"] > 0 for row in fleet.values())
    assert {row["integrity"] for row in _only(story, "questions")["rows"]} >= {"yes", "no"}


def test_every_device_is_told_how_many_controls_it_meets(story: list[dict[str, Any]]) -> None:
    told = {event["device"]: event["met"] for event in story if "met" in event}
    assert told.keys() == DEVICES
    for words in told.values():
        good, asked = words.removesuffix(" controls met").split(" of ")
        assert 0 < int(good) <= int(asked)
    fixes = [event for event in story if event.get("label") == "→ fix"]
    assert fixes[0]["text"]


def test_a_control_is_mended_in_the_loop_and_a_harmful_mend_is_taken_back(story: list[dict[str, Any]]) -> None:
    became = {
        event["device"]: (event["control"], event["became"])
        for event in story
        if "control" in event and "became" in event
    }
    assert became == {"gateway-1": ("SVC-06", "done"), "door-2": ("FS-08", "harden.reverted")}


def test_what_a_person_saw_counts(story: list[dict[str, Any]]) -> None:
    inspected = [event["event"] for event in story if event.get("control") == "PHY-11"]
    assert inspected == ["do", "seen"]


def test_the_attack_is_found_and_the_stream_goes_on(story: list[dict[str, Any]]) -> None:
    texts = [event["text"] for event in story if event.get("device") == "door-1" or event["event"] == "detail"]
    attacked = next(i for i, text in enumerate(texts) if text.startswith("the intruder leaves"))
    after = "\n".join(texts[attacked:])
    assert "support" in after
    assert "31337" in after
    frames = [event["frame"] for event in story if "frame" in event]
    assert frames == sorted(set(frames))
    assert len(frames) == 2
    levels = [event["level"] for event in story if event.get("device") == "door-1" and "reasons" in event]
    assert levels == ["trusted", "quarantined", "trusted", "quarantined", "trusted"]


def test_the_thief_is_cut_off_and_refused(story: list[dict[str, Any]]) -> None:
    refused = [event for event in story if event.get("device") == "intruder" and "status" in event]
    assert [event["status"] for event in refused] == [409, 403]
    assert "its open connection is ended" in refused[1]["text"]


def test_a_microcontroller_proves_its_boot_by_a_token(story: list[dict[str, Any]]) -> None:
    (proved,) = [event["release"] for event in story if event.get("device") == "soil-1" and "release" in event]
    assert proved == "soil-sensor-demo:1.8.2"


def test_what_was_booted_is_proved_and_what_should_not_be_is_found(story: list[dict[str, Any]]) -> None:
    skipped = [event["skipped"] for event in story if "skipped" in event]
    if skipped:
        pytest.skip(f"not installed: {skipped[0]}")
    proved = next(event for event in story if "vector" in event)
    assert proved["release"] == "site-gateway-demo:1.0.0"
    assert {name: proved["vector"][name] for name in ("instance-identity", "executables", "hardware")} == {
        "instance-identity": 2,
        "executables": 3,
        "hardware": 2,
    }
    told = [(event["attested"], event.get("level"), event.get("code")) for event in story if "attested" in event]
    again = ("affirming", "trusted", None)
    assert told == [
        ("affirming", None, None),
        ("contraindicated", "quarantined", "attestation.unrecognized_boot"),
        again,
        ("contraindicated", "quarantined", "attestation.release_superseded"),
        again,
        ("contraindicated", "quarantined", "attestation.signature"),
        again,
    ]
    refused = [event["code"] for event in story if event.get("code", "").startswith(("fit.", "boot."))]
    assert refused == ["fit.image_hash", "boot.rollback"]
    assert all(event["pcr"] == 4 for event in story if "pcr" in event)
    assert any("failed after u-boot" in event["text"] for event in story if "pcr" in event)


def test_a_hole_is_closed_in_waves_and_a_bad_release_is_halted_after_one_camera(story: list[dict[str, Any]]) -> None:
    assert [event["refused"] for event in story if "refused" in event] == ["release.own"]
    ended = [event for event in story if event.get("device") == "yard" and "rollout" in event]
    assert [event["rollout"] for event in ended] == ["finished", "halted"]
    assert ended[1]["exposed"] == 1
    pictures = [event["waves"] for event in story if "waves" in event]
    assert all(waves["canary"]["done"] == 1 for waves in pictures if waves["rest"]["exposed"])
    assert {"canary": (1, 0), "rest": (4, 0)} in [
        {name: (tally["done"], tally["bad"]) for name, tally in waves.items()} for waves in pictures
    ]
    assert [event["code"] for event in story if event.get("code", "").startswith("update.")] == [
        "update.fell_back_self_test"
    ]
    again = [event["text"] for event in story if "streams again" in event.get("text", "")]
    assert " 2.0.0 " in again[0]


def test_silence_is_a_reason_and_the_record_is_verified(story: list[dict[str, Any]]) -> None:
    assert any("checkin.silent" in event.get("reasons", ()) for event in story)
    pinned = next(event["pins"] for event in story if "pins" in event)
    assert "door-1" in pinned
    assert _only(story, "end")["good"] is True


def test_nothing_is_left_behind(story: list[dict[str, Any]]) -> None:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert f"hf-{_only(story, 'process')['pid']}-" not in listed
    notes = Path(_only(story, "process")["folder"]) / "processes.json"
    assert not notes.exists()
    chips = subprocess.run(["pgrep", "-s", str(_only(story, "process")["pid"])], capture_output=True, check=False)
    assert not chips.stdout


def _only(story: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (event,) = [event for event in story if event["event"] == kind]
    return event
