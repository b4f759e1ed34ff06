"""What a command runs in the end: programs that run programs are looked through.

1. A wrapper whose own arguments are not told from the program's gives each of them: one too many does less harm.
2. A command that only stops, asks or tells is none: ``start-stop-daemon -K``.

Sources: start-stop-daemon(8), busybox's, OpenWrt's procd.sh, sh(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from holdfast_probe.services.texts import SHELLS

Words = tuple[str, ...]
_PLAIN = frozenset({
    "busybox", "toybox", "exec", "nohup", "setsid", "command", "builtin", "env", "nice", "stdbuf", "time", "daemon",
    "start_daemon", "daemonize", "respawn", "catatonit", "tini", "dumb-init", "logwrapper", "xargs", "setarch",
    "linux32", "service_start", "procd_append_respawn", "unbuffer", "cttyhack", "cgexec", "detach", "daemon_start",
    "begin", "start_service_program", "supervise-daemon", "ltrace", "envdir", "respawnd", "eval",
})  # fmt: skip
_VALUED = frozenset({
    "chroot", "su-exec", "gosu", "setuidgid", "softlimit", "taskset", "flock", "timeout", "sudo", "doas", "ionice",
    "chrt", "chpst", "su", "runuser", "nsenter", "unshare", "ip", "prlimit", "watch", "script", "jchroot",
    "openvt",
})  # fmt: skip
_STARTERS = frozenset({"start-stop-daemon", "supervise-daemon"})
_ARGUMENT = re.compile(r"[-+0-9][\w.,:/+-]*|[A-Za-z_]\w*=.*", re.DOTALL)
"""What before a program is an option, a number or a variable."""
_SHORT = "xanpucgrNsPIkdRe12mOi"
"""Options of start-stop-daemon that take a value."""
_LONG = frozenset({
    "--exec", "--startas", "--name", "--pidfile", "--user", "--chuid", "--group", "--retry", "--nicelevel", "--signal",
    "--chdir", "--chroot", "--env", "--stdout", "--stderr", "--umask", "--iosched", "--procsched", "--output",
})  # fmt: skip
_DEEPEST = 6
_CANDIDATES = 4


def ends_in(words: Words, depth: int = 0) -> Iterator[Words]:
    """The programs with their arguments that `words` runs. A text that a shell is given comes as ``(sh, -c, text)``."""
    if not words or depth > _DEEPEST:
        return
    name = base(words[0])
    if name in _STARTERS:
        yield from _started(words[1:], depth)
    elif name == "procd_set_param":
        yield from ends_in(words[2:], depth + 1) if words[1:2] == ("command",) else ()
    elif name in _PLAIN or name in _VALUED:
        yield from _looked_through(words[1:], depth, _CANDIDATES if name in _VALUED else 1)
    elif name in SHELLS:
        yield from _shell(words)
    else:
        yield words


def base(program: str) -> str:
    """The name of a program without its folder."""
    return program.rsplit("/", 1)[-1]


def _looked_through(rest: Words, depth: int, candidates: int) -> Iterator[Words]:
    if any(" " in word or ";" in word for word in rest):  # a command in one piece: eval "...", su -c "..."
        yield ("sh", "-c", " ".join(word for word in rest if not word.startswith("-")))
    found = [index for index, word in enumerate(rest) if not _ARGUMENT.fullmatch(word)]
    for index in found[:candidates]:
        yield from ends_in(rest[index:], depth + 1)


def _shell(words: Words) -> Iterator[Words]:
    for index, word in enumerate(words[1:], 1):
        if word.startswith("-") and not word.startswith("--") and "c" in word:
            yield ("sh", "-c", *words[index + 1 : index + 2])
            return
        if not word.startswith(("-", "+")):
            yield words[index:]
            return
    yield words


def _started(rest: Words, depth: int) -> Iterator[Words]:
    """What start-stop-daemon starts."""
    given: dict[str, str] = {}
    others: list[str] = []
    index = 0
    while index < len(rest):
        word = rest[index]
        if word == "--":
            others += rest[index + 1 :]
            break
        value = rest[index + 1] if index + 1 < len(rest) else ""
        if word.startswith("--"):
            key, sign, own = word.partition("=")
            given[key] = own if sign else value
            index += 1 if key in _LONG and not sign else 0
        elif word.startswith("-"):
            index += _cluster(word[1:], value, given)
        else:
            others.append(word)
        index += 1
    if not {"-K", "--stop", "-T", "--status"} & set(given):
        program = given.get("-a") or given.get("--startas") or given.get("-x") or given.get("--exec")
        yield from ends_in((program, *others) if program else tuple(others), depth + 1)


def _cluster(letters: str, value: str, given: dict[str, str]) -> int:
    """Note the options of one word; 1 where the next word belongs to it."""
    for place, letter in enumerate(letters):
        if letter in _SHORT:
            rest = letters[place + 1 :]
            given[f"-{letter}"] = rest or value
            return 0 if rest else 1
        given[f"-{letter}"] = ""
    return 0
