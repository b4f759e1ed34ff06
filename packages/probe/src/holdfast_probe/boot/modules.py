"""The probes of kernel modules: a needed driver stays, an unneeded one is kept out.

1. A rule counts as keeping a module out when it installs a dummy in its place; ``blacklist`` alone stops automatic
   loading only, which is enough to lose the root and not enough to keep anything out.
2. Names are compared with ``-`` and ``_`` alike, as modprobe does.

Source: modprobe.d(5).
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast_core.baseline.probes.boot import ModuleOff, RootFsDriver
from holdfast_probe.boot.conf import by_name, lines_of, settings_lines, without
from holdfast_probe.boot.config import installed_releases, running_release
from holdfast_probe.case import Case
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.roots import Missing, Root
from holdfast_probe.services.texts import exists
from holdfast_probe.sight import Sight, judged, not_applicable, unknown

FOLDERS = (
    "/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d",
)  # fmt: skip
OURS = "/etc/modprobe.d/holdfast.conf"
_OLD = "/etc/modprobe.conf"
_DUMMIES = frozenset({"true", "false", "nologin", ":", "null"})
_RULE_WORDS = 3
_LIST_BYTES = 4 * 1024 * 1024


def see_root_fs_driver(case: Case, _spec: RootFsDriver) -> Sight:
    """Judge one `RootFsDriver` probe."""
    if not case.plan.root_fs_drivers:
        return not_applicable("The model declares no root file system driver.")
    needed = {_plain(name) for name in case.plan.root_fs_drivers}
    bad = [
        f"{line[:120]} ({path})"
        for path in _files(case.root)
        for line in lines_of(case.root, path)
        if _disables(line, needed)
    ]
    return judged(bad, f"nothing disables {', '.join(sorted(needed))}")


def mend_root_fs_driver(case: Case, editor: Editor, _spec: RootFsDriver) -> None:
    """Take the rules away that disable a needed driver."""
    needed = {_plain(name) for name in case.plan.root_fs_drivers}
    for path in _files(case.root):
        text = (editor.read(path) or b"").decode("utf-8", "surrogateescape")
        bad = frozenset(line for line in settings_lines(text) if _disables(line, needed))
        if bad:
            editor.write(path, without(text, bad).encode("utf-8", "surrogateescape"))


def see_module_off(case: Case, spec: ModuleOff) -> Sight:
    """Judge one `ModuleOff` probe."""
    root = case.root
    booted = [running_release(root)] if root.live else installed_releases(root)
    folders = [path for release in booted if (path := _folder(root, release))]
    if not folders:
        return not_applicable("This kernel has no modules.")
    bad = []
    for name in sorted({_plain(name) for name in spec.names}):
        for folder in folders:
            if _listed(root, f"{folder}/modules.builtin", name):
                bad.append(f"{name} is built into the kernel ({folder}/modules.builtin)")
            elif _listed(root, f"{folder}/modules.dep", name) and not _kept_out(root, name):
                bad.append(f"{name} can be loaded ({folder}/modules.dep)")
    silent = next((f for f in folders if not exists(root, f"{f}/modules.dep")), "")
    if silent and not bad:
        return unknown(f"There is no {silent}/modules.dep to tell which modules there are.")
    return judged(bad, f"{', '.join(spec.names)} cannot be loaded")


def mend_module_off(case: Case, editor: Editor, spec: ModuleOff) -> None:
    """Put a rule for every module that can be loaded."""
    ours = (editor.read(OURS) or b"").decode("utf-8", "surrogateescape")
    for name in sorted({_plain(name) for name in spec.names}):
        if name in {_plain(needed) for needed in case.plan.root_fs_drivers}:
            raise CannotMend(OURS, f"the device boots from {name}")
        if not _kept_out(case.root, name):
            ours += ("" if not ours or ours.endswith("\n") else "\n") + f"install {name} /bin/false\n"
    editor.write(OURS, ours.encode("utf-8", "surrogateescape"))


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _files(root: Root) -> list[str]:
    return [*by_name(root, FOLDERS), *root.glob(_OLD)]


def _disables(line: str, names: set[str]) -> bool:
    words = line.split()
    if len(words) < 2 or _plain(words[1]) not in names:  # noqa: PLR2004  (a rule and its module)
        return False
    return words[0] == "blacklist" or _installs_dummy(words)


def _installs_dummy(words: list[str]) -> bool:
    return len(words) >= _RULE_WORDS and words[0] == "install" and words[2].rsplit("/", 1)[-1] in _DUMMIES


def _kept_out(root: Root, name: str) -> bool:
    rules = (line.split() for path in _files(root) for line in lines_of(root, path))
    return any(_installs_dummy(words) and _plain(words[1]) == name for words in rules)


def _folder(root: Root, release: str) -> str:
    return next((f for f in (f"/lib/modules/{release}", f"/usr/lib/modules/{release}") if exists(root, f)), "")


def _listed(root: Root, path: str, name: str) -> bool:
    return any(_plain(_module(line)) == name for line in _lines(root, path))


def _lines(root: Root, path: str) -> Iterator[str]:
    try:
        yield from root.read(path, limit=_LIST_BYTES).decode("utf-8", "replace").splitlines()
    except Missing:
        return


def _module(line: str) -> str:
    """The module's name in a line of ``modules.dep`` or ``modules.builtin``: ``kernel/fs/fat/vfat.ko.xz: ...``."""
    return line.partition(":")[0].rsplit("/", 1)[-1].partition(".")[0]
