"""The commands of a data folder, with no server running: the same routes answer in this process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from holdfast.adapters.store import schema
from holdfast.bootstrap import FolderLock
from holdfast.cli import founding
from holdfast.cli.app import build

runner = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "80"})


def run(folder: Path, *arguments: str, stdin: str | None = None) -> Result:
    return runner.invoke(build(), [*arguments, "--data", str(folder)], input=stdin)


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "data"
    ports = ("--device-port", "0", "--operator-port", "0", "--metrics-port", "0")
    result = run(folder, "init", "--name", "localhost", *ports, "--json")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def data(founded: Path, tmp_path: Path) -> Path:
    return shutil.copytree(founded, tmp_path / "data")


def test_init_makes_a_private_folder_and_shows_the_token_once(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = run(folder, "init")
    assert first.stdout.startswith("hft_")
    assert len(first.stdout.splitlines()) == 1
    assert folder.stat().st_mode & 0o777 == 0o700
    files = [path for path in (folder / "keys").rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert (folder / "holdfast.db").stat().st_mode & 0o777 == 0o600
    keys = {path: path.read_bytes() for path in files}
    again = run(folder, "init")
    assert again.exit_code == 0
    assert again.stdout == ""
    again_there = (path for path in (folder / "keys").rglob("*") if path.is_file())
    assert {path: path.read_bytes() for path in again_there} == keys


@pytest.mark.parametrize("step", ["_make_keys", "_make_extras", "_make_database", "_fill"])
def test_an_init_interrupted_before_any_step_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    folder = tmp_path / "data"

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(founding, step, interrupt)
        assert run(folder, "init").exit_code == 130
    second = run(folder, "init")
    assert second.exit_code == 0, second.output
    assert second.stdout.startswith("hft_")
    assert run(folder, "model", "list").stdout.count("@1.0.0") == 5


def test_init_never_replaces_keys_that_are_incomplete(data: Path) -> None:
    (data / "keys" / "services.key").unlink()
    kept = (data / "keys" / "root.pem").read_bytes()
    result = run(data, "init")
    assert result.exit_code == 1
    assert "init.keys_incomplete" in result.stderr
    assert "services.key" in result.stderr
    assert (data / "keys" / "root.pem").read_bytes() == kept


def test_init_refuses_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.odt").write_text("")
    result = run(tmp_path, "init")
    assert result.exit_code == 1
    assert "init.not_empty" in result.stderr


def test_a_device_is_added_claimed_and_listed(data: Path) -> None:
    assert run(data, "device", "add", "door-1", "--model", "door-camera@1.0.0", "--label", "a=b").exit_code == 0
    claimed = run(data, "claim", "create", "door-1")
    assert claimed.stdout.startswith("HOLDFAST_CLAIM=hfc_")
    assert "enroll" in claimed.stdout
    items = json.loads(run(data, "device", "list", "--worst", "--json").stdout)["items"]
    assert [each["device"] for each in items] == ["door-1"]
    shown = run(data, "device", "show", "door-1")
    assert "Can it prove its integrity?" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    again = run(data, "device", "add", "door-1")
    assert again.exit_code == 1
    assert "device.exists" in again.stderr
    refused = run(data, "device", "quarantine", "door-1", "--why", "test")
    assert "device.not_enrolled" in refused.stderr


def test_an_import_with_bad_rows_adds_the_good_ones_and_exits_3(data: Path) -> None:
    result = run(data, "device", "import", "-", stdin="device,model\npump-1,pump-controller@1.0.0\nBAD ONE,\n")
    assert result.exit_code == 3
    assert "name.invalid" in result.stdout
    assert "pump-1" in run(data, "device", "list").stdout


def test_retiring_asks_first(data: Path) -> None:
    run(data, "device", "add", "old-1")
    assert run(data, "device", "retire", "old-1", "--why", "scrapped").exit_code == 2
    assert run(data, "device", "retire", "old-1", "--why", "scrapped", "--yes").exit_code == 0
    assert "retired" in run(data, "device", "list").stdout


def test_tokens_are_shown_once_and_end(data: Path) -> None:
    made = run(data, "token", "create", "grafana")
    assert made.stdout.startswith("hft_")
    listed = run(data, "token", "list").stdout
    assert "grafana" in listed
    assert made.stdout.strip() not in listed
    assert run(data, "token", "revoke", "grafana").exit_code == 0
    assert run(data, "token", "revoke", "grafana").exit_code == 1


def test_an_export_is_verified_offline_and_a_changed_leaf_is_found(data: Path, tmp_path: Path) -> None:
    export = tmp_path / "log.jsonl"
    assert run(data, "log", "export", str(export)).exit_code == 0
    head = json.loads(run(data, "log", "show", "--json").stdout)
    key, pin = tmp_path / "key", tmp_path / "pin"
    key.write_text(head["verifier_key"])
    pin.write_text(head["checkpoint"])
    verified = ["log", "verify", str(export), "--key", str(key), "--pin", str(pin)]
    assert run(data, *verified).exit_code == 0
    assert run(data, "log", "verify", str(export)).exit_code == 4
    export.write_bytes(export.read_bytes().replace(b"door-camera", b"door-kamera"))
    broken = run(data, *verified)
    assert broken.exit_code == 3
    assert "record." in broken.stdout


def test_a_pin_counts_with_the_line_ends_that_tools_add_and_what_is_no_pin_is_a_mistake(
    data: Path, tmp_path: Path
) -> None:
    shown = json.loads(run(data, "log", "show", "--json").stdout)
    exported, pin = tmp_path / "log.jsonl", tmp_path / "pin"
    run(data, "log", "export", str(exported))
    verify = ("log", "verify", str(exported), "--key", shown["verifier_key"], "--pin", str(pin))
    for end in ("", "\n", "\n\n"):
        pin.write_text(shown["checkpoint"] + end)
        assert run(data, *verify).exit_code == 0
    pin.write_text("junk")
    refused = run(data, *verify)
    assert (refused.exit_code, "note.malformed" in refused.stderr) == (1, True)


def test_a_backup_is_restored_and_everything_is_there(data: Path, tmp_path: Path) -> None:
    run(data, "device", "add", "door-1", "--model", "door-camera@1.0.0")
    backup, other = tmp_path / "b.tar.gz", tmp_path / "other"
    assert run(data, "backup", str(backup)).exit_code == 0
    assert backup.stat().st_mode & 0o777 == 0o600
    restored = run(other, "restore", str(backup))
    assert restored.exit_code == 0, restored.output
    assert "door-1" in run(other, "device", "list").stdout
    assert _keys(other) == _keys(data)
    assert any(name.startswith("issuers/") for name in _keys(other))
    assert {path.stat().st_mode & 0o777 for path in (other / "keys").rglob("*") if path.is_dir()} == {0o700}
    kinds = [each["entry"]["kind"] for each in json.loads(run(other, "log", "show", "--json").stdout)["items"]]
    assert kinds[-1] == "backup.restored"
    assert "restore.not_empty" in run(other, "restore", str(backup)).stderr


def _keys(folder: Path) -> dict[str, bytes]:
    files = [path for path in (folder / "keys").rglob("*") if path.is_file()]
    return {path.relative_to(folder / "keys").as_posix(): path.read_bytes() for path in files}


def _rewritten(source: Path, target: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[str, bytes]]) -> None:
    with tarfile.open(source) as old, tarfile.open(target, "w:gz") as new:
        for member in old.getmembers():
            content = old.extractfile(member)
            assert content is not None
            name, data = change(member, content.read())
            info = tarfile.TarInfo(name)
            info.size = len(data)
            new.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (lambda m, d: (m.name, bytes([d[0] ^ 1]) + d[1:] if m.name == "keys/log.key" else d), "backup.differs"),
        (lambda m, d: ("../evil" if m.name == "keys/log.key" else m.name, d), "backup.invalid"),
        (
            lambda m, d: (m.name, d.replace(b"keys/log.key", b"../../evil12") if m.name == "manifest.json" else d),
            "backup.invalid",
        ),
        (lambda m, d: (m.name, b"{}" if m.name == "manifest.json" else d), "backup.invalid"),
    ],
    ids=["a swapped key", "a name that climbs out", "a manifest that climbs out", "no manifest"],
)
def test_a_tampered_backup_restores_nothing(
    data: Path, tmp_path: Path, attack: Callable[[tarfile.TarInfo, bytes], tuple[str, bytes]], code: str
) -> None:
    good, bad, other = tmp_path / "good.tar.gz", tmp_path / "bad.tar.gz", tmp_path / "other"
    run(data, "backup", str(good))
    _rewritten(good, bad, lambda member, content: (member.name, content))
    assert run(tmp_path / "control", "restore", str(bad)).exit_code == 0
    _rewritten(good, bad, attack)
    result = run(other, "restore", str(bad))
    assert result.exit_code == 1
    assert code in result.stderr
    assert not other.exists()
    assert not list(tmp_path.glob(".other*"))


def test_a_backup_cut_short_restores_nothing(data: Path, tmp_path: Path) -> None:
    good, cut, other = tmp_path / "good.tar.gz", tmp_path / "cut.tar.gz", tmp_path / "other"
    run(data, "backup", str(good))
    cut.write_bytes(good.read_bytes()[:-2000])
    assert run(other, "restore", str(cut)).exit_code == 1
    assert not other.exists()


def test_a_folder_in_use_is_refused(data: Path) -> None:
    lock = FolderLock(data)
    try:
        result = run(data, "device", "list")
    finally:
        lock.release()
    assert result.exit_code == 1
    assert "data.in_use" in result.stderr
    assert run(data, "device", "list").exit_code == 0


def test_an_upgrade_backs_up_migrates_and_is_on_record(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrations = shutil.copytree(Path(schema.__file__).parent / "migrations", tmp_path / "migrations")
    monkeypatch.setattr(schema, "MIGRATIONS", migrations)
    assert json.loads(run(data, "upgrade", "--json").stdout) == {"upgraded": False}  # the control: the copy is the same
    with contextlib.closing(sqlite3.connect(data / "holdfast.db")) as connection:
        (before,) = connection.execute("select version_num from alembic_version").fetchone()
    (migrations / "versions" / "9999_later.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\n"
        f"revision, down_revision, branch_labels, depends_on = '9999', {before!r}, None, None\n"
        "def upgrade():\n    op.create_table('later', sa.Column('id', sa.Integer, primary_key=True))\n"
    )
    refused = run(data, "device", "list")
    assert (refused.exit_code, "store.older" in refused.stderr) == (1, True)
    told = json.loads(run(data, "upgrade", "--json").stdout)
    assert (told["upgraded"], told["before"], told["after"]) == (True, before, "9999")
    kinds = [item["entry"]["kind"] for item in json.loads(run(data, "log", "show", "--json").stdout)["items"]]
    assert kinds[-1] == "server.upgraded"
    assert run(tmp_path / "as-it-was", "restore", told["backup"]).exit_code == 0
    monkeypatch.undo()
    assert run(tmp_path / "as-it-was", "device", "list").exit_code == 0  # the program before reads the data before
    newer = run(data, "device", "list")
    assert (newer.exit_code, "store.newer" in newer.stderr) == (1, True)


def test_a_locked_database_is_said_by_a_command_that_opens_it(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "BUSY_MS", 100)
    other = sqlite3.connect(data / "holdfast.db")
    other.execute("pragma locking_mode=exclusive")
    other.execute("begin exclusive")
    try:
        refused = run(data, "device", "list")
    finally:
        other.close()
    assert (refused.exit_code, "store.locked" in refused.stderr) == (1, True)
    assert run(data, "device", "list").exit_code == 0  # the control, and the folder's own lock was given back


def test_a_file_that_is_no_database_is_said(data: Path) -> None:
    (data / "holdfast.db").write_bytes(b"this is no database" * 1000)
    refused = run(data, "device", "list")
    assert (refused.exit_code, "store.damaged" in refused.stderr) == (1, True)


@pytest.mark.root
def test_an_init_on_a_full_disk_is_said_and_completed_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "holdfast-test", str(disk)], check=True)
    try:
        refused = run(disk / "data", "init")
        assert refused.exit_code == 1
        assert "Traceback" not in refused.output
        assert "[" in refused.stderr
        del refused  # its traceback holds a cursor, and the cursor the database's file
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert run(disk / "data", "init").exit_code == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_schema_of_model_files_is_printed() -> None:
    told = json.loads(runner.invoke(build(), ["model", "schema"]).stdout)
    assert told["title"] == "Holdfast model file"


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("device_port", "99999", "65535"),
        ("names", "[]", "names is empty"),
        ("names", '["https://foo:8444/"]', "without scheme or port"),
        ("device_host", '"300.1.1.1"', "not an address"),
        ("check_ins_per_contact", "0", ">= 1"),
        ("colour", '"blue"', "colour"),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(data: Path, key: str, value: str, told: str) -> None:
    file = data / "holdfast.toml"
    lines = [line for line in file.read_text().splitlines() if not line.startswith(f"{key} =")]
    file.write_text("\n".join([*lines, f"{key} = {value}"]))
    refused = run(data, "serve", "--json")
    assert refused.exit_code == 1
    problem = json.loads(refused.stdout)
    assert problem["code"] == "config.invalid"
    assert told in problem["sentence"]
    assert "config.invalid" in _codes(run(data, "doctor", "--json"))


def test_doctor_compares_the_certificates_with_the_names(data: Path) -> None:
    file = data / "holdfast.toml"
    file.write_text(file.read_text().replace('names = ["localhost"]', 'names = ["plant.example", "localhost"]'))
    assert "doctor.names" in _codes(run(data, "doctor", "--json"))
    for stem in ("device-port", "operator-port"):
        (data / "keys" / f"{stem}.pem").unlink()
        (data / "keys" / f"{stem}.key").unlink()
    assert run(data, "init").exit_code == 0  # the remedy
    assert "doctor.names" not in _codes(run(data, "doctor", "--json"))


def test_doctor_of_no_folder_says_only_that(tmp_path: Path) -> None:
    assert _codes(run(tmp_path / "typo", "doctor", "--json")) == {"doctor.folder_missing"}


def test_completion_is_there_for_the_shell(tmp_path: Path) -> None:
    environ = {**os.environ, "_HOLDFAST_COMPLETE": "complete_bash", "COMP_WORDS": "holdfast dev", "COMP_CWORD": "1"}
    program = str(Path(sys.executable).parent / "holdfast")
    done = subprocess.run([program], env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["device"]


def test_an_upgrade_with_nothing_to_do_does_nothing(data: Path) -> None:
    assert json.loads(run(data, "upgrade", "--json").stdout) == {"upgraded": False}


def _on_free_ports(data: Path) -> None:
    """Whatever else runs on this machine, another test's server for one, the ports of this one are free."""
    file = data / "holdfast.toml"
    with contextlib.ExitStack() as held:
        for name in ("device_port", "est_port", "operator_port", "validation_port", "metrics_port"):
            free = held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            file.write_text(re.sub(rf"(?m)^{name} = [0-9]+$", f"{name} = {free}", file.read_text()))


