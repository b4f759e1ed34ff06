"""``holdfast attest log``: for people who only have a file."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from event_log_builders import SIZES, a_boot, agile_log, an_old_boot, event, header, separator, spec_id
from holdfast.cli.app import build
from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.eventlog.banks import SHA1, SHA256
from holdfast_core.formats.eventlog.log import LARGEST_LOG, parse_event_log
from holdfast_core.formats.eventlog.replay import replay

runner = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "120"})


def attest_log(file: Path | str, *arguments: str, stdin: bytes | None = None) -> Result:
    return runner.invoke(build(), ["attest", "log", str(file), *arguments], input=stdin)


def document(file: Path | str, *arguments: str, stdin: bytes | None = None) -> dict[str, Any]:
    result = attest_log(file, "--json", *arguments, stdin=stdin)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


@pytest.fixture
def boot(tmp_path: Path) -> Path:
    (tmp_path / "log.bin").write_bytes(a_boot())
    return tmp_path / "log.bin"


def test_events_are_told_in_words_and_the_registers_whole(boot: Path) -> None:
    result = attest_log(boot)
    assert result.exit_code == 0
    for told in ("SecureBoot: on", "end of the firmware", "\\EFI\\BOOT\\BOOTX64.EFI", "kernel_cmdline: quiet"):
        assert told in result.stdout
    for bank, name in ((SHA1, "sha1"), (SHA256, "sha256")):
        assert f"PCRs, {name}" in result.stdout
        for register, value in replay(parse_event_log(a_boot()), bank).items():
            assert f"{register:>2}  {value.hex()}\n" in result.stdout


def test_the_json_has_banks_events_and_registers(boot: Path) -> None:
    found = document(boot)
    assert found["banks"] == ["sha1", "sha256"]
    log = parse_event_log(a_boot())
    assert found["pcrs"] == {
        name: {str(register): value.hex() for register, value in replay(log, bank).items()}
        for bank, name in ((SHA1, "sha1"), (SHA256, "sha256"))
    }
    assert [each["number"] for each in found["events"]] == list(range(15))
    secure = found["events"][2]
    assert (secure["pcr"], secure["kind"], secure["type"]) == (7, "EV_EFI_VARIABLE_DRIVER_CONFIG", 0x80000001)
    assert secure["digests"] == {
        name: log.events[2].digests[bank].hex() for bank, name in ((4, "sha1"), (11, "sha256"))
    }
    assert secure["data"] == log.events[2].data.hex()
    assert secure["digest_matches"] == {"sha1": True, "sha256": True}
    assert secure["content"]["reading"] == {"type": "switch", "on": True}
    assert found["facts"]["sha256"]["secure_boot"] is True
    assert (found["not_replayed"], found["filling"]) == ({}, 0)


def test_base64_and_stdin_are_read_too(boot: Path, tmp_path: Path) -> None:
    (tmp_path / "log.b64").write_bytes(base64.encodebytes(a_boot()))
    assert document(tmp_path / "log.b64") == document(boot) == document("-", stdin=a_boot())


def test_one_bank_can_be_asked_for(boot: Path) -> None:
    found = document(boot, "--bank", "sha256")
    assert (found["banks"], list(found["pcrs"]), list(found["facts"])) == (["sha256"], ["sha256"], ["sha256"])
    assert all(set(each["digests"]) <= {"sha256"} for each in found["events"])


@pytest.mark.parametrize(("bank", "told"), [("sha384", "no bank sha384, only"), ("md5", "md5 is no bank")])
def test_a_bank_that_is_not_there_is_a_mistake_of_the_command_line(boot: Path, bank: str, told: str) -> None:
    result = attest_log(boot, "--bank", bank)
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_legacy_log_is_read(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(an_old_boot() + bytes(100))
    found = document(tmp_path / "log")
    assert (found["banks"], found["filling"]) == (["sha1"], 100)
    assert "100 bytes behind the last event" in attest_log(tmp_path / "log").stderr


def test_what_cannot_be_replayed_is_told(tmp_path: Path) -> None:
    unknown = 0x7FFF
    banks = [(SHA256, SIZES[SHA256]), (unknown, 4)]
    one = event(1, kinds.IPL, b"x", digests=[(unknown, b"1234")])
    (tmp_path / "log").write_bytes(header(spec_id(banks)) + one)
    found = document(tmp_path / "log")
    assert (found["banks"], found["pcrs"]) == (["sha256", "0x7fff"], {"sha256": {}})
    assert found["not_replayed"] == {"sha256": [1], "0x7fff": "the bank's hash cannot be computed here"}
    assert found["events"][1]["digests"] == {"0x7fff": "31323334"}
    told = attest_log(tmp_path / "log").stderr
    assert "0x7fff cannot be computed here" in told
    assert "Not replayed: 1." in told


def test_data_that_was_not_measured_is_told(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(agile_log(event(4, kinds.EFI_ACTION, b"told", of=b"measured"), separator(4)))
    assert "told (the digest is of something else)" in attest_log(tmp_path / "log").stdout


def test_control_characters_in_a_log_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    text = "a\x1b[2Jb\u202ec\n".encode("utf-16-le")
    (tmp_path / "log").write_bytes(agile_log(event(8, kinds.IPL, text), event(8, kinds.IPL, b"x\ny\0")))
    result = attest_log(tmp_path / "log")
    assert result.exit_code == 0
    assert not {"\x1b", "\u202e"} & set(result.stdout)
    assert "x\\ny" in result.stdout


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "eventlog.empty"),
        (b"bogus\n", "eventlog.truncated"),
        (b"no log at all, and long enough to be one", "eventlog.malformed"),
        (a_boot()[:-1], "eventlog.truncated"),
        (bytes(LARGEST_LOG + 1), "eventlog.too_large"),
        (bytes(2 * LARGEST_LOG + 1), "files.too_large"),
    ],
)
def test_what_is_no_log_is_an_error_as_all_others(tmp_path: Path, data: bytes, code: str) -> None:
    (tmp_path / "log").write_bytes(data)
    result = attest_log(tmp_path / "log", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["code"] == code
    assert f"[{code}]" in " ".join(result.stderr.split())


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert "files.unreadable" in attest_log(tmp_path / "nowhere").stderr


PUBLIC = sorted((Path(__file__).resolve().parents[2] / "../shared/vectors/attestation").glob("*/event*.bin"))


@pytest.mark.parametrize("log", PUBLIC, ids=lambda path: path.name)
def test_public_logs_are_shown(log: Path) -> None:
    assert attest_log(log).exit_code == 0
    found = document(log)
    read = parse_event_log(log.read_bytes())
    assert [each["type"] for each in found["events"]] == [each.kind for each in read.events]
