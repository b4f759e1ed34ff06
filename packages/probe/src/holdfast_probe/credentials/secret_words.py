"""Telling a secret that stands in a text from words that only look like one.

1. A token of a known service is known by its shape; one that its documentation prints as an example is none.
2. A password is what is assigned to a name that says so, and reads like one: not a reference to a variable, not a path,
   a call or a plain word, not a placeholder. A public default is one however plain it is.
3. What is shown of it are its first two characters and its length; only a public default is shown whole.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Iterator

import msgspec

from holdfast_probe.credentials.defaults import KNOWN

_COMMAND, _ADDRESS = "password in a command", "password in an address"
_TOKENS: tuple[tuple[str, str, re.Pattern[str]], ...] = (
    ("AKIA", "AWS access key", re.compile(r"(?<![A-Za-z0-9])AKIA[0-9A-Z]{16}(?![A-Za-z0-9])")),
    ("ASIA", "AWS access key", re.compile(r"(?<![A-Za-z0-9])ASIA[0-9A-Z]{16}(?![A-Za-z0-9])")),
    ("ghp_", "GitHub token", re.compile(r"(?<![A-Za-z0-9])ghp_[A-Za-z0-9]{36}(?![A-Za-z0-9])")),
    ("gho_", "GitHub token", re.compile(r"(?<![A-Za-z0-9])gho_[A-Za-z0-9]{36}(?![A-Za-z0-9])")),
    ("ghs_", "GitHub token", re.compile(r"(?<![A-Za-z0-9])ghs_[A-Za-z0-9]{36}(?![A-Za-z0-9])")),
    ("github_pat_", "GitHub token", re.compile(r"github_pat_[A-Za-z0-9_]{82}")),
    ("glpat-", "GitLab token", re.compile(r"glpat-[A-Za-z0-9_-]{20}")),
    ("xox", "Slack token", re.compile(r"(?<![A-Za-z0-9])xox[abprs]-[A-Za-z0-9-]{20,72}")),
    ("AIza", "Google key", re.compile(r"(?<![A-Za-z0-9])AIza[0-9A-Za-z_-]{35}")),
    ("sk_live_", "Stripe key", re.compile(r"sk_live_[0-9A-Za-z]{24,99}")),
    ("SG.", "SendGrid key", re.compile(r"(?<![A-Za-z0-9])SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}")),
    ("AccountKey=", "Azure storage key", re.compile(r"AccountKey=[A-Za-z0-9+/]{86}==")),
    ("SharedAccessKey=", "Azure key", re.compile(r"SharedAccessKey=[A-Za-z0-9+/]{43}=")),
    (
        "eyJ",
        "JSON web token",
        re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,1000}\.eyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_-]{10,1000}"),
    ),
    ("sshpass", _COMMAND, re.compile(r"sshpass\s{1,4}-p\s{0,4}['\"]?([^\s'\"]{3,64})")),
    ("chpasswd", _COMMAND, re.compile(r"\b\w{1,32}:([^\s'\"|]{3,64})['\"]?\s{0,4}\|\s{0,4}chpasswd")),
    ("pass:", _COMMAND, re.compile(r"-pass(?:in|out)?\s{1,4}pass:([^\s'\"]{3,64})")),
    ("curl", _COMMAND, re.compile(r"\s(?:-u|--user)\s{0,4}['\"]?[^\s:'\"]{1,64}:([^\s'\"]{3,64})")),
    ("://", _ADDRESS, re.compile(r"://[^/\s:@\"'<>]{1,64}:([^/\s:@\"'<>]{3,64})@[A-Za-z0-9.\[-]")),
)
_NAME = re.compile(
    r"(?:passw(?:or)?d|passphrase|passwd|psk|secret|api[_-]?key|access[_-]?key|auth[_-]?token|"
    r"(?<![a-z])pwd|(?<![a-z])pass(?![a-z]))[\w-]{0,24}[\"']?(?:\s{0,8}(?:=>|:=|=|:|,)\s{0,8}|>|\s{1,8})",
    re.IGNORECASE,
)
_NAMES = (
    "pass", "psk", "secret", "pwd", "apikey", "api_key", "api-key", "accesskey", "access_key", "access-key",
    "authtoken", "auth_token", "auth-token",
)  # fmt: skip
ANCHORS = tuple(word.lower().encode() for word in (*(anchor for anchor, _, _ in _TOKENS), *_NAMES))
"""One of these is in every text that holds a secret, in small letters."""
TOKEN_ANCHORS = tuple(anchor for anchor, kind, _ in _TOKENS if kind not in (_COMMAND, _ADDRESS))
"""One of these is in every token of a known service."""
_NAME_END = re.compile(r"[\w.$-]*")
_QUOTED = re.compile(r"\\?([\"'])([^\"'\s]{3,128})\\?\1")
_BARE = re.compile(r"[^\s\"'<>;,|&(){}\[\]]{3,128}")
_REFERENCE = re.compile(
    r"[$%@<{*`]|\.{3}|x{4}|(?:your|example|insert|enter|replace|placeholder|redacted|dummy)", re.IGNORECASE
)
_PLAIN = re.compile(
    r"[a-z]+(?:[_.-][a-z]+)*|[A-Z_]+|(?:[A-Z]?[a-z]+)(?:[A-Z][a-z]+)*|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|[0-9.:]+"
)
_PATH = re.compile(r"\.{0,2}/|[a-z]{2,8}://|[A-Za-z]:\\|--?[a-z]")
_NOTORIOUS = frozenset(
    "admin root password toor guest support changeme raspberry ubnt openwrt alpine vizxv".split()  # noqa: SIM905  (words)
)
_DIGIT = re.compile(r"[0-9]")
_FEW_BITS = 2.4
"""Bits a character below which even mixed characters are no secret: ``aaa111``."""
_LONG = 8
_VALUE_CHARS = 160


class Secret(msgspec.Struct, frozen=True):
    """One find: what it is, fit to be shown, and whether it is a public default."""

    said: str
    public: bool = False


def tokens_in(text: str) -> Iterator[Secret]:
    """Tokens of known services, and passwords in addresses, anywhere in `text`."""
    for anchor, kind, pattern in _TOKENS:
        if anchor in text:
            for match in pattern.finditer(text):
                value = match.group(match.lastindex or 0)
                if _is_token(kind, value):
                    yield Secret(f"{kind} {masked(value)}", public=_is_default(value))


def assigned_in(line: str, *, code: bool) -> Iterator[Secret]:
    """Passwords that a line assigns; in `code` only what is quoted is a value."""
    small = line.lower()
    if not any(name in small for name in _NAMES):  # most lines come for an address; the pattern is slow to say no
        return
    for match in _NAME.finditer(line):
        value = _value(line, match, code=code)
        if value and _is_password(value):
            public = _is_default(value)
            name = _name(line, match)
            yield Secret(f"{name} is " + (f"the public default {value!r}" if public else masked(value)), public=public)


def masked(secret: str) -> str:
    """The first two characters and the length."""
    return f"{secret[:2]}… ({len(secret)} characters)"


def _name(line: str, match: re.Match[str]) -> str:
    """The whole name that ends where `match` does, without what is before it in the line."""
    before = _NAME_END.match(line[max(0, match.start() - 24) : match.start()][::-1])
    after = _NAME_END.match(line, match.start())
    return ((before.group()[::-1] if before else "") + (after.group() if after else "")).lstrip("$.-")


def _value(line: str, match: re.Match[str], *, code: bool) -> str:
    spaced = not re.split(r"[\w\"'-]+", match.group())[-1].strip(" \t")
    rest = line[match.end() : match.end() + _VALUE_CHARS]
    if quoted := _QUOTED.match(rest):
        # A quote after mere space is a value in UCI only: ``option password 'x'``; elsewhere it is a message.
        return "" if spaced and not line.lstrip().startswith(("option", "list")) else quoted.group(2)
    bare = None if code or spaced else _BARE.match(rest)
    return bare.group() if bare else ""


def _is_token(kind: str, value: str) -> bool:
    if "EXAMPLE" in value.upper():
        return False
    if kind in (_COMMAND, _ADDRESS):
        # Manuals write ``user:password@host``; a script that means it has another word there.
        return value != "password" and _is_password(value)
    if kind == "JSON web token":
        return _has_header(value)
    return len(set(value)) > _LONG


def _has_header(token: str) -> bool:
    head = token.split(".", 1)[0]
    try:
        decoded = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return False
    return isinstance(decoded, dict) and "alg" in decoded


def _is_default(value: str) -> bool:
    return value in _NOTORIOUS or (value in KNOWN and any(c.isdigit() for c in value) and not value.isdigit())


def _is_password(value: str) -> bool:
    if _is_default(value):
        return True
    # Some text of words and digits is what a person chose; words alone, a dotted name or a number are not told apart.
    # Most values have no digit, so that is asked before the patterns are.
    if len(value) < 6 or _DIGIT.search(value) is None:  # noqa: PLR2004  (too short to tell)
        return False
    if _REFERENCE.search(value) or _PATH.match(value):
        return False
    return _PLAIN.fullmatch(value) is None and _bits(value) >= _FEW_BITS


def _bits(value: str) -> float:
    """Shannon's entropy of the characters, in bits each."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())
