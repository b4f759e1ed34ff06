"""Attacks with lines and files that are long beyond reason: they are refused, not worked on for minutes."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes import ProbeSpec, Service, Setting, Syntax, Words
from holdfast_core.baseline.probes.credentials import PasswordFiles
from holdfast_probe.roots import Unreadable
from holdfast_probe.services.texts import LINE_CHARS, MOST_FILES, words
from probe_builders import ask, grow

LONG = "a" * (LINE_CHARS + 1)
SSHD = Setting(file="/etc/ssh/sshd_config", syntax=Syntax.SSHD, key="PermitRootLogin", one_of=("no",))
UCI = Setting(file="/etc/config/dropbear", syntax=Syntax.UCI, key="dropbear.PasswordAuth", one_of=("off",))


@pytest.mark.parametrize(
    ("spec", "path", "text"),
    [
        (SSHD, "etc/ssh/sshd_config", "PermitRootLogin no\nInclude '%s'\n"),
        (UCI, "etc/config/dropbear", "config dropbear\n\toption PasswordAuth 'off'\n\toption x '%s'\n"),
        (PasswordFiles(), "etc/ppp/chap-secrets", 'a b "A-long-one-of-its-own" "%s"\n'),
        (PasswordFiles(), "etc/config/wireless", "config x\n\toption key '5' '%s'\n"),
    ],
)
def test_a_line_too_long_to_be_split_is_unknown(tmp_path: Path, spec: ProbeSpec, path: str, text: str) -> None:
    short = ask(grow(tmp_path, {path: text % "b"}), spec)
    assert short.outcome is not Outcome.UNKNOWN
    finding = ask(grow(tmp_path, {path: text % LONG}), spec)
    assert finding.outcome is Outcome.UNKNOWN
    assert str(LINE_CHARS) in finding.reason


def test_a_long_comment_harms_nobody(tmp_path: Path) -> None:
    text = f"# {LONG}\nconfig dropbear\n\toption PasswordAuth 'off'\n"
    assert ask(grow(tmp_path, {"etc/config/dropbear": text}), UCI).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (Words(paths=("/etc/x/*",), forbid=("evil",)), "etc/x/{}"),
        (Setting(file="/etc/x/*", syntax=Syntax.KEYVALUE, key="a", one_of=("b",)), "etc/x/{}"),
        (PasswordFiles(), "etc/ppp/{}-secrets"),
    ],
)
def test_more_files_than_anybody_has_are_unknown(tmp_path: Path, spec: ProbeSpec, name: str) -> None:
    grow(tmp_path, {name.format(number): "a=b\n" for number in range(MOST_FILES)})
    assert ask(tmp_path, spec).outcome is not Outcome.UNKNOWN
    grow(tmp_path, {name.format("last"): "a=b\n"})
    assert ask(tmp_path, spec).outcome is Outcome.UNKNOWN


@given(st.text(alphabet="ab \t\r\v\x85\xa0\"'\\#", max_size=24))
def test_words_are_those_of_a_shell(line: str) -> None:
    try:
        assert words(line) == shlex.split(line, comments=True)
    except ValueError:
        assert words(line) == line.split()


def test_no_word_of_a_line_too_long_is_told() -> None:
    with pytest.raises(Unreadable, match="longer"):
        words(LONG)


def test_a_start_script_of_very_many_lines_is_unknown(tmp_path: Path) -> None:
    asked = Service(names=("telnetd",))
    assert ask(grow(tmp_path, {"etc/init.d/rcS": ("#!/bin/sh\n" + "a=\n" * 100, 0o755)}), asked).outcome is Outcome.PASS
    finding = ask(grow(tmp_path, {"etc/init.d/rcS": ("#!/bin/sh\n" + "a=\n" * 40_000, 0o755)}), asked)
    assert finding.outcome is Outcome.UNKNOWN
    assert "lines" in finding.reason
