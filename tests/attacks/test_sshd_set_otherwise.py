"""Attacks with settings of sshd that say one thing to an audit and another to sshd."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes import Setting, Syntax
from holdfast_probe.case import Case
from holdfast_probe.changing import apply
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.files.sshd import parted
from holdfast_probe.mending import mend
from holdfast_probe.roots import FolderRoot
from probe_builders import Files, a_plan, ask, grow

CONFIG = "etc/ssh/sshd_config"
ROOT = Setting(file="/etc/ssh/sshd_config", syntax=Syntax.SSHD, key="PermitRootLogin", one_of=("no",), default="yes")
ASKED = Setting(
    file="/etc/ssh/sshd_config", syntax=Syntax.SSHD, key="KbdInteractiveAuthentication", one_of=("no",), default="yes"
)
CLOSED = "PermitRootLogin no\n"


@pytest.mark.parametrize(
    "text",
    [
        CLOSED,
        CLOSED + "Match all\nPermitRootLogin no\n",
        "Match all\nPermitRootLogin no\n",
        "PermitRootLogin yes\nMatch all\nPermitRootLogin no\n",
        ' "PermitRootLogin" "no"\n',
        "PermitRootLogin = no\r\n",
    ],
)
def test_what_closes_it_passes(tmp_path: Path, text: str) -> None:
    assert ask(grow(tmp_path, {CONFIG: text}), ROOT).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(CLOSED + "Match all\nPermitRootLogin yes\n", id="a block for all comes before what is outside"),
        pytest.param(CLOSED + '"Match" "ALL"\nPermitRootLogin yes\n', id="and may be in quotes"),
        pytest.param('"PermitRootLogin" yes\n' + CLOSED, id="a keyword in quotes"),
        pytest.param('Permit"RootLogin" yes\n' + CLOSED, id="a keyword half in quotes"),
        pytest.param('"PermitRootLogin"yes\n' + CLOSED, id="a value right behind the quotes"),
        pytest.param("\f PermitRootLogin=yes\n" + CLOSED, id="a form feed before the keyword"),
    ],
)
def test_root_is_let_in_and_mended(tmp_path: Path, text: str) -> None:
    root = FolderRoot(grow(tmp_path, {CONFIG: text}), owners_kept=True)
    assert ask(root, ROOT).outcome is Outcome.FAIL
    editor = Editor(root)
    mend(Case(root, a_plan()), editor, ROOT)
    apply(tmp_path, editor.changes())
    assert ask(root, ROOT).outcome is Outcome.PASS


@pytest.mark.parametrize("name", ["ChallengeResponseAuthentication", "skeyauthentication"])
def test_an_older_name_of_a_setting_sets_it(tmp_path: Path, name: str) -> None:
    opened = "KbdInteractiveAuthentication no\n"
    assert ask(grow(tmp_path, {CONFIG: opened}), ASKED).outcome is Outcome.PASS
    assert ask(grow(tmp_path, {CONFIG: f"{name} yes\n{opened}"}), ASKED).outcome is Outcome.FAIL


def started(line: str) -> Files:
    return {CONFIG: CLOSED, "etc/init.d/S50sshd": (f"#!/bin/sh\n{line}\n", 0o755), "usr/sbin/sshd": "\x7fELF"}


@pytest.mark.parametrize(
    "options", ["", "-D -e", "-o LogLevel=INFO", "-oPermitRootLogin=no", "-f /etc/ssh/sshd_config"]
)
def test_a_command_line_that_lets_nobody_in_passes(tmp_path: Path, options: str) -> None:
    assert ask(grow(tmp_path, started(f"/usr/sbin/sshd {options}")), ROOT).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "options",
    ["-o PermitRootLogin=yes", "-DoPermitRootLogin=yes", "-o 'permitrootlogin yes'", "-f /etc/open", "-Df/etc/open"],
)
def test_a_command_line_that_lets_root_in_fails_and_only_the_file_is_mended(tmp_path: Path, options: str) -> None:
    root = FolderRoot(grow(tmp_path, {**started(f"/usr/sbin/sshd {options}"), "etc/open": "#\n"}), owners_kept=True)
    finding = ask(root, ROOT)
    assert finding.outcome is Outcome.FAIL
    editor = Editor(root)
    if "open" in options:
        mend(Case(root, a_plan()), editor, ROOT)
        apply(tmp_path, editor.changes())
        assert ask(root, ROOT).outcome is Outcome.PASS
    else:
        assert "S50sshd:2" in finding.proof[0]
        with pytest.raises(CannotMend, match="command line"):
            mend(Case(root, a_plan()), editor, ROOT)


@pytest.mark.parametrize("options", ["$(cat /etc/options)", "-f /etc/not-here"])
def test_a_command_line_that_nobody_can_know_is_unknown(tmp_path: Path, options: str) -> None:
    assert ask(grow(tmp_path, started(f"/usr/sbin/sshd {options}")), ROOT).outcome is Outcome.UNKNOWN


def test_a_unit_starts_it_under_another_name(tmp_path: Path) -> None:
    files: Files = {
        CONFIG: CLOSED,
        "etc/systemd/system/multi-user.target.wants/remote.service": "-> /lib/systemd/system/remote.service",
        "lib/systemd/system/remote.service": "[Service]\nExecStart=/opt/remote -D -o PermitRootLogin=yes\n",
        "opt/remote": "-> /usr/sbin/sshd",
        "usr/sbin/sshd": ("\x7fELF", 0o755),
    }
    assert ask(grow(tmp_path, files), ROOT).outcome is Outcome.FAIL


@given(st.text(alphabet='Ab \t\r\f="#0é', max_size=40))
def test_whatever_a_line_holds_it_has_a_keyword_or_none(line: str) -> None:
    parts = parted(line)
    if parts is not None:
        _, rest = parts
        assert not line.lstrip().startswith("#")
        assert line[rest : rest + 1] not in (" ", "\t", "\r", "\f")
