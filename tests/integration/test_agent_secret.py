"""The agent fetches what was sealed for its device: a real server over TLS, the command as a unit would start it."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import pytest

from builders import ACTOR
from holdfast_core.attestation.model import Freshness
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.record.model import Kind
from sealed_builders import LIFE, attested, on_record
from served_builders import served

DATA = b"\x00\xff\r\na key that opens the disk\n"


class Camera:
    """A device that enrolled and checked in, for which one secret is sealed."""

    def __init__(self, server, folder):
        self.server, self.plane, self.key = server, server.plane, server.key("cam-1")
        self.state, root = folder / "state", folder / "root"
        root.mkdir()
        done = self.agent(
            "enroll", server.url, "--device", "cam-1", "--ca", server.root, "--root", root,
            claim=server.claim("cam-1"),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert self.agent("check-in").returncode == 0
        server.do(server.plane.sealed.seal(self.key, "disk", DATA, actor=ACTOR))

    def agent(self, *arguments, claim=""):
        environment = {**os.environ, "HOLDFAST_CLAIM": claim}
        command = [sys.executable, "-m", "holdfast_agent", *map(str, arguments), "--state", str(self.state)]
        return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=120)

    def secret(self, name="disk"):
        return self.agent("secret", name)

    def attests(self, *what, **how):
        """Let the posture be as after an attestation, without what an audit says of the machine that runs this."""
        posture = msgspec.structs.replace(self.server.posture("cam-1"), appraisals=())
        self.server.do(self.plane.store.commit([posture]))
        self.server.do(attested(self, *what, **how))

    @property
    def check_ins(self):
        return self.server.posture("cam-1").sequence.last

    def files(self):
        return {path.name: path.read_bytes() for path in self.state.rglob("*") if path.is_file()}


@pytest.fixture
def camera(tmp_path):
    with served(tmp_path / "server") as server:
        yield Camera(server, tmp_path)


def test_an_affirmed_device_prints_its_secret_as_it_is_and_keeps_nothing_of_it(camera):
    camera.attests()
    before = camera.files()
    done = camera.secret()
    assert (done.returncode, done.stdout, done.stderr) == (0, DATA, b"")
    assert camera.files() == before
    assert on_record(camera.plane, Kind.SECRET_RELEASED) == [("secret.released", "device:cam-1", b'{"name":"disk"}')]


def test_a_device_that_cannot_attest_checks_in_once_and_is_told_why(camera):
    before = camera.check_ins
    done = camera.secret()
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"[sealed.not_attested]" in done.stderr
    assert b"Let the device check in with fresh evidence" in done.stderr
    assert camera.check_ins > before
    assert on_record(camera.plane, Kind.SECRET_RELEASED) == []


def test_what_lapsed_or_is_not_confirmed_is_asked_for_once_more_after_a_check_in(camera):
    camera.attests(freshness=Freshness.PENDING)
    before = camera.check_ins
    assert b"[sealed.pending]" in camera.secret().stderr
    assert camera.check_ins > before, "one contact, of as many messages as the server asks for"
    camera.attests()
    camera.server.clock.forward(LIFE)
    before = camera.check_ins
    assert b"[sealed.stale]" in camera.secret().stderr
    assert camera.check_ins > before


def test_what_a_check_in_cannot_mend_is_told_without_one(camera):
    camera.attests(Tier.WARNING)
    before = camera.check_ins
    assert b"[sealed.not_affirming]" in camera.secret().stderr
    camera.attests()
    assert b"[sealed.unknown]" in camera.secret("vpn").stderr
    assert camera.check_ins == before