def test_doctor_names_what_is_wrong_and_what_to_do(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _on_free_ports(data)
    before = _codes(run(data, "doctor", "--json"))
    assert before == {"doctor.root_key_here", "doctor.passphrase_beside", "doctor.no_server"}
    (data.parent / "elsewhere").write_bytes((data / "keys" / "passphrase").read_bytes())
    (data / "keys" / "passphrase").unlink()
    monkeypatch.setenv("HOLDFAST_PASSPHRASE_FILE", str(data.parent / "elsewhere"))
    (data / "keys" / "log.key").chmod(0o644)
    (data / "keys" / "root.key").unlink()
    (data / "keys" / "device-port.pem").unlink()
    assert _codes(run(data, "doctor", "--json")) == {"doctor.key_open", "doctor.certificate", "doctor.no_server"}
    assert run(data, "doctor").exit_code == 3


def test_doctor_finds_a_damaged_database(data: Path) -> None:
    path = data / "holdfast.db"
    content = bytearray(path.read_bytes())
    content[8192:16384] = b"\xa5" * 8192
    path.write_bytes(bytes(content))
    assert _codes(run(data, "doctor", "--json")) & {"doctor.database_damaged", "store.damaged"}


def _codes(result: Result) -> set[str]:
    return {found["code"] for check in json.loads(result.stdout)["checks"] for found in check["findings"]}
