"""apt: its sources, its settings, and what they say about signatures, older versions and the hour of updates.

Sources: sources.list(5), apt.conf(5), unattended-upgrades' own settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from holdfast_probe.programs.updates.words import Word
from holdfast_probe.roots import Root, Unreadable
from holdfast_probe.services.texts import fitting, numbered, text, truthy

SOURCE_LISTS = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list")
SOURCE_STANZAS = ("/etc/apt/sources.list.d/*.sources",)
_SETTINGS = ("/etc/apt/apt.conf", "/etc/apt/apt.conf.d/*")
_PREFERENCES = ("/etc/apt/preferences", "/etc/apt/preferences.d/*")
_TRUSTED = ("/etc/apt/trusted.gpg", "/etc/apt/trusted.gpg.d/*.gpg", "/etc/apt/trusted.gpg.d/*.asc")
_TOKEN = re.compile(r'"[^"\n]*"|[{};]|[^\s{};"]+')
_MAX_DEPTH = 16
_DANGEROUS = (
    "apt::get::allowunauthenticated", "acquire::allowinsecurerepositories", "acquire::allowweakrepositories",
    "acquire::allowdowngradetoinsecurerepositories", "apt::get::force-yes",
)  # fmt: skip
BLIND = ("trusted", "allow-insecure", "allow-weak", "allow-downgrade-to-insecure")


class Source(msgspec.Struct, frozen=True):
    """One source of packages."""

    where: str
    """File and line."""
    options: dict[str, str]
    """By their names in lower case."""


def sources(root: Root) -> list[Source]:
    """The sources that are switched on, in both ways of writing them."""
    found = []
    for path in fitting(root, *SOURCE_LISTS):
        for number, line in numbered(root, path) or ():
            kind, _, rest = line.partition(" ")
            if kind in ("deb", "deb-src"):
                found.append(Source(f"{path}:{number}", dict(_bracketed(rest.strip()))))
    for path in fitting(root, *SOURCE_STANZAS):
        found += [each for each in _stanzas(root, path) if each.options.get("enabled", "yes") != "no"]
    return found


def _bracketed(rest: str) -> Iterator[tuple[str, str]]:
    if rest.startswith("["):
        for word in rest[1:].partition("]")[0].split():
            name, sign, value = word.partition("=")
            if sign:
                yield name.rstrip("+-").lower(), value


def _stanzas(root: Root, path: str) -> Iterator[Source]:
    options: dict[str, str] = {}
    start = number = 0
    # Empty lines part stanzas, so they are kept here.
    for number, line in enumerate(text(root, path).splitlines(), 1):
        name, sign, value = line.partition(":")
        if not line.strip():
            if options:
                yield Source(f"{path}:{start}", options)
            options = {}
        elif sign and line[0] not in "# \t":
            start = start if options else number
            options[name.strip().lower()] = value.strip()
    if options:
        yield Source(f"{path}:{start}", options)


def settings(root: Root) -> dict[str, str]:
    """The settings of apt by their full names in lower case; the last value of one counts."""
    return {key: value for path in fitting(root, *_SETTINGS) for key, value in parsed(text(root, path), path)}


def parsed(content: str, path: str) -> Iterator[tuple[str, str]]:
    """The settings of one file, nested or written out. Raises `Unreadable` where they nest too deeply."""
    scope: list[str] = []
    words: list[str] = []
    for line in content.splitlines():
        plain = line.strip()
        if plain.startswith(("//", "#", "/*", "*")):
            continue
        for token in _TOKEN.findall(plain.partition(" //")[0]):
            if token == "{":  # noqa: S105  (a bracket)
                scope.append(words[0].lower() if words else "")
                words = []
                if len(scope) > _MAX_DEPTH:
                    raise Unreadable(path, f"it nests deeper than {_MAX_DEPTH}")
                continue
            if token in ("}", ";"):
                if len(words) > 1:
                    yield "::".join([*filter(None, scope), words[0].lower()]), words[1].strip('"')
                words = []
                if token == "}":  # noqa: S105  (a bracket)
                    del scope[-1:]
                continue
            words.append(token)


def trusted_keys(root: Root) -> list[str]:
    """The files of the keys that apt checks with."""
    named = {
        word
        for source in sources(root)
        for word in source.options.get("signed-by", "").replace(",", " ").split()
        if word.startswith("/")
    }
    return fitting(root, *_TRUSTED, *sorted(named))


def inline_keys(root: Root) -> list[str]:
    """Where a source carries its key in itself, rather than naming a file or a fingerprint."""
    named = ((each.where, each.options.get("signed-by")) for each in sources(root))
    return [where for where, key in named if key is not None and (not key or key.startswith("-----"))]


def signed(root: Root) -> Iterator[Word]:
    """That apt checks by itself; without a key it can check nothing."""
    listed = sources(root)
    if not listed:
        return
    keys = trusted_keys(root)
    if keys or inline_keys(root):
        yield Word(good=True, said=f"apt checks with {keys[0] if keys else 'a key in its sources'}")
    else:
        yield Word(good=False, said="apt has sources and no key to check them with")


def verified(root: Root) -> Iterator[Word]:
    """Sources and settings that do without the check."""
    listed = sources(root)
    bad = [f"{each.where} sets {name}" for each in listed for name in BLIND if truthy(each.options.get(name, ""))]
    given = settings(root)
    bad += [f"apt.conf sets {name}" for name in _DANGEROUS if truthy(given.get(name, ""))]
    yield from (Word(good=False, said=said) for said in bad)
    if listed and not bad:
        yield Word(good=True, said="apt lets nothing in unchecked")


def forward(root: Root) -> Iterator[Word]:
    """Old lists and old versions that are taken all the same."""
    listed = sources(root)
    given = settings(root)
    bad = [f"{s.where} sets check-valid-until=no" for s in listed if _off(s.options.get("check-valid-until", "yes"))]
    if _off(given.get("acquire::check-valid-until", "true")):
        bad.append("apt.conf switches Acquire::Check-Valid-Until off")
    if truthy(given.get("apt::get::allow-downgrades", "")):
        bad.append("apt.conf sets APT::Get::allow-downgrades")
    for path in fitting(root, *_PREFERENCES):
        for number, line in numbered(root, path) or ():
            name, _, value = line.partition(":")
            if name.strip().lower() == "pin-priority" and _above(value, 1000):
                bad.append(f"{path}:{number} takes a version even if it is older")
    yield from (Word(good=False, said=said) for said in bad)
    if listed and not bad:
        yield Word(good=True, said="apt takes no older version and no list past its day")


def guarded(root: Root) -> Iterator[Word]:
    """What installs itself must look at the power, and reboot at a set hour only."""
    if not sources(root):
        return
    given = settings(root)
    if not truthy(given.get("apt::periodic::unattended-upgrade", "0")):
        yield Word(good=True, said="apt installs nothing by itself")
    elif _off(given.get("unattended-upgrade::onlyonacpower", "true")):
        yield Word(good=False, said="unattended-upgrades also installs on battery (OnlyOnACPower)")
    elif truthy(given.get("unattended-upgrade::automatic-reboot", "")) and not _hour(given):
        yield Word(good=False, said="unattended-upgrades reboots at any hour (Automatic-Reboot-Time is not set)")
    else:
        yield Word(good=True, said="unattended-upgrades installs on mains power only")


def _hour(given: dict[str, str]) -> bool:
    return given.get("unattended-upgrade::automatic-reboot-time", "now") != "now"


def _off(value: str) -> bool:
    return value.strip().lower() in {"0", "no", "false", "off", "disable"}


def _above(value: str, limit: int) -> bool:
    digits = value.strip()
    return len(digits) < 8 and digits.isascii() and digits.isdigit() and int(digits) > limit  # noqa: PLR2004  (no priority is longer)
