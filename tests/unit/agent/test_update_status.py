"""What a person at the device reads of its updates, and how a bundle is given to the agent."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from holdfast_agent import __main__ as commands
from holdfast_agent.state import CONFIG, IDENTITY, ROOT, STATE, Config, Folder, Stored
from holdfast_agent.update.standing import in_lines, standing
from holdfast_core.wire.update import Order, Window
from install_builders import NEW
from update_driver_builders import Device, Payloads, serving


@pytest.fixture
def device(tmp_path):
    with serving(Payloads()) as payloads:
        made = Device(tmp_path, payloads)
        (tmp_path / "agent").mkdir(mode=0o700)
        made.state = tmp_path / "agent/update"
        made.restart()
        yield made


def folder_of(device, tmp_path, **more):
    folder = Folder(tmp_path / "agent")
    config = Config("https://127.0.0.1:9", "cam-1", installer=f"file:{device.slots}", **more)
    (folder.path / CONFIG).write_bytes(msgspec.json.encode(config))
    (folder.path / STATE).write_bytes(msgspec.json.encode(Stored()))
    for name in (ROOT, IDENTITY):
        (folder.path / name).write_text("pem")
    return folder


def told(device, tmp_path):
    folder = folder_of(device, tmp_path)
    return "\n".join(in_lines(standing(folder, folder.config())))


def test_each_step_is_told_in_words(device, tmp_path):
    assert "update     none so far" in told(device, tmp_path)
    assert "slot       a: cam:1, counter 1; runs" in told(device, tmp_path)
    device.offer()
    device.payloads.cut = 100_000
    device.take(device.order())
    for _ in range(3):
        device.driver.turn(1)
    assert f"update     {NEW} is being fetched, 48 %" in told(device, tmp_path)
    device.payloads.cut = None
    device.turns()
    assert f"update     {NEW} is what the next boot tries" in told(device, tmp_path)
    device.boot()
    device.turns()
    assert f"update     {NEW} runs on trial, and waits to be confirmed" in told(device, tmp_path)
    device.answer(Order.CONFIRM)
    device.turns()
    text = told(device, tmp_path)
    assert f"update     {NEW} runs, and is confirmed" in text
    assert f"slot       b: {NEW}, counter 2; runs" in text
    assert "Releases with a counter below 2 are refused." in text


def test_what_holds_it_back_stands_below_it(device, tmp_path):
    device.offer()
    device.power = None
    device.trusted.source = device.trusted.source.CLOCK
    minute = 0
    device.take(device.order(window=Window(minute, minute + 1)))
    device.turns()
    text = told(device, tmp_path)
    assert "waits to be fetched" in text or "next boot" in text


def test_a_failure_is_told_with_its_code(device, tmp_path):
    device.offer()
    device.trusted.named = "cam-2"
    device.take(device.order())
    device.turns()
    assert f"update     {NEW} was given up" in told(device, tmp_path)
    assert "[update.other_device]" in told(device, tmp_path)


def test_without_a_boot_loader_the_journal_speaks(device, tmp_path):
    device.offer()
    device.take(device.order())
    device.turns()
    (device.slots / "boot.json").unlink()
    text = told(device, tmp_path)
    assert "slot       b: cam:2, counter 2" in text
    assert "[installer.boot_state]" in text
    (device.state / "journal.json").write_bytes(b"{")
    assert "[update.journal_damaged]" in told(device, tmp_path)


def test_the_command_shows_it_in_words_and_as_json(device, tmp_path, capsys):
    folder = folder_of(device, tmp_path)
    for more in ((), ("--json",)):
        with pytest.raises(SystemExit):
            commands.main(["status", "--state", str(folder.path), *more])
        out = capsys.readouterr().out
        assert json.loads(out)["update"]["running"] == "a" if more else "slot       a: cam:1" in out


def test_a_bundle_is_given_by_command_and_what_is_none_is_refused(device, tmp_path, capsys):
    folder = folder_of(device, tmp_path)
    (tmp_path / "usb.zip").write_bytes(b"no bundle")
    for path, code in ((tmp_path / "usb.zip", "update.bundle_malformed"), (tmp_path / "x", "update.bundle_malformed")):
        with pytest.raises(SystemExit) as ended:
            commands.main(["update", str(path), "--state", str(folder.path)])
        assert ended.value.code == commands.FAILED
        assert f"[{code}]" in capsys.readouterr().err
    (folder.path / CONFIG).write_bytes(msgspec.json.encode(Config("https://127.0.0.1:9", "cam-1")))
    with pytest.raises(SystemExit):
        commands.main(["update", str(Path("x")), "--state", str(folder.path)])
    assert "[update.no_installer]" in capsys.readouterr().err
