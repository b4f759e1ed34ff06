"""``holdfast-agent secret``: when it asks twice, and that a secret is told once, whole, and to nobody else."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_builders import device_root
from attest_agent_builders import answer
from holdfast_agent import __main__ as commands
from holdfast_agent import sealed
from holdfast_agent.clock import Clock
from holdfast_agent.sealed import secret_for
from holdfast_agent.state import Config, Enrollment, Folder, Stored
from holdfast_agent.transport import Failed
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.attestation import SECTION, Ask, Evidence, Unable
from holdfast_core.wire.codec import decode_check_in
from holdfast_core.wire.device import Refusal
from holdfast_core.wire.sealed import LARGEST

SECRET = b"\x00\xff\r\nonly for the disk\n"
PAGE = "/v1/sealed/disk"


def refusal(code, status=403):
    return Refusal(status, code, f"It is {code}.", f"Mend {code}.")


class Wire:
    """A server that answers by a script: the secret's requests in turn, every check-in."""

    def __init__(self, *answers, check_in=None):
        self.answers, self.check_in = list(answers), check_in
        self.asked, self.evidence, self.open = [], [], 0

    def connect(self, _folder, _config):
        self.open += 1
        return self

    def call(self, method, path, body=b"", _headers=None):
        assert self.open == 1, "one connection at a time"
        self.asked.append(path)
        assert method == "POST"
        if path == "/v1/check-in":
            if self.check_in is not None:
                raise Failed(self.check_in)
            seen = decode_check_in(body, LIMITS)
            self.evidence.append(msgspec.json.decode(bytes(seen.sections[SECTION].body), type=Evidence))
            return answer(seen.seq, Ask(registers=(0, 1)))[2]
        assert body == b""
        said = self.answers.pop(0)
        if isinstance(said, Refusal):
            raise Failed(said)
        return said

    def close(self):
        self.open = 0


class Device:
    def __init__(self, folder):
        self.proc = folder / "proc"
        (self.proc / "sys/kernel/random").mkdir(parents=True)
        (self.proc / "sys/kernel/random/boot_id").write_text("1")
        root = device_root(folder)
        self.config = Config("https://x", "cam-1", root=str(root), proc=str(self.proc), sys=str(folder / "sys"))
        self.folder = Folder(folder / "state")
        self.folder.enroll(Enrollment("", "", self.config, Stored(), ""))

    def ask(self, wire, name="disk"):
        return secret_for(self.folder, self.config, Clock("cam-1", self.proc), name, wire.connect)

    def refused(self, wire, name="disk"):
        with pytest.raises(Failed) as failed:
            self.ask(wire, name)
        assert failed.value.remedy
        assert not wire.open, "the connection was closed"
        return failed.value.code


@pytest.fixture
def device(tmp_path):
    return Device(tmp_path)


