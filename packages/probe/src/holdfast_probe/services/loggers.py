"""What logs on a device: every logger that starts, where its lines go, what bounds them, how long they stay.

1. Only what starts counts; a configuration lying about logs nothing.
2. A place in memory (tmpfs, OpenWrt's /tmp, a ring) is gone after a power loss.

Sources: journald.conf(5), journal-upload.conf(5), rsyslog.conf(5), syslog-ng's guide, busybox's and OpenWrt's.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from holdfast_probe.roots import Root, Unreadable
from holdfast_probe.services.entries import Started
from holdfast_probe.services.ini import values
from holdfast_probe.services.listen_common import arguments, options, settings
from holdfast_probe.services.rotation import Rotation, rotation
from holdfast_probe.services.starts import built_in, started
from holdfast_probe.services.statements import statements
from holdfast_probe.services.texts import MOST_FILES, exists, lines
from holdfast_probe.services.uci import sections

JOURNALD = "/etc/systemd/journald.conf"
SHIPPERS = (
    "fluent-bit", "td-agent-bit", "fluentd", "vector", "promtail", "alloy", "filebeat", "elastic-agent", "wazuh-agent",
    "nxlog", "splunk*", "telegraf", "google-fluentd", "amazon-cloudwatch-agent", "otelcol*",
)  # fmt: skip
SYSLOGD = ("syslogd", "syslog", "busybox-syslogd", "logging", "sysklogd", "inetutils-syslogd")
_IN_MEMORY = ("/tmp", "/run", "/dev/shm", "/var/run", "/var/volatile")  # noqa: S108  (compared, not used)
_MOST_LOGGERS = 16
_RING_KIB = 200
"""What busybox's syslogd keeps in one file unless it is told otherwise."""


class Remote(msgspec.Struct, frozen=True):
    """Another host that gets the lines; `encrypted` is `None` where a shipper's own settings would tell."""

    encrypted: bool | None
    reliable: bool
    where: str


class Logger(msgspec.Struct, frozen=True, kw_only=True):
    """One program that logs."""

    program: str
    where: str
    shipper: bool = False
    """Whether it only passes on what others log."""
    remotes: tuple[Remote, ...] = ()
    files: tuple[str, ...] = ()
    """Where its lines lie on storage that outlives a power loss."""
    bound: str = ""
    """What keeps it within bounds; empty where nothing does."""
    security: bool = True
    """Whether what logins and rights say is among what it takes."""
    days: int | None = None
    """For how long lines stay, where time and not size decides."""


def loggers(root: Root) -> tuple[tuple[Logger, ...], int]:
    """Everything that logs, and how many ways of starting are known. Raises `Unreadable`."""
    items, sources = started(root)
    found: list[Logger] = []
    rotated = rotation(root, items)
    for item in (*items, *built_in(root)):
        found += _of(root, item, rotated)
        if len(found) > _MOST_LOGGERS:
            raise Unreadable(item.source, f"more than {_MOST_LOGGERS} programs log")
    return tuple(found), sources


def _of(root: Root, item: Started, rotated: Rotation) -> Iterator[Logger]:
    if item.answers_to(("systemd-journald",)):
        yield _journald(root, item)
    elif item.answers_to(("systemd-journal-upload",)):
        yield _upload(root, item)
    elif item.answers_to(("rsyslog", "rsyslogd")):
        yield _rsyslog(root, item, rotated)
    elif item.answers_to(("syslog-ng",)):
        yield _syslog_ng(root, item, rotated)
    elif item.answers_to(("log", "logd")) and exists(root, "/etc/config/system"):
        yield _logd(root, item)
    elif item.answers_to(SYSLOGD):
        yield _syslogd(root, item, rotated)
    elif item.answers_to(SHIPPERS):
        shipped = Remote(encrypted=None, reliable=True, where=item.source)
        yield Logger(program=item.name, where=item.source, shipper=True, remotes=(shipped,), bound="it only sends")


