"""The agent's loop with updates in it: directives come, the section goes, what has news is told at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_builders import CLAIM, Answer, Authority, FakeServer, device_root, serving
from holdfast_agent.clock import Clock
from holdfast_agent.enroll import enroll
from holdfast_agent.loop import Agent
from holdfast_agent.state import Config, Folder
from holdfast_agent.update.download import Download, Interrupted, Rate
from holdfast_agent.update.joining import installer_of, reboot, updates_of
from holdfast_agent.update.line import dial
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.update.install import Phase
from holdfast_core.wire.codec import decode_check_in
from holdfast_core.wire.frame import CheckIn, Directive, DirectiveState
from holdfast_core.wire.update import Order as Verdict
from holdfast_core.wire.update import Step, UpdateAnswer, UpdateReport
from install_builders import NEW, OLD, target
from update_driver_builders import NEW_IMAGE, Device, Payloads
from update_driver_builders import serving as serving_payloads


class Server(FakeServer):
    """A server that confirms what it hears to be booted, once `confirms` is set."""

    confirms = False

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[UpdateReport] = []

    def reply(self, check_in: CheckIn) -> Answer:
        status, kind, body = super().reply(check_in)
        section = check_in.sections.get("update")
        if section is None:
            return status, kind, body
        if section.body is not msgspec.UNSET:
            self.heard.append(msgspec.json.decode(bytes(section.body), type=UpdateReport))
        report = self.heard[-1]
        if self.confirms and report.attempt is not None and report.attempt.step is Step.BOOTED:
            answer = UpdateAnswer(report.attempt.directive, Verdict.CONFIRM)
            told = {**msgspec.json.decode(body), "answers": {"update": msgspec.to_builtins(answer)}}
            return status, kind, msgspec.json.encode(told)
        return status, kind, body

    @property
    def steps(self) -> list[Step]:
        return [report.attempt.step for report in self.heard if report.attempt is not None]


class Bench:
    """An enrolled agent, a device that updates, and their server."""

    def __init__(self, folder: Path, server: Server, payloads: Payloads) -> None:
        self.server, self.device = server, Device(folder, payloads)
        self.config = Config(server.url, "cam-1", root=str(device_root(folder)))
        self.folder = Folder(folder / "agent")
        enroll(self.folder, self.config, ca=server.authority.digest, claim=CLAIM, waiting=None)

    def agent(self, **more: Any) -> Agent:
        clock = Clock("cam-1", Path("/proc"))
        return Agent(self.folder, self.config, clock, **more)

    def once(self) -> Agent:
        """What ``holdfast-agent check-in`` does."""
        agent = self.agent(updates=self.device.driver)
        assert agent.contact()
        agent.finish_update()
        return agent

    def reports(self) -> dict[int, DirectiveState]:
        return {report.id: report.state for check_in in self.server.check_ins for report in check_in.reports}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with serving_payloads(Payloads()) as payloads, serving(Server(), tmp_path) as server:
        assert isinstance(server, Server)
        yield Bench(tmp_path, server, payloads)


def direct(bench: Bench, number: int = 7) -> None:
    order = bench.device.order(number)
    bench.server.directives.append(Directive(number, "update", msgspec.Raw(order.args.encode())))


def test_an_update_goes_through_the_loop_of_contacts(bench: Bench) -> None:
    bench.device.offer()
    direct(bench)
    bench.once()
    assert bench.device.reboots == 1
    assert bench.server.steps[-1] is Step.ARMED, "the server hears of it before the reboot"
    assert bench.reports()[7] is DirectiveState.ACCEPTED
    bench.device.boot()
    bench.once()
    assert bench.server.steps[-1] is Step.BOOTED, "what has booted is told at once"
    bench.server.confirms = True
    bench.once()
    assert bench.device.phase is Phase.CONFIRMED
    assert bench.reports()[7] is DirectiveState.DONE
    assert (bench.server.steps[-1], bench.server.heard[-1].running.release) == (Step.CONFIRMED, NEW)
    assert bench.device.runs == NEW_IMAGE


def test_a_server_that_cannot_be_reached_confirms_nothing(bench: Bench) -> None:
    bench.device.offer()
    direct(bench)
    bench.once()
    bench.device.boot()
    bench.server.confirms = True
    bench.server.script = [lambda _: None] * 8
    agent = bench.agent(updates=bench.device.driver)
    assert not agent.contact()
    agent.finish_update()
    assert bench.device.phase is Phase.BOOTED
    bench.device.clock.up_s = 901
    assert not agent.turn() or bench.device.phase is not Phase.BOOTED
    bench.device.turns()
    bench.device.boot()
    assert bench.device.report().running.release == OLD


def test_a_refused_attempt_is_told_with_its_code(bench: Bench) -> None:
    bench.device.offer()
    bench.device.trusted.named = "cam-2"
    direct(bench)
    bench.once()
    told = [report for check_in in bench.server.check_ins for report in check_in.reports]
    assert (told[-1].state, told[-1].code) == (DirectiveState.REFUSED, "update.other_device")


def test_a_device_without_an_installer_refuses_and_loads_nothing_of_updates(bench: Bench) -> None:
    direct(bench)
    agent = bench.agent()
    assert agent.contact()
    told = [report for check_in in bench.server.check_ins for report in check_in.reports]
    assert (told[-1].state, told[-1].code) == (DirectiveState.REFUSED, "update.no_installer")
    assert all("update" not in decode_check_in(raw, LIMITS).sections for raw in bench.server.raw)


def test_a_plain_check_in_imports_nothing_of_updates() -> None:
    code = "import sys, holdfast_agent.__main__; print([n for n in sys.modules if 'agent.update' in n or 'tuf' in n])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_a_device_whose_updates_cannot_be_had_checks_in_all_the_same(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.config = msgspec.structs.replace(bench.config, installer="punch-cards")
    direct(bench)
    agent = bench.agent()
    assert "installer.unknown" in capsys.readouterr().err
    assert agent.contact()
    told = [report for check_in in bench.server.check_ins for report in check_in.reports]
    assert told[-1].code == "installer.unknown"


def test_the_configured_installer_is_put_together(bench: Bench, tmp_path: Path) -> None:
    config = msgspec.structs.replace(bench.config, installer=f"file:{bench.device.slots}", hardware=("board-1",))
    driver = updates_of(bench.folder, config, Clock("cam-1", Path("/proc")), well=lambda: None, say=print)
    part = driver.part()
    assert part is not None
    report = msgspec.json.decode(part.body, type=UpdateReport)
    assert (report.installer, report.running.release, report.hardware) == ("file", OLD, ("board-1",))
    assert installer_of("rauc", tmp_path).kind == "rauc"
    for wrong in ("", "file", "swupdate", f"swupdate:{tmp_path / 'missing.json'}"):
        with pytest.raises(WorldError) as raised:
            installer_of(wrong, tmp_path)
        assert raised.value.code in ("installer.unknown", "installer.setup")


@pytest.mark.parametrize("command", [("/nonexistent/reboot",), ("false",), ()])
def test_a_reboot_that_cannot_be_had_is_told(command: tuple[str, ...]) -> None:
    with pytest.raises(WorldError) as raised:
        reboot(command)
    assert raised.value.code == "update.reboot"


def test_a_reboot_that_can_be_had_is_silent() -> None:
    reboot(("true",))


def test_a_payload_comes_over_the_devices_own_line_in_slices(bench: Bench, tmp_path: Path) -> None:
    context = bench.server.authority.context(tmp_path)
    with serving_payloads(Payloads(), context) as payloads:
        wanted = target(payload=NEW_IMAGE)
        payloads.put(wanted, NEW_IMAGE)
        config = msgspec.structs.replace(bench.config, server=f"https://127.0.0.1:{payloads.port}")
        download = Download(tmp_path / "payload.part", wanted)
        slices = 1
        while not download.slice(dial(bench.folder, config), Rate(slice_s=0.0)).whole:
            slices += 1
        assert slices > 1
    assert (tmp_path / "payload.part").read_bytes() == NEW_IMAGE


def test_a_server_of_another_authority_is_asked_for_nothing(bench: Bench, tmp_path: Path) -> None:
    context = Authority().context(tmp_path)
    with serving_payloads(Payloads(), context) as payloads:
        config = msgspec.structs.replace(bench.config, server=f"https://127.0.0.1:{payloads.port}")
        with pytest.raises(Interrupted) as raised:
            Download(tmp_path / "payload.part", target(payload=NEW_IMAGE)).slice(dial(bench.folder, config), Rate())
        assert (raised.value.code, payloads.asked) == ("update.cut_off", [])


def test_a_device_without_an_identity_has_no_line(bench: Bench) -> None:
    (bench.folder.path / "identity.pem").unlink()
    with pytest.raises(WorldError) as raised:
        dial(bench.folder, bench.config)
    assert raised.value.code == "agent.identity_unusable"
