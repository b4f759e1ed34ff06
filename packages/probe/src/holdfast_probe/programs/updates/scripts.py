"""Scripts that run by themselves and tell an updater to do without its check."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast_probe.programs.updates.words import Word
from holdfast_probe.roots import Root, Unreadable
from holdfast_probe.services.texts import fitting, numbered, words

_SCRIPTS = (
    "/etc/crontab", "/etc/crontabs/*", "/etc/cron.d/*", "/etc/cron.hourly/*", "/etc/cron.daily/*", "/etc/cron.weekly/*",
    "/etc/cron.monthly/*", "/etc/periodic/*/*", "/var/spool/cron/crontabs/*", "/etc/rc.local", "/etc/init.d/*",
    "/etc/systemd/system/*.service",
)  # fmt: skip
_LONG = 4096
"""Beyond it a line is split at blanks only: splitting as a shell does takes its time with each sign."""
_BLIND: dict[str, frozenset[str]] = {
    "apt-get": frozenset({"--allow-unauthenticated", "--force-yes", "--allow-insecure-repositories"}),
    "apt": frozenset({"--allow-unauthenticated", "--allow-insecure-repositories"}),
    "opkg": frozenset({"--force-checksum", "--force-signature", "--no-check-certificate"}),
    "apk": frozenset({"--allow-untrusted"}),
    "dpkg": frozenset({"--force-bad-verify", "--force-all"}),
    "sysupgrade": frozenset({"-F", "--force"}),
    "rauc": frozenset({"--no-verify", "--handler-args=--no-verify"}),
}


def scripts_verified(root: Root) -> Iterator[Word]:
    """Each line that does; a file that is no text, or too large for a script, is none."""
    for path in fitting(root, *_SCRIPTS):
        try:
            found = numbered(root, path) or ()
        except Unreadable:
            continue
        for number, line in found:
            if any(tool in line for tool in _BLIND):
                yield from _judged(line, f"{path}:{number}")


def _judged(line: str, where: str) -> Iterator[Word]:
    given = words(line) if len(line) <= _LONG else line.split()
    tools = {word.rsplit("/", 1)[-1] for word in given} & _BLIND.keys()
    for tool in sorted(tools):
        for flag in sorted(_BLIND[tool].intersection(given)):
            yield Word(good=False, said=f"{where} calls {tool} with {flag}")
