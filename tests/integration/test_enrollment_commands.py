"""The commands for every way to enroll and own, in one data folder with no server running."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner, Result

from builders import data_folder
from holdfast.cli.app import build
from holdfast.inventory.model_file import example_bytes
from maker_builders import Maker

runner = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "120"})


class Commands:
    """Commands on one data folder; the reference of the model that was added."""

    def __init__(self, folder: Path) -> None:
        self.folder = data_folder(folder / "data")
        (folder / "camera.yaml").write_bytes(example_bytes("door-camera"))
        self.model = str(self.told("model", "add", str(folder / "camera.yaml"))["reference"])
        self.told("device", "add", "cam-1", "--model", self.model, "--owner", "Ada", "--serial", "SN1")

    def run(self, *words: str, stdin: str | None = None) -> Result:
        return runner.invoke(build(), [*words, "--data", str(self.folder)], input=stdin)

    def told(self, *words: str, stdin: str | None = None):
        done = self.run(*words, "--json", stdin=stdin)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def test_a_claim_is_listed_and_withdrawn(commands: Commands) -> None:
    commands.told("claim", "create", "cam-1")
    (listed,) = commands.told("claim", "list", "--device", "cam-1")["items"]
    assert listed["state"] == "open"
    assert "cam-1" in commands.run("claim", "list").stdout
    assert commands.told("claim", "withdraw", listed["id"])["state"] == "withdrawn"
    assert commands.run("claim", "withdraw", listed["id"]).exit_code == 1


def test_a_manufacturer_comes_and_goes(commands: Commands, tmp_path: Path) -> None:
    roots = tmp_path / "acme.pem"
    roots.write_bytes(Maker(tmp_path / "acme").roots)
    done = commands.run("manufacturer", "add", "acme", str(roots), "--model", "door-camera")
    assert done.exit_code == 0, done.output
    assert commands.told("manufacturer", "list")["items"][0]["models"] == ["door-camera"]
    assert "acme" in commands.run("manufacturer", "list").stdout
    assert commands.run("enrollment", "allow", "cam-1", "--why", "reset").exit_code == 0
    assert commands.told("manufacturer", "remove", "acme")["name"] == "acme"
    assert commands.run("manufacturer", "add", "acme", str(roots), "--model", "unknown").exit_code == 1


def test_a_claim_of_a_line_is_shown_once_with_its_key(commands: Commands) -> None:
    words = ("fleet-claim", "create", "hall-3", "--model", commands.model, "--quota", "5", "--hours", "8")
    made = commands.run(*words)
    assert made.exit_code == 0, made.output
    leaf, _ = x509.load_pem_x509_certificates(made.stdout[made.stdout.index("-----BEGIN CERT") :].encode())
    assert "CN=claim:hall-3" in leaf.subject.rfc4514_string()
    assert "PRIVATE KEY" in made.stdout
    assert "0 of 5" in commands.run("fleet-claim", "list").stdout
    assert commands.run(*words).exit_code == 1
    assert commands.told("fleet-claim", "withdraw", "hall-3")["withdrawn_at"]
    assert commands.run(*words, "--hook").exit_code == 1


def test_a_device_is_owned_sold_and_claimed_by_its_code(commands: Commands, tmp_path: Path) -> None:
    assert commands.told("device", "owner", "cam-1", "Bob")["owner"] == "Bob"
    assert commands.told("device", "transfer", "cam-1", "--owner", "Cyd", "--why", "sold")["owner"] == "Cyd"
    picture = tmp_path / "label.svg"
    shown = commands.run("device", "code", "cam-1", "--svg", str(picture))
    assert shown.exit_code == 0, shown.output
    code = shown.stdout.strip()
    assert code.startswith("hfp_")
    assert "<svg" in picture.read_text()
    assert picture.stat().st_mode & 0o777 == 0o600
    assert commands.told("device", "claim", "--owner", "Dee", stdin=code + "\n")["owner"] == "Dee"
    assert commands.run("device", "claim", "--owner", "Eve", stdin=code + "\n").exit_code == 1


def test_nobody_waits(commands: Commands) -> None:
    assert commands.told("enrollment", "pending") == {"items": []}
    assert commands.run("enrollment", "approve", "4f2a").exit_code == 1
