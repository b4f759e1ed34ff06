"""The probe of clients in the clear: what the device itself calls, in schedules, start-up scripts and settings.

1. Only places that are run or read at run time are searched: schedules, what starts, `_SETTINGS`. Bounded.
2. The device itself (loopback) is no other host; neither is a package feed, whose lists are signed: UPD judges feeds.
3. What is shown is the place and the kind, never the address with what may be a password in it.
"""

from __future__ import annotations

import re
import stat

from holdfast_core.baseline.probes.network import CleartextClients
from holdfast_probe.case import Case
from holdfast_probe.roots import Root
from holdfast_probe.services.starts import started
from holdfast_probe.services.texts import exists, fitting, numbered
from holdfast_probe.sight import Sight, judged, unknown

_SCHEDULES = (
    "/etc/crontab", "/etc/cron.d/*", "/etc/cron.*ly/*", "/etc/crontabs/*", "/var/spool/cron/*", "/etc/periodic/*/*",
    "/var/spool/cron/crontabs/*",
)  # fmt: skip
_SETTINGS = (
    "/etc/*.conf", "/etc/default/*", "/etc/conf.d/*", "/etc/rc.local", "/etc/init.d/rcS", "/etc/network/if-up.d/*",
    "/etc/udhcpc/*", "/etc/mosquitto/*.conf", "/etc/mosquitto/conf.d/*.conf", "/etc/collectd/*.conf",
    "/etc/hotplug.d/*/*", "/etc/telegraf/*.conf",
)  # fmt: skip
_FEEDS = ("/etc/opkg", "/etc/apt", "/etc/apk")
_BINARY = b"\0"
# Each word is looked for on its own; none is followed by a pattern that could look back.
_URL = re.compile(r"\b(http|ftp|mqtt|ws|ldap|telnet|tftp)://(?:[^/@\s\"']{0,256}@)?([^/\s\"':;]{1,255})")
_UNCHECKED = re.compile(r"--no-check-certificate|\bcurl\b[^|;&]{0,400}\s(?:-[a-zA-Z]*k\b|--insecure\b)")
_PLAIN = re.compile(r"(?:^|[\s;&|/(`])(telnet|tftp|ftpget|ftpput|rsh|rcp)\s+[^\s|&;>-]")
_PORT_1883 = re.compile(r"\bmosquitto_(?:pub|sub)\b")
_OWN = frozenset({"localhost", "127.0.0.1", "[", "0.0.0.0", "www.w3.org", "example.com", "schemas.xmlsoap.org"})  # noqa: S104  (compared, not bound)
_LONGEST = 4096


def see_cleartext_clients(case: Case, _spec: CleartextClients) -> Sight:
    """Judge one `CleartextClients` probe."""
    root = case.root
    if not exists(root, "/etc"):
        return unknown("There is no /etc whose schedules and settings could be read.")
    items, _ = case.once(started)
    scripts = [item.command for item in items if item.command.startswith("/")]
    paths = dict.fromkeys([*scripts, *fitting(root, *_SCHEDULES), *fitting(root, *_SETTINGS)])
    bad = [said for path in paths if not path.startswith(_FEEDS) for said in _clear(root, path)]
    return judged(bad, "nothing that is scheduled, started or set calls out in the clear")


def _clear(root: Root, path: str) -> list[str]:
    real = root.real(path)
    if not exists(root, real) or not _plain_file(root, real):
        return []
    found = []
    for number, line in numbered(root, real, "#;") or ():
        what = _fault(line[:_LONGEST])
        if what:
            found.append(f"{path}:{number} {what}")
    return found


def _plain_file(root: Root, path: str) -> bool:

    return stat.S_ISREG(root.status(path).st_mode) and _BINARY not in root.read(path)[:512]


def _fault(line: str) -> str:
    for scheme, host in _URL.findall(line):
        if host.lower() not in _OWN and not host.startswith("127."):
            return f"calls {scheme}:// in the clear"
    if _UNCHECKED.search(line):
        return "calls out without looking at the certificate"
    if match := _PLAIN.search(line):
        return f"calls {match.group(1)}"
    if _PORT_1883.search(line) and not re.search(
        r"--cafile|--capath|--tls|-p\s*8883|--psk|localhost|127\.0\.0\.1", line
    ):
        return "speaks MQTT in the clear"
    return ""
