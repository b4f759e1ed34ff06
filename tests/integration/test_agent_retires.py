"""The agent's last days: asked to erase itself, it does, says so, and loses its key only once that was taken."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent_builders import CLAIM, FakeServer, device_root, problem, serving
from holdfast_agent import erasing, state
from holdfast_agent.__main__ import main
from holdfast_core.inventory.erasure import ErasureReport, Technique
from holdfast_core.wire.frame import CheckIn, Directive

FINE, FAILED = 0, 1
ORDER = Directive(7, "erase", msgspec.Raw(b'{"method":"clear","paths":["/data/clips"]}'))


class Bench:
    """A server and an enrolled device that holds something."""

    def __init__(self, folder: Path, server: FakeServer) -> None:
        self.server, self.root, self.state = server, device_root(folder), folder / "state"
        (self.root / "data").mkdir()
        self.clips = self.root / "data/clips"
        self.clips.write_bytes(b"faces")

    def run(self, *arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--state", str(self.state)])
        assert isinstance(ended.value.code, int)
        return ended.value.code

    def files(self) -> set[str]:
        return {path.name for path in self.state.iterdir()}

    @property
    def reports(self) -> list[ErasureReport]:
        bodies = [c.sections["erasure"].body for c in self.server.check_ins if "erasure" in c.sections]
        return [msgspec.json.decode(bytes(body), type=ErasureReport) for body in bodies]  # type: ignore[arg-type]  # all are sent whole


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("HOLDFAST_CLAIM", CLAIM)
    with serving(FakeServer(), tmp_path) as server:
        bench = Bench(tmp_path, server)
        arguments = ["--device", "cam-1", "--ca", server.authority.digest, "--root", str(bench.root)]
        assert bench.run("enroll", server.url, *arguments) == FINE
        assert bench.run("check-in") == FINE
        server.directives.append(ORDER)
        yield bench


def test_it_erases_says_so_and_never_starts_again(device: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert device.run("check-in") == FINE
    assert not device.clips.exists()
    (report,) = device.reports
    assert [item.path for item in report.items] == ["/data/clips"]
    assert {item.technique for item in report.items} <= {Technique.DISCARD, Technique.REMOVE}
    assert [(r.id, r.state) for r in device.server.check_ins[-1].reports] == [(7, "done")]
    assert device.files() == {state.RETIRED, state.LOCK}
    assert "retired" in capsys.readouterr().err
    calls = len(device.server.raw)
    for command in ("check-in", "run", "status"):
        assert device.run(command) == FAILED
        assert "agent.retired" in capsys.readouterr().err
    arguments = ["--device", "cam-2", "--ca", device.server.authority.digest, "--root", str(device.root)]
    assert device.run("enroll", device.server.url, *arguments) == FAILED
    assert len(device.server.raw) == calls


def test_the_key_stays_until_the_report_was_taken(device: Bench) -> None:
    server = device.server
    server.script = [server.reply, lambda _: None]
    assert device.run("check-in") == FAILED
    assert not device.clips.exists()
    assert state.IDENTITY in device.files()
    server.script = [lambda _: problem(503, "store.full", "Later.")]
    assert device.run("check-in") == FAILED
    assert state.IDENTITY in device.files()
    assert device.run("check-in") == FINE
    assert device.files() == {state.RETIRED, state.LOCK}
    assert len(set(server.raw[-3:])) == 1, "the very same message until it is answered"


def test_a_server_that_takes_nothing_from_it_any_more_ends_it_too(device: Bench) -> None:
    server = device.server
    server.script = [server.reply, lambda _: problem(403, "identity.revoked", "It was revoked.")]
    assert device.run("check-in") == FINE
    assert device.files() == {state.RETIRED, state.LOCK}


def test_a_refusal_before_it_erased_anything_ends_nothing(device: Bench) -> None:
    device.server.script = [lambda _: problem(403, "identity.revoked", "It was revoked.")]
    assert device.run("check-in") == FAILED
    assert state.IDENTITY in device.files()
    assert device.clips.exists()


def test_a_crash_while_it_erases_is_made_good_at_the_next_contact(
    device: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> ErasureReport:
        device.clips.unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(erasing, "erase", crash)
    assert device.run("check-in") == FAILED
    assert {state.ERASING, state.IDENTITY} <= device.files()
    assert device.reports == []
    monkeypatch.undo()
    assert device.run("check-in") == FINE
    assert len(device.reports) == 1
    assert device.files() == {state.RETIRED, state.LOCK}


def test_an_order_to_erase_the_system_is_refused_and_nothing_goes(device: Bench) -> None:
    device.server.directives[:] = [Directive(8, "erase", msgspec.Raw(b'{"method":"clear","paths":["/usr/bin"]}'))]
    assert device.run("check-in") == FINE
    (report,) = device.server.check_ins[-1].reports
    assert (report.state, report.code) == ("refused", "erase.forbidden_place")
    assert device.clips.exists()
    assert state.IDENTITY in device.files()


def test_the_last_word_holds_no_other_evidence(device: Bench) -> None:
    device.run("check-in")
    last: CheckIn = device.server.check_ins[-1]
    assert last.sections.keys() == {"erasure"}


def test_nothing_else_is_reached_over_the_network(device: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    device.run("check-in")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a retired device called")

    monkeypatch.setattr(socket, "create_connection", refuse)
    assert device.run("check-in") == FAILED
