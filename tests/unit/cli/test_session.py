from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from holdfast.cli.app import build
from holdfast.cli.session import Session, command
from holdfast_core.kernel.errors import Bug, HoldfastError, HostileData, WorldError

runner = CliRunner()


def _app(work: object) -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    command(app, "work")(work)  # type: ignore[arg-type]  # any function of a session
    return app


@pytest.mark.parametrize(
    ("error", "says_report"),
    [
        (HostileData("device.unknown", "There is no such device.", remedy="Add it first."), False),
        (WorldError("store.full", "The disk is full.", remedy="Free space."), False),
        (Bug("checkin.broken", "A promise was broken.", remedy="Try again."), True),
    ],
)
def test_an_error_is_shown_as_sentence_remedy_and_code_on_stderr(error: HoldfastError, says_report: bool) -> None:  # noqa: FBT001  (a table's column)
    def work(_session: Session) -> None:
        raise error

    result = runner.invoke(_app(work), ["work"])
    assert result.exit_code == 1
    assert result.stdout == ""
    told = " ".join(result.stderr.split())
    assert error.sentence in told
    assert error.remedy in told
    assert f"[{error.code}]" in told
    assert ("Please report it" in told) is says_report


def test_every_command_takes_json_and_data(tmp_path: Path) -> None:
    seen: list[Session] = []

    def work(session: Session) -> None:
        seen.append(session)

    assert runner.invoke(_app(work), ["work", "--json", "--data", str(tmp_path)]).exit_code == 0
    assert seen == [Session(tmp_path, json=True)]


def test_the_data_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Session] = []

    def work(session: Session) -> None:
        seen.append(session)

    monkeypatch.setenv("HOLDFAST_DATA", str(tmp_path))
    runner.invoke(_app(work), ["work"])
    assert seen[0].folder == tmp_path


def test_no_command_takes_a_secret_as_an_argument() -> None:
    root = typer.main.get_command(build())
    names = {parameter.name for each in _leaves(root) for parameter in each.params}
    assert "data" in names  # the walk found the commands
    assert not names & {"token", "claim", "password", "secret"}


def _leaves(group: object) -> list[object]:
    inner = getattr(group, "commands", {})
    return [leaf for each in inner.values() for leaf in _leaves(each)] or [group]


def test_an_audit_imports_neither_the_api_nor_the_store(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from holdfast.__main__ import main\n"
        f"sys.argv = ['holdfast', 'audit', {str(tmp_path)!r}, '--class', 'linux-iot', '--json']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        # pydantic is not among them: typer itself converts arguments with it
        "heavy = {'fastapi', 'sqlalchemy', 'uvicorn', 'httpx', 'yaml'} & set(sys.modules)\n"
        "assert 'holdfast_probe.audit' in sys.modules, 'the audit did not run'\n"
        "print(sorted(heavy), file=sys.stderr)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert ran.stderr.strip().splitlines()[-1] == "[]"