def in_memory(root: Root, path: str) -> bool:
    """Whether what lies at `path` is gone without power, as links and the table of mounts have it."""
    real = root.real(path)
    if f"{real}/".startswith(tuple(f"{place}/" for place in _IN_MEMORY)):
        return True
    table = "/proc/mounts" if root.live else "/etc/fstab"
    best, kind = "", ""
    for line in lines(root, table) or ():
        fields = line.split()
        if len(fields) > 2 and len(fields[1]) >= len(best) and f"{real}/".startswith(fields[1].rstrip("/") + "/"):  # noqa: PLR2004  (fstab(5))
            best, kind = fields[1], fields[2]
    return kind in ("tmpfs", "ramfs")


def _kept(root: Root, *paths: str) -> tuple[str, ...]:
    return tuple(path for path in paths if not in_memory(root, path.rpartition("/")[0] or "/"))


def _journald(root: Root, item: Started) -> Logger:
    found = values(root, JOURNALD)
    storage, where = found.get(("Journal", "Storage"), ("auto", item.source))
    folder = "/var/log/journal"
    stored = storage == "persistent" or (storage == "auto" and exists(root, folder))
    age = found.get(("Journal", "MaxRetentionSec"), ("", ""))[0]
    bound = found.get(("Journal", "SystemMaxUse"), ("a tenth of its file system", ""))[0]
    return Logger(
        program=item.name,
        where=where,
        files=_kept(root, f"{folder}/system.journal") if stored else (),
        bound=f"journald keeps {bound}",
        days=_days(age) if age and stored else None,
    )


_UNITS = {"year": 365, "month": 30, "week": 7, "day": 1, "y": 365, "w": 7, "d": 1}


def _days(written: str) -> int | None:
    """Days of a time span such as ``1month`` or ``90day``; shorter ones are none, 0 is no limit."""
    number = "".join(char for char in written if char.isdigit())[:6]
    unit = "".join(char for char in written if char.isalpha()).rstrip("s") or "s"
    if not number or int(number) == 0:
        return None
    if unit in _UNITS:
        return int(number) * _UNITS[unit]
    seconds = {"h": 3600, "hour": 3600, "hr": 3600, "m": 60, "min": 60, "minute": 60}.get(unit, 1)
    return int(number) * seconds // 86_400


def _upload(root: Root, item: Started) -> Logger:
    url, where = values(root, "/etc/systemd/journal-upload.conf").get(("Upload", "URL"), ("", item.source))
    remotes = (Remote(encrypted="http://" not in url, reliable=True, where=where),) if url else ()
    return Logger(program=item.name, where=where, shipper=True, remotes=remotes, bound="it only sends")


def _rsyslog(root: Root, item: Started, rotated: Rotation) -> Logger:
    remotes: list[Remote] = []
    files: list[str] = []
    secured = security = False
    for where, statement in statements(root, "/etc/rsyslog.conf", "/etc/rsyslog.d/*.conf"):
        secured |= statement.replace(" ", "").startswith("$ActionSendStreamDriverMode1")
        remote, file = _action(statement, where, secured=secured)
        remotes += [remote] if remote else []
        files += [file] if file else []
        security |= bool(remote or file) and _takes_security(statement)
    filed = _filed(root, item, remotes, files, rotated)
    return msgspec.structs.replace(filed, security=security)


def _action(statement: str, where: str, *, secured: bool) -> tuple[Remote | None, str]:
    """Where a statement of rsyslog sends lines: another host, or a file."""
    last = statement.rsplit(maxsplit=1)[-1]
    plain = "".join(statement.lower().split())
    if 'type="omfwd"' in plain or 'type="omrelp"' in plain:
        tls = 'streamdrivermode="1"' in plain or 'tls="on"' in plain or secured
        return Remote(encrypted=tls, reliable="omrelp" in plain or 'protocol="tcp"' in plain, where=where), ""
    if last.startswith("@"):
        return Remote(encrypted=secured, reliable=last.startswith("@@"), where=where), ""
    return None, last.lstrip("-") if last.lstrip("-").startswith("/") else ""


