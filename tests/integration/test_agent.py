"""The agent against a small server with real TLS: enrollment, check-in, audit, directives, faults."""

from __future__ import annotations

import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_builders import CLAIM, Answer, FakeServer, a_plan, device_root, plan_directive, problem, serving
from holdfast_agent import hardening, loop, state, transport
from holdfast_agent.__main__ import main
from holdfast_agent.clock import Clock
from holdfast_core.baseline.control import Fix
from holdfast_core.baseline.delta import FindingsDelta, applied
from holdfast_core.baseline.model import Finding, Findings, Outcome
from holdfast_core.baseline.probes import Absent, Every, KernelConfig, Present, ProbeSpec
from holdfast_core.inventory.model import HealthProbe
from holdfast_core.kernel.digests import canonical, digest_of
from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire.confirm import MAX_TRIAL_BYTES
from holdfast_core.wire.frame import CheckIn, Directive, DirectiveState, Section
from holdfast_probe import changing
from holdfast_probe.catalogue import shipped_catalogue

FINE, FAILED, USAGE, FOUND = 0, 1, 2, 3


class Bench:
    """A server, a device's root and state folder, a port on which its essential function answers, and the commands."""

    def __init__(self, folder: Path, server: FakeServer, function: socket.socket) -> None:
        self.folder = folder
        self.server = server
        self.root = device_root(folder)
        self.state = folder / "state"
        self.function = function
        self.health = HealthProbe("tcp", port=function.getsockname()[1])

    def run(self, *arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--state", str(self.state)])
        assert isinstance(ended.value.code, int)
        return ended.value.code

    def enroll(self, *more: str, ca: str = "", url: str = "") -> int:
        arguments = ["--device", "cam-1", "--ca", ca or self.server.authority.digest, "--root", str(self.root), *more]
        return self.run("enroll", url or self.server.url, *arguments)

    def check_in(self, *more: str) -> int:
        return self.run("check-in", *more)

    def audits(self) -> list[Section]:
        """The baseline sections that came with a body, or with what changed in one."""
        sections = [c.sections["baseline"] for c in self.server.check_ins if "baseline" in c.sections]
        return [section for section in sections if section.body]

    def findings(self) -> dict[str, Finding]:
        """What the server knows of the newest audit, from bodies and changes."""
        known = Findings(digest_of(b""), ())
        for section in self.audits():
            body = bytes(section.body)  # type: ignore[arg-type]  # those without one are left out
            if section.base is None:
                known = msgspec.json.decode(body, type=Findings)
            else:
                assert section.base == digest_of(canonical(known)), "changes lean on what the server holds"
                known = applied(known, msgspec.json.decode(body, type=FindingsDelta))
                assert section.digest == digest_of(canonical(known))
        return {entry.control: entry for entry in known.findings}

    def mode(self) -> int:
        return stat.S_IMODE((self.root / "etc/shadow").stat().st_mode)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("HOLDFAST_CLAIM", CLAIM)
    with serving(FakeServer(), tmp_path) as server, socket.create_server(("127.0.0.1", 0)) as function:
        yield Bench(tmp_path, server, function)


@pytest.fixture
def device(bench: Bench) -> Bench:
    assert bench.enroll() == FINE
    return bench


def test_a_device_enrolls_and_checks_in_with_its_own_certificate(device: Bench) -> None:
    assert device.check_in() == FINE
    check_in = device.server.check_ins[0]
    assert check_in.seq == 1
    assert check_in.sections.keys() == {"release", "metrics", "attestation"}
    assert msgspec.json.decode(bytes(check_in.sections["release"].body)) == {"build": "testos-1.2", "version": "1.2"}  # type: ignore[arg-type]  # asserted by decoding
    assert device.server.peers[0] is not None
    assert device.run("status") == FINE


def test_nobody_else_can_read_the_state_and_the_claim_is_kept_nowhere(device: Bench) -> None:
    device.check_in()
    assert stat.S_IMODE(device.state.stat().st_mode) == 0o700
    files = list(device.state.iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert not [file.name for file in files if CLAIM.encode() in file.read_bytes()]


def test_another_authority_than_the_pinned_one_never_sees_the_claim(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.enroll(ca="sha256:" + "ab" * 32) == FAILED
    assert "enroll.pin_mismatch" in capsys.readouterr().err
    assert bench.server.enrolled == []
    assert bench.check_in() == FAILED
    assert "agent.not_enrolled" in capsys.readouterr().err


def test_a_refused_claim_says_why(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOLDFAST_CLAIM", "hfc_guessed")
    assert bench.enroll() == FAILED
    assert "claim.unknown" in capsys.readouterr().err


def test_a_claim_may_come_from_a_file_and_must_come_from_somewhere(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOLDFAST_CLAIM")
    assert bench.enroll() == USAGE
    (bench.folder / "claim").write_text(CLAIM + "\n")
    assert bench.enroll("--claim-file", str(bench.folder / "claim")) == FINE


def test_a_server_of_another_authority_gets_no_check_in(device: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    other = device.folder / "other"
    other.mkdir()
    with serving(FakeServer(), other) as impostor:
        config = (device.state / "config.json").read_text().replace(device.server.url, impostor.url)
        (device.state / "config.json").write_text(config)
        assert device.check_in() == FAILED
        assert impostor.raw == []
    assert "agent.server_not_trusted" in capsys.readouterr().err


def test_a_server_under_another_name_gets_no_check_in(device: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    config = (device.state / "config.json").read_text().replace("127.0.0.1", "localhost")
    (device.state / "config.json").write_text(config)
    assert device.check_in() == FAILED
    assert "agent.server_not_trusted" in capsys.readouterr().err
    assert device.server.raw == []


def test_a_lost_answer_is_asked_for_again_with_the_same_bytes(device: Bench) -> None:
    device.server.script.append(lambda _: None)
    assert device.check_in() == FAILED
    assert device.check_in() == FINE
    assert device.server.raw[0] == device.server.raw[1]
    assert device.check_in() == FINE
    assert [check_in.seq for check_in in device.server.check_ins] == [1, 1, 2]


def test_the_count_goes_on_after_a_new_enrollment(device: Bench) -> None:
    device.check_in()
    assert device.enroll() == FINE
    device.check_in()
    assert [check_in.seq for check_in in device.server.check_ins] == [1, 2]


def test_a_revoked_device_stops_calling_until_a_person_acts(device: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    device.server.script.append(lambda _: problem(403, "identity.revoked", "This certificate was revoked."))
    assert device.check_in() == FAILED
    assert device.check_in() == FAILED
    assert len(device.server.raw) == 1
    assert device.run("status") == FOUND
    assert "[identity.revoked] Do that." in capsys.readouterr().out
    assert device.check_in("--now") == FINE
    assert device.run("status") == FINE


def test_a_busy_server_gets_the_same_bytes_later(device: Bench) -> None:
    device.server.script.append(lambda _: problem(503, "store.busy", "Busy."))
    assert device.check_in() == FAILED
    assert device.check_in() == FINE
    assert device.server.raw[0] == device.server.raw[1]


def test_a_plan_is_kept_audited_and_answered_in_one_contact(device: Bench) -> None:
    device.server.directives = [plan_directive(1, a_plan("FS-08", "ACC-04", health=device.health))]
    assert device.check_in() == FINE
    first, second = device.server.check_ins
    assert "baseline" not in first.sections
    assert second.reports[0].state is DirectiveState.DONE
    assert msgspec.json.decode(bytes(second.sections["health"].body)) == {"ok": True}  # type: ignore[arg-type]  # asserted by decoding
    assert device.findings()["FS-08"].outcome is Outcome.FAIL
    assert device.check_in() == FINE
    third = device.server.check_ins[2]
    assert third.sections["baseline"].body is msgspec.UNSET
    assert third.reports == ()
    assert len(device.server.raw[2]) < 2048


def test_an_audit_that_is_due_waits_for_the_next_contact_where_somebody_waits_for_this_one(device: Bench) -> None:
    device.server.directives.append(plan_directive(1, a_plan("ACC-05", health=device.health)))
    folder = state.Folder(device.state)
    with folder.locked():
        agent = loop.Agent(folder, folder.config(), Clock("cam-1", Path("/proc")))
        assert agent.contact(audit=False)
        assert device.audits() == []
        assert device.server.directives == [], "the plan was taken all the same"
        assert agent.contact()
        assert len(device.audits()) == 1


def test_a_wanted_body_comes_at_once(device: Bench) -> None:
    device.server.directives = [plan_directive(1, a_plan("FS-08", health=device.health))]
    device.check_in()
    device.server.wants = ("baseline",)
    device.check_in()
    assert [bool(c.sections["baseline"].body) for c in device.server.check_ins[1:]] == [True, False, True]


def test_a_planted_change_is_found_at_the_next_check_in_where_the_policy_says_so(bench: Bench) -> None:
    bench.enroll("--light-audit", "every-check-in")
    (bench.root / "etc/shadow").chmod(0o640)
    bench.server.directives = [plan_directive(1, a_plan("FS-08", "FS-06", health=bench.health))]
    bench.check_in()
    before = bench.findings()
    (bench.root / "etc/shadow").chmod(0o644)
    bench.check_in()
    assert bench.findings()["FS-08"].outcome is Outcome.FAIL
    assert bench.findings()["FS-08"].proof != before["FS-08"].proof
    assert bench.findings()["FS-06"] == before["FS-06"]


def test_only_what_changed_travels(device: Bench) -> None:
    everything = [control.id for control in shipped_catalogue().controls if control.probe is not None]
    device.server.directives = [plan_directive(1, a_plan(*everything, health=device.health))]
    device.check_in()
    (device.root / "etc/shadow").chmod(0o666)
    device.check_in("--light-audit")
    whole, costly, change = device.audits()
    assert costly.base is not None, "what is costly came after what is cheap, as what changed"
    assert whole.base is None
    assert change.base == costly.digest
    assert len(msgspec.json.encode(change)) < 2048 < len(msgspec.json.encode(whole))
    assert "0666" in device.findings()["FS-08"].proof[0]
    assert device.findings().keys() == set(everything)


def test_what_is_costly_is_looked_at_in_sittings_and_what_is_cheap_first(
    device: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "Pace", lambda _budget: lambda: True)
    (device.root / "usr/lib/open").mkdir(parents=True)
    (device.root / "usr/lib/open/file").write_text("x")
    (device.root / "usr/lib/open/file").chmod(0o666)
    (device.root / "etc/shadow").chmod(0o600)
    device.server.directives = [plan_directive(1, a_plan("FS-06", "FS-08", health=device.health))]
    device.check_in()
    assert device.findings().keys() == {"FS-08"}, "the walk was put down, the cheap control is known"
    assert (device.state / "walk.json").exists()
    for _ in range(20):
        device.check_in()
    assert device.findings()["FS-06"].proof == ("/usr/lib/open/file (0666)",)
    assert not (device.state / "walk.json").exists()
    assert device.run("status") == FINE


def test_a_server_that_lost_what_changes_lean_on_is_sent_the_whole(device: Bench) -> None:
    everything = [control.id for control in shipped_catalogue().controls if control.probe is not None]
    device.server.directives = [plan_directive(1, a_plan(*everything, health=device.health))]
    device.check_in()
    (device.root / "etc/shadow").chmod(0o666)
    device.server.wants = ("baseline",)
    device.check_in("--light-audit")
    assert [section.base is None for section in device.audits()] == [True, False, False, True]
    assert "0666" in device.findings()["FS-08"].proof[0]


def test_by_default_it_is_found_when_the_interval_is_over_or_asked_for(device: Bench) -> None:
    (device.root / "etc/shadow").chmod(0o600)
    device.server.directives = [plan_directive(1, a_plan("FS-08", health=device.health))]
    device.check_in()
    (device.root / "etc/shadow").chmod(0o666)
    device.check_in()
    assert device.server.check_ins[-1].sections["baseline"].body is msgspec.UNSET
    device.check_in("--light-audit")
    assert "0666" in device.findings()["FS-08"].proof[0]


def test_audit_now_is_carried_out_and_reported(device: Bench) -> None:
    (device.root / "etc/shadow").chmod(0o600)
    device.server.directives = [plan_directive(1, a_plan("FS-08", health=device.health))]
    device.check_in()
    (device.root / "etc/shadow").chmod(0o666)
    device.server.directives = [Directive(2, "audit-now", msgspec.Raw(b"{}"))]
    device.check_in()
    assert device.server.check_ins[-1].reports[0].state is DirectiveState.DONE
    assert "0666" in device.findings()["FS-08"].proof[0]
    assert device.server.directives == []


@pytest.mark.parametrize(
    ("kind", "args", "code"),
    [
        ("network-profile", b'{"profile":"quarantine"}', "agent.no_enforcer"),
        ("sing", b"{}", "directive.unknown"),
        ("plan", b'{"controls":7}', "directive.malformed"),
        ("harden", b'{"control":"FS-08","confirm_s":1}', "directive.malformed"),
        ("harden", b'{"control":"FS-08","confirm_s":300}', "harden.no_probe"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_with_a_code(device: Bench, kind: str, args: bytes, code: str) -> None:
    device.server.directives = [Directive(3, kind, msgspec.Raw(args))]
    assert device.check_in() == FINE
    report = device.server.check_ins[-1].reports[0]
    assert (report.state, report.code) == (DirectiveState.REFUSED, code)
    assert report.sentence
    assert device.server.directives == []


def harden(number: int, control: str = "FS-08") -> Directive:
    return Directive(number, "harden", msgspec.Raw(msgspec.json.encode({"control": control, "confirm_s": 300})))


def test_a_change_is_kept_after_a_healthy_check_in(device: Bench) -> None:
    device.server.directives = [plan_directive(1, a_plan("FS-08", health=device.health)), harden(2)]
    assert device.check_in() == FINE
    assert device.mode() == 0o640
    assert device.server.check_ins[-1].reports[-1].state is DirectiveState.DONE
    assert device.server.directives == []


def last_report(device: Bench) -> tuple[str, str, str]:
    report = [each for check_in in device.server.check_ins for each in check_in.reports if each.id == 2][-1]
    return report.state.value, report.code, report.sentence


def test_a_device_that_is_not_well_is_not_changed(device: Bench) -> None:
    device.server.directives = [plan_directive(1, a_plan("FS-08", health=device.health))]
    device.check_in()
    device.function.close()
    device.server.directives = [harden(2)]
    assert device.check_in() == FINE
    assert device.mode() == 0o644
    assert last_report(device)[1] == "harden.unwell"


def test_a_change_that_stops_the_essential_function_is_taken_back(
    device: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.server.directives = [plan_directive(1, a_plan("FS-08", health=device.health))]
    device.check_in()
    modes: list[int] = []

    def stop(*arguments: Any) -> None:
        changing_apply(*arguments)
        modes.append(device.mode())
        device.function.close()

    changing_apply = changing.apply
    monkeypatch.setattr(changing, "apply", stop)
    device.server.directives = [harden(2)]
    assert device.check_in() == FINE
    assert modes == [0o640]
    assert device.mode() == 0o644
    assert last_report(device)[:2] == ("refused", "harden.reverted")


def test_a_change_during_which_the_function_stops_later_is_taken_back(device: Bench) -> None:
    device.server.directives = [plan_directive(1, a_plan("FS-08", health=device.health))]
    device.check_in()
    device.server.directives = [harden(2)]
    modes: list[int] = []

    def lose(_: CheckIn) -> Answer:  # the check-in after the change gets no place; meanwhile the function stops
        modes.append(device.mode())
        device.function.close()
        return problem(503, "server.busy", "Later.")

    device.server.script += [device.server.reply, lose]
    device.check_in()
    assert modes == [0o640]
    assert device.mode() == 0o644


def known_as(monkeypatch: pytest.MonkeyPatch, probe: ProbeSpec, **remedy: Any) -> None:
    """Let the agent's catalogue know FS-08 by another probe and remedy."""
    shipped = next(each for each in shipped_catalogue().controls if each.id == "FS-08")
    changed = msgspec.structs.replace(shipped.remedy, **({"fix": Fix.PLANNED} | remedy))
    control = msgspec.structs.replace(shipped, probe=probe, remedy=changed)
    monkeypatch.setattr(hardening, "_known", lambda _: control)


def test_a_planned_change_of_content_is_kept_and_says_when_it_is_in_force(
    device: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (device.root / "etc/bad").write_bytes(b"secret\xff")
    known_as(monkeypatch, Absent(("/etc/bad",)))
    device.server.directives = [plan_directive(1, a_plan("FS-08", health=device.health)), harden(2)]
    assert device.check_in() == FINE
    assert not (device.root / "etc/bad").exists()
    state, _, sentence = last_report(device)
    assert (state, "at its next start" in sentence) == ("done", True)


def test_content_is_back_byte_for_byte_when_no_check_in_follows(device: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (device.root / "etc/bad").write_bytes(b"secret\xff")
    (device.root / "etc/bad").chmod(0o4711)
    known_as(monkeypatch, Absent(("/etc/bad",)))
    device.server.directives = [plan_directive(1, a_plan("FS-08", health=device.health))]
    device.check_in()
    device.server.directives = [harden(2)]
    gone: list[bool] = []

    def lose(_: CheckIn) -> None:
        gone.append(not (device.root / "etc/bad").exists())

    device.server.script += [device.server.reply, lose]
    device.check_in()
    assert gone == [True]
    assert (device.root / "etc/bad").read_bytes() == b"secret\xff"
    assert stat.S_IMODE((device.root / "etc/bad").stat().st_mode) == 0o4711


def test_content_is_back_byte_for_byte_after_kill_9_and_a_reboot(
    device: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = device.root / "etc/bad"
    bad.write_bytes(b"secret\xff")
    bad.chmod(0o4711)
    known_as(monkeypatch, Absent(("/etc/bad",)))
    device.server.directives = [plan_directive(1, a_plan("FS-08", health=device.health))]
    device.check_in()
    device.server.directives = [harden(2)]
    stored: list[bytes] = []

    def die(_: CheckIn) -> None:
        stored.append((device.state / "state.json").read_bytes())

    device.server.script += [device.server.reply, die]
    device.check_in()
    bad.unlink()  # what a kill at that moment leaves: the change made, the journal on the disk, and then another boot
    was_boot = re.search(rb'"boot":"([0-9a-f]{32})"', stored[0])
    assert was_boot is not None
    (device.state / "state.json").write_bytes(stored[0].replace(was_boot[1], b"f" * 32))
    device.check_in()
    assert bad.read_bytes() == b"secret\xff"
    assert stat.S_IMODE(bad.stat().st_mode) == 0o4711


@pytest.mark.parametrize(
    ("remedy", "asked", "code"),
    [
        ({"fix": Fix.BY_HAND}, "FS-08", "harden.by_hand"),
        ({"may_brick": True}, "FS-08", "harden.may_brick"),
        ({"reboot": True}, "FS-08", "harden.reboot"),
        ({}, "FS-06", "harden.not_asked"),
    ],
)
def test_what_must_not_be_done_from_afar_is_refused(
    device: Bench, monkeypatch: pytest.MonkeyPatch, remedy: dict[str, Any], asked: str, code: str
) -> None:
    (device.root / "etc/bad").write_text("x")
    known_as(monkeypatch, Absent(("/etc/bad",)), **remedy)
    device.server.directives = [plan_directive(1, a_plan(asked, health=device.health)), harden(2)]
    assert device.check_in() == FINE
    assert last_report(device)[:2] == ("refused", code)
    assert (device.root / "etc/bad").exists()


@pytest.mark.parametrize(
    ("probe", "told"),
    [
        (Absent(("/etc/none",)), ("done", "")),
        (Present(("/etc/none",)), ("refused", "harden.by_hand")),
        (KernelConfig(option="CONFIG_X", one_of=("y",)), ("refused", "harden.undecided")),
    ],
    ids=["met already", "no mend", "nobody can say"],
)
def test_where_there_is_nothing_to_change_nothing_is_and_why_is_said(
    device: Bench, monkeypatch: pytest.MonkeyPatch, probe: ProbeSpec, told: tuple[str, str]
) -> None:
    known_as(monkeypatch, probe)
    device.server.directives = [plan_directive(1, a_plan("FS-08", health=device.health)), harden(2)]
    assert device.check_in() == FINE
    assert last_report(device)[:2] == told
    assert last_report(device)[2]


def test_a_change_that_does_not_meet_its_control_is_taken_back(device: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (device.root / "etc/bad").write_text("x")
    probe = Every((Absent(("/etc/bad",)), Present(("/etc/none",))))
    known_as(monkeypatch, probe)
    device.server.directives = [plan_directive(1, a_plan("FS-08", health=device.health)), harden(2)]
    assert device.check_in() == FINE
    assert last_report(device)[:2] == ("refused", "harden.reverted")
    assert (device.root / "etc/bad").read_text() == "x"


def test_what_would_not_fit_the_journal_is_left_to_a_person(device: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (device.root / "etc/bad").write_bytes(b"x" * (MAX_TRIAL_BYTES + 1))
    known_as(monkeypatch, Absent(("/etc/bad",)))
    device.server.directives = [plan_directive(1, a_plan("FS-08", health=device.health)), harden(2)]
    assert device.check_in() == FINE
    assert last_report(device)[:2] == ("refused", "harden.too_many")
    assert (device.root / "etc/bad").exists()


def test_a_change_that_no_check_in_confirms_is_taken_back(device: Bench) -> None:
    device.server.directives = [plan_directive(1, a_plan("FS-08", health=device.health))]
    device.check_in()
    device.server.directives = [harden(2)]
    modes: list[int] = []

    def lose(_: CheckIn) -> None:
        modes.append(device.mode())

    device.server.script += [device.server.reply, lose]
    assert device.check_in() == FAILED
    assert modes == [0o640]
    assert device.mode() == 0o644
    assert device.check_in() == FINE
    assert device.server.check_ins[-1].reports[0].code == "harden.reverted"


def test_a_change_is_taken_back_after_kill_9_and_a_reboot(device: Bench) -> None:
    device.server.directives = [plan_directive(1, a_plan("FS-08", health=device.health))]
    device.check_in()
    device.server.directives = [harden(2)]
    stored: list[bytes] = []

    def die(_: CheckIn) -> None:
        stored.append((device.state / "state.json").read_bytes())

    device.server.script += [device.server.reply, die]
    device.check_in()
    # What a kill at that moment leaves: the change made, the journal on the disk, and then another boot.
    (device.root / "etc/shadow").chmod(0o640)
    was_boot = re.search(rb'"boot":"([0-9a-f]{32})"', stored[0])
    assert was_boot is not None
    (device.state / "state.json").write_bytes(stored[0].replace(was_boot[1], b"f" * 32))
    device.check_in()
    assert device.mode() == 0o644


def test_world_writable_files_are_closed_without_following_links(device: Bench) -> None:
    outside = device.folder / "outside"
    outside.write_text("x")
    outside.chmod(0o666)
    (device.root / "etc/link").symlink_to(outside)
    (device.root / "etc/open").write_text("x")
    (device.root / "etc/open").chmod(0o666)
    (device.root / "tmp").mkdir()
    (device.root / "tmp").chmod(0o1777)
    device.server.directives = [plan_directive(1, a_plan("FS-06", health=device.health)), harden(2, "FS-06")]
    assert device.check_in() == FINE
    assert stat.S_IMODE((device.root / "etc/open").stat().st_mode) == 0o664
    assert stat.S_IMODE((device.root / "tmp").stat().st_mode) == 0o1777
    assert stat.S_IMODE(outside.stat().st_mode) == 0o666


def test_a_checkpoint_that_shrinks_is_a_conflict(device: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    for size in (5, 3):
        device.server.checkpoint = f"log\n{size}\n{'A' * 43}=\n\n— log sig\n"
        device.check_in()
    device.server.checkpoint = None
    device.check_in()
    last = device.server.check_ins[-1]
    assert last.pin is not None
    assert last.pin.size == 5
    assert b'"offered":{"size":3' in bytes(last.sections["log"].body)  # type: ignore[arg-type]  # asserted by content
    device.run("status")
    assert "CONFLICT" in capsys.readouterr().out


def test_status_as_json_names_everything(device: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    device.check_in()
    capsys.readouterr()
    assert device.run("status", "--json") == FINE
    status = msgspec.json.decode(capsys.readouterr().out)
    assert status["device"] == "cam-1"
    assert status["verdict"]["level"] == "trusted"
    assert status["next_in_s"] <= 300
    assert status["written"]["files"] >= 1


def test_a_second_agent_on_one_folder_is_refused(device: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    with state.Folder(device.state).locked():
        assert device.check_in() == FAILED
    assert "agent.busy" in capsys.readouterr().err
    assert device.check_in() == FINE


def test_on_a_full_disk_nothing_is_sent(
    device: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(state, "write_synced", full)
        assert device.check_in() == FAILED
    assert "agent.disk" in capsys.readouterr().err
    assert device.server.raw == []
    assert device.check_in() == FINE


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", None])
def test_a_damaged_state_never_starts_counting_anew(
    device: Bench, damage: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    device.check_in()
    if damage is None:
        (device.state / "state.json").unlink()
    else:
        (device.state / "state.json").write_bytes(damage)
    assert device.check_in() == FAILED
    assert "agent.state_damaged" in capsys.readouterr().err
    assert len(device.server.raw) == 1


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((200, "application/json", b"{"), "agent.bad_reply"),
        ((200, "application/json", b"[" * 100_000), "agent.bad_reply"),
        ((200, "application/json", b"x" * 300_000), "agent.reply_too_large"),
        ((502, "text/html", b"\x1b[31m<html>"), "http.502"),
        ((500, "application/problem+json", b"\xff"), "http.500"),
    ],
)
def test_a_bad_answer_is_refused_and_the_message_kept(
    device: Bench, answer: tuple[int, str, bytes], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    device.server.script.append(lambda _: answer)
    assert device.check_in() == FAILED
    assert code in capsys.readouterr().err
    assert device.check_in() == FINE
    assert device.server.raw[0] == device.server.raw[1]


def test_a_server_that_sends_a_byte_at_a_time_is_given_up(device: Bench) -> None:
    context = transport.unverified_context()
    with socket.create_server(("127.0.0.1", 0)) as mute:  # accepts, and never says a word
        client = transport.Client(transport.Server("127.0.0.1", mute.getsockname()[1]), context, exchange_s=0.2)
        with pytest.raises(transport.Failed) as failed:
            client.call("GET", "/")
    assert failed.value.code == "agent.timeout"
    assert isinstance(failed.value, WorldError)
    assert device.check_in() == FINE


AT_EXIT = """
import atexit, sys
from pathlib import Path
def tell():
    peak = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM:"))
    print(peak.split()[1], *sys.modules)
atexit.register(tell)
from holdfast_agent.__main__ import main
main()
"""


def test_a_lean_check_in_imports_neither_probe_nor_cryptography_and_stays_small(device: Bench) -> None:
    device.server.directives = [plan_directive(1, a_plan("FS-08", health=device.health))]
    device.check_in()
    command = [sys.executable, "-I", "-c", AT_EXIT, "check-in", "--state", str(device.state)]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    heavy = {"cryptography", "asyncio", "logging", "yaml", "rich", "holdfast_probe.audit", "holdfast_probe.catalogue"}
    assert "holdfast_agent.loop" in told
    assert not heavy & set(told)
    assert int(told[0]) <= 32 * 1024
    assert len(device.server.raw) == 3


def test_the_resident_agent_checks_in_by_itself_and_ends_on_sigterm(device: Bench) -> None:
    device.server.next_s = 1
    command = [sys.executable, "-I", "-m", "holdfast_agent", "run", "--state", str(device.state)]
    with subprocess.Popen(command) as process:
        try:
            while len(device.server.raw) < 3:
                assert process.poll() is None
                signal.sigtimedwait((), 0.05)
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == FINE
    assert [check_in.seq for check_in in device.server.check_ins][:3] == [1, 2, 3]
