"""Who may become root through sudo and doas, and with what.

1. Aliases are resolved, continued lines joined, ``@include`` and ``@includedir`` followed, all of it bounded.
2. A rule for one program is a bound as long as that program does not itself open a shell or write any file.

Sources: sudoers(5), doas.conf(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from holdfast_core.baseline.probes.credentials import RootRights
from holdfast_probe.case import Case
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.sight import Sight, judged, not_applicable

_SUDOERS = "/etc/sudoers"
_DOAS = ("/etc/doas.conf", "/etc/doas.d/*.conf")
_MOST_FILES = 64
_MOST_ALIASES = 1024
_MOST_MEMBERS = 65_536
"""Users and commands of all rules, aliases resolved."""
_INCLUDE = re.compile(r"[#@](include|includedir)\s+(\S+)")
_TAG = re.compile(r"\s*([A-Z_]+):")
_RUNAS = re.compile(r"\s*\([^)]*\)")
_DOORS = frozenset(
    {
        "sh", "bash", "ash", "dash", "zsh", "su", "env", "busybox", "vi", "vim", "nano", "ed", "less", "more", "man",
        "awk", "gawk", "mawk", "perl", "python", "python3", "lua", "ruby", "tar", "zip", "tee", "cp", "mv",
        "dd", "nc", "ftp", "ssh", "scp", "rsync", "tcpdump", "gdb", "strace", "git", "docker", "mount", "chmod",
        "chown", "sed", "xargs", "nmap", "find",
    }
)  # fmt: skip
"""Programs that hand out a shell, or any file, to whoever may run them with arguments of their own."""


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
        if match := _INCLUDE.match(line):
            yield from _included(root, match.group(1), match.group(2), path, count)
        elif line.strip() and not line.lstrip().startswith("#"):
            yield _Line(line.strip(), f"{path}:{number}")


def _included(root: Root, kind: str, target: str, path: str, count: list[int]) -> Iterator[_Line]:
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


def _user_rule(line: _Line, aliases: dict[str, tuple[str, ...]]) -> list[str]:
    """What is wrong with one ``user host = (runas) TAG: command, ...``."""
    users, _, rest = line.text.partition("=")
    names = users.split()
    if len(names) < 2 or not rest:  # noqa: PLR2004  (user and host)
        return []
    who = "".join(names[:-1])
    members = {member for name in who.split(",") for member in aliases.get(name, (name,))}
    if members <= {"root", "#0"}:
        return []
    open_, doors = _commands(rest, aliases)
    bad = []
    if "ALL" in members and "ALL" in {c for c, _ in open_}:
        bad.append(f"{line.where}: everybody may do anything")
    bad += [f"{line.where}: {who} may do anything without a password" for c, free in open_ if c == "ALL" and free]
    bad += [f"{line.where}: {who} may run {program} without a password, which opens a shell" for program in doors]
    return bad


def _commands(rest: str, aliases: dict[str, tuple[str, ...]]) -> tuple[list[tuple[str, bool]], list[str]]:
    """Each command with whether it asks no password, and those of them that open a shell and ask none."""
    commands: list[tuple[str, bool]] = []
    free = False
    for part in rest.split(","):
        text = part
        if runas := _RUNAS.match(text):
            text = text[runas.end() :]
        while tag := _TAG.match(text):
            free = tag.group(1) == "NOPASSWD" or (free and tag.group(1) != "PASSWD")
            text = text[tag.end() :]
        commands += [(member, free) for member in aliases.get(text.strip(), (text.strip(),))]
    doors = [c for c, unasked in commands if unasked and c.startswith("/") and _is_door(c)]
    return commands, doors


def _is_door(command: str) -> bool:
    """Whether a program opens a shell; with arguments that the rule fixes it does not, unless a star lets others in."""
    program, _, arguments = command.partition(" ")
    return program.rsplit("/", 1)[-1] in _DOORS and (not arguments or "*" in arguments)


def _doas(path: str, text: str) -> list[str]:
    bad = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split("#", 1)[0].split()
        if words[:1] != ["permit"] or "nopass" not in words or "cmd" in words:
            continue
        who = next((w for w in words[1:] if w not in ("nopass", "persist", "keepenv", "nolog")), "")
        if who not in ("root", ""):
            bad.append(f"{path}:{number}: {who} may do anything without a password")
    return bad