@pytest.mark.parametrize("secret", [b"x", SECRET, bytes(range(256)) * (LARGEST // 256)])
def test_a_secret_comes_as_it_is_and_nothing_else_is_asked(device, secret):
    wire = Wire(secret)
    assert device.ask(wire) == secret
    assert (wire.asked, wire.open) == ([PAGE], 0)


@pytest.mark.parametrize("code", sorted(sealed.ATTEST_FIRST))
def test_where_evidence_is_missing_it_checks_in_with_it_once_and_asks_once_more(device, code):
    wire = Wire(refusal(code), SECRET)
    assert device.ask(wire) == SECRET
    assert wire.asked == [PAGE, "/v1/check-in", PAGE]
    assert wire.evidence == [Unable("no-tpm")]
    assert wire.open == 0


def test_a_second_refusal_is_the_last_word(device):
    wire = Wire(refusal("sealed.not_attested"), refusal("sealed.pending"))
    assert device.refused(wire) == "sealed.pending"
    assert wire.asked == [PAGE, "/v1/check-in", PAGE]


@pytest.mark.parametrize(
    "code", ["sealed.not_affirming", "sealed.quarantined", "sealed.held", "sealed.unknown", "identity.revoked", "x.y"]
)
def test_what_a_check_in_does_not_mend_is_told_at_once(device, code):
    wire = Wire(refusal(code))
    assert device.refused(wire) == code
    assert wire.asked == [PAGE]


def test_a_check_in_that_came_to_nothing_says_why_and_nothing_more_is_asked(device):
    wire = Wire(refusal("sealed.stale"), check_in=refusal("store.disk", 503))
    assert device.refused(wire) == "store.disk"
    assert wire.asked == [PAGE, "/v1/check-in"]


def test_beside_a_resident_agent_it_only_asks(device, capsys):
    wire = Wire(refusal("sealed.stale"))
    with device.folder.locked():
        assert device.refused(wire) == "sealed.stale"
        assert wire.asked == [PAGE]
        assert "next check-in" in capsys.readouterr().err
        assert device.ask(Wire(SECRET)) == SECRET


def test_an_audit_that_is_due_keeps_nobody_waiting(device, monkeypatch):
    seen = []
    monkeypatch.setattr(sealed.Agent, "contact", lambda _agent, **how: seen.append(how) or True)
    assert device.ask(Wire(refusal("sealed.stale"), SECRET)) == SECRET
    assert seen == [{"audit": False}]


@pytest.mark.parametrize("size", [0, LARGEST + 1])
def test_an_answer_that_can_be_no_secret_is_refused(device, size):
    assert device.refused(Wire(bytes(size))) == "agent.bad_secret"


@given(st.text())
def test_no_name_reaches_the_server_that_no_secret_can_have(name):
    def connect(_folder, _config):
        raise AssertionError(name)

    if not name.isascii() or "/" in name or not name:
        with pytest.raises(HostileData) as refused:
            secret_for(None, None, None, name, connect)
        assert refused.value.code == "name.invalid"


# The command


def run(device, monkeypatch, wire, *arguments):
    monkeypatch.setattr(sealed.secret_for, "__defaults__", (wire.connect,))
    with pytest.raises(SystemExit) as ended:
        commands.main(["secret", "--state", str(device.folder.path), *arguments])
    return ended.value.code


def test_the_command_writes_the_secret_to_stdout_and_no_word(device, monkeypatch, capfdbinary):
    assert run(device, monkeypatch, Wire(SECRET), "disk") == 0
    told = capfdbinary.readouterr()
    assert (told.out, told.err) == (SECRET, b"")
    written = [path for path in device.folder.path.rglob("*") if path.is_file() and SECRET in path.read_bytes()]
    assert written == []


def test_the_command_writes_nothing_when_it_is_refused(device, monkeypatch, capfdbinary):
    assert run(device, monkeypatch, Wire(refusal("sealed.not_affirming")), "disk") == 1
    told = capfdbinary.readouterr()
    assert told.out == b""
    for part in (b"It is sealed.not_affirming.", b"[sealed.not_affirming]", b"Mend sealed.not_affirming."):
        assert part in told.err


@pytest.mark.parametrize("name", ["", "../cam-2/disk", "Disk", "-disk.", "d" * 64])
def test_a_name_that_cannot_be_is_a_mistake_of_the_caller(device, monkeypatch, capfdbinary, name):
    wire = Wire()
    assert run(device, monkeypatch, wire, "--", name) == 2
    told = capfdbinary.readouterr()
    assert (wire.asked, told.out) == ([], b"")
    assert b"[name.invalid]" in told.err


WRITER = """
import sys
from holdfast_agent import __main__ as commands, sealed
from holdfast_agent.state import Folder
sealed.secret_for = lambda *_: b"a secret"
Folder.config = lambda _: type("Config", (), {"device": "cam-1", "proc": "/proc"})()
commands.main(["secret", "disk"])
"""


def test_a_reader_that_is_gone_fails_the_command():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run([sys.executable, "-c", WRITER], stdout=closed, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert b"agent.stdout" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"a secret" not in done.stderr
