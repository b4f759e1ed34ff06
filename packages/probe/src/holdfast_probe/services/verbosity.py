"""Settings that make a program log so much that passwords, keys, or what people do get into its logs.

1. A table of what each program calls it; a line that is a comment does not count.
2. Proof names the place and the setting, never the line.
"""

from __future__ import annotations

import re

from holdfast_probe.case import Case
from holdfast_probe.roots import Root
from holdfast_probe.services.listen_common import arguments
from holdfast_probe.services.starts import started
from holdfast_probe.services.texts import fitting, numbered

_LONGEST = 1024
_NAMES = "logs every name that is asked for"
_DEBUG = "logs as if it were searched for faults"
_SSHD = ("/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/*.conf")
_MOSQUITTO = ("/etc/mosquitto/mosquitto.conf", "/etc/mosquitto/conf.d/*")
_TABLE: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    (("/etc/dnsmasq.conf", "/etc/dnsmasq.d/*"), re.compile(r"log-queries\b"), _NAMES),
    (
        ("/etc/config/dhcp",),
        re.compile(r"option\s+logqueries\s+['\"]?(?:1|on|yes|true)\b"),
        _NAMES,
    ),
    (
        ("/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/*.conf"),
        re.compile(r"LogLevel\s+DEBUG", re.IGNORECASE),
        _DEBUG,
    ),
    (
        ("/etc/mosquitto/mosquitto.conf", "/etc/mosquitto/conf.d/*"),
        re.compile(r"log_type\s+(?:all|debug)\b"),
        _DEBUG,
    ),
    (
        ("/etc/hostapd.conf", "/etc/hostapd/*.conf"),
        re.compile(r"logger_\w{1,16}_level=[01]\b"),
        _DEBUG,
    ),
    (("/etc/nginx/*.conf", "/etc/nginx/conf.d/*"), re.compile(r"error_log\s+\S+\s+debug\b"), _DEBUG),
    (
        ("/etc/pam.d/*",),
        re.compile(r"\w+\s.{0,200}pam_tty_audit\.so\b.{0,200}\blog_passwd\b"),
        "logs passwords that are typed",
    ),
    (("/etc/sudoers", "/etc/sudoers.d/*"), re.compile(r"Defaults\b.{0,200}\b(?<!!)log_input\b"), "logs what is typed"),
    (("/etc/ppp/options", "/etc/ppp/peers/*"), re.compile(r"show-password\b"), "logs passwords"),
    (("/etc/openvpn/*.conf", "/etc/openvpn/*/*.conf"), re.compile(r"verb\s+(?:[6-9]|1[01])\b"), "logs packets"),
)
"""Files, what to find at the start of a line, and what that does."""
_FLAGS = (
    (("wpa_supplicant*", "hostapd*"), ("wpa_supplicant", "hostapd"), ("-K", "-dd", "-ddd", "-ddK"), "logs its keys"),
    (("snmpd",), ("snmpd",), ("-D", "-DALL"), "logs every packet"),
    (("mosquitto",), ("mosquitto",), ("-v", "--verbose"), "logs everything"),
)


def too_much(case: Case) -> list[str]:
    """Every setting of the kind, with its place."""
    found = [f"{path}:{number} {what}" for path, number, what in chatty_lines(case.root)]
    for item in case.once(started)[0]:
        for names, programs, flags, what in _FLAGS:
            if item.answers_to(names):
                given = {word for program in programs for word in arguments(case.root, item, program)}
                said = f"and {what} ({item.source})"
                found += [f"{item.name} is started with {flag} {said}" for flag in flags if flag in given]
    return found


def chatty_lines(root: Root) -> list[tuple[str, int, str]]:
    """The lines of settings files that ask for too much: path, number, and what that does."""
    return [
        (path, number, what)
        for globs, pattern, what in _TABLE
        for path in fitting(root, *globs)
        for number, line in numbered(root, path, "#;") or ()
        if pattern.match(line[:_LONGEST])
    ]
