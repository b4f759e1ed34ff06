"""Keys and secrets at rest, by the commands: rotating, encrypting what lies in the clear, changing the passphrase."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import sqlite3
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from typer.testing import CliRunner, Result

from holdfast.cli.app import build
from holdfast.config import load, render
from server_process import ServerProcess

runner = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "80"})
NEW = "the new horse, the new battery, the new staple"


def run(folder: Path, *arguments: str) -> Result:
    return runner.invoke(build(), [*arguments, "--data", str(folder)])


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def told(folder: Path, *arguments: str) -> dict[str, object]:
    result = run(folder, *arguments, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert isinstance(said, dict)
    return said


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "data"
    result = run(folder, "init", "--name", "localhost")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def data(founded: Path, tmp_path: Path) -> Path:
    return shutil.copytree(founded, tmp_path / "data")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text(NEW + "\n")
    return path


def kinds(data: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(data / "holdfast.db")) as database:
        rows = database.execute("SELECT kind FROM leaf WHERE kind LIKE 'vault.%' ORDER BY \"index\"")
        return [kind for (kind,) in rows]


def in_the_clear(path: Path, passphrase: bytes) -> bytes:
    """The file's key as an older Holdfast would have left it."""
    key = load_pem_private_key(path.read_bytes(), passphrase)
    clear = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(clear)
    return clear


def test_the_webhooks_secret_lies_sealed_and_is_shown_to_its_receiver(data: Path) -> None:
    result = run(data, "vault", "webhook")
    assert result.stdout.startswith("whsec_")
    assert len(result.stdout.splitlines()) == 1
    assert b"whsec_" not in (data / "keys/webhook.secret").read_bytes()


def test_a_rotation_seals_everything_anew_and_is_on_record(data: Path) -> None:
    before, sealed = told(data, "vault", "webhook"), (data / "keys/webhook.secret").read_bytes()
    done = told(data, "vault", "rotate")
    assert (done["resealed"], done["destroyed"]) == (1, 1)
    assert (data / "keys/webhook.secret").read_bytes() != sealed
    assert told(data, "vault", "webhook") == before
    (data / "keys/webhook.secret").write_bytes(sealed)  # from before: its key is gone
    assert json.loads(run(data, "vault", "webhook", "--json").stdout)["code"] == "vault.key_unknown"
    assert kinds(data) == ["vault.rotated"]


def test_what_lies_in_the_clear_is_refused_until_it_is_protected(data: Path) -> None:
    passphrase = (data / "keys/passphrase").read_bytes().strip()
    clear = [in_the_clear(data / "keys" / name, passphrase) for name in ("log.key", "root.key", "device-port.key")]
    secret = told(data, "vault", "webhook")["secret"]
    (data / "keys/webhook.secret").write_text(f"{secret}\n")
    refused = run(data, "device", "list", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["code"] == "keystore.clear"
    done = told(data, "vault", "protect")
    assert done["protected"] == ["device-port.key", "log.key", "root.key", "webhook.secret"]
    assert told(data, "vault", "protect") == {"protected": []}
    held = b"".join(path.read_bytes() for path in (data / "keys").rglob("*") if path.is_file())
    assert not any(part in held for part in (*clear, str(secret).encode()))
    assert run(data, "device", "list").exit_code == 0
    assert told(data, "vault", "webhook")["secret"] == secret


def test_a_changed_passphrase_opens_everything_and_the_old_one_nothing(
    data: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, old = told(data, "vault", "webhook"), (data / "keys/passphrase").read_text()
    assert run(data, "vault", "passphrase", "--new", str(elsewhere)).exit_code == 0
    assert not (data / "keys/passphrase").exists()
    (data / "keys/passphrase").write_text(old)
    assert json.loads(run(data, "device", "list", "--json").stdout)["code"] == "keystore.passphrase_wrong"
    monkeypatch.setenv("HOLDFAST_PASSPHRASE_FILE", str(elsewhere))
    assert told(data, "vault", "webhook") == before
    assert kinds(data) == ["vault.passphrase_changed"]


@pytest.mark.parametrize("done", [("vault.json",), ("vault.json", "device-port.key"), ("vault.json", "log.key")])
def test_a_change_that_was_interrupted_is_repeated(
    data: Path, elsewhere: Path, done: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    halfway = shutil.copytree(data, data.with_name("halfway"))
    assert run(data, "vault", "passphrase", "--new", str(elsewhere)).exit_code == 0
    for name in done:
        shutil.copy(data / "keys" / name, halfway / "keys" / name)
    assert run(halfway, "vault", "passphrase", "--new", str(elsewhere)).exit_code == 0
    monkeypatch.setenv("HOLDFAST_PASSPHRASE_FILE", str(elsewhere))
    assert told(halfway, "vault", "webhook")
    assert run(halfway, "device", "list").exit_code == 0


def test_a_server_runs_on_keys_under_a_passphrase(data: Path) -> None:
    config = load(data, {})
    ports = dict(zip(("device_port", "operator_port", "metrics_port"), free_ports(3), strict=True))
    (data / "holdfast.toml").write_text(render(msgspec.structs.replace(config, device_host="127.0.0.1", **ports)))
    for name in ("device-port", "operator-port", "log"):
        assert (data / "keys" / f"{name}.key").read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    with ServerProcess(data):
        assert told(data, "vault", "rotate")["resealed"] == 1  # over the socket
        assert run(data, "vault", "passphrase", "--new", str(data / "keys/passphrase")).exit_code == 1
