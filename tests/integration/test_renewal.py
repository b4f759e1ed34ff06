"""Renewing, seen from the device: the shipped agent against a served device port, with a clock that can be moved."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from est_client import EstClient, keep, new_key, request
from holdfast_core.identity.lifetimes import ends_at, renewal_due
from holdfast_core.identity.model import Credential, Method, Revocation
from holdfast_core.kernel.instants import DAY, MINUTE, SECOND
from relay import relayed
from served_builders import ServedPlane, served

AGENT = str(Path(sys.executable).with_name("holdfast-agent"))
RENEWAL_BYTES = 8 * 1024


class Camera:
    """A device with the shipped agent."""

    def __init__(self, plane: ServedPlane, folder: Path, name: str = "cam-1") -> None:
        self.plane, self.name, self.state = plane, name, folder / "state"
        (folder / "root").mkdir()
        claim = {**os.environ, "HOLDFAST_CLAIM": plane.claim(name)}
        words = ["enroll", plane.url, "--device", name, "--ca", plane.root, "--root", str(folder / "root")]
        self.run(*words, environ=claim)

    def run(self, *words: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        argv = [AGENT, *words, "--state", str(self.state)]
        return subprocess.run(argv, env=environ, check=False, capture_output=True, text=True)

    def check_in(self) -> str:
        done = self.run("check-in")
        return done.stdout + done.stderr

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.state / "identity.pem").read_bytes())

    @property
    def credentials(self) -> list[Credential]:
        return self.plane.plane.store.credentials_of(self.plane.key(self.name))


@pytest.fixture
def plane(tmp_path: Path):
    with served(tmp_path / "plane") as plane:
        yield plane


def forward(plane: ServedPlane, milliseconds: int) -> None:
    plane.clock.forward(milliseconds)


def test_a_device_renews_when_it_is_time_on_a_new_key_and_the_old_certificate_ends(
    plane: ServedPlane, tmp_path: Path
) -> None:
    camera = Camera(plane, tmp_path)
    assert "trusted" in camera.check_in() or camera.credentials[0].confirmed_at
    (first,) = camera.credentials
    assert first.confirmed_at is not None
    assert first.certificate == b""
    before = camera.certificate
    camera.check_in()
    assert len(camera.credentials) == 1, "renewed before it was time"
    due = renewal_due(first.spki, first.issued_at, first.not_after)
    forward(plane, due - plane.clock.now() + MINUTE)
    camera.check_in()
    old, new = camera.credentials
    assert (old.successor, new.predecessor, new.method) == (new.fingerprint, old.fingerprint, Method.RENEWAL)
    assert old.revoked_code is Revocation.SUPERSEDED
    assert new.confirmed_at is not None
    assert camera.certificate.public_key() != before.public_key()
    key = load_pem_private_key((camera.state / "identity.pem").read_bytes(), None)
    assert key.public_key() == camera.certificate.public_key()
    assert not (camera.state / "renewal.pem").exists()
    posture = plane.posture("cam-1")
    assert posture.hold is None
    assert [entry.kind for entry in posture.desired.open] == []


def test_a_certificate_lives_as_long_as_its_model_says_and_begins_a_day_early(
    plane: ServedPlane, tmp_path: Path
) -> None:
    camera = Camera(plane, tmp_path)
    (credential,) = camera.credentials
    assert credential.not_after == ends_at(credential.spki, credential.issued_at, 30)
    assert 22 * DAY < credential.not_after - credential.issued_at <= 30 * DAY
    # A certificate's dates have no milliseconds.
    assert 0 <= credential.issued_at - DAY - credential.not_before < SECOND


def test_a_device_that_slept_past_its_end_comes_back_by_grace_and_that_is_recorded(
    plane: ServedPlane, tmp_path: Path
) -> None:
    camera = Camera(plane, tmp_path)
    camera.check_in()
    forward(plane, 45 * DAY)
    said = camera.check_in()
    old, new = camera.credentials
    assert new.method is Method.GRACE, said
    assert new.confirmed_at is not None
    assert old.revoked_code is Revocation.SUPERSEDED
    assert plane.posture("cam-1").hold is None


def test_past_its_grace_a_device_does_not_come_back(plane: ServedPlane, tmp_path: Path) -> None:
    camera = Camera(plane, tmp_path)
    camera.check_in()
    forward(plane, 61 * DAY)
    assert "identity.grace_over" in camera.check_in()
    assert len(camera.credentials) == 1


def test_a_renewal_interrupted_after_the_key_was_written_goes_on_with_that_key(
    plane: ServedPlane, tmp_path: Path
) -> None:
    camera = Camera(plane, tmp_path)
    camera.check_in()
    forward(plane, 25 * DAY)
    # The answer is lost: the server has certified the key, and the device does not know.
    key = new_key()
    identity, root = camera.state / "identity.pem", camera.state / "root.pem"
    keep(camera.state / "renewal.pem", key, camera.certificate)
    client = EstClient(plane.url, root, identity)
    lost = client.call("simplereenroll", request("cam-1", key))
    client.close()
    assert lost.status == 200
    camera.check_in()
    old, new = camera.credentials
    assert camera.certificate == lost.certificate
    assert new.confirmed_at is not None
    assert old.revoked_code is Revocation.SUPERSEDED
    assert plane.posture("cam-1").hold is None


def test_a_renewal_costs_few_bytes(plane: ServedPlane, tmp_path: Path) -> None:
    camera = Camera(plane, tmp_path)
    with relayed(urlsplit(plane.url).port or 0) as relay:
        client = EstClient(f"https://127.0.0.1:{relay.port}", camera.state / "root.pem", camera.state / "identity.pem")
        assert client.call("simplereenroll", request("cam-1", new_key())).status == 200
        client.close()
        assert relay.connections == 1
        assert 2_000 < relay.up + relay.down <= RENEWAL_BYTES
