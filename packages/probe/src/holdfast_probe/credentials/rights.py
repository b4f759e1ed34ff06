"""Who may become root through sudo and doas, and with what.

1. Aliases are resolved, continued lines joined, ``@include`` and ``@includedir`` followed, all of it bounded.
2. A rule for one program is a bound as long as that program does not itself open a shell or write any file.
3. ``#`` begins a comment, but before a number, where it begins a user; ``:`` ends a tag, or one list of hosts with
   its commands before the next one.

Sources: sudoers(5), doas.conf(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

import msgspec

from holdfast_core.baseline.probes.credentials import RootRights
from holdfast_probe.case import Case
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.services.texts import SHELLS
from holdfast_probe.sight import Sight, judged, not_applicable

_SUDOERS = "/etc/sudoers"
_DOAS = ("/etc/doas.conf", "/etc/doas.d/*.conf")
_MOST_FILES = 64
_MOST_ALIASES = 1024
_MOST_MEMBERS = 65_536
"""Users and commands of all rules, aliases resolved."""
_INCLUDE = re.compile(r"[#@](include|includedir)\s+(\S+)")
_COMMENT = re.compile(r"(?<!\\)#(?!-?[0-9])")
_COMMA = re.compile(r" ?, ?")
_COLON = re.compile(r"(?<!\\):")
_ASIDE = re.compile(r"\([^()]{0,1024}\)|\bsha(?:224|256|384|512) ?: ?[0-9A-Za-z+/=]{1,128} ")
"""Whom a command runs as, and what its program's digest is."""
_OPTION = re.compile(
    r" ?(?:ROLE|TYPE|CWD|CHROOT|TIMEOUT|NOTBEFORE|NOTAFTER|PRIVS|LIMITPRIVS|APPARMOR_PROFILE) ?= ?[^ ]+ "
)
_TAG = re.compile(r" ?([A-Z_]+) ?:")
_TAGS = (
    "EXEC", "FOLLOW", "LOG_INPUT", "LOG_OUTPUT", "MAIL", "INTERCEPT", "SETENV", "PASSWD",
)  # fmt: skip
"""Each also with NO before it; what ends otherwise before a colon is a command."""
_ENDS_IN_TAG = re.compile(rf"(?:^|[ ,:=])(?:NO)?(?:{'|'.join(_TAGS)}) ?$")
_DOORS = frozenset(
    {
        "sh", "bash", "ash", "dash", "zsh", "su", "env", "busybox", "vi", "vim", "nano", "ed", "less", "more", "man",
        "awk", "gawk", "mawk", "perl", "python", "python3", "lua", "ruby", "tar", "zip", "tee", "cp", "mv",
        "dd", "nc", "ftp", "ssh", "scp", "rsync", "tcpdump", "gdb", "strace", "git", "docker", "mount", "chmod",
        "chown", "sed", "xargs", "nmap", "find",
    }
)  # fmt: skip
"""Programs that hand out a shell, or any file, to whoever may run them with arguments of their own."""
_PROMPTS = SHELLS | {
    "su", "busybox", "vi", "vim", "nano", "ed", "less", "more", "man", "perl", "python", "lua", "ruby", "gdb", "ftp",
}  # fmt: skip
"""Those of them that ask what to do next as long as they are given no file: options alone do not bound them."""
_CARRIERS = frozenset(
    {"nice", "nohup", "timeout", "setsid", "chroot", "stdbuf", "ionice", "unshare", "nsenter", "script"}
)
"""Programs that run what their arguments name."""


class _Line(msgspec.Struct, frozen=True):
    text: str
    where: str


def see_root_rights(case: Case, _spec: RootRights) -> Sight:
    """Judge one `RootRights` probe."""
    root = case.root
    doas = [path for pattern in _DOAS for path in root.glob(pattern)]
    sudoers = root.glob(_SUDOERS)
    if not doas and not sudoers:
        return not_applicable("There is neither sudo nor doas.")
    bad: list[str] = []
    if sudoers:
        bad += _sudo(list(_sudoers(root, _SUDOERS, [0])))
    for path in doas:
        bad += _doas(path, root.read(path).decode("utf-8", "replace"))
    return judged(bad, "becoming root takes a password, or is bounded to named programs")


def _sudoers(root: Root, path: str, count: list[int]) -> Iterator[_Line]:
    count[0] += 1
    if count[0] > _MOST_FILES:
        raise Unreadable(path, f"more than {_MOST_FILES} files are included")
    text = root.read(path).decode("utf-8", "replace").replace("\\\n", " ")
    for number, line in enumerate(text.split("\n"), 1):
        if match := _INCLUDE.match(line.lstrip()):
            yield from _included(root, match.group(1), match.group(2).strip('"'), path, count)
        elif said := " ".join(_COMMENT.split(line, maxsplit=1)[0].split()):
            yield _Line(_COMMA.sub(",", said), f"{path}:{number}")


def _included(root: Root, kind: str, target: str, path: str, count: list[int]) -> Iterator[_Line]:
    if "%h" in target:
        raise Unreadable(path, "it includes a file that is named after the host")
    place = target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}"
    try:
        # In a directory, names with a dot or a tilde at the end are what an editor or a package left; sudo skips them.
        names = (
            [n for n in root.listing(place) if "." not in n and not n.endswith("~")] if kind == "includedir" else [""]
        )
    except Missing:
        return
    for name in names:
        yield from _sudoers(root, f"{place}/{name}" if name else place, count)


