"""The probe of kernel parameters (sysctl), and how one is set for good.

1. A running system is asked through its own ``/proc/sys``; a folder through the files that would set it at boot.
2. A file counts only where something that starts loads it: systemd, an init script, a call of ``sysctl``.
3. The last file in the order of names counts, and ``sysctl.conf`` after them all.
4. A change goes into a file of our own, or, where a later file would override it, into that file's own line.

Sources: sysctl.d(5), sysctl.conf(5).
"""

from __future__ import annotations

import fnmatch

import msgspec

from holdfast_core.baseline.probes.boot import Sysctl
from holdfast_probe.boot.conf import by_name, settings_lines
from holdfast_probe.boot.config import kernel_configs
from holdfast_probe.case import Case
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.roots import Root
from holdfast_probe.services.loading import loads
from holdfast_probe.sight import Sight, judged, not_applicable, unknown

FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
LAST = "/etc/sysctl.conf"
OURS = "/etc/sysctl.d/99-holdfast.conf"


class _Set(msgspec.Struct, frozen=True):
    """A value, and what says so."""

    value: str
    where: str


def see_sysctl(case: Case, spec: Sysctl) -> Sight:
    """Judge one `Sysctl` probe."""
    if case.root.live:
        values = _running(case.root, spec.key)
        if not values:
            return not_applicable(f"This kernel has no parameter {spec.key}.")
    else:
        values = _configured(case, spec)
        if not values:
            return unknown(_silence(case, spec))
    bad = [
        f"{spec.key} is {each.value!r} ({each.where}), wanted {spec.wanted}"
        for each in values
        if not spec.accepts(each.value)
    ]
    return judged(bad, f"{spec.key} is {values[0].value!r} ({values[0].where})")


def _running(root: Root, key: str) -> list[_Set]:
    pattern = "/proc/sys/" + (key if "/" in key else key.replace(".", "/"))
    return [_Set(" ".join(root.read(path).decode("ascii", "replace").split()), path) for path in root.glob(pattern)]


def _configured(case: Case, spec: Sysctl) -> list[_Set]:
    """What a folder sets, or else what its kernel was built to start with."""
    key = spec.key.replace("/", ".")
    known = case.once(loads)
    last = _in_files(case.root, [path for path in _files(case.root) if known.covers(path)], key)
    for name, value, where in known.given:
        last = _Set(value, where) if name == key else last
    if last is not None or not spec.built:
        return [last] if last is not None else []
    return [
        _Set(start, f"{option}={value} in {path}")
        for path, options in case.once(kernel_configs).items()
        for option, value, start in spec.built
        if options.get(option) == value
    ]


def _in_files(root: Root, paths: list[str], key: str) -> _Set | None:
    """The last value of `key` in some files."""
    last = None
    for path in paths:
        last = _said(root.read(path).decode("utf-8", "replace"), path, key) or last
    return last


def _silence(case: Case, spec: Sysctl) -> str:
    """Why nobody can tell what the parameter will be."""
    said = _in_files(case.root, _files(case.root), spec.key.replace("/", "."))
    if said is None:
        return f"Nothing in this folder sets {spec.key}; the kernel's default is not in it."
    return f"{said.where} sets {spec.key}, and nothing that starts here loads it."


def _files(root: Root) -> list[str]:
    return [*by_name(root, FOLDERS), *root.glob(LAST)]


def _said(text: str, path: str, key: str) -> _Set | None:
    """The last value of `key` in one file."""
    last = None
    for line in settings_lines(text):
        if (value := _value(line, key)) is not None:
            last = _Set(value, path)
    return last


def _value(line: str, key: str) -> str | None:
    name, sign, value = line.lstrip("-").partition("=")
    name = name.strip().replace("/", ".")
    return (
        " ".join(value.split()) if sign and (name == key or ("*" in name and fnmatch.fnmatchcase(key, name))) else None
    )


def mend_sysctl(case: Case, editor: Editor, spec: Sysctl) -> None:
    """Have `spec` set to a value that passes at every start."""
    key, example = spec.key.replace("/", "."), spec.example
    if example is None or "*" in key:
        raise CannotMend(OURS, f"no single value of {spec.key} is the right one")
    if not case.once(loads).covers(OURS):
        raise CannotMend(OURS, "nothing that starts here would load it")
    for path in _files(case.root):
        text = (editor.read(path) or b"").decode("utf-8", "surrogateescape")
        # What comes before our file by name is overridden by it; what comes after must say the same itself.
        if path != OURS and (path == LAST or path.rsplit("/", 1)[-1] > OURS.rsplit("/", 1)[-1]):
            editor.write(path, _corrected(text, spec, key, example).encode("utf-8", "surrogateescape"))
    ours = (editor.read(OURS) or b"").decode("utf-8", "surrogateescape")
    said = _said(ours, OURS, key)
    if said is None:
        ours += ("" if not ours or ours.endswith("\n") else "\n") + f"{key} = {example}\n"
    editor.write(OURS, _corrected(ours, spec, key, example).encode("utf-8", "surrogateescape"))


def _corrected(text: str, spec: Sysctl, key: str, example: str) -> str:
    """`text` with every line that sets `key` to a value that fails saying `example` instead."""
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        for said in settings_lines(line):
            value = _value(said, key)
            if value is not None and not spec.accepts(value):
                lines[number] = f"{key} = {example}\n"
    return "".join(lines)
