"""Where updates are fetched from: sources without encryption, and servers that need not prove themselves.

1. Comments, sources that are switched off, proxies and sources on the device itself do not count.
2. Of an address only the scheme and the host are shown: it may hold a password.
3. The mend writes ``https`` for ``http``, and lets a server prove itself again; the rest of a line stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from holdfast_core.baseline.probes.programs import FeedAddresses
from holdfast_probe.case import Case
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.patterns import PathPattern
from holdfast_probe.programs.stated import stated
from holdfast_probe.programs.updates.apt import SOURCE_STANZAS
from holdfast_probe.roots import Root
from holdfast_probe.services.texts import fitting
from holdfast_probe.sight import Sight, judged

_CLEAR = re.compile(r"\b(http|ftp|tftp)://(?:[^\s/@\"']{0,256}@)?([^\s/:\"'\];]{0,256})", re.IGNORECASE)
_LOCAL = re.compile(r"localhost|127\.[0-9.]+|\[?::1\]?", re.IGNORECASE)
_BLIND = (
    (re.compile(r"(verify-peer\"?\s+\"?)(false|0|no)\b", re.IGNORECASE), "true"),
    (re.compile(r"(verify-host\"?\s+\"?)(false|0|no)\b", re.IGNORECASE), "true"),
    (re.compile(r"(\"SkipVerify\"\s*:\s*)(true)\b"), "false"),
    (re.compile(r"(ssl_?verify\s*=\s*)(false|0|no)\b", re.IGNORECASE), "true"),
    (re.compile(r"(option\s+no_check_certificate\s+['\"]?)(1|true|yes)\b"), "0"),
)
"""Settings with which a server need not prove itself, and what to write instead."""
_OPTIONS = PathPattern(["/etc/apt/apt.conf", "/etc/apt/apt.conf.d/*", "/etc/dnf/dnf.conf"])
"""Files of an updater that name no source."""


class Found(msgspec.Struct, frozen=True):
    """One line at fault."""

    path: str
    number: int
    said: str


def see_feed_addresses(case: Case, spec: FeedAddresses) -> Sight:
    """Judge one `FeedAddresses` probe."""
    paths = fitting(case.root, *spec.paths)
    bad = [found for path in paths for found in _faults(path, _text(case.root, path))]
    if not bad and not any(not _OPTIONS.matches(path) for path in paths):
        return stated(case, spec.stated, "No updater that is known has its sources here.")
    return judged((f"{f.path}:{f.number} {f.said}" for f in bad), "every source is encrypted and proves itself")


def mend_feed_addresses(case: Case, editor: Editor, spec: FeedAddresses) -> None:
    """Write ``https``, and switch the checks of a server on again."""
    for path in fitting(case.root, *spec.paths):
        before = (editor.read(path) or b"").decode("utf-8", "surrogateescape")
        lines = before.splitlines(keepends=True)
        for found in _faults(path, before):
            lines[found.number - 1] = _mended(lines[found.number - 1], path)
        after = "".join(lines)
        if after != before:
            editor.write(path, after.encode("utf-8", "surrogateescape"))


def _mended(line: str, path: str) -> str:
    def secure(match: re.Match[str]) -> str:
        if _LOCAL.fullmatch(match.group(2)):
            return match.group(0)
        if match.group(1).lower() != "http":
            raise CannotMend(path, f"nobody knows whether {match.group(2)[:80]} also speaks https")
        return "https" + match.group(0)[len("http") :]

    line = _CLEAR.sub(secure, line)
    for pattern, right in _BLIND:
        line = pattern.sub(lambda match, right=right: match.group(1) + right, line)  # type: ignore[misc]  # (a default binds)
    return line


def _text(root: Root, path: str) -> str:
    return root.read(path).decode("utf-8", "surrogateescape")


def _faults(path: str, text: str) -> Iterator[Found]:
    lines = text.splitlines()
    off = _switched_off(lines) if PathPattern(SOURCE_STANZAS).matches(path) else set()
    for number, line in enumerate(lines, 1):
        plain = line.strip()
        if not plain or plain.startswith(("#", "//")) or number in off or "proxy" in plain.lower():
            continue
        for match in _CLEAR.finditer(plain):
            if not _LOCAL.fullmatch(match.group(2)):
                yield Found(
                    path,
                    number,
                    f"fetches over {match.group(1).lower()} from {match.group(2)[:80] or 'no host that can be read'}",
                )
        if any(pattern.search(plain) for pattern, _ in _BLIND):
            yield Found(path, number, "lets the server go unproven")


def _switched_off(lines: list[str]) -> set[int]:
    """The numbers of the lines in stanzas that say ``Enabled: no``."""
    off: set[int] = set()
    stanza: list[int] = []
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            stanza.append(number)
            continue
        if any(lines[n - 1].replace(" ", "").lower() == "enabled:no" for n in stanza):
            off.update(stanza)
        stanza = []
    return off