def _sudo(lines: list[_Line]) -> list[str]:
    aliases: dict[str, tuple[str, ...]] = {}
    for line in lines:
        if line.text.startswith(("User_Alias", "Cmnd_Alias", "Cmd_Alias")) and len(aliases) < _MOST_ALIASES:
            aliases.update(_alias(line.text))
    aliases = _resolved(aliases)
    bad = []
    left = _MOST_MEMBERS
    for line in lines:
        left -= sum(len(aliases.get(name.strip(), (name,))) for name in re.split(r"[,\s=:()!]", line.text))
        if left < 0:
            raise Unreadable(_SUDOERS, f"its rules name more than {_MOST_MEMBERS} users and commands")
        word = line.text.split(None, 1)[0]
        if word.startswith("Defaults"):
            if re.search(r"!\s*authenticate\b", line.text):
                bad.append(f"{line.where}: no password is asked for")
        elif not word.endswith("_Alias"):
            bad += _user_rule(line, aliases)
    return bad


def _alias(text: str) -> dict[str, tuple[str, ...]]:
    found = {}
    for part in text.split(None, 1)[-1].split(":"):
        name, _, members = part.partition("=")
        found[name.strip()] = tuple(member.strip() for member in members.split(","))
    return found


def _resolved(aliases: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Aliases whose members are none any more. Raises `Unreadable` beyond `_MOST_MEMBERS`."""
    left = _MOST_MEMBERS
    found = {}
    for name in aliases:
        members: list[str] = []
        todo, seen = [name], {name}
        while todo:
            inside = aliases[todo.pop()]
            left -= len(inside)
            if left < 0:
                raise Unreadable(_SUDOERS, f"its rules name more than {_MOST_MEMBERS} users and commands")
            further = {each for each in inside if each in aliases} - seen
            seen |= further
            todo += sorted(further)
            members += [each for each in inside if each not in aliases]
        found[name] = tuple(members)
    return found


def _user_rule(line: _Line, aliases: dict[str, tuple[str, ...]]) -> list[str]:
    """What is wrong with one ``user host = (runas) TAG: command, ... : host = ...``."""
    who, _, rest = line.text.partition(" ")
    if "=" not in rest:
        return []
    members = {member for name in who.split(",") for member in aliases.get(name, (name,))}
    if members <= {"root", "#0"}:
        return []
    bad = []
    for part in _privileges(rest):
        open_, doors = _commands(part, aliases)
        if "ALL" in members and "ALL" in {c for c, _ in open_}:
            bad.append(f"{line.where}: everybody may do anything")
        bad += [f"{line.where}: {who} may do anything without a password" for c, free in open_ if c == "ALL" and free]
        bad += [f"{line.where}: {who} may run {program} without a password, which opens a shell" for program in doors]
    return bad


def _privileges(rest: str) -> list[str]:
    """The commands of each list of hosts, tags included."""
    found: list[str] = []
    held = ""
    for piece in _COLON.split(_ASIDE.sub(" ", rest)):
        held += piece
        if _ENDS_IN_TAG.search(held[-32:]):
            held += ":"
            continue
        found.append(held.partition("=")[2])
        held = ""
    return found


def _commands(rest: str, aliases: dict[str, tuple[str, ...]]) -> tuple[list[tuple[str, bool]], list[str]]:
    """Each command with whether it asks no password, and those of them that open a shell and ask none."""
    commands: list[tuple[str, bool]] = []
    free = False
    for part in rest.split(","):
        text = " ".join(part.split())
        at = 0
        while option := _OPTION.match(text, at):
            at = option.end()
        while tag := _TAG.match(text, at):
            free = tag.group(1) == "NOPASSWD" or (free and tag.group(1) != "PASSWD")
            at = tag.end()
        name = text[at:].strip()
        commands += [(member, free) for member in aliases.get(name, (name,))]
    doors = [c for c, unasked in commands if unasked and c.startswith(("/", "^", "sudoedit")) and _is_door(c)]
    return commands, doors


def _is_door(command: str) -> bool:
    """Whether a program opens a shell; with arguments that the rule fixes it does not, unless they let others in.

    A folder stands for all that is in it, and so may a pattern; an expression is nothing that is worked out here.
    """
    program, _, rest = command.partition(" ")
    base = program.rsplit("/", 1)[-1]
    if not base or program[0] == "^":
        return True
    arguments = [each for each in rest.split() if each != '""']
    if base == "sudoedit":
        return not arguments or "*" in rest
    plain = base.rstrip("0123456789.")
    if base not in _DOORS and plain not in _DOORS | SHELLS | _CARRIERS:
        return any(c in base for c in "*?[") and any(fnmatchcase(door, base) for door in _DOORS | SHELLS)
    if any(each.rsplit("/", 1)[-1] in SHELLS for each in arguments):
        return True
    if plain in _PROMPTS and all(each[0] == "-" or each == "root" for each in arguments):
        return True
    return plain not in _CARRIERS and ("*" in rest or not rest)


def _doas(path: str, text: str) -> list[str]:
    bad = []
    for number, line in enumerate(text.replace("\\\n", " ").split("\n"), 1):
        words = [word.strip('"') for word in line.split("#", 1)[0].split()]
        if words[:1] != ["permit"] or "nopass" not in words:
            continue
        who = next((w for w in words[1:] if w not in ("nopass", "persist", "keepenv", "nolog")), "")
        if who in ("root", ""):
            continue
        if "cmd" not in words:
            bad.append(f"{path}:{number}: {who} may do anything without a password")
        elif _is_door(_doas_command(words[words.index("cmd") + 1 :])):
            bad.append(f"{path}:{number}: {who} may run {' '.join(words[words.index('cmd') + 1 :])} without a password")
    return bad


def _doas_command(words: list[str]) -> str:
    """What follows ``cmd``, written as sudoers has it."""
    program, arguments = words[:1] or ["-"], words[2:]
    return " ".join([*program, *(arguments or ['""'] if words[1:2] == ["args"] else [])])
