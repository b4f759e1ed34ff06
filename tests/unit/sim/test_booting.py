"""The act of the demo about what was booted, where it cannot be shown: one line that says what is missing."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import pytest

from holdfast_sim.board import PACKAGES, missing_tools
from holdfast_sim.demo.booting import booting
from holdfast_sim.demo.cast import GATEWAY, SENSOR, model_for, model_name
from holdfast_sim.demo.processes import NOTES, Processes
from holdfast_sim.demo.stage import Stage


def test_without_its_tools_the_act_is_a_line_that_names_them(monkeypatch):
    monkeypatch.setattr("holdfast_sim.demo.booting._token", lambda _scene: None)
    out = io.StringIO()
    stage = Stage(out, as_json=True, colour=False)
    booting(SimpleNamespace(stage=stage, fleet=SimpleNamespace(boards={}), missing=("swtpm", "mkimage")))
    act, line = [json.loads(text) for text in out.getvalue().splitlines()]
    assert (act["event"], act["number"]) == ("act", 7)
    assert (line["event"], line["device"], line["skipped"]) == ("note", GATEWAY.device, ["swtpm", "mkimage"])
    assert "swtpm, mkimage" in line["text"]
    assert PACKAGES in line["text"]


def test_what_is_missing_is_found_before_anything_starts(monkeypatch):
    monkeypatch.setattr(
        "holdfast_sim.board.program_path", lambda name: None if name == "mkimage" else f"/usr/bin/{name}"
    )
    monkeypatch.setattr("holdfast_sim.board._FOLDERS", ("/nonexistent",))
    assert missing_tools() == ("mkimage", "ossl-modules/tpm2.so", "libtss2-tcti-tabrmd.so.0")


class FakeApi:
    """Keeps the model that is added."""

    def __init__(self):
        self.added = None

    def get(self, _path):
        return {"model": {"name": "x", "constraints": {}, "needs": [{"appraisal": "health", "max_age_s": 60}]}}

    def post(self, _path, body, *, kind):
        assert kind == "application/yaml"
        self.added = json.loads(body)
        return {"reference": f"{self.added['name']}@1.0.0"}


@pytest.mark.parametrize("attests", [None, {"registers": [0, 4]}])
def test_a_model_demands_evidence_only_of_who_can_give_it(attests):
    api = FakeApi()
    assert model_for(GATEWAY, api, port=None, attests=attests) == "site-gateway-demo@1.0.0"
    needed = [need["appraisal"] for need in api.added["needs"]]
    assert needed == (["health"] if attests is None else ["health", "attestation"])
    assert api.added.get("attestation") == attests


def test_a_model_with_a_port_of_its_own_is_named_after_its_device():
    assert model_name(GATEWAY, port=4711) == "site-gateway-gateway-1"
    assert model_name(SENSOR, port=None) == "soil-sensor-demo"


class FakeChip:
    """A process of somebody else's."""

    pid = 1

    def __init__(self):
        self.closed = 0

    def close(self):
        self.closed += 1


def test_what_is_held_is_noted_and_ends_with_the_others_once(tmp_path):
    processes, chip, other = Processes(tmp_path), FakeChip(), FakeChip()
    processes.hold("chip", chip)
    processes.hold("other", other)
    assert [note["pid"] for note in json.loads((tmp_path / NOTES).read_bytes())] == [1, 1]
    processes.end("other")
    processes.close()
    assert (chip.closed, other.closed) == (1, 1)
    assert not (tmp_path / NOTES).exists()