def _takes_security(statement: str) -> bool:
    """Whether a selector takes the facilities of logins; a statement without a selector takes everything."""
    takes = "." not in statement.split(maxsplit=1)[0] or statement.startswith("action(")
    for part in statement.split(maxsplit=1)[0].split(";"):
        facilities, _, level = part.partition(".")
        if {"*", "auth", "authpriv"} & set(facilities.split(",")):
            takes = level != "none"
    return takes


def _syslog_ng(root: Root, item: Started, rotated: Rotation) -> Logger:
    remotes: list[Remote] = []
    files: list[str] = []
    for where, statement in statements(root, "/etc/syslog-ng/syslog-ng.conf", "/etc/syslog-ng/conf.d/*.conf"):
        if not statement.startswith("destination"):
            continue
        plain = "".join(statement.split())
        if any(word in plain for word in ("network(", "tcp(", "udp(", "syslog(")):
            tls = "transport(tls)" in plain or 'transport("tls")' in plain or "tls(" in plain
            remotes.append(Remote(encrypted=tls, reliable="udp" not in plain, where=where))
        elif "file(" in plain:
            files.append(plain.partition("file(")[2].strip("\"'").partition('"')[0])
    return _filed(root, item, remotes, files, rotated)


def _filed(root: Root, item: Started, remotes: list[Remote], files: list[str], rotated: Rotation) -> Logger:
    """A logger that writes files, which something else must rotate."""
    kept = list(dict.fromkeys(path for path in files if path.startswith("/") and not path.startswith("/dev/")))
    if len(kept) > MOST_FILES:
        raise Unreadable(item.source, f"it writes to more than {MOST_FILES} files")
    loose = [path for path in kept if not rotated.covers(path)]
    bound = "it only sends" if not kept else f"logrotate rotates {kept[0]}" if not loose else ""
    stored = _kept(root, *kept)
    days = min((rotated.days(path) for path in stored), default=None) if not loose else None
    return Logger(program=item.name, where=item.source, remotes=tuple(remotes), files=stored, bound=bound, days=days)


def _logd(root: Root, item: Started) -> Logger:
    system = next((s for s in sections(root, "/etc/config/system") if s.kind == "system"), None)
    host, file = (system.last("log_ip"), system.last("log_file")) if system else ("", "")
    where = system.where if system else item.source
    stream = system is not None and system.last("log_proto", "udp") == "tcp"
    remotes = (Remote(encrypted=False, reliable=stream, where=where),) if host else ()
    size = system.last("log_size", "64") if system else "64"
    files = _kept(root, file) if file else ()
    return Logger(program=item.name, where=where, remotes=remotes, files=files, bound=f"logd keeps {size[:12]} KiB")


def _plain(where: str) -> Remote:
    """What syslog over UDP is."""
    return Remote(encrypted=False, reliable=False, where=where)


def _syslogd(root: Root, item: Started, rotated: Rotation) -> Logger:
    given = arguments(root, item, "syslogd")
    startup = {key: value for key, value, _ in settings(root, "/etc/syslog-startup.conf", sign="=")}
    remotes = [_plain(item.source) for _ in options(given, "-R")]
    if "remote" in startup.get("DESTINATION", "") and startup.get("REMOTE"):
        remotes.append(_plain("/etc/syslog-startup.conf"))
    for line in lines(root, "/etc/syslog.conf") or ():
        target = line.split()[-1]
        remotes += [_plain("/etc/syslog.conf")] if target.startswith("@") else []
    ring = any(word.startswith("-C") for word in given) or startup.get("DESTINATION") == "buffer"
    only_sends = bool(remotes) and "-L" not in given and not startup and not exists(root, "/etc/syslog.conf")
    file = (options(given, "-O") or [startup.get("LOGFILE", "/var/log/messages")])[0]
    size = (options(given, "-s") or [startup.get("ROTATESIZE", str(_RING_KIB))])[0]
    files = () if ring or only_sends else _kept(root, file)
    bound = "a ring in memory" if ring else f"{size[:12]} KiB a file" if size != "0" else ""
    if not bound and rotated.covers(file):
        bound = f"logrotate rotates {file}"
    days = rotated.days(file) if rotated.covers(file) and not ring else None
    return Logger(program=item.name, where=item.source, remotes=tuple(remotes), files=files, bound=bound, days=days)
