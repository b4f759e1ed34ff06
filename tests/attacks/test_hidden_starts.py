"""Attacks by a start that nobody looks at: a service hides in units, scripts, tables and rules that others call."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.services import Autostart, Listening, Runs, Service
from probe_builders import Files, a_plan, ask, grow

TELNET = Service(names=("telnetd",))
DEBUG = Service(names=("nc",))
UNITS = "etc/systemd/system"
WANTED = {f"{UNITS}/multi-user.target.wants/a.service": "-> ../a.service"}
A = "[Service]\nExecStart=/bin/true\n"
B = {f"{UNITS}/b.service": "[Service]\nExecStart=/usr/sbin/telnetd\n"}
RCS = "etc/init.d/rcS"
BASE: Files = {"etc/inittab": "::sysinit:/etc/init.d/rcS\n"}
HIDDEN: dict[str, Files] = {
    "what a unit wants": {**WANTED, **B, f"{UNITS}/a.service": f"[Unit]\nWants=b.service\n{A}"},
    "what a unit requires, twice removed": {
        **WANTED, **B,
        f"{UNITS}/a.service": f"[Unit]\nRequires=x.target\n{A}",
        f"{UNITS}/x.target": "[Unit]\nBindsTo=b.service\n",
    },
    "a drop-in of a target": {**B, f"{UNITS}/multi-user.target.d/x.conf": "[Unit]\nWants=b.service\n"},
    "a target of one's own": {
        **B, f"{UNITS}/default.target": "-> odd.target", f"{UNITS}/odd.target": "[Unit]\nWants=b.service\n",
    },
    "what a target upholds": {**B, f"{UNITS}/multi-user.target.upholds/b.service": "-> ../b.service"},
    "a script that is read in": {RCS: ". /etc/rc.more\n", "etc/rc.more": "telnetd &\n"},
    "a script that is read in by a long name": {RCS: "source /etc/rc.more\n", "etc/rc.more": "/usr/sbin/telnetd\n"},
    "every script of a folder": {RCS: "for f in /etc/more/*; do . $f; done\n", "etc/more/x": "telnetd\n"},
    "a line that goes on": {RCS: "telnet\\\nd\n"},
    "a comment that does not go on": {RCS: "# a \\\ntelnetd\n"},
    "a comment behind a command": {RCS: "true # a \\\ntelnetd\n"},
    "preinit": {"etc/preinit": "#!/bin/sh\ntelnetd\n"},
    "another rcS": {"etc/rcS": "#!/bin/sh\ntelnetd\n"},
    "letters for a number": {"etc/init.d/SAAtelnetd": "#!/bin/sh\n"},
    "no number at all": {"etc/rc.d/Stelnetd": "-> ../init.d/x", "etc/init.d/x": "#!/bin/sh\n"},
    "cron": {"etc/crontabs/root": "* * * * * telnetd -l /bin/sh\n"},
    "cron with a user": {"etc/crontab": "*/5 * * * *\troot\ttelnetd -l /bin/sh\n"},
    "cron's shorthand": {"etc/cron.d/x": "@hourly root telnetd\n"},
    "a script of every day": {"etc/cron.daily/x": "#!/bin/sh\ntelnetd\n"},
    "anacron": {"etc/anacrontab": "1 5 x telnetd\n"},
    "xinetd's other folder": {
        "etc/xinetd.conf": "includedir /opt/x\n",
        "opt/x/a": "service telnetd\n{\n server = /usr/sbin/telnetd\n}\n",
    },
    "an interface": {"etc/network/interfaces": "iface eth0 inet dhcp\n  post-up telnetd -l /bin/sh\n"},
    "a script of interfaces": {"etc/network/if-up.d/x": "#!/bin/sh\ntelnetd\n"},
    "a rule of udev": {"etc/udev/rules.d/1.rules": 'ACTION=="add", RUN+="/usr/sbin/telnetd -F"\n'},
    "a table on demand": {"etc/inittab": "x:5:ondemand:/usr/sbin/telnetd\n"},
}  # fmt: skip


@pytest.mark.parametrize("files", HIDDEN.values(), ids=HIDDEN)
def test_a_hidden_start_is_found(tmp_path: Path, files: Files) -> None:
    finding = ask(grow(tmp_path, {**BASE, **files}), TELNET)
    assert finding.outcome is Outcome.FAIL, finding
    assert "telnetd" in finding.proof[0]


INNOCENT: dict[str, Files] = {
    "a unit that is masked": {
        **WANTED, f"{UNITS}/a.service": f"[Unit]\nWants=b.service\n{A}", f"{UNITS}/b.service": "-> /dev/null",
    },
    "a unit that comes first": {**WANTED, **B, f"{UNITS}/a.service": f"[Unit]\nAfter=b.service\n{A}"},
    "cron that only tells": {"etc/crontabs/root": "* * * * * echo telnetd\n"},
    "a rule that only matches": {"etc/udev/rules.d/1.rules": 'ENV{X}=="telnetd", RUN+="/bin/true"\n'},
    "functions": {RCS: ". /lib/lsb/init-functions\n", "lib/lsb/init-functions": "x() {\n  log\n}\n"},
}  # fmt: skip


@pytest.mark.parametrize("files", INNOCENT.values(), ids=INNOCENT)
def test_what_starts_nothing_of_the_kind_still_passes(tmp_path: Path, files: Files) -> None:
    assert ask(grow(tmp_path, {**BASE, **files}), TELNET).outcome is Outcome.PASS


def test_a_door_that_cron_opens_is_found_and_is_no_daemon_of_its_own(tmp_path: Path) -> None:
    grow(tmp_path, {**BASE, "etc/crontabs/root": "* * * * * nc -lp 4444 -e /bin/sh\n"})
    assert ask(tmp_path, DEBUG).outcome is Outcome.FAIL
    assert ask(tmp_path, Autostart(), a_plan(autostart=("rcS",))).outcome is Outcome.PASS
    assert ask(tmp_path, Runs(names=("nc",))).outcome is Outcome.FAIL


def test_a_program_that_nobody_knows_is_not_taken_to_end(tmp_path: Path) -> None:
    grow(
        tmp_path, {**BASE, RCS: "mount -a\nifconfig lo up\n/usr/bin/backdoor 4444\n", "usr/bin/backdoor": b"\x7fELF\0"}
    )
    for spec in (Autostart(), Listening()):
        assert ask(tmp_path, spec, a_plan(autostart=("rcS",))).outcome is Outcome.UNKNOWN
    declared = a_plan(autostart=("rcS", "backdoor"), programs=("backdoor",))
    assert ask(tmp_path, Autostart(), declared).outcome is Outcome.PASS
    assert ask(tmp_path, Listening(), declared).outcome is Outcome.PASS


@pytest.mark.parametrize("line", ["$(cat /etc/what) -F", ". $(cat /etc/what)", "/opt/0"])
def test_a_script_that_cannot_be_followed_leaves_it_unknown(tmp_path: Path, line: str) -> None:
    chain: Files = {f"opt/{n}": f"#!/bin/sh\nsh /opt/{n + 1}\n" for n in range(9)}
    grow(tmp_path, {**BASE, RCS: f"#!/bin/sh\n{line}\n", **chain})
    for spec in (TELNET, DEBUG, Autostart(), Listening()):
        assert ask(tmp_path, spec, a_plan(autostart=("rcS",))).outcome is Outcome.UNKNOWN


def test_units_that_ask_for_each_other_come_to_an_end(tmp_path: Path) -> None:
    files: Files = {f"{UNITS}/{n}.service": f"[Unit]\nWants={n + 1}.service\n{A}" for n in range(1100)}
    grow(tmp_path, {**files, f"{UNITS}/multi-user.target.wants/0.service": "-> ../0.service"})
    assert ask(tmp_path, TELNET).outcome is Outcome.UNKNOWN


ENDLESS: dict[str, Files] = {
    "cron": {"etc/crontabs/root": "* * * * * a b\n" * 2000},
    "rules of udev": {"etc/udev/rules.d/1.rules": 'RUN+="a b"\n' * 2000},
    "what xinetd reads in": {"etc/xinetd.conf": "includedir /etc\n" * 100},
    "patterns of a script": {RCS: "".join(f"/*/*/{number}*\n" for number in range(100))},
}


@pytest.mark.parametrize("files", ENDLESS.values(), ids=ENDLESS)
def test_more_than_anybody_has_is_unknown(tmp_path: Path, files: Files) -> None:
    assert ask(grow(tmp_path, {**BASE, **files}), TELNET).outcome is Outcome.UNKNOWN
