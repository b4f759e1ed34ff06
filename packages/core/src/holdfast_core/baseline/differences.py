"""Changes as a person reads them: unified diffs of text, a line for everything else.

1. No secret is shown: where a file or a line may hold one, only what it is about is, never its value. Of an account's
   password it is told whether there is one and whether it is locked, because that is what a change of it is for.
2. Bounded in lines and in work: a file of a hundred thousand changed lines is told by their number.
3. What is shown is printable: a file from outside cannot act on a terminal.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator

from holdfast_core.kernel.printable import printable
from holdfast_core.wire.changes import Change, ContentChange, FolderChange, LinkChange, ModeChange, OwnerChange

MAX_COMPARED = 1_000
"""Lines on either side between the first and the last difference that are compared one by one."""
MAX_LINE = 200
CONTEXT = 2
_MASK = "…"
_PRIVATE_NAMES = ("opasswd", ".htpasswd")
_SHADOWS = ("shadow", "gshadow", "shadow-", "gshadow-")
_ACCOUNTS = ("passwd", "passwd-")
_PRIVATE_ENDS = (".key", ".pem", ".p12", ".pfx", ".jks", ".psk", ".secrets")
_PRIVATE_WORDS = (
    "passw", "passphrase", "secret", "token", "psk", "credential", "community", "rocommunity", "rwcommunity",
    "apikey", "api_key", "api-key", "private", "wep_key", "auth_key", "access_key", "bearer",
)  # fmt: skip
_SEPARATORS = "=: \t"
_PLAIN = frozenset({"yes", "no", "true", "false", "on", "off", "0", "1", "none", "prohibit-password", "required"})
"""Values that are nobody's secret."""


def difference(change: Change) -> tuple[str, ...]:
    """What `change` does, in lines."""
    match change:
        case ContentChange():
            return tuple(_content(change))
        case ModeChange(path, before, after):
            return (f"mode {before:04o} -> {after:04o}  {printable(path)}",)
        case OwnerChange(path, before, after):
            return (f"owner {before[0]}:{before[1]} -> {after[0]}:{after[1]}  {printable(path)}",)
        case LinkChange(path, before, after):
            return (f"link {printable(before or 'none')} -> {printable(after or 'none')}  {printable(path)}",)
        case FolderChange(path, mode):
            return (f"new folder, mode {mode:04o}  {printable(path)}",)


def _content(change: ContentChange) -> Iterator[str]:
    name = printable(change.path)
    yield f"--- {name if change.before is not None else '/dev/null'}"
    yield f"+++ {name if change.after is not None else '/dev/null'}"
    before, after = _lines(change.before), _lines(change.after)
    if before is None or after is None:
        yield f"  no text: {len(change.before or b'')} bytes become {len(change.after or b'')}"
        return
    start = _shared(before, after)
    end = min(_shared(before[::-1], after[::-1]), len(before) - start, len(after) - start)
    old, new = len(before) - end - start, len(after) - end - start
    if max(old, new) > MAX_COMPARED:
        yield f"  {old} lines from line {start + 1} on become {new} lines"
        return
    shown = _shower(change)
    first = max(0, start - CONTEXT)
    behind = min(end, CONTEXT)
    was, now = before[first : len(before) - end + behind], after[first : len(after) - end + behind]
    for line in _hunks(was, now, first):
        yield line if line.startswith("@@") else line[0] + shown(line[1:])


def _hunks(was: list[str], now: list[str], offset: int) -> Iterator[str]:
    for group in difflib.SequenceMatcher(None, was, now, autojunk=False).get_grouped_opcodes(CONTEXT):
        old, new = group[0][1] + offset + 1, group[0][3] + offset + 1
        yield f"@@ -{old},{group[-1][2] - group[0][1]} +{new},{group[-1][4] - group[0][3]} @@"
        for tag, i, j, k, m in group:
            if tag == "equal":
                yield from (f" {line}" for line in was[i:j])
            else:
                yield from (f"-{line}" for line in was[i:j])
                yield from (f"+{line}" for line in now[k:m])


def _lines(content: bytes | None) -> list[str] | None:
    try:
        return (content or b"").decode().splitlines()
    except UnicodeDecodeError:
        return None


def _shared(left: list[str], right: list[str]) -> int:
    """How many lines both begin with."""
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count


def _shower(change: ContentChange) -> Callable[[str], str]:
    """How the lines of the file that `change` is about are shown."""
    name = change.path.rpartition("/")[2]
    if name in _SHADOWS:
        return lambda line: printable(_account(line, rest=False))
    if name in _ACCOUNTS:
        return lambda line: printable(_account(line, rest=True))
    private = _private(change)
    return lambda line: _shown(line, private=private)


def _account(line: str, *, rest: bool) -> str:
    """A line of the files of accounts: whose it is, and of the password only whether there is one that works."""
    name, colon, others = line.partition(":")
    if not colon or len(name) > MAX_LINE:
        return _MASK
    password, _, others = others.partition(":")
    if not password:
        kind = "<empty>"
    elif password[0] in "!*":
        kind = "<locked>"
    else:
        kind = "x" if password == "x" else "<password>"  # noqa: S105  (the mark that it is in another file)
    tail = others if rest and len(others) <= MAX_LINE else _MASK
    return f"{name}:{kind}:{tail}"


def _private(change: ContentChange) -> bool:
    """Whether the file as a whole holds secrets: by its name, or because not everybody may read it."""
    name = change.path.rpartition("/")[2]
    return name in _PRIVATE_NAMES or name.endswith(_PRIVATE_ENDS) or not change.mode & 0o004


def _shown(line: str, *, private: bool) -> str:
    low = line.lower()
    if private or (any(word in low for word in _PRIVATE_WORDS) and low.replace("=", " ").split()[-1] not in _PLAIN):
        line = _masked(line)
    return printable(line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…")


def _masked(line: str) -> str:
    """The line's first word, with what parts it from the rest; the rest is not shown."""
    lead = len(line) - len(line.lstrip())
    end = next((at for at in range(lead, len(line)) if line[at] in _SEPARATORS), len(line))
    word = line[lead:end]
    if end == len(line) or len(word) > 40:  # noqa: PLR2004  (longer words are no names)
        return line[:lead] + _MASK
    return line[: end + 1] + _MASK
