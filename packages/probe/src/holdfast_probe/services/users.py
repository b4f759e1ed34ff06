"""Under which user what starts keeps running.

1. Whoever starts it says so: a unit, an init script, a table. Where they do not, a daemon's own settings may.
2. What starts and ends again (a oneshot unit, a script that starts nothing that stays) is no daemon.
3. Root is what stands when nobody says anything else.

Sources: systemd.exec(5), OpenWrt's procd, openrc-run(8), start-stop-daemon(8), inetd(8), xinetd.conf(5).
"""

from __future__ import annotations

import fnmatch
import re

from holdfast_core.baseline.probes.services import DaemonUsers
from holdfast_probe.case import Case
from holdfast_probe.roots import Root
from holdfast_probe.services.entries import Started, Way
from holdfast_probe.services.listen_common import settings
from holdfast_probe.services.starts import NOTHING_STARTS, STOCK, started
from holdfast_probe.services.texts import lines, truthy, unquoted, words
from holdfast_probe.services.units import Units, unit_folders, unit_settings
from holdfast_probe.sight import Sight, judged, unknown

_ROOT = frozenset({"", "root", "0"})
_INIT = (
    "*getty*", "login*", "sh", "ash", "bash", "init", "rc*", "sysctl", "swapoff", "modprobe", "openrc", "umount",
    "reboot",
)  # fmt: skip
"""What init runs that is no daemon, or is there to become another user."""
_DROPPING = ("dnsmasq", "mosquitto", "nginx", "avahi-daemon", "dbus*", "rpcbind")
"""What gives up root by itself, unless its settings say otherwise."""
_STARTING = re.compile(r"\b(?:start-stop-daemon|procd_open_instance|start_daemon|daemonize|daemon|supervise-daemon)\b")
_GIVEN = re.compile(r"(?:--chuid|--user|--setuid|-c|-u)[= ]+[\"']?([A-Za-z_][\w-]{0,31})")
_PROCD = re.compile(r"procd_set_param\s+user\s+[\"']?([A-Za-z_][\w-]{0,31})")
_OPENRC = re.compile(r"command_user=[\"']?([A-Za-z_][\w-]{0,31})")
_WRAPPED = re.compile(r"\b(?:su-exec|gosu|setuidgid|chpst\s+-u|runuser\s+-u|su\s+-s\s+\S+)\s+([A-Za-z_][\w-]{0,31})")
_OWN: tuple[tuple[tuple[str, ...], tuple[str, ...], str, str], ...] = (
    (("nginx",), ("/etc/nginx/nginx.conf",), "user", " "),
    (("lighttpd",), ("/etc/lighttpd/lighttpd.conf", "/etc/lighttpd/conf.d/*.conf"), "server.username", "="),
    (("chrony", "chronyd"), ("/etc/chrony/chrony.conf", "/etc/chrony.conf"), "user", " "),
    (("mosquitto",), ("/etc/mosquitto/mosquitto.conf",), "user", " "),
    (("rsyslog", "rsyslogd"), ("/etc/rsyslog.conf",), "$PrivDropToUser", " "),
    (("dnsmasq",), ("/etc/dnsmasq.conf",), "user", "="),
    (("boa",), ("/etc/boa/boa.conf", "/etc/boa.conf"), "User", " "),
    (("mini_httpd", "thttpd"), ("/etc/mini_httpd.conf", "/etc/thttpd.conf"), "user", "="),
    (("openntpd", "unbound"), ("/etc/unbound/unbound.conf",), "username:", " "),
    (("redis*",), ("/etc/redis/redis.conf",), "user", " "),
)
"""Daemons that give up root by a setting of their own: names, files, key, sign."""


def see_daemon_users(case: Case, _spec: DaemonUsers) -> Sight:
    """Judge one `DaemonUsers` probe."""
    items, sources = case.once(started)
    if not sources:
        return unknown(NOTHING_STARTS)
    units = case.once(unit_folders)
    allowed = case.plan.root_daemons
    bad = [
        f"{item.name} runs as root ({item.source})"
        for item in items
        if item.name not in STOCK and not item.named(allowed) and _as_root(case.root, item, units)
    ]
    return judged(bad, "every daemon gives up root, but for those that are declared")


def _as_root(root: Root, item: Started, units: Units) -> bool:
    if any(fnmatch.fnmatchcase(item.name, pattern) for pattern in _INIT):
        return False
    user = _user(root, item, units)
    return user is not None and user in _ROOT and _own_user(root, item) in _ROOT


def _user(root: Root, item: Started, units: Units) -> str | None:
    """The user that whoever starts it gives it; `None` where it is no daemon."""
    if item.way is Way.UNIT:
        return _unit_user(root, item.command, units)
    if item.way is Way.BLOCK:
        return dict(pair.split("=", 1) for pair in item.command.split() if "=" in pair).get("user", "")
    if item.places == ("/etc/inetd.conf",):
        return re.split(r"[.:]", item.command.split()[4])[0]
    if item.way is Way.LINE:
        return _line_user(item)
    return _script_user(root, item)


def _unit_user(root: Root, unit: str, units: Units) -> str | None:
    if unit.endswith((".timer", ".path")):
        return None
    name = unit
    if unit.endswith(".socket"):
        accepts = any(key == "Accept" and truthy(value) for key, value in unit_settings(root, unit, units))
        name = unit.removesuffix(".socket") + ("@.service" if accepts else ".service")
    found = dict(unit_settings(root, name, units))
    if found.get("Type") == "oneshot" or "ExecStart" not in found:
        return None
    return "dynamic" if truthy(found.get("DynamicUser", "no")) else found.get("User", "")


def _line_user(item: Started) -> str | None:
    match = _GIVEN.search(item.command) if "start-stop-daemon" in item.command else _WRAPPED.search(item.command)
    return match.group(1) if match else ""


def _script_user(root: Root, item: Started) -> str | None:
    """What an init script, with its defaults, says; a script that starts nothing that stays is no daemon."""
    script = lines(root, item.command) or []
    starting = [line for line in script if _STARTING.search(line) or line.startswith(("command=", "USE_PROCD"))]
    if not starting:
        return None
    given = [
        *script,
        *(lines(root, f"/etc/conf.d/{item.name}") or ()),
        *(lines(root, f"/etc/default/{item.name}") or ()),
    ]
    for pattern, searched in ((_PROCD, given), (_OPENRC, given), (_WRAPPED, starting), (_GIVEN, _options(starting))):
        for line in searched:
            if match := pattern.search(line):
                return match.group(1)
    return ""


def _options(starting: list[str]) -> list[str]:
    """The part of a line before ``--``: what follows is the daemon's own."""
    return [line.partition(" -- ")[0] for line in starting if "start-stop-daemon" in line or "daemon" in line]


def _own_user(root: Root, item: Started) -> str:
    """The user that a daemon changes to by itself."""
    own = "its own" if item.answers_to(_DROPPING) else ""
    for names, paths, key, sign in _OWN:
        if item.answers_to(names):
            found = [unquoted(value.rstrip(";")) for mine, value, _ in settings(root, *paths, sign=sign) if mine == key]
            return (words(found[-1]) or [""])[0] if found else own
    return own
