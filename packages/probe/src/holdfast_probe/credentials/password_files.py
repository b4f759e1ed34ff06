"""Password files beside the system's own: web servers, PPP, Wi-Fi.

1. Every entry is either a hash, which is judged and guessed at, or plain text, which is compared with the public
   defaults and judged by who can read it.
2. In an image plain text is the same on every device; on a running system it is the device's own, and a secret as
   long as only its owner reads it.
3. A secret never appears in proof, but for a public default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import msgspec

from holdfast_core.baseline.probes.credentials import PasswordFiles
from holdfast_probe.case import Case
from holdfast_probe.credentials.accounts import is_strong, scheme
from holdfast_probe.credentials.defaults import KNOWN
from holdfast_probe.credentials.passwords import Guess, guess_all
from holdfast_probe.services.texts import fitting
from holdfast_probe.services.texts import words as shell_words
from holdfast_probe.sight import Sight, judged, not_applicable, unknown

_HASHED = re.compile(r"\$[0-9a-z]{1,8}\$|\{[A-Z0-9]{3,8}\}|[./0-9A-Za-z]{13}$")
_MOST_ENTRIES = 256
_OTHERS = 0o044
"""Group and everybody: neither needs to read a secret."""


class _Entry(msgspec.Struct, frozen=True):
    """One password: a hash or plain text."""

    name: str
    where: str
    secret: str
    hashed: bool


def see_password_files(case: Case, _spec: PasswordFiles) -> Sight:
    """Judge one `PasswordFiles` probe."""
    root = case.root
    entries: list[_Entry] = []
    readable: set[str] = set()
    for pattern, reader in _READERS.items():
        for path in fitting(root, pattern):
            found = list(reader(path, root.read(path).decode("utf-8", "surrogateescape").split("\n")))
            entries += [entry for entry in found if entry.secret]
            if root.status(path).st_mode & _OTHERS:
                readable.add(path)
    if not entries:
        return not_applicable("There is no password file of a web server, of PPP or of Wi-Fi.")
    if len(entries) > _MOST_ENTRIES:
        return unknown(f"There are more than {_MOST_ENTRIES} passwords in files.")
    bad = [fault for entry in entries if not entry.hashed for fault in _plain(entry, readable, live=root.live)]
    opened, unfinished = _guessed(case, [e for e in entries if e.hashed and e.secret[:1] not in ("!", "*")])
    if unfinished and not bad and not opened:
        return unknown(f"The password hashes in {', '.join(unfinished[:4])} are too costly, or of an unknown kind.")
    return judged(bad + opened, f"{len(entries)} passwords in files, none a default, weak or in the open")


def _plain(entry: _Entry, readable: set[str], *, live: bool) -> Iterator[str]:
    if entry.secret in KNOWN or entry.secret == entry.name:
        yield f"{entry.where}: {entry.name} has the default password {entry.secret!r}"
    elif not live:
        yield f"{entry.where}: {entry.name} has a plain password that every device of this build has"
    elif entry.where.rpartition(":")[0] in readable:
        yield f"{entry.where}: {entry.name} has a plain password that others can read"


def _guessed(case: Case, entries: list[_Entry]) -> tuple[list[str], list[str]]:
    bad = [f"{e.where}: {e.name} has a {scheme(e.secret)} hash" for e in entries if not is_strong(e.secret)]
    by_key = {f"{entry.where} {entry.name}": entry for entry in entries if is_strong(entry.secret)}
    unfinished = []
    for key, (end, word) in guess_all([(key, entry.secret) for key, entry in by_key.items()], case.purse).items():
        if end is Guess.OPENED:
            bad.append(f"{by_key[key].where}: {by_key[key].name} has the default password {word!r}")
        elif end is Guess.UNFINISHED:
            unfinished.append(by_key[key].where)
    return bad, unfinished


def _htpasswd(path: str, lines: list[str]) -> Iterator[_Entry]:
    """``name:secret``; digest files have the realm in between."""
    for number, line in enumerate(lines, 1):
        fields = line.strip().split(":")
        if len(fields) > 1 and not line.startswith("#"):
            hashed = _HASHED.match(fields[-1]) is not None or _is_locked(path, fields[-1])
            yield _Entry(fields[0], f"{path}:{number}", fields[-1], hashed=hashed)


def _is_locked(path: str, secret: str) -> bool:
    """Whether a field that no hash is equal to stands where only hashes are read."""
    return "htpasswd" in path and secret[:1] in ("!", "*")


def _secrets(path: str, lines: list[str]) -> Iterator[_Entry]:
    """``client server secret addresses`` of chap-secrets and pap-secrets."""
    for number, line in enumerate(lines, 1):
        words = shell_words(line)
        if len(words) > 2 and not words[2].startswith("@"):  # noqa: PLR2004  (the third word)
            yield _Entry(words[0], f"{path}:{number}", words[2], hashed=False)


def _wpa(path: str, lines: list[str]) -> Iterator[_Entry]:
    """Pre-shared keys and EAP passwords of wpa_supplicant and hostapd; a passphrase made into 64 digits is one too."""
    for number, line in enumerate(lines, 1):
        key, _, value = line.strip().partition("=")
        if key in ("psk", "password", "wpa_passphrase", "sae_password", "wep_key0") and not value.startswith(
            ("ext:", "hash:")
        ):
            yield _Entry(key, f"{path}:{number}", value.strip().strip('"'), hashed=False)


def _uci(path: str, lines: list[str]) -> Iterator[_Entry]:
    """Wi-Fi keys of OpenWrt."""
    for number, line in enumerate(lines, 1):
        words = shell_words(line)
        if words[:2] == ["option", "key"] and len(words) > 2 and not words[2].isdecimal():  # noqa: PLR2004  (a number: a slot)
            yield _Entry("key", f"{path}:{number}", words[2], hashed=False)


def _httpd(path: str, lines: list[str]) -> Iterator[_Entry]:
    """``/path:name:secret`` of busybox httpd and uhttpd; ``$p$name`` refers to the system's accounts."""
    for number, line in enumerate(lines, 1):
        fields = line.strip().split(":")
        if line.startswith("/") and len(fields) > 2 and not fields[2].startswith("$p$"):  # noqa: PLR2004  (the third)
            yield _Entry(fields[1], f"{path}:{number}", fields[2], hashed=_HASHED.match(fields[2]) is not None)


_READERS: Mapping[str, Callable[[str, list[str]], Iterator[_Entry]]] = {
    "/etc/*/.htpasswd": _htpasswd,
    "/etc/*/*htpasswd*": _htpasswd,
    "/etc/.htpasswd": _htpasswd,
    "/etc/htpasswd*": _htpasswd,
    "/www/.htpasswd": _htpasswd,
    "/var/www/.htpasswd": _htpasswd,
    "/var/www/*/.htpasswd": _htpasswd,
    "/etc/lighttpd/*.user": _htpasswd,
    "/etc/lighttpd/*passwd*": _htpasswd,
    "/etc/ppp/*-secrets": _secrets,
    "/etc/wpa_supplicant.conf": _wpa,
    "/etc/wpa_supplicant/*.conf": _wpa,
    "/etc/hostapd.conf": _wpa,
    "/etc/hostapd/*.conf": _wpa,
    "/etc/config/wireless": _uci,
    "/etc/httpd.conf": _httpd,
}
PASSWORD_FILES = tuple(_READERS)
"""Where these files lie, for who looks for secrets elsewhere."""
