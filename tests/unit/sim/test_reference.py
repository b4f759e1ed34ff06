"""Reference values of simulated boards: what is said of a release is what a boot of it measures, and it is signed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from boot_builders import boot_keys, boot_release, measured, powered_tpm
from holdfast_core.attestation.reference import STATEMENT_TYPE, parse_statement
from holdfast_core.formats.dsse import open_envelope, read_key
from holdfast_core.formats.eventlog.log import parse_event_log
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import Instant
from holdfast_sim.board import LOG, Board
from holdfast_sim.boot.artefacts import make_release
from holdfast_sim.building import build_words
from holdfast_sim.reference import REGISTERS, Builder, statement
from tpm_builders import need

NOW = Instant(1_780_000_000_000)
SEPARATORS = 8


def test_a_statement_names_what_a_boot_measures_and_nothing_else(tmp_path):
    release = boot_release()
    said = statement(release, "site-gateway-demo", NOW)
    assert (said.id, said.svn, said.registers) == ("site-gateway-demo:1.4.0", 4, set(REGISTERS))
    with powered_tpm() as tpm:
        board = Board(tmp_path / "sys", release, tpm)
        assert board.boot().state == "running"
    log = parse_event_log((tmp_path / "sys" / LOG).read_bytes())
    events = {(register, digest.hex()) for register, digests in measured(log).items() for digest in digests}
    named = {(each.register, each.digest) for each in said.measurements}
    assert named <= events
    assert len(events - named) == SEPARATORS


def test_the_command_that_builds_releases_computes_the_same_from_the_files(tmp_path):
    need("mkimage", "dtc", "veritysetup")
    release = make_release(tmp_path, version="1.4.0", svn=4, keys=boot_keys())
    builder, key, out = Builder(), tmp_path / "builder.pem", tmp_path / "reference.json"
    key.write_bytes(builder.private)
    words = build_words(release, tmp_path, model="site-gateway-demo", key=key, out=out)
    subprocess.run([sys.executable, "-m", "holdfast", *words], check=True, capture_output=True)
    opened = open_envelope(out.read_bytes(), STATEMENT_TYPE, {"builder": read_key(builder.public.encode())})
    by_command, in_process = parse_statement(opened.payload), statement(release, "site-gateway-demo", NOW)
    assert (by_command.id, by_command.svn) == (in_process.id, in_process.svn)
    assert {(m.register, m.digest) for m in by_command.measurements} == {
        (m.register, m.digest) for m in in_process.measurements
    }


def test_an_envelope_opens_with_its_builders_key_and_no_other():
    builder, other = Builder(), Builder()
    said = statement(boot_release(), "site-gateway-demo", NOW)
    envelope = builder.envelope(said)
    opened = open_envelope(envelope, STATEMENT_TYPE, {"builder": read_key(builder.public.encode())})
    assert parse_statement(opened.payload) == said
    with pytest.raises(HostileData):
        open_envelope(envelope, STATEMENT_TYPE, {"other": read_key(other.public.encode())})


def test_a_board_runs_what_was_written_into_its_flash_after_the_next_boot(tmp_path):
    old, new = boot_release("1.3.0", 3), boot_release()
    with powered_tpm() as tpm:
        board = Board(tmp_path / "sys", old, tpm)
        before = board.boot().log
        board.flash(new)
        assert (tmp_path / "sys" / LOG).read_bytes() == before
        assert board.boot().log == (tmp_path / "sys" / LOG).read_bytes() != before
