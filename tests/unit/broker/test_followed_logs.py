"""Reading logs that grow, are put aside, cut and replaced; and signalling only what is the broker."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.broker import tail
from holdfast.adapters.broker.mosquitto_log import Sessions
from holdfast.adapters.broker.nats_log import device_of, violations
from holdfast.adapters.broker.process import broker_pid, tell
from holdfast.adapters.broker.tail import aside, lines_since, put_aside
from holdfast.ports.broker import Action
from holdfast_core.kernel.errors import WorldError


def test_lines_are_read_once_and_one_that_is_not_finished_waits(tmp_path):
    log = tmp_path / "log"
    log.write_text("a\nb\nc")
    first = lines_since(log, "")
    assert first.lines == ("a", "b")
    log.write_text("a\nb\ncd\n")
    assert lines_since(log, first.mark).lines == ("cd",)


def test_a_log_that_was_put_aside_is_read_to_its_end_first(tmp_path, monkeypatch):
    monkeypatch.setattr(tail, "KEPT_BYTES", 3)
    log = tmp_path / "log"
    log.write_text("a\nb\n")
    mark = lines_since(log, "").mark
    log.write_text("a\nb\nc\n")
    assert put_aside(log)
    log.write_text("d\n")
    rest = lines_since(log, mark)
    assert (rest.lines, rest.more, rest.missed) == (("c",), True, False)
    assert lines_since(log, rest.mark).lines == ("d",)
    assert lines_since(log, "").lines == ("a", "b", "c")
    assert aside(log).exists()


def test_a_log_that_was_cut_or_replaced_is_told(tmp_path):
    log = tmp_path / "log"
    log.write_text("a\nb\n")
    mark = lines_since(log, "").mark
    log.write_text("x\n")
    cut = lines_since(log, mark)
    assert (cut.lines, cut.missed) == (("x",), True)
    log.unlink()
    assert lines_since(log, mark).lines == ()


def test_a_line_without_end_is_passed_over(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"x" * (tail.LINE_BYTES + 1))
    passed = lines_since(log, "")
    assert passed.lines == ()
    log.write_bytes(b"x" * (tail.LINE_BYTES + 1) + b"\nnext\n")
    assert lines_since(log, passed.mark).lines == ("next",)


def test_who_is_connected_follows_from_the_lines():
    sessions = Sessions()
    joined = "1: New client connected from 10.0.0.1:5 as {0} (p2, c1, k60, u'{0}')."
    sessions.read([joined.format("a.b"), joined.format("c"), "2: Client c closed its connection."])
    assert [c.address for c in sessions.live.values()] == ["10.0.0.1:5"]
    sessions.read(["3: Client a.b already connected, closing old connection.", joined.format("a.b")])
    assert list(sessions.live) == ["a.b"]
    sessions.read(["4: Client a.b been disconnected by administrative action."])
    assert sessions.live == {}
    sessions.read([joined.format("c"), "5: mosquitto version 2.0.11 starting"])
    assert sessions.live == {}


@given(st.lists(st.text(max_size=80), max_size=20))
def test_any_line_is_read_or_passed_over(lines):
    assert all(isinstance(seen.action, Action) for seen in [*Sessions().read(lines), *violations(lines)])


NAMES = {
    "plain": ("pump-1.production.acme.holdfast.internal", "pump-1"),
    "with dots": ("pump.hall.1.production.acme.holdfast.internal", "pump.hall.1"),
    "of ours": ("_probe-1.production.acme.holdfast.internal", None),
    "too short": ("production.acme.holdfast.internal", None),
    "empty": ("", None),
}


@pytest.mark.parametrize(("user", "device"), NAMES.values(), ids=NAMES)
def test_the_device_of_a_user(user, device):
    assert device_of(user) == device


def test_a_process_that_took_a_brokers_number_is_not_signalled(tmp_path):
    with subprocess.Popen(["sleep", "30"]) as other:
        (tmp_path / "pid").write_text(f"{other.pid}\n")
        assert broker_pid(tmp_path / "pid", "mosquitto") is None
        with pytest.raises(WorldError):
            tell(tmp_path / "pid", "mosquitto", signal.SIGHUP)
        assert other.poll() is None
        other.kill()


def test_a_broker_that_would_be_ended_by_the_signal_is_not_signalled(tmp_path):
    """It is just starting: its handler is not there yet."""
    with subprocess.Popen(["sleep", "30"]) as starting:
        (tmp_path / "pid").write_text(str(starting.pid))
        while broker_pid(tmp_path / "pid", "sleep") is None:
            time.sleep(0.01)
        with pytest.raises(WorldError):
            tell(tmp_path / "pid", "sleep", signal.SIGHUP)
        assert starting.poll() is None
        starting.kill()


@pytest.mark.parametrize("text", ["", "x", "1", "-1", "99999999999"])
def test_a_pid_file_that_names_nobody(tmp_path, text):
    (tmp_path / "pid").write_text(text)
    assert broker_pid(tmp_path / "pid", "mosquitto") is None
    assert os.getpid() > 1
