"""Whether something that starts loads the files that set kernel parameters; a file that nothing loads sets nothing.

1. systemd's own service, or an init script of that name, loads them all.
2. ``sysctl --system`` loads them all; ``sysctl -p`` those that it names, or ``/etc/sysctl.conf``.
3. ``sysctl name=value`` sets a parameter by itself.

Sources: systemd-sysctl.service(8), sysctl(8), busybox's sysctl, OpenWrt's and buildroot's init scripts.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator

import msgspec

from holdfast_probe.roots import Root
from holdfast_probe.services.running import Command
from holdfast_probe.services.starts import ran, started
from holdfast_probe.services.texts import exists
from holdfast_probe.services.units import unit_folders, unit_text

_SYSTEMD = ("/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl")
_UNIT = "systemd-sysctl.service"
_SCRIPTS = ("procps", "sysctl", "systemd-sysctl")
_WHOLE = frozenset({"--system", "-s"})
_FILES = frozenset({"-p", "--load", "-f"})
_DEFAULT = "/etc/sysctl.conf"


class Loads(msgspec.Struct, frozen=True):
    """What sets kernel parameters at a start."""

    patterns: tuple[str, ...] = ()
    """The files that are loaded, as paths or patterns."""
    given: tuple[tuple[str, str, str], ...] = ()
    """Parameter, value, and the place of a command that sets it by itself."""

    def covers(self, path: str) -> bool:
        """Whether something loads the file at `path`."""
        return any(fnmatch.fnmatchcase(path, pattern) for pattern in self.patterns)


def loads(root: Root) -> Loads:
    """Who loads what. Raises `Unreadable`."""
    calls = [command for command in ran(root)[0] if command.name == "sysctl"]
    given = tuple(_given(calls))
    if _systemd(root) or any(item.named(_SCRIPTS) for item in started(root)[0]):
        return Loads(("*",), given)
    patterns = [each for command in calls for each in _loaded(command.words[1:])]
    return Loads(tuple(dict.fromkeys(patterns)), given)


def _systemd(root: Root) -> bool:
    units = unit_folders(root)
    listed = any(_UNIT in names for names in units.values())
    masked = listed and unit_text(root, _UNIT, units) is None
    return any(exists(root, path) for path in _SYSTEMD) and not masked


def _loaded(words: tuple[str, ...]) -> list[str]:
    """The files that one call of sysctl loads; a variable that nothing here fills in may be any of them."""
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    letters = {f"-{letter}" for word in options if not word.startswith("--") for letter in word[1:]}
    if options & _WHOLE:
        return ["*"]
    if not (options | letters) & _FILES:
        return []
    named = [word.partition("=")[2] or word for word in words if "/" in word]
    unclear = any("$" in word for word in words)
    return ["*"] if unclear else named or [_DEFAULT]


def _given(calls: list[Command]) -> Iterator[tuple[str, str, str]]:
    """What calls set by themselves."""
    for command in calls:
        for word in command.words[1:]:
            key, sign, value = word.partition("=")
            if sign and not key.startswith("-"):
                where = f"{command.path}:{command.number}" if command.number else command.path
                yield key.replace("/", "."), value, where
