"""What runs now and then: by cron, when an interface comes up, when a device is plugged in.

1. It is no daemon of its own and nothing that is expected to stay, but what it runs may let somebody in all the same.
2. What cron starts with the machine (``@reboot``) is a start and told there.

Sources: crontab(5), anacrontab(5), run-parts(8), interfaces(5), udev(7).
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from itertools import chain, islice

from holdfast_probe.roots import Root, Unreadable
from holdfast_probe.services.entries import Started, Way
from holdfast_probe.services.texts import exists, fitting, gathered, programs

SCHEDULES = ("/etc/crontab", "/etc/cron.d/*", "/etc/crontabs/*", "/var/spool/cron/*", "/var/spool/cron/crontabs/*")
_ANACRON = "/etc/anacrontab"
_FOLDERS = (
    "/etc/cron.hourly/*", "/etc/cron.daily/*", "/etc/cron.weekly/*", "/etc/cron.monthly/*", "/etc/periodic/*/*",
    "/etc/network/if-up.d/*", "/etc/network/if-pre-up.d/*",
)  # fmt: skip
_INTERFACES = ("/etc/network/interfaces", "/etc/network/interfaces.d/*")
_UP = frozenset({"up", "post-up", "pre-up"})
_RULES = ("/etc/udev/rules.d/*.rules", "/usr/lib/udev/rules.d/*.rules")
_OLD_RULES = "/lib/udev/rules.d/*.rules"
_RUN = re.compile(r"\bRUN(?:\{program\})?[+:]?=\"([^\"]*)\"")
_TIMES = 5
_MOST = 1024


def occasional(root: Root) -> list[Started]:
    """Everything of the kind. Raises `Unreadable`."""
    found = list(islice(chain(_of_lines(root), _of_folders(root)), _MOST + 1))
    if len(found) > _MOST:
        raise Unreadable("/etc", f"more than {_MOST} things run now and then")
    return sorted(found)


def scheduled(where: str, line: str) -> tuple[str, str]:
    """When a line of a schedule runs, and its command without the user that the system's own tables name first."""
    path = where.rpartition(":")[0]
    if path == _ANACRON:
        fields = line.split(None, 3)
        return ("anacron", fields[3]) if len(fields) > 3 and fields[0][:1] in "@0123456789" else ("", "")  # noqa: PLR2004  (period, delay, name, command)
    times = 1 if line.startswith("@") else _TIMES
    fields = line.split(None, times)
    if len(fields) <= times or "=" in fields[0]:
        return "", ""
    of_system = path == "/etc/crontab" or path.startswith("/etc/cron.d/")
    command = " ".join(fields[times].split(None, 1)[1:]) if of_system else fields[times]
    return " ".join(fields[:times]), command


def _of_lines(root: Root) -> Iterator[Started]:
    for where, line in gathered(root, *SCHEDULES, _ANACRON):
        when, command = scheduled(where, line)
        if when != "@reboot":
            yield from _line(where, command)
    for where, line in gathered(root, *_INTERFACES):
        fields = line.split(None, 1)
        if len(fields) > 1 and fields[0] in _UP:
            yield from _line(where, fields[1])
    # ``/lib`` is often a link to ``/usr/lib``.
    rules = _RULES if root.real("/lib") == "/usr/lib" else (*_RULES, _OLD_RULES)
    for where, line in gathered(root, *rules):
        for command in _RUN.findall(line):
            yield from _line(where, command)


def _line(where: str, command: str) -> Iterator[Started]:
    path, _, number = where.rpartition(":")
    if named := programs(command):
        yield Started(named[0], (), path, Way.LINE, (path,), int(number), command)


def _of_folders(root: Root) -> Iterator[Started]:
    for path in fitting(root, *_FOLDERS):
        if exists(root, path) and stat.S_ISREG(root.status(path).st_mode):
            folder, _, name = path.rpartition("/")
            yield Started(name, (), folder, Way.LINK, (path,), command=path)
