"""What hardening must not touch, told from the plan alone: what the essential function visibly needs, and the root.

1. A folder cannot be asked whether its essential function works, and a removed start link only shows after a reboot.
   So what would visibly stop the function is refused before it is made, wherever it is planned.
2. It is refused too often rather than too seldom: what is refused is done by a person, who can look.
3. A file system that the device boots from is never disabled, whoever asks for it and whatever the catalogue says.
4. A packet filter is never told to deny what the model says others call, unless its rules speak of it: a health probe
   on the device itself would not notice.
"""

from __future__ import annotations

from collections.abc import Iterable

from holdfast_core.baseline.model import Plan
from holdfast_core.inventory.model import DeviceClass
from holdfast_core.wire.changes import Change, ContentChange, LinkChange, ModeChange

_START_FOLDERS = (
    "/etc/rc.d/", "/etc/init.d/", "/etc/rcS.d/", "/etc/rc0.d/", "/etc/rc1.d/", "/etc/rc2.d/", "/etc/rc3.d/",
    "/etc/rc4.d/", "/etc/rc5.d/", "/etc/rc6.d/", "/etc/runlevels/", "/etc/sv/", "/etc/service/", "/etc/init/",
    "/etc/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/", "/usr/local/lib/systemd/system/",
)  # fmt: skip
_DROP_INS = (".service.d", ".socket.d", ".timer.d", ".path.d")
_UNIT_ENDS = (".service", ".socket", ".timer", ".path", ".conf")
_ROOT_DRIVERS = frozenset({"cramfs", "erofs", "f2fs", "jffs2", "overlay", "overlayfs", "squashfs", "ubifs", "vfat"})
"""What gateways, Linux IoT and OT devices boot from, declared or not."""
_EMBEDDED = frozenset({DeviceClass.GATEWAY, DeviceClass.LINUX_IOT, DeviceClass.OT})
_PROGRAM_FOLDERS = (
    "/bin/",
    "/sbin/",
    "/usr/bin/",
    "/usr/sbin/",
    "/usr/local/bin/",
    "/usr/local/sbin/",
    "/usr/libexec/",
)
_EXECUTE = 0o111
_OTHERS_WRITE = 0o022
_DISABLING = frozenset({"install", "blacklist"})
_DENYING = frozenset({"DROP", "REJECT"})


def danger(change: Change, plan: Plan) -> str:
    """Why `change` must not be made to a device of `plan`, as the middle of a sentence; nothing when it may be."""
    return (
        _kills_root(change, plan) or _stops_health(change, plan) or _unstarts(change, plan) or _shuts_out(change, plan)
    )


def _kills_root(change: Change, plan: Plan) -> str:
    if not isinstance(change, ContentChange) or "modprobe" not in change.path:
        return ""
    needed = frozenset(plan.root_fs_drivers) | (_ROOT_DRIVERS if plan.device_class in _EMBEDDED else frozenset())
    if lost := sorted((_disabled(change.after) - _disabled(change.before)) & needed):
        return f"it disables {' and '.join(lost)}, which such a device boots from"
    return ""


def _disabled(content: bytes | None) -> frozenset[str]:
    """The modules that a modprobe configuration keeps from being loaded."""
    lines = (line.split(None, 2) for line in _lines(content))
    return frozenset(words[1] for words in lines if len(words) > 1 and words[0] in _DISABLING)


def _stops_health(change: Change, plan: Plan) -> str:
    health = plan.health
    if health.path and f"{health.path}/".startswith(f"{change.path}/"):
        return f"the essential function is known by {health.path}"
    if _only_closes(change):
        return ""
    name = change.path.rpartition("/")[2]
    if health.process and health.process in {name, start_name(change.path)}:
        return f"it belongs to {health.process}, which is the essential function"
    if not isinstance(change, ContentChange):
        return ""
    for word, what in ((health.process, "the essential function"), (str(health.port or ""), "its port")):
        if word and mentions(change.after, word) < mentions(change.before, word):
            return f"a line about {word}, {what}, would go"
    return ""


def _only_closes(change: Change) -> bool:
    """Whether all it does is to keep others from writing to a program or a start script: it starts as before."""
    if not isinstance(change, ModeChange) or not change.path.startswith((*_START_FOLDERS, *_PROGRAM_FOLDERS)):
        return False
    return not change.after & ~change.before and not (change.before & ~change.after) & ~_OTHERS_WRITE


def _unstarts(change: Change, plan: Plan) -> str:
    """Nothing that the model says must start is kept from starting."""
    name = start_name(change.path)
    expected = {name, name.partition("@")[0]} & frozenset(plan.autostart)
    lame = isinstance(change, ModeChange) and bool(change.before & ~change.after & _EXECUTE)
    if expected and (is_gone(change) or lame):
        return f"the model says that {name} starts by itself"
    return ""


def is_gone(change: Change) -> bool:
    """Whether `change` takes a start link, a script or a unit out: it is removed, or masked."""
    masked = isinstance(change, ContentChange) and start_name(change.path) and not change.after
    return bool(masked) or (isinstance(change, ContentChange | LinkChange) and change.after in {None, "/dev/null"})


def _shuts_out(change: Change, plan: Plan) -> str:
    if not isinstance(change, ContentChange) or _denials(change.after) <= _denials(change.before):
        return ""
    silent = sorted({port for _, port in plan.listening if not mentions(change.after, str(port))})
    if silent:
        return f"it would deny by default, and no rule speaks of port {silent[0]}, which others call"
    return ""


def _denials(content: bytes | None) -> int:
    """How often a packet filter is told to deny."""
    return sum(1 for line in _lines(content) for word in _words(line) if word.upper() in _DENYING)


def start_name(path: str) -> str:
    """The plain name of what a start link, script, unit or its drop-in starts; nothing where `path` is none."""
    if not path.startswith(_START_FOLDERS):
        return ""
    folder, _, name = path.rpartition("/")
    if folder.endswith(_DROP_INS):
        name = folder.rpartition("/")[2].removesuffix(".d")
    if name[:1] in {"S", "K"} and name[1:3].isdigit() and name[3:]:
        return name[3:]
    for end in _UNIT_ENDS:
        name = name.removesuffix(end)
    return name


def mentions(content: bytes | None, word: str) -> int:
    """How many lines hold `word` as a word of its own."""
    return sum(1 for line in _lines(content) if word in line and word in _words(line))


def _lines(content: bytes | None) -> Iterable[str]:
    """The lines without what is a comment in one of the usual ways."""
    text = (content or b"").decode("utf-8", "replace")
    return (line.partition("#")[0] for line in text.splitlines() if not line.lstrip().startswith(";"))


def _words(line: str) -> list[str]:
    return [word.strip(".-") for word in "".join(s if s.isalnum() or s in "-_." else " " for s in line).split()]
