"""The agent with its key in a PKCS#11 token: a real server over TLS, SoftHSM2, OpenSSL's pkcs11 engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from builders import ACTOR
from holdfast.inventory.model_file import example_bytes
from holdfast_agent.state import IDENTITY
from holdfast_agent.token import parse_token
from holdfast_agent.token_key import token_key
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import DAY
from served_builders import served
from tpm_builders import need

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "4711-4711"


@pytest.fixture
def token(tmp_path, monkeypatch):
    """A token with one key; its URI."""
    need("softhsm2-util", "pkcs11-tool", "openssl")
    if not list(Path("/usr/lib").glob("*/engines-3/pkcs11.so")):
        pytest.skip("libengine-pkcs11-openssl is not installed")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    (tmp_path / "pin").write_text(PIN + "\n")
    run("softhsm2-util", "--init-token", "--free", "--label", "element", "--so-pin", PIN, "--pin", PIN)
    run(
        "pkcs11-tool", "--module", MODULE, "--token-label", "element", "--login", "--pin", PIN,
        "--keypairgen", "--key-type", "EC:prime256v1", "--id", "01", "--label", "identity",
    )  # fmt: skip
    return f"pkcs11:token=element;object=identity?module-path={MODULE}&pin-source=file:{tmp_path}/pin"


def run(*command):
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def agent(*arguments, claim=None):
    environment = {**os.environ, **({"HOLDFAST_CLAIM": claim} if claim else {})}
    command = [sys.executable, "-m", "holdfast_agent", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def enrolled(server, tmp_path, token, claim):
    (tmp_path / "root").mkdir()
    done = agent(
        "enroll", server.url, "--device", "cam-1", "--ca", server.root, "--state", tmp_path / "state",
        "--root", tmp_path / "root", "--key", token, claim=claim,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return tmp_path / "state"


def with_lasting_key(server):
    """The claim of a device whose model says that its key stays the same."""

    async def add():
        plane, scope = server.plane, server.plane.config.scope
        text = example_bytes("door-camera") + b"\nidentity:\n  renewal_key: same\n"
        model = await plane.inventory.add_model(scope, text, actor=ACTOR)
        await plane.inventory.add_device(scope, Row(1, DeviceId("cam-1"), model.reference), actor=ACTOR)

    server.do(add())
    return server.claim("cam-1")


def test_a_device_enrolls_checks_in_and_renews_with_the_key_in_its_token(tmp_path, token):
    with served(tmp_path / "server") as server:
        state = enrolled(server, tmp_path, token, with_lasting_key(server))
        assert "PRIVATE KEY" not in (state / IDENTITY).read_text()
        assert PIN not in (state / "config.json").read_text()
        checked_in = agent("check-in", "--state", state)
        assert checked_in.returncode == 0, checked_in.stderr
        before = x509.load_pem_x509_certificate((state / IDENTITY).read_bytes())
        server.clock.forward(29 * DAY)
        for _ in range(2):
            done = agent("check-in", "--state", state, "--now")
            assert done.returncode == 0, done.stderr
        after = x509.load_pem_x509_certificate((state / IDENTITY).read_bytes())
        assert after.serial_number != before.serial_number
        assert after.public_key() == before.public_key() == token_key(token).public_key()


def test_a_server_that_is_not_ours_hears_nothing(tmp_path, token):
    with served(tmp_path / "server") as server:
        state = enrolled(server, tmp_path, token, server.claim("cam-1"))
    with served(tmp_path / "other") as other:
        config = state / "config.json"
        config.write_text(config.read_text().replace(server.url, other.url))
        done = agent("check-in", "--state", state)
        assert done.returncode == 1
        assert "agent.server_not_trusted" in done.stderr
        assert other.plane.store.log_size() == 0


def test_a_wrong_pin_is_told(tmp_path, token):
    (tmp_path / "pin").write_text("0000")
    with pytest.raises(WorldError) as failed:
        token_key(token)
    assert failed.value.code == "agent.token"


URIS = {
    "a PIN in it": "pkcs11:token=t;object=o?module-path=/m.so&pin-value=1234",
    "no module": "pkcs11:token=t;object=o?pin-source=file:/pin",
    "no PIN file": "pkcs11:token=t;object=o?module-path=/m.so",
    "a module that is looked for": "pkcs11:token=t;object=o?module-path=m.so&pin-source=file:/pin",
    "a label twice": "pkcs11:token=t;token=u;object=o?module-path=/m.so&pin-source=file:/pin",
    "another scheme": "token=t;object=o?module-path=/m.so&pin-source=file:/pin",
}


@pytest.mark.parametrize("uri", URIS.values(), ids=URIS)
def test_a_uri_that_names_no_key_is_refused(uri):
    with pytest.raises(HostileData) as refused:
        parse_token(uri)
    assert refused.value.code == "agent.token_uri"
    assert "1234" not in str(refused.value)
