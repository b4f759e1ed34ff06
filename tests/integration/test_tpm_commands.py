"""``holdfast tpm`` on a data folder with no server running."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from certificate_builders import authority
from holdfast.cli.app import build

runner = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "80"})
CHIP = "ab" * 32


@pytest.fixture
def run(tmp_path):
    folder = str(tmp_path / "data")

    def command(*arguments, code=0):
        result = runner.invoke(build(), [*arguments, "--data", folder])
        assert result.exit_code == code, result.output
        return result

    ports = ("--device-port", "0", "--operator-port", "0", "--metrics-port", "0")
    command("init", "--name", "localhost", *ports)
    model = tmp_path / "model.yaml"
    model.write_text(runner.invoke(build(), ["model", "example", "door-camera"]).stdout)
    command("model", "add", str(model))
    reference = json.loads(command("model", "list", "--json").stdout)["items"][0]["reference"]
    command("device", "add", "cam-1", "--model", reference)
    return command


def test_pin_list_and_release(run):
    run("tpm", "pin", "cam-1", CHIP)
    (chip,) = json.loads(run("tpm", "list", "--json").stdout)["items"]
    assert (chip["device"], chip["digest"]) == ("cam-1", f"sha256:{CHIP}")
    told = run("tpm", "list").stdout
    assert "cam-1" in told
    assert "…" not in told
    assert told.count("ab") == len(CHIP) // 2, "the whole digest, which release asks for"
    run("tpm", "release", CHIP, "--why", "the board was replaced")
    assert json.loads(run("tpm", "list", "--json").stdout)["items"] == []
    assert "tpm.not_bound" in run("tpm", "release", CHIP, "--why", "again", code=1).output


def test_trust_list_and_distrust(run, tmp_path):
    certificate, _ = authority("maker")
    for name, encoding in (("one.pem", Encoding.PEM), ("two.der", Encoding.DER)):
        (tmp_path / name).write_bytes(certificate.public_bytes(encoding))
    run("tpm", "trust", "maker", str(tmp_path / "one.pem"))
    run("tpm", "trust", "own-line", str(tmp_path / "two.der"), "--first-use")
    roots = json.loads(run("tpm", "roots", "--json").stdout)["items"]
    assert [(root["name"], root["first_use"]) for root in roots] == [("maker", False), ("own-line", True)]
    assert "…" not in run("tpm", "roots").stdout
    missing = run("tpm", "trust", "maker", str(tmp_path / "none.pem"), code=1).output
    assert "files.unreadable" in missing
    run("tpm", "distrust", "maker", "--why", "it was broken into")
    assert "own-line" in run("tpm", "roots").stdout
    assert "maker" not in run("tpm", "roots").stdout


def test_what_is_no_certificate_is_not_trusted(run, tmp_path):
    (tmp_path / "text").write_text("no certificate")
    assert "tpm.root_invalid" in run("tpm", "trust", "maker", str(tmp_path / "text"), code=1).output
