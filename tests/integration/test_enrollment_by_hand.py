"""A device that has nothing but its name, over the served EST port: it asks, a person compares, it gets in."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builders import ACTOR
from est_client import EstClient, keep, new_key, request
from served_builders import served

AGENT = str(Path(sys.executable).with_name("holdfast-agent"))


@pytest.fixture
def plane(tmp_path: Path):
    with served(tmp_path / "plane") as plane:
        yield plane


def test_a_device_without_a_claim_gets_in_once_a_person_approved_its_key(plane, tmp_path) -> None:
    plane.claim("cam-1")
    root = tmp_path / "plane" / "keys" / "root.pem"
    for url in (plane.est_url, plane.url):
        client = EstClient(url, root)
        key = new_key()
        body = request("cam-1", key)
        first = client.call("simpleenroll", body, basic=("cam-1", ""))
        assert (first.status, int(first.headers["retry-after"]) > 0) == (202, True)
        plane.do(plane.plane.approvals.settled())
        (pending,) = plane.plane.approvals.pending(plane.plane.config.scope)
        assert pending.address == "127.0.0.1"
        plane.do(plane.plane.approvals.approve(plane.plane.config.scope, pending.id, actor=ACTOR))
        made = client.call("simpleenroll", body, basic=("cam-1", ""))
        client.close()
        assert made.status == 200
        holder = EstClient(url, root, keep(tmp_path / "identity.pem", key, made.certificate))
        assert holder.call("simplereenroll", request("cam-1", new_key())).status == 200
        holder.close()


def test_the_agent_shows_the_fingerprint_of_its_key_and_waits(plane, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("holdfast.identity.approvals.ASK_AGAIN_S", 1)
    plane.claim("cam-1")
    (tmp_path / "root").mkdir()
    state = ("--state", str(tmp_path / "state"))
    words = ("enroll", plane.url, "--device", "cam-1", "--ca", plane.root, "--root", str(tmp_path / "root"), "--wait")
    environ = {name: value for name, value in os.environ.items() if name != "HOLDFAST_CLAIM"}
    with subprocess.Popen([AGENT, *words, *state], env=environ, stderr=subprocess.PIPE, text=True) as agent:
        assert agent.stderr is not None
        shown = agent.stderr.readline().split()[-1]
        scope = plane.plane.config.scope
        while not plane.plane.approvals.pending(scope):
            time.sleep(0.05)
        plane.do(plane.plane.approvals.approve(scope, shown, actor=ACTOR))
        agent.stderr.read()
        assert agent.wait(60) == 0
    done = subprocess.run([AGENT, "check-in", *state], check=False, capture_output=True, text=True)
    assert "Checked in" in done.stderr
