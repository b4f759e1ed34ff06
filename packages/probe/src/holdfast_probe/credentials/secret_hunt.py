"""The hunts for secrets: in texts, and in the strings of programs."""

from __future__ import annotations

import re

from holdfast_core.baseline.probes.credentials import Secrets
from holdfast_probe.case import Case
from holdfast_probe.credentials.password_files import PASSWORD_FILES
from holdfast_probe.credentials.secret_words import ANCHORS, TOKEN_ANCHORS, Secret, assigned_in, tokens_in
from holdfast_probe.credentials.text_hunt import TextHunt
from holdfast_probe.hunt import Hunt
from holdfast_probe.patterns import PathPattern
from holdfast_probe.walk import OVERLAP, WINDOW, Opened, Wants

_MOST_PER_FILE = 3
_EVERYBODY = 0o004
_CODE = (".py", ".pl", ".php", ".lua", ".js", ".rb", ".asp", ".html", ".htm")
_OWN = re.compile(
    r"/(?:etc/(?:shadow|passwd|gshadow|group)-?|etc/(?:login\.defs|nsswitch\.conf|pam\.conf|pam\.d/[^/]*))$"
)
_VENDOR = tuple(
    word.encode()
    for word in (
        "xc3511",
        "xmhdipc",
        "7ujMko0admin",
        "hi3518",
        "klv1234",
        "Zte521",
        "oelinux123",
        "S2fGqNFs",
        "OxhlwSG8",
    )
)
"""Passwords that vendors built into programs, each a whole string: public since the devices were taken over by them."""
_MAY = re.compile(
    b"|".join(re.escape(word) for word in (*_VENDOR, *(anchor.encode() for anchor in TOKEN_ANCHORS)))
    + rb"|://[^/\s:@\"'<>]{1,64}:[^/\s:@\"'<>]{3,64}@"
)
"""One pass that rules out almost every window, in a third of the time that a search for each word would take."""


class TextSecretHunt(TextHunt):
    """Secrets in scripts, settings and pages."""

    anchors = ANCHORS
    praise = "no password and no token in scripts, settings and pages"

    def __init__(self, case: Case, spec: Secrets) -> None:
        super().__init__(case.root)
        self._live = case.root.live
        self._allow = PathPattern((*spec.allow, *PASSWORD_FILES))
        self._path = ""
        self._count = 0

    def skips(self, path: str) -> bool:
        """Beside examples, what the probes of accounts and of password files judge."""
        return super().skips(path) or _OWN.match(path) is not None or self._allow.matches(path)

    def line(self, path: str, number: int, line: str, *, script: bool) -> None:
        """Count the secrets of one line, a few of each file."""
        if path != self._path:
            self._path, self._count = path, 0
        if self._count >= _MOST_PER_FILE:
            return
        code = path.endswith(_CODE) and script
        for secret in (*tokens_in(line), *assigned_in(line, code=code)):
            if self._counts(secret, script=script):
                self._count += 1
                self.found.add(f"{path}:{number}: {secret.said}")

    def _counts(self, secret: Secret, *, script: bool) -> bool:
        """A running system may keep its own secrets in its settings, where only their owner reads them."""
        return script or not self._live or secret.public or bool(self.mode & _EVERYBODY)


class ProgramSecretHunt(Hunt):
    """Secrets in the strings of programs."""

    wants = Wants(content=True)
    praise = "no token and no vendor's password in the strings of programs"

    def __init__(self, case: Case, spec: Secrets) -> None:
        super().__init__()
        self._most = case.budget.folder_file_bytes
        self._allow = PathPattern(spec.allow)

    def opens(self, name: str, mode: int, size: int) -> bool:  # noqa: ARG002  (the collectors' shape)
        """Anything large enough to be a program."""
        return size >= 64  # noqa: PLR2004  (an ELF header)

    def content(self, path: str, file: Opened) -> int:
        """Search it window by window."""
        if bytes(file.head[:4]) != b"\x7fELF" or self._allow.matches(path):
            return 0
        found: dict[str, None] = {}
        window, position, read = bytes(file.head), 0, 0
        while True:
            found.update(dict.fromkeys(_in_strings(window)))
            position += len(window) - OVERLAP
            if (
                len(window) <= OVERLAP
                or position + OVERLAP >= min(file.size, self._most)
                or len(found) >= _MOST_PER_FILE
            ):
                break
            window = file.read_at(position, WINDOW)
            read += len(window)
        for said in list(found)[:_MOST_PER_FILE]:
            self.found.add(f"{path}: {said}")
        return read


def _in_strings(window: bytes) -> list[str]:
    if _MAY.search(window) is None:
        return []
    said = [f"the public default {word.decode()!r}" for word in _VENDOR if b"\0" + word + b"\0" in window]
    return said + [secret.said for secret in tokens_in(window.decode("latin-1"))]
