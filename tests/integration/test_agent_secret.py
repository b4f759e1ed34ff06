"""The agent fetches what was sealed for its device: a real server over TLS, the command as a unit would start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import msgspec
import pytest

from attest_agent_builders import Sysfs
from attesting_builders import attesting_model
from builders import ACTOR
from holdfast_core.attestation.model import Freshness
from holdfast_core.identity.lifetimes import renewal_due
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.instants import HOUR, MINUTE
from holdfast_core.record.model import Kind
from sealed_builders import LIFE, WHY, attested, on_record
from served_builders import served
from tpm_builders import managed, need, running_chip

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

    def agent(self, *arguments, claim=None, stateless=False):
        environment = {name: value for name, value in os.environ.items() if name != "HOLDFAST_CLAIM"}
        environment |= {"HOLDFAST_CLAIM": claim} if claim is not None else {}
        state = () if stateless else ("--state", self.state)
        command = [sys.executable, "-m", "holdfast_agent", *map(str, (*arguments, *state))]
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


# With a real chip, whose quotes a server appraises


class Gateway(Camera):
    """A device with its key in a chip, whose model renews it only on fresh evidence of its boot."""

    def __init__(self, server, folder, tcti):
        self.server, self.plane, self.key = server, server.plane, server.key("gate-1")
        self.state, self.sysfs, root = folder / "state", Sysfs(folder), folder / "root"
        root.mkdir()
        self.tcti = tcti
        server.do(self._expect())
        done = self.agent(
            "enroll", server.url, "--device", "gate-1", "--ca", server.root, "--root", root, "--key", "tpm",
            "--tcti", tcti, "--sys", self.sysfs.path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    async def _expect(self):
        plane, scope = self.plane, self.plane.config.scope
        model = await plane.inventory.add_model(scope, attesting_model(before_renewal=True), actor=ACTOR)
        await plane.inventory.add_device(scope, Row(1, self.key.device, model.reference), actor=ACTOR)
        digest = json.loads(self.agent("tpm", "--json", "--tcti", self.tcti, stateless=True).stdout)["digest"]
        await plane.chips.pin(self.key, digest, actor=ACTOR)
        await plane.sealed.seal(self.key, "disk", DATA, actor=ACTOR)

    @property
    def credentials(self):
        return sorted(self.plane.store.credentials_of(self.key), key=lambda each: each.issued_at)

    def due(self):
        """Go to when the certificate is to be renewed."""
        newest = self.credentials[-1]
        self.server.clock.at = renewal_due(newest.spki, newest.issued_at, newest.not_after) + MINUTE

    def over(self):
        """Go past its end."""
        self.server.clock.at = self.credentials[-1].not_after + MINUTE


@pytest.fixture
def gateway(tmp_path, monkeypatch):
    """One whose boot is known."""
    need("tpm2_send")
    with (
        running_chip(certified=False) as chip,
        managed(chip, monkeypatch) as tcti,
        served(tmp_path / "server") as server,
    ):
        made = Gateway(server, tmp_path, tcti)
        assert b"[sealed.not_affirming]" in made.secret().stderr, "genuine, and compared with nothing yet"
        learned = server.plane.attesting.references.learn(made.key, version="1.0.0", svn=1, why=WHY, actor=ACTOR)
        server.do(learned)
        server.clock.forward(3 * HOUR)
        assert made.secret().stdout == DATA, "its evidence was too old: it quoted, then asked once more"
        yield made


def test_a_device_with_a_chip_renews_in_the_contact_that_affirms_it_and_not_in_one_that_does_not(gateway):
    gateway.due()
    assert gateway.secret().stdout == DATA
    assert len(gateway.credentials) == 2
    assert gateway.secret().stdout == DATA, "with the new keys"
    extend = ["tpm2_pcrextend", "4:sha256=" + "ab" * 32]
    subprocess.run(extend, env={**os.environ, "TPM2TOOLS_TCTI": gateway.tcti}, check=True, capture_output=True)
    gateway.due()
    told = gateway.secret()
    assert (told.returncode, told.stdout) == (1, b"")
    assert b"[sealed.not_affirming]" in told.stderr
    assert len(gateway.credentials) == 2, "what it booted is not known, so it is not renewed"


def test_a_device_with_a_chip_that_renews_past_its_end_is_taken_for_no_stranger(gateway):
    """The message that was refused holds a quote by the key before; sent again as it was it would raise an alarm."""
    gateway.over()
    assert gateway.secret().stdout == DATA
    assert len(gateway.credentials) == 2
    assert gateway.plane.store.open_incidents(gateway.plane.config.scope) == []
    gateway.over()
    assert gateway.agent("check-in", "--now").returncode == 0
    assert len(gateway.credentials) == 3
    assert {each.cause for each in gateway.plane.store.open_incidents(gateway.plane.config.scope)} <= {"verdict"}
