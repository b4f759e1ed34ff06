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
from holdfast_probe.services.entries import Way
from holdfast_probe.services.starts import started
from holdfast_probe.services.texts import exists, fitting
from holdfast_probe.sight import Sight, judged, unknown

_SCHEDULES = (
    "/etc/crontab", "/etc/cron.d/*", "/etc/cron.*ly/*", "/etc/crontabs/*", "/var/spool/cron/*", "/etc/periodic/*/*",
    "/var/spool/cron/crontabs/*",
)  # fmt: skip
_SETTINGS = (
    "/etc/*.conf", "/etc/default/*", "/etc/conf.d/*", "/etc/rc.local", "/etc/init.d/rcS", "/etc/network/if-up.d/*",
    "/etc/udhcpc/*", "/etc/mosquitto/*.conf", "/etc/mosquitto/conf.d/*.conf", "/etc/collectd/*.conf",
    "/etc/systemd/system/*.service", "/etc/hotplug.d/*/*", "/etc/telegraf/*.conf",
)  # fmt: skip
_FEEDS = ("/etc/opkg", "/etc/apt", "/etc/apk")
_SERVED = frozenset({"/etc/inetd.conf", "/etc/xinetd.conf"})
"""What stands there is offered, not called; SVC judges it."""
_BINARY = b"\0"
_URL = re.compile(r"\b(http|ftp|mqtt|ws|ldap|telnet|tftp)://([^/\s\"';]{1,255})")
_PLAIN = re.compile(r"(?:^|[\s;&|/(`])(telnet|tftp|ftpget|ftpput|rsh|rcp)\s+[^\s|&;>]")
_MQTT = frozenset({"mosquitto_pub", "mosquitto_sub"})
_TLS = ("--cafile", "--capath", "--tls", "--psk", "8883", "localhost", "127.0.0.1")
_SAID = ("echo ", "printf ", "logger ")
"""What starts a line that only shows something."""
_OWN = ("localhost", "127.", "[::1]", "www.w3.org", "schemas.")
"""The device itself, and names that are only names."""
_LONGEST = 4096
_MOST_BYTES = 8 * 1024 * 1024
"""Read of all files together."""


def see_cleartext_clients(case: Case, _spec: CleartextClients) -> Sight:
    """Judge one `CleartextClients` probe."""
    root = case.root
    if not exists(root, "/etc"):
        return unknown("There is no /etc whose schedules and settings could be read.")
    items, _ = case.once(started)
    scripts = [item.command for item in items if item.way in (Way.LINK, Way.SCRIPT)]
    paths = dict.fromkeys([*scripts, *fitting(root, *_SCHEDULES), *fitting(root, *_SETTINGS)])
    bad: list[str] = []
    left = _MOST_BYTES
    for path in paths:
        if path not in _SERVED and not path.startswith(_FEEDS):
            found, size = _clear(root, path)
            bad += found
            left -= size
        if left < 0 and not bad:
            return unknown(f"Schedules and settings hold more than {_MOST_BYTES} bytes.")
    return judged(bad, "nothing that is scheduled, started or set calls out in the clear")


def _clear(root: Root, path: str) -> tuple[list[str], int]:
    """What calls out in the clear in one file, and how much was read."""
    if not exists(root, path) or stat.S_ISDIR(root.status(path).st_mode):
        return [], 0
    content = root.read(path)
    if _BINARY in content[:512]:
        return [], len(content)
    found = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        plain = line[:_LONGEST].strip()
        what = "" if plain.startswith(("#", ";", *_SAID)) else _fault(plain.partition(" #")[0])
        if what:
            found.append(f"{path}:{number} {what}")
    return found, len(content)


def _fault(line: str) -> str:
    for scheme, authority in _URL.findall(line):
        host = authority.rpartition("@")[2].lower()
        if not host.startswith(_OWN):
            return f"calls {scheme}:// in the clear"
    if match := _PLAIN.search(line):
        return f"calls {match.group(1)}"
    found = line.split()
    programs = [word.rsplit("/", 1)[-1] for word in found]
    if "--no-check-certificate" in found or ("curl" in programs and any(map(_insecure, found))):
        return "calls out without looking at the certificate"
    if _MQTT & set(programs) and not any(word in line for word in _TLS):
        return "speaks MQTT in the clear"
    return ""


def _insecure(word: str) -> bool:
    """Whether an option of curl is ``-k``, alone or among others."""
    return word == "--insecure" or (word[:1] == "-" and word[1:2] != "-" and word[1:].isalpha() and "k" in word)
