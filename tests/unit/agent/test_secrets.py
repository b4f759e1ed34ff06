"""The device's side of local secrets: what is refused, what is done again, and what never leaves memory."""

from __future__ import annotations

import stat

import msgspec
import pytest

from holdfast_agent import secrets
from holdfast_agent.secrets import Chpasswd, NotSet, carry_out
from holdfast_agent.transport import Failed
from holdfast_core.wire.device import Refusal
from holdfast_core.wire.frame import DirectiveState
from holdfast_core.wire.orders import Order

SECRET = "Wz9-only-for-the-pump"  # noqa: S105  (a made-up one)
LOST = Refusal(0, "agent.timeout", "The server did not answer in time.", "")
STALE = Refusal(409, "secret.stale", "Version 1 is not the one that waits.", "")
HELD = Refusal(403, "secret.held", "Nothing is told to a device that is held.", "")


def order(*accounts, number=7):
    args = {"secrets": [{"account": name, "version": version} for name, version in accounts]}
    return Order(number, "rotate-secrets", msgspec.json.encode(args).decode())


class Server:
    """Answers by path; what it was asked is kept."""

    def __init__(self, **answers):
        self.asked = []
        self._answers = answers

    def call(self, method, path, body=b"", headers=None):
        assert (method, headers) == ("POST", {"Content-Type": "application/json"})
        self.asked.append(path)
        account, _, rest = path.removeprefix("/v1/secrets/").partition("/")
        said = self._answers.get(f"{account}_{rest}" if rest else account)
        if isinstance(said, Refusal):
            raise Failed(said)
        if rest:
            return b"{}"
        version = msgspec.json.decode(body)["version"]
        told = {"account": account, "version": version, "secret": SECRET, **(said or {})}
        return msgspec.json.encode(told)

    def close(self):
        raise AssertionError("the contact's connection is not ours to close")


class Memory:
    def __init__(self, **refusals):
        self.have = {}
        self._refusals = refusals

    def put(self, account, secret):
        if account in self._refusals:
            raise NotSet("secret.not_set", self._refusals[account])
        self.have[account] = secret


def test_a_secret_is_fetched_set_and_confirmed_in_this_order():
    server, device = Server(), Memory()
    report = carry_out(order(("pump", 1)), server, device)
    assert report is not None
    assert (report.state, report.sentence) == (DirectiveState.DONE, "")
    assert device.have == {"pump": SECRET}
    assert server.asked == ["/v1/secrets/pump", "/v1/secrets/pump/confirmed"]


@pytest.mark.parametrize("lost", ["pump", "pump_confirmed"])
def test_what_was_lost_on_the_way_is_done_again_at_the_next_contact(lost):
    server, device = Server(**{lost: LOST}), Memory()
    assert carry_out(order(("pump", 1), ("web", 1)), server, device) is None
    assert "web" in device.have, "one that failed stops no other"
    report = carry_out(order(("pump", 1), ("web", 1)), Server(web=STALE), device)
    assert report is not None
    assert report.state is DirectiveState.DONE
    assert device.have == {"pump": SECRET, "web": SECRET}


@pytest.mark.parametrize(
    ("server", "device", "code"),
    [
        (Server(pump=HELD), Memory(), "secret.held"),
        (Server(), Memory(pump="chpasswd ended with 1"), "secret.not_set"),
        (Server(pump={"account": "root"}), Memory(), "secret.bad_answer"),
        (Server(pump={"version": 2}), Memory(), "secret.bad_answer"),
        (Server(pump={"secret": ""}), Memory(), "secret.bad_answer"),
        (Server(pump={"secret": "x\nroot:owned"}), Memory(), "secret.bad_answer"),
        (Server(pump={"secret": "x" * 513}), Memory(), "secret.bad_answer"),
        (Server(pump={"secret": 7}), Memory(), "secret.bad_answer"),
    ],
    ids=["held", "not set", "other account", "other version", "empty", "two lines", "long", "no text"],
)
def test_what_cannot_be_is_refused_and_nothing_is_set_or_confirmed(server, device, code):
    report = carry_out(order(("pump", 1)), server, device)
    assert report is not None
    assert (report.state, report.code) == (DirectiveState.REFUSED, code)
    assert device.have == {}
    assert server.asked == ["/v1/secrets/pump"]
    assert SECRET not in str(report)


@pytest.mark.parametrize(
    "args",
    [
        "{}",
        '{"secrets":[]}',
        '{"secrets":[{"account":"a:b","version":1}]}',
        '{"secrets":[{"account":"../x","version":1}]}',
        '{"secrets":[{"account":"-c","version":1}]}',
        '{"secrets":[{"account":"pump","version":-1}]}',
        "[" * 100_000,
    ],
)
def test_arguments_that_cannot_be_are_refused_before_anything_is_asked(args):
    server = Server()
    report = carry_out(Order(7, "rotate-secrets", args), server, Memory())
    assert report is not None
    assert (report.state, report.code) == (DirectiveState.REFUSED, "directive.malformed")
    assert server.asked == []


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\npump:x:1001:1001::/:/bin/sh\n")
    return tmp_path


def chpasswd(tree, monkeypatch, script):
    """A `chpasswd` of the test's own, first on the path."""
    folder = tree / "bin"
    folder.mkdir()
    (folder / "chpasswd").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "chpasswd").chmod(stat.S_IRWXU)
    monkeypatch.setattr(secrets, "PLACES", f"{folder}:{secrets.PLACES}")


def test_chpasswd_hears_the_secret_on_stdin_alone(tree, monkeypatch):
    chpasswd(tree, monkeypatch, f'echo "$@" >{tree}/argv; env >{tree}/env; cat >{tree}/stdin')
    Chpasswd(tree).put("pump", SECRET)
    assert (tree / "argv").read_text() == f"-R {tree} -c SHA512\n"
    assert (tree / "stdin").read_text() == f"pump:{SECRET}\n"
    assert SECRET not in (tree / "env").read_text()


def test_on_the_device_itself_its_own_way_of_hashing_decides(monkeypatch):
    seen = []

    def run(argv, **how):
        seen.append((argv, how["input"], how["env"]))
        return type("Ended", (), {"returncode": 0})()

    monkeypatch.setattr(secrets.subprocess, "run", run)
    monkeypatch.setattr(secrets.shutil, "which", lambda *_, **__: "/usr/sbin/chpasswd")
    Chpasswd(secrets.Path("/")).put("root", SECRET)
    ((argv, given, environ),) = seen
    assert argv == ["/usr/sbin/chpasswd"]
    assert given == f"root:{SECRET}\n".encode()
    assert SECRET not in str(environ)


@pytest.mark.parametrize(
    "case",
    [
        ("nobody-here", "exit 0", "secret.no_account"),
        ("pump", "echo 'chpasswd: (line 1, user pump) password not changed' >&2; exit 1", "secret.not_set"),
        ("pump", "cat >&2; exit 3", "secret.not_set"),
    ],
)
def test_a_password_that_could_not_be_set_is_told_without_it(tree, monkeypatch, capfd, case):
    account, script, code = case
    chpasswd(tree, monkeypatch, script)
    with pytest.raises(NotSet) as refused:
        Chpasswd(tree).put(account, SECRET)
    assert refused.value.code == code
    assert SECRET not in str(refused.value)
    assert SECRET not in "".join(capfd.readouterr())


def test_a_device_without_chpasswd_says_so(tree, monkeypatch):
    monkeypatch.setattr(secrets, "PLACES", str(tree))
    with pytest.raises(NotSet) as refused:
        Chpasswd(tree).put("pump", SECRET)
    assert refused.value.code == "secret.no_chpasswd"
