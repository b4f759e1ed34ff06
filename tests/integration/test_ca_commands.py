"""``holdfast ca`` as a person uses it, with the root's key on a stick."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from typer.testing import CliRunner, Result

from holdfast.cli.app import build


def run(data: Path, *words: str) -> Result:
    return CliRunner(env={"NO_COLOR": "1", "COLUMNS": "80"}).invoke(build(), [*words, "--data", str(data)])


def test_the_command_line_shows_rolls_and_exports(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert run(data, "init").exit_code == 0
    told = json.loads(run(data, "ca", "show", "--json").stdout)
    assert told["root_key_is_here"] is True
    assert [issuer["standing"] for issuer in told["issuers"]] == ["active"]
    assert "issuer" in run(data, "ca", "show").stdout.lower()
    away = tmp_path / "stick"
    away.mkdir()
    shutil.move(data / "keys" / "root.key", away / "root.key")
    refused = run(data, "ca", "rotate", "--begin")
    assert refused.exit_code == 1
    assert "authority.root_away" in refused.stderr
    begun = run(data, "ca", "rotate", "--begin", "--root-key", str(away / "root.key"), "--json")
    assert [issuer["standing"] for issuer in json.loads(begun.stdout)["issuers"]] == ["active", "next"]
    shown = run(data, "ca", "show").stdout
    assert "…" not in shown, "80 columns hold it whole"
    assert json.loads(begun.stdout)["issuers"][1]["fingerprint"][7:23] in shown
    assert run(data, "ca", "export", "anchors", "--out", str(tmp_path / "anchors.pem")).exit_code == 0
    assert (tmp_path / "anchors.pem").read_text().count("BEGIN CERTIFICATE") == 2
    assert run(data, "ca", "rotate", "--switch").exit_code == 0
    assert run(data, "ca", "rotate", "--end").exit_code == 0
    other = run(data, "ca", "init", "--environment", "staging", "--root-key", str(away / "root.key"))
    assert other.exit_code == 0, other.stderr
    assert (data / "keys" / "issuers" / "default" / "staging" / "1.pem").exists()
    assert run(data, "ca", "rotate").exit_code == 2
