"""The agent with its key in a TPM: a real server over TLS, a real chip in software, a real resource manager."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from cryptography import x509

from builders import ACTOR
from holdfast_agent.state import ATTESTATION, IDENTITY
from holdfast_core.identity.model import Method
from holdfast_core.kernel.instants import DAY
from served_builders import served
from tpm_builders import maker, managed, running_chip


@pytest.fixture
def chip(monkeypatch):
    with running_chip() as tcti, managed(tcti, monkeypatch) as shared:
        yield shared


def agent(*arguments, claim=None):
    environment = {name: value for name, value in os.environ.items() if name != "HOLDFAST_CLAIM"}
    if claim is not None:
        environment["HOLDFAST_CLAIM"] = claim
    command = [sys.executable, "-m", "holdfast_agent", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def enroll(server, state, root, tcti, claim=None):
    return agent(
        "enroll", server.url, "--device", "cam-1", "--ca", server.root, "--state", state, "--root", root,
        "--key", "tpm", "--tcti", tcti, claim=claim,
    )  # fmt: skip


def digest_of_chip(tcti):
    shown = agent("tpm", "--tcti", tcti, "--json")
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)["digest"]


def test_a_pinned_device_enrolls_checks_in_and_holds_no_key_that_could_be_copied(tmp_path, chip):
    root = tmp_path / "root"
    root.mkdir()
    with served(tmp_path / "server") as server:
        server.claim("cam-1")  # adds the device
        server.do(server.plane.chips.pin(server.key("cam-1"), digest_of_chip(chip), actor=ACTOR))
        done = enroll(server, tmp_path / "state", root, chip)
        assert done.returncode == 0, done.stderr
        identity = (tmp_path / "state" / IDENTITY).read_text()
        assert identity.startswith("-----BEGIN TSS2 PRIVATE KEY-----")
        assert "BEGIN PRIVATE KEY" not in identity
        assert (tmp_path / "state" / ATTESTATION).read_text().startswith("-----BEGIN TSS2 PRIVATE KEY-----")
        checked_in = agent("check-in", "--state", tmp_path / "state", "--now")
        assert checked_in.returncode == 0, checked_in.stderr
        assert server.posture("cam-1").last_seen is not None


def certificate_in(state):
    return x509.load_pem_x509_certificate((state / IDENTITY).read_bytes())


def test_a_device_renews_in_its_chip_also_long_past_its_end(tmp_path, chip):
    root, state = tmp_path / "root", tmp_path / "state"
    root.mkdir()
    with served(tmp_path / "server") as server:
        server.claim("cam-1")
        server.do(server.plane.chips.pin(server.key("cam-1"), digest_of_chip(chip), actor=ACTOR))
        assert enroll(server, state, root, chip).returncode == 0
        assert agent("check-in", "--state", state).returncode == 0
        first = certificate_in(state)
        for days in (29, 400):
            server.clock.forward(days * DAY)
            done = agent("check-in", "--state", state, "--now")
            assert done.returncode == 0, done.stderr
            renewed = certificate_in(state)
            assert renewed.public_key() != first.public_key()
            first = renewed
            assert agent("check-in", "--state", state).returncode == 0
        assert (state / IDENTITY).read_text().startswith("-----BEGIN TSS2 PRIVATE KEY-----")
        credentials = server.plane.store.credentials_of(server.key("cam-1"))
        assert {credential.method for credential in credentials} == {Method.TPM}
        assert [credential.revoked_at is None for credential in credentials] == [False, False, True]
        assert {incident.cause for incident in server.plane.store.open_incidents(server.plane.config.scope)} <= {
            "verdict"
        }


def test_a_copied_state_folder_is_worth_nothing_beside_another_chip(tmp_path, chip, monkeypatch):
    root = tmp_path / "root"
    root.mkdir()
    with served(tmp_path / "server") as server:
        claim = server.claim("cam-1")
        trusted = server.plane.chips.trust(
            server.plane.config.scope, "maker", maker().issuer, first_use=False, actor=ACTOR
        )
        server.do(trusted)
        assert enroll(server, tmp_path / "state", root, chip, claim).returncode == 0
        shutil.copytree(tmp_path / "state", tmp_path / "stolen")
        with running_chip(2) as tcti, managed(tcti, monkeypatch) as thief:
            config = tmp_path / "stolen" / "config.json"
            config.write_text(config.read_text().replace(chip, thief))
            used = agent("check-in", "--state", tmp_path / "stolen", "--now")
        assert used.returncode == 1
        assert "agent.identity_unusable" in used.stderr
