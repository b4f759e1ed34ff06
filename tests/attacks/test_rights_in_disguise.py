"""Attacks with rules of sudo and doas that let somebody be root and do not look like it."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.credentials import RootRights
from probe_builders import ask, grow


@pytest.mark.parametrize(
    "rule",
    [
        "#1000 ALL=(ALL) NOPASSWD: ALL",
        "u ALL=(ALL) NOPASSWD : ALL",
        "u ALL=(ALL) NOPASSWD: ALL # as agreed",
        "u h=/bin/x : ALL=(ALL) NOPASSWD: ALL",
        "u h=NOPASSWD: /bin/x : g=(ALL:ALL) SETENV:NOPASSWD:ALL",
        "u ALL=(root) CWD=/tmp NOPASSWD: ALL",
        "u ALL=NOPASSWD: sha256:5e884898da28 /bin/sh",
        "ALL h1, h2=(ALL) ALL",
        "u ALL=NOPASSWD: /usr/bin/*",
        "u ALL=NOPASSWD: /usr/bin/",
        "u ALL=NOPASSWD: /usr/bin/[bv]*",
        "u ALL=NOPASSWD: ^/usr/bin/.*$",
        "u ALL=NOPASSWD: /bin/bash -p",
        'u ALL=NOPASSWD: /bin/sh ""',
        "u ALL=NOPASSWD: /usr/bin/env sh",
        "u ALL=NOPASSWD: /usr/bin/nice -n 5 /bin/sh",
        "u ALL=NOPASSWD: /usr/bin/su -",
        "u ALL=NOPASSWD: /usr/bin/python3.11",
        "u ALL=NOPASSWD: sudoedit",
        "Cmnd_Alias B = /bin/sh\nCmnd_Alias A = /bin/ls, B\nu ALL=NOPASSWD: A",
        "  @include /etc/more",
        '\t#include "/etc/more"',
    ],
)
def test_a_rule_of_sudo_that_hands_out_root(tmp_path: Path, rule: str) -> None:
    grow(tmp_path, {"etc/sudoers": f"Defaults env_reset\n{rule}\n", "etc/more": "u ALL=(ALL) NOPASSWD: ALL\n"})
    finding = ask(tmp_path, RootRights())
    assert finding.outcome is Outcome.FAIL, finding


@pytest.mark.parametrize(
    "rule",
    [
        "# 1000 ALL=(ALL) NOPASSWD: ALL",
        "#include_later ALL=(ALL) NOPASSWD: ALL",
        "u ALL=(ALL:ALL) ALL",
        "u h=NOPASSWD: /bin/x : ALL=(ALL) ALL",
        "u ALL=NOPASSWD: /usr/local/bin/report-*",
        "u ALL=NOPASSWD: /bin/sh /opt/backup.sh",
        "u ALL=NOPASSWD: /usr/bin/mount -a",
        "u ALL=NOPASSWD: /usr/bin/nice -n 5 /opt/report",
        "u ALL=NOPASSWD: sudoedit /etc/motd",
        "Cmnd_Alias A = B\nCmnd_Alias B = A, /bin/ls\nu ALL=NOPASSWD: A",
    ],
)
def test_a_rule_of_sudo_that_is_bounded(tmp_path: Path, rule: str) -> None:
    finding = ask(grow(tmp_path, {"etc/sudoers": f"Defaults env_reset\n{rule}\n"}), RootRights())
    assert finding.outcome is Outcome.PASS, finding


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ("permit nopass svc cmd /bin/sh", Outcome.FAIL),
        ("permit nopass svc cmd sh args", Outcome.FAIL),
        ("permit nopass svc cmd /bin/bash args -p", Outcome.FAIL),
        ('permit "nopass" svc', Outcome.FAIL),
        ("permit \\\n nopass svc", Outcome.FAIL),
        ("permit svc cmd /bin/sh", Outcome.PASS),
        ("permit nopass svc cmd /bin/sh args /opt/backup.sh", Outcome.PASS),
        ("permit nopass svc cmd reboot", Outcome.PASS),
        ("permit nopass svc cmd", Outcome.PASS),
    ],
)
def test_a_rule_of_doas(tmp_path: Path, rule: str, outcome: Outcome) -> None:
    assert ask(grow(tmp_path, {"etc/doas.conf": f"{rule}\n"}), RootRights()).outcome is outcome


def test_an_included_file_that_is_named_after_the_host_is_unknown(tmp_path: Path) -> None:
    assert ask(grow(tmp_path, {"etc/sudoers": "@include /etc/sudoers.%h\n"}), RootRights()).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("piece", ["EXEC:", "CWD=/ ", "(", "(a) ", "a:", "sha256:a ", "a=b:", "# "])
def test_a_rule_of_a_million_signs_ends(tmp_path: Path, piece: str) -> None:
    text = "u ALL=" + piece * (500_000 // len(piece)) + "\nu ALL=NOPASSWD: /bin/sh\n"
    assert ask(grow(tmp_path, {"etc/sudoers": text}), RootRights()).outcome in (Outcome.FAIL, Outcome.UNKNOWN)
