"""Group LOG: rsyslog forwards over TLS what it keeps in memory, auditd is locked, chrony asks servers that prove it."""

from __future__ import annotations

from typing import Any

from hardened.net import SSHD
from hardened.shape import Break
from hardened.svc import MOSQUITTO, script
from probe_builders import Files

FORWARD = (
    '*.* action(type="omfwd" target="logs.example.net" port="6514" protocol="tcp"\n'
    '           StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="x509/name")\n'
)
RSYSLOG = f'module(load="imuxsock")\n$PrivDropToUser syslog\n*.info;auth,authpriv.* -/var/log/messages\n{FORWARD}'
ROTATE = "/var/log/messages {\n    rotate 4\n    weekly\n    create 0640 syslog adm\n}\n"
CHRONY = "server time1.example.net iburst nts\nserver time2.example.net iburst nts\nuser chrony\nmakestep 1 3\n"
AUDIT = "-w /etc/passwd -p wa\n-e 2\n"


def rsyslog(old: str, new: str) -> Files:
    """rsyslog's settings with something changed."""
    return {"etc/rsyslog.conf": RSYSLOG.replace(old, new)}


GOOD: Files = {
    "etc/init.d/S01rsyslogd": script("rsyslogd"),
    "etc/init.d/S02auditd": script("auditd"),
    "etc/init.d/S49chronyd": script("chronyd"),
    "etc/rsyslog.conf": RSYSLOG,
    "etc/logrotate.d/rsyslog": ROTATE,
    "etc/cron.daily/logrotate": ("#!/bin/sh\nlogrotate /etc/logrotate.conf\n", 0o755),
    "etc/logrotate.conf": "include /etc/logrotate.d\n",
    "etc/chrony.conf": CHRONY,
    "etc/audit/audit.rules": (AUDIT, 0o640),
    "var/log/messages": ("Nov 21 10:00:00 device sshd[1]: Server listening\n", 0o640),
}
PLAN: dict[str, tuple[Any, ...]] = {
    "autostart": ("rsyslogd", "auditd", "chronyd"),
    "root_daemons": ("auditd",),
}
FACTS: dict[str, Any] = {
    "security_events_logged": True,
    "events_survive_power_loss": True,
    "boots_recorded": True,
}
LIVE_ONLY: frozenset[str] = frozenset()
FOLDER_ONLY: frozenset[str] = frozenset()
BREAKS: dict[str, Break] = {
    "LOG-01": Break(
        files={
            "etc/rsyslog.conf": RSYSLOG.replace("auth,authpriv.*", "auth,authpriv.none").replace("*.* a", "kern.* a")
        }
    ),
    "LOG-02": Break(
        files=rsyslog(FORWARD, "*.emerg /var/lib/alarms/messages\n")
        | {"etc/logrotate.d/rsyslog": ROTATE.replace("messages {", "messages /var/lib/alarms/messages {")}
    ),
    "LOG-03": Break(files=rsyslog("$PrivDrop", "mail.* /var/log/mail\n$PrivDrop")),
    "LOG-04": Break(files=rsyslog(FORWARD, "*.* @logs.example.net\n")),
    "LOG-05": Break(
        files={"etc/chrony.conf": CHRONY.replace("time2.example.net iburst nts", "time2.example.net iburst")}
    ),
    "LOG-06": Break(files={"etc/mosquitto/mosquitto.conf": f"{MOSQUITTO}log_type all\n"}),
    "LOG-07": Break(facts={"boots_recorded": False}),
    "LOG-08": Break(
        files=rsyslog('\n           StreamDriver="gtls" StreamDriverMode="1"', "")
        | {"etc/audit/audit.rules": (AUDIT.replace("-e 2", "-e 1"), 0o640)}
    ),
    "LOG-09": Break(files={"etc/ssh/sshd_config": f"{SSHD}LogLevel QUIET\n"}),
    "LOG-10": Break(
        files=rsyslog("$PrivDrop", "auth.* /var/lib/security/messages\n$PrivDrop")
        | {"etc/logrotate.d/security": "/var/lib/security/messages {\n rotate 3\n daily\n}\n"}
    ),
    "LOG-11": Break(gone=("/etc/init.d/S02auditd",)),
    "LOG-12": Break(modes={"/var/log/messages": 0o644}),
}
