"""What logs, where it goes and how long it stays, on every kind of logger; and who sets the clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.logs import LogCheck, LogRetention, Logs, TimeSync
from holdfast_probe.roots import FolderRoot
from holdfast_probe.services.loggers import loggers
from probe_builders import ask, grow

PASS, FAIL, UNKNOWN = Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN
NOTHING = Outcome.NOT_APPLICABLE
Tree = dict[str, Any]
JOURNALD = {"lib/systemd/systemd-journald": "x", "lib/systemd/system/systemd-journald.service": "[Unit]\n"}
ROTATED = {"etc/cron.daily/logrotate": "x", "etc/logrotate.conf": "weekly\nrotate 4\n"}


def init(name: str, text: str = "x\n") -> Tree:
    return {f"etc/init.d/S01{name}": (text, 0o755)}


def rsyslog(text: str) -> Tree:
    return init("rsyslogd") | {"etc/rsyslog.conf": text}


C = LogCheck
CASES: dict[str, tuple[Tree, dict[LogCheck, Outcome]]] = {
    "nothing logs": (
        init("sshd"),
        {C.EVENTS: FAIL, C.BOOTS: FAIL} | dict.fromkeys((C.FORWARDED, C.BOUNDED, C.KEPT, C.SEALED, C.LOGINS), NOTHING),
    ),
    "an unknown layout": ({"etc/x": ""}, dict.fromkeys((C.EVENTS, C.FORWARDED, C.KEPT), UNKNOWN)),
    "journald in memory": (JOURNALD, {C.EVENTS: PASS, C.FORWARDED: FAIL, C.BOUNDED: PASS, C.KEPT: FAIL, C.BOOTS: FAIL}),
    "journald on storage": (JOURNALD | {"var/log/journal/": ""}, {C.KEPT: PASS, C.BOOTS: PASS, C.SEALED: FAIL}),
    "journald told to": (
        JOURNALD | {"etc/systemd/journald.conf.d/a.conf": "[Journal]\nStorage=persistent\n"},
        {C.KEPT: PASS},
    ),
    "journald told not to": (
        JOURNALD | {"var/log/journal/": "", "usr/lib/systemd/journald.conf.d/a.conf": "[Journal]\nStorage=volatile\n"},
        {C.KEPT: FAIL},
    ),
    "journald on a disk of memory": (
        JOURNALD | {"var/log/journal/": "", "etc/fstab": "tmpfs /var/log tmpfs defaults 0 0\n"},
        {C.KEPT: FAIL},
    ),
    "a sealed journal": (JOURNALD | {"var/log/journal/a/fss": "x"}, {C.SEALED: PASS}),
    "a journal that is uploaded": (
        JOURNALD
        | {
            "lib/systemd/system/systemd-journal-upload.service": "[Service]\nExecStart=/x\n",
            "etc/systemd/system/multi-user.target.wants/systemd-journal-upload.service": (
                "-> /lib/systemd/system/systemd-journal-upload.service"
            ),
            "etc/systemd/journal-upload.conf": "[Upload]\nURL=https://logs.example.net\n",
        },
        {C.FORWARDED: PASS, C.SEALED: PASS, C.KEPT: PASS},
    ),
    "rsyslog to a file": (rsyslog("*.* /var/log/all\n"), {C.FORWARDED: FAIL, C.BOUNDED: FAIL, C.KEPT: PASS}),
    "rsyslog, rotated": (
        rsyslog("*.* /var/log/all\n") | ROTATED | {"etc/logrotate.d/a": "/var/log/a*\n{\n}\n"},
        {C.BOUNDED: PASS},
    ),
    "rotation that nothing runs": (
        rsyslog("*.* /var/log/all\n") | {"etc/logrotate.conf": "/var/log/all {\n weekly\n}\n"},
        {C.BOUNDED: FAIL},
    ),
    "rsyslog by UDP": (rsyslog("*.* @192.0.2.1\n"), {C.FORWARDED: PASS, C.KEPT: FAIL, C.SEALED: FAIL, C.BOUNDED: PASS}),
    "rsyslog by TCP": (rsyslog("*.* @@192.0.2.1\n"), {C.FORWARDED: PASS, C.KEPT: PASS, C.SEALED: FAIL}),
    "rsyslog by TLS, as of old": (
        rsyslog("$ActionSendStreamDriverMode 1\n*.* @@192.0.2.1\n"),
        {C.FORWARDED: PASS, C.SEALED: PASS},
    ),
    "rsyslog by relp": (rsyslog('action(type="omrelp"\n target="x" tls="on")\n'), {C.SEALED: PASS, C.EVENTS: PASS}),
    "rsyslog that leaves logins out": (rsyslog("*.*;auth,authpriv.none /var/log/all\n"), {C.EVENTS: FAIL}),
    "rsyslog with a file for logins": (
        rsyslog("*.*;auth,authpriv.none /var/log/all\nauth,authpriv.* /var/log/auth.log\n"),
        {C.EVENTS: PASS},
    ),
    "syslog-ng by TLS": (
        init("syslog-ng")
        | {"etc/syslog-ng/syslog-ng.conf": 'destination d { network("x" port(6514)\n transport("tls")); };\n'},
        {C.FORWARDED: PASS, C.SEALED: PASS},
    ),
    "busybox's ring": (init("syslogd", "syslogd -C64\n"), {C.BOUNDED: PASS, C.KEPT: FAIL, C.FORWARDED: FAIL}),
    "busybox to another host": (init("syslogd", "syslogd -R 192.0.2.1:514 -L\n"), {C.FORWARDED: PASS, C.KEPT: PASS}),
    "busybox without a bound": (init("syslogd", "syslogd -s 0\n"), {C.BOUNDED: FAIL}),
    "busybox that drops warnings": (init("syslogd", "syslogd -l 3\n"), {C.LOGINS: FAIL}),
    "busybox by its defaults": (
        init("syslogd", 'SYSLOGD_ARGS=""\n') | {"etc/default/syslogd": 'SYSLOGD_ARGS="-R 192.0.2.1"\n'},
        {C.FORWARDED: PASS},
    ),
    "logd": (
        init("log") | {"etc/config/system": "config system\n option log_size 64\n"},
        {C.EVENTS: PASS, C.BOUNDED: PASS, C.KEPT: FAIL, C.FORWARDED: FAIL},
    ),
    "logd to another host": (
        init("log") | {"etc/config/system": "config system\n option log_ip 192.0.2.1\n option log_proto tcp\n"},
        {C.FORWARDED: PASS, C.KEPT: PASS, C.SEALED: FAIL},
    ),
    "a shipper alone": (init("fluent-bit"), {C.EVENTS: FAIL, C.FORWARDED: PASS, C.SEALED: UNKNOWN}),
    "a locked audit": (
        init("syslogd", "syslogd\n") | init("auditd") | {"etc/audit/rules.d/z.rules": "-e 2\n"},
        {C.SEALED: PASS},
    ),
    "a quiet sshd": (init("syslogd", "syslogd\n") | {"etc/ssh/sshd_config": "loglevel quiet\n"}, {C.LOGINS: FAIL}),
    "pstore": (init("syslogd", "syslogd\n") | {"etc/fstab": "pstore /sys/fs/pstore pstore ro 0 0\n"}, {C.BOOTS: PASS}),
    "wtmp": (init("syslogd", "syslogd\n") | {"var/log/wtmp": "x"}, {C.BOOTS: PASS}),
}


@pytest.mark.parametrize("name", CASES)
def test_what_logs_is_judged(tmp_path: Path, name: str) -> None:
    files, outcomes = CASES[name]
    grow(tmp_path, files)
    assert {check: ask(tmp_path, Logs(check=check)).outcome for check in outcomes} == outcomes


def test_where_nothing_logs_one_control_tells(tmp_path: Path) -> None:
    grow(tmp_path, init("sshd"))
    assert ask(tmp_path, Logs(check=LogCheck.FORWARDED)).reason == "Nothing logs here; LOG-01 tells."
    assert ask(tmp_path, LogRetention(days=28)).reason == "Nothing logs here; LOG-01 tells."


LOUD = {
    "etc/dnsmasq.conf": "log-queries=extra\n",
    "etc/config/dhcp": "config dnsmasq\n\toption logqueries '1'\n",
    "etc/ssh/sshd_config": "LogLevel DEBUG3\n",
    "etc/mosquitto/mosquitto.conf": "log_type all\n",
    "etc/hostapd/hostapd.conf": "logger_syslog_level=0\n",
    "etc/pam.d/login": "session [default=ok] pam_tty_audit.so enable=* log_passwd\n",
    "etc/sudoers": "Defaults log_input\n",
    "etc/ppp/options": "show-password\n",
    "etc/init.d/S50wpa_supplicant": "wpa_supplicant -B -K -i wlan0\n",
}


@pytest.mark.parametrize("path", LOUD)
def test_a_program_that_is_too_loud_is_named(tmp_path: Path, path: str) -> None:
    spec = Logs(check=LogCheck.QUIET)
    grow(tmp_path, {path: "".join(f"# {line}\n" for line in LOUD[path].splitlines())})
    assert ask(tmp_path, spec).outcome is PASS
    (tmp_path / path).write_text(LOUD[path])
    finding = ask(tmp_path, spec)
    assert finding.outcome is FAIL
    assert path.rpartition("/")[2].removeprefix("S50") in finding.proof[0]


def test_log_files_are_private_but_for_those_that_everybody_may_read(tmp_path: Path) -> None:
    spec = Logs(check=LogCheck.PRIVATE)
    assert ask(tmp_path, spec).outcome is UNKNOWN
    ring = grow(tmp_path / "ring", init("syslogd", "syslogd -C\n"))
    assert ask(ring, spec).outcome is Outcome.NOT_APPLICABLE
    grow(tmp_path, {"var/log/a/b.log": ("x", 0o640), "var/log/wtmp": ("x", 0o664), "var/log/x": "-> /etc/passwd"})
    assert ask(tmp_path, spec).outcome is PASS
    (tmp_path / "var/log/a/b.log").chmod(0o644)
    assert ask(tmp_path, spec).proof == ("/var/log/a/b.log has mode 0644, wanted nothing for everyone",)


KEPT: dict[str, tuple[Tree, Outcome]] = {
    "four weeks": (rsyslog("*.* /var/log/a\n") | ROTATED | {"etc/logrotate.d/a": "/var/log/a {\n}\n"}, PASS),
    "three days": (
        rsyslog("*.* /var/log/a\n") | ROTATED | {"etc/logrotate.d/a": "/var/log/a {\n daily\n rotate 3\n}\n"},
        FAIL,
    ),
    "a ring that leaves": (init("syslogd", "syslogd -C -R 192.0.2.1 -L\n"), PASS),
    "a ring that stays": (init("syslogd", "syslogd -C\n"), FAIL),
    "a journal for a month": (
        JOURNALD | {"var/log/journal/": "", "etc/systemd/journald.conf": "[Journal]\nMaxRetentionSec=1month\n"},
        PASS,
    ),
    "a journal for a day": (
        JOURNALD | {"var/log/journal/": "", "etc/systemd/journald.conf": "[Journal]\nMaxRetentionSec=24h\n"},
        FAIL,
    ),
    "a journal in memory": (JOURNALD, FAIL),
    "nothing": (init("sshd"), NOTHING),
    "nobody knows": ({"etc/x": ""}, UNKNOWN),
}


@pytest.mark.parametrize("name", KEPT)
def test_how_long_logs_stay(tmp_path: Path, name: str) -> None:
    files, outcome = KEPT[name]
    assert ask(grow(tmp_path, files), LogRetention(days=28)).outcome is outcome


CLOCKS: dict[str, tuple[Tree, Outcome]] = {
    "none": (init("sshd"), FAIL),
    "nobody knows": ({"etc/x": ""}, UNKNOWN),
    "chrony with nts": (init("chronyd") | {"etc/chrony.conf": "server a iburst nts\npool b nts\n"}, PASS),
    "chrony, one without": (init("chronyd") | {"etc/chrony.conf": "server a nts\npool b iburst\n"}, FAIL),
    "chrony by sources": (
        init("chronyd")
        | {"etc/chrony/chrony.conf": "makestep 1 3\n", "etc/chrony/sources.d/a.sources": "server a key 1\n"},
        PASS,
    ),
    "chrony without servers": (init("chronyd") | {"etc/chrony.conf": "makestep 1 3\n"}, FAIL),
    "ntp with keys": (init("ntpd") | {"etc/ntp.conf": "server a key 1\nserver 127.127.1.0\n"}, PASS),
    "busybox": (init("ntpd", "ntpd -p pool.example\n"), FAIL),
    "busybox with keys": (init("ntpd", "ntpd -k /etc/ntp.keys -p keyno:1:a.example\n"), PASS),
    "OpenWrt": (init("sysntpd"), FAIL),
    "openntpd": (init("openntpd") | {"etc/openntpd/ntpd.conf": 'servers a\nconstraints from "https://b"\n'}, PASS),
}


@pytest.mark.parametrize("name", CLOCKS)
def test_who_sets_the_clock_proves_it(tmp_path: Path, name: str) -> None:
    files, outcome = CLOCKS[name]
    finding = ask(grow(tmp_path, files), TimeSync())
    assert finding.outcome is outcome, finding


PATHS = ("etc/rsyslog.conf", "etc/logrotate.conf", "etc/chrony.conf", "etc/systemd/journald.conf", "etc/syslog.conf")


@given(st.dictionaries(st.sampled_from(PATHS), st.text("/var{}()@*.;auth=[]\n rotate\"'", max_size=200), min_size=1))
@settings(max_examples=50, deadline=None)
def test_hostile_settings_never_crash_a_reader(tmp_path_factory: pytest.TempPathFactory, files: dict[str, str]) -> None:
    tree = grow(tmp_path_factory.mktemp("hostile"), JOURNALD | init("rsyslogd") | init("syslogd") | init("chronyd"))
    grow(tree, {path: f"#\n{text}" for path, text in files.items()} | {"etc/cron.daily/logrotate": "x"})
    found, sources = loggers(FolderRoot(tree))
    assert found
    assert sources
    assert "Reading it failed" not in ask(tree, TimeSync()).reason
