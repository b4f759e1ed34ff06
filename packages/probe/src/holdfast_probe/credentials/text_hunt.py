"""A hunt through scripts, settings and pages: which files are such, and their lines, bounded.

1. What is text is told by its first bytes and its name; documentation, tests and a distribution's own libraries of
   scripts are left out, since what stands there are examples.
2. A file is read up to `_MOST_BYTES`, on a running system up to the window that the walk reads anyhow; a line up to
   `_LINE_BYTES`; lines that are comments are passed over.
3. On a running system with a distribution's packages, what lies below ``/usr`` is theirs and the same on every machine
   that has them: what its owner wrote lies elsewhere. In an image, and where there is no such database, all is read.
"""

from __future__ import annotations

import re
from contextlib import suppress

from holdfast_probe.hunt import Hunt
from holdfast_probe.roots import Missing, Root
from holdfast_probe.walk import Opened, Wants

_MOST_BYTES = 512 * 1024
_LINE_BYTES = 2048
_SCRIPTS = (".sh", ".lua", ".php", ".cgi", ".py", ".pl", ".js", ".asp", ".rb", ".tcl")
_SETTINGS = (
    ".conf", ".cfg", ".cnf", ".ini", ".json", ".xml", ".yaml", ".yml", ".env", ".properties", ".toml", ".config",
    ".nvram", ".service", ".network", ".nmconnection", ".html", ".htm", ".ovpn", ".rc",
)  # fmt: skip
_HOMES = re.compile(r"/(?:(?:etc|opt|srv|www|data|mnt|usr/local|var/www)/|(?:root|home/[^/]+)/\.[^/]+$)")
_EXAMPLES = re.compile(
    r"/(?:docs?|man|info|locale|i18n|tests?|testdata|examples?|samples?|bash-completion|include|licenses|help)/|"
    r"^/(?:rom|proc|sys|dev|run)/|/usr/(?:lib|share)/(?:python3?|perl5?|ruby|tcl|nodejs|node_modules|zsh|vim|awk|gdb)|"
    r"/\.(?:cache|m2|pyenv|cargo|rustup|npm|nvm|gradle|git)/|/node_modules/|/site-packages/|/dist-packages/|"
    r"\.(?:patch|diff|pom|example|sample|dist|template|tmpl|in|j2|svg|po|pot)$"
)
_PACKAGED = re.compile(r"/usr/(?!local/)|/(?:s?bin|lib(?:32|64|x32)?)/")
_NONE = re.compile(r"(?!)")
_DATABASES = ("/var/lib/dpkg/status", "/var/lib/rpm", "/usr/lib/sysimage/rpm", "/lib/apk/db/installed")
_COMMENT = ("#", ";", "//", "--", "/*", "* ", "<!--", "dnl ")


def _has_packages(root: Root) -> bool:
    for path in _DATABASES:
        with suppress(Missing):
            root.status(path)
            return True
    return False


class TextHunt(Hunt):
    """Shows each line of the texts to `line`; subclasses judge it."""

    wants = Wants(content=True)
    anchors: tuple[bytes, ...] = ()
    """Words in small letters, one of which is in every line that `line` could care for."""

    def __init_subclass__(cls) -> None:
        """Leave out a word that holds another: each costs a pass over every text of the device."""
        words = cls.anchors
        cls.anchors = tuple(word for word in words if not any(other in word for other in words if other != word))

    def __init__(self, root: Root) -> None:
        super().__init__()
        self._most = 0 if root.live else _MOST_BYTES
        self._theirs = _PACKAGED if root.live and _has_packages(root) else _NONE
        self.mode = 0
        """The mode of the file that is being read."""

    def opens(self, name: str, mode: int, size: int) -> bool:  # noqa: ARG002  (the collectors' shape)
        """Any file that is not empty: a script needs no suffix."""
        self.mode = mode
        return size > 3  # noqa: PLR2004  (less says nothing)

    def skips(self, path: str) -> bool:
        """Whether a file is none of this hunt's business."""
        return self._theirs.match(path) is not None or _EXAMPLES.search(path) is not None

    def content(self, path: str, file: Opened) -> int:
        """Show the lines of a text."""
        start = bytes(file.head[:2])
        script = start == b"#!" or path.endswith(_SCRIPTS)
        if start == b"\x7fE" or not (script or path.endswith(_SETTINGS) or _HOMES.match(path)) or self.skips(path):
            return 0
        data = bytes(file.head)
        if b"\0" in data:
            return 0
        more = self._most - len(data)
        beyond = file.read_at(len(data), more) if file.size > len(data) and more > 0 else b""
        self._lines(path, data + beyond, script=script)
        return len(beyond)

    def _lines(self, path: str, data: bytes, *, script: bool) -> None:
        number, last = 1, 0
        for start in self._starts(data):
            number += data.count(b"\n", last, start)
            last = start
            end = data.find(b"\n", start, start + _LINE_BYTES)
            line = data[start : end if end >= 0 else start + _LINE_BYTES].decode("utf-8", "replace")
            if not line.lstrip().startswith(_COMMENT):
                self.line(path, number, line, script=script)

    def _starts(self, data: bytes) -> list[int]:
        """Where the lines begin that hold one of the words: few do, and the patterns see no others."""
        small = data.lower()
        starts: set[int] = set()
        for anchor in self.anchors:
            position = small.find(anchor)
            while position >= 0:
                starts.add(small.rfind(b"\n", 0, position) + 1)
                end = small.find(b"\n", position)
                position = small.find(anchor, end) if end >= 0 else -1
        return sorted(starts)

    def line(self, path: str, number: int, line: str, *, script: bool) -> None:
        """Judge one line. For subclasses."""
        raise NotImplementedError
