"""Mending settings: the deciding line changes, every other byte stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes import Absent, ProbeSpec, Setting, Syntax, Words
from holdfast_core.kernel.errors import HoldfastError
from holdfast_probe.case import Case
from holdfast_probe.changing import apply, undo
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.files.settings import see_setting
from holdfast_probe.mending import mend
from holdfast_probe.roots import FolderRoot
from probe_builders import Files, a_plan, ask, grow

SSHD = "/etc/ssh/sshd_config"


def sshd(key: str, **wanted: Any) -> Setting:
    return Setting(file=SSHD, syntax=Syntax.SSHD, key=key, **wanted)


def mended(tree: Path, spec: ProbeSpec) -> Editor:
    root = FolderRoot(tree, owners_kept=True)
    editor = Editor(root)
    mend(Case(root, a_plan()), editor, spec)
    return editor


def after(tmp_path: Path, files: Files, spec: ProbeSpec, path: str) -> bytes:
    """The file once `spec` was mended, which must then pass, and must be undone to the byte."""
    grow(tmp_path, files)
    real = tmp_path / path.strip("/")
    before = real.read_bytes()
    assert ask(tmp_path, spec).outcome is Outcome.FAIL
    changes = mended(tmp_path, spec).changes()
    apply(tmp_path, changes)
    new = real.read_bytes() if real.exists() else b""
    assert ask(tmp_path, spec).outcome is Outcome.PASS
    assert undo(tmp_path, changes) == ()
    assert real.read_bytes() == before
    return new


ROOT_NO = sshd("PermitRootLogin", one_of=("no",), default="yes")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# x\n  PermitRootLogin   yes  # why\nPort 22\n", "# x\n  PermitRootLogin   no  # why\nPort 22\n"),
        ("permitrootlogin=yes\r\nPort 22\r\n", "permitrootlogin=no\r\nPort 22\r\n"),
        ("PermitRootLogin yes", "PermitRootLogin no"),
        ("Port 22", "Port 22\nPermitRootLogin no\n"),
        (
            "Port 22\nMatch User x\n  X11Forwarding no\n",
            "Port 22\nPermitRootLogin no\nMatch User x\n  X11Forwarding no\n",
        ),
        (
            "PermitRootLogin no\nMatch Address 10.*\n\tPermitRootLogin yes\n",
            "PermitRootLogin no\nMatch Address 10.*\n\tPermitRootLogin no\n",
        ),
        ("PermitRootLogin yes\nPermitRootLogin no\n", "PermitRootLogin no\nPermitRootLogin no\n"),
        ("Match User x\nPermitRootLogin yes\n", "PermitRootLogin no\nMatch User x\nPermitRootLogin no\n"),
    ],
)
def test_the_line_of_sshd_that_decides_is_changed(tmp_path: Path, old: str, new: str) -> None:
    assert after(tmp_path, {SSHD: old}, ROOT_NO, SSHD) == new.encode()


def test_a_setting_that_is_included_is_changed_where_it_stands(tmp_path: Path) -> None:
    drop_in = "/etc/ssh/sshd_config.d/10.conf"
    files: Files = {SSHD: "Include sshd_config.d/*.conf\nPermitRootLogin no\n", drop_in: "PermitRootLogin yes\n"}
    assert after(tmp_path, files, ROOT_NO, drop_in) == b"PermitRootLogin no\n"


def test_a_list_loses_only_what_is_refused(tmp_path: Path) -> None:
    spec = sshd("Ciphers", none_of=("*-cbc", "3des*"), default="")
    old = "Ciphers aes256-ctr,aes128-cbc,3des-cbc,aes128-ctr\n"
    assert after(tmp_path, {SSHD: old}, spec, SSHD) == b"Ciphers aes256-ctr,aes128-ctr\n"


def test_a_list_of_which_nothing_would_be_left_is_a_persons(tmp_path: Path) -> None:
    grow(tmp_path, {SSHD: "Ciphers aes128-cbc\n"})
    with pytest.raises(CannotMend):
        mended(tmp_path, sshd("Ciphers", none_of=("*-cbc",), default=""))


def pair(key: str, file: str = "/etc/x.conf", **wanted: Any) -> Setting:
    return Setting(file=file, syntax=Syntax.KEYVALUE, key=key, **wanted)


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("log", 'log = "off" # c\nb = 1\n', 'log = "on" # c\nb = 1\n'),
        ("log", "log off\n", "log on\n"),
        ("log", "log=on\nlog=off\n", "log=on\nlog=on\n"),
        ("log", "a = 1\n\nb = 2", "a = 1\n\nb = 2\nlog = on\n"),
        ("log", "persistence true\nport 1883\n", "persistence true\nport 1883\nlog on\n"),
        ("A/log", "[A]\nx=1\n\n[B]\nlog=on\n", "[A]\nx=1\nlog=on\n\n[B]\nlog=on\n"),
        ("A/log", "[B]\nlog = on\n", "[B]\nlog = on\n[A]\nlog = on\n"),
        ("log", "#log=off\n", "#log=off\nlog=on\n"),
        ("log", b"caf\xe9=\xff\nlog=off\n", b"caf\xe9=\xff\nlog=on\n"),
    ],
)
def test_a_pair_is_written_as_the_file_writes_its_others(tmp_path: Path, key: str, old: Any, new: Any) -> None:
    wanted = new if isinstance(new, bytes) else new.encode()
    assert after(tmp_path, {"/etc/x.conf": old}, pair(key, one_of=("on",)), "/etc/x.conf") == wanted


def test_every_match_of_a_pattern_is_judged_and_mended(tmp_path: Path) -> None:
    grow(tmp_path, {"/etc/a/1.conf": "log=off\n", "/etc/a/2.conf": "log=on\n", "/etc/a/3.conf": "log=0\n"})
    spec = pair("log", "/etc/a/*.conf", one_of=("on",))
    finding = ask(tmp_path, spec)
    assert [item.split("(")[1][:13] for item in finding.proof] == ["/etc/a/3.conf", "/etc/a/1.conf"]
    assert {change.path for change in mended(tmp_path, spec).changes()} == {"/etc/a/1.conf", "/etc/a/3.conf"}


@pytest.mark.parametrize("content", ["", "[a]\nx=1\n"])
def test_where_to_write_it_is_not_guessed(tmp_path: Path, content: str) -> None:
    grow(tmp_path, {"/etc/x.conf": content})
    with pytest.raises(CannotMend):
        mended(tmp_path, pair("log", one_of=("on",)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("config dropbear\n\toption PasswordAuth 'on'\n", "config dropbear\n\toption PasswordAuth 'off'\n"),
        ("config dropbear\n\toption Port '22'\n", "config dropbear\n\toption PasswordAuth 'off'\n\toption Port '22'\n"),
        (
            "config dropbear\nconfig dropbear b\n  option PasswordAuth on # c\n",
            "config dropbear\n\toption PasswordAuth 'off'\nconfig dropbear b\n  option PasswordAuth 'off' # c\n",
        ),
        ("config x\n", "config x\n\nconfig dropbear\n\toption PasswordAuth 'off'\n"),
    ],
)
def test_an_option_is_set_in_each_section_of_its_type(tmp_path: Path, old: str, new: str) -> None:
    path = "/etc/config/dropbear"
    spec = Setting(file=path, syntax=Syntax.UCI, key="dropbear.PasswordAuth", one_of=("off",), default="on")
    assert after(tmp_path, {path: old}, spec, path) == new.encode()


def test_a_line_with_a_refused_word_is_commented_out(tmp_path: Path) -> None:
    spec = Words(paths=("/etc/inittab",), forbid=("askfirst",))
    old = "::sysinit:/etc/init.d/rcS\n::askfirst:/bin/sh\n"
    assert after(tmp_path, {"/etc/inittab": old}, spec, "/etc/inittab") == (
        b"::sysinit:/etc/init.d/rcS\n# ::askfirst:/bin/sh\n"
    )


def test_a_required_word_is_looked_for_and_left_to_a_person(tmp_path: Path) -> None:
    spec = Words(paths=("/etc/pam.d/*",), require=("pam_faillock",))
    grow(tmp_path, {"/etc/pam.d/a": "auth required pam_unix.so\n# pam_faillock\n"})
    assert ask(tmp_path, spec).outcome is Outcome.FAIL
    with pytest.raises(CannotMend):
        mended(tmp_path, spec)
    grow(tmp_path, {"/etc/pam.d/b": "auth required pam_faillock.so preauth\n"})
    assert ask(tmp_path, spec).outcome is Outcome.PASS


def test_json_has_no_comments(tmp_path: Path) -> None:
    grow(tmp_path, {"/etc/a.json": '{"debug": true}\n'})
    with pytest.raises(CannotMend):
        mended(tmp_path, Words(paths=("/etc/a.json",), forbid=("debug",)))


def test_a_file_that_must_not_be_there_goes_and_comes_back(tmp_path: Path) -> None:
    assert after(tmp_path, {"/etc/a": "x", "/etc/b": "y"}, Absent(paths=("/etc/a",)), "/etc/a") == b""
    assert (tmp_path / "etc/b").exists()


def test_a_folder_is_not_removed(tmp_path: Path) -> None:
    grow(tmp_path, {"/etc/a/b": "x"})
    with pytest.raises(CannotMend):
        mended(tmp_path, Absent(paths=("/etc/a",)))


LINES = st.lists(
    st.sampled_from(
        [
            "key = a",
            "key b",
            "[s]",
            "# key=z",
            "Match User x",
            "Match all",
            "key",
            "key a # c",
            "config key",
            "",
            "option key on",
            "config k 'n'",
            "list key 'x",
            "\x85key=q",
            'key\t=\t"v"',
            "Include /etc/x.conf",
        ]
    ),
    max_size=8,
)


@pytest.mark.parametrize("syntax", list(Syntax))
@settings(max_examples=60, deadline=None)
@given(lines=LINES, end=st.sampled_from(["\n", "\r\n"]))
def test_a_mend_comes_to_a_pass_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, syntax: Syntax, lines: list[str], end: str
) -> None:
    tree = grow(tmp_path_factory.mktemp("tree"), {"/etc/x.conf": end.join(lines)})
    key = "k.key" if syntax is Syntax.UCI else "key"
    spec = Setting(file="/etc/x.conf", syntax=syntax, key=key, one_of=("good",), default="bad")
    try:
        changes = mended(tree, spec).changes()
    except HoldfastError:
        return
    apply(tree, changes)
    assert see_setting(Case(FolderRoot(tree), a_plan()), spec).outcome is Outcome.PASS
