"""The kernel command line, and what it decides: the words it must not and must have, and lockdown.

1. A running system is asked through ``/proc``; a folder through the files of its boot loader, and what its container
   tells of device trees and boot environments.
2. Of a boot loader's file the first entry counts; later ones are for rescue.
3. A part of an image that was not understood may hold another command line: then nothing passes.
4. A word is changed where it stands, and nothing else of the line.

Sources: the kernel's admin-guide/kernel-parameters and admin-guide/LSM, the manuals of the loaders named below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from holdfast_core.baseline.probes.boot import Cmdline, Lockdown
from holdfast_probe.boot.config import kernel_configs, older_than, releases
from holdfast_probe.case import Case
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.roots import Missing, Root
from holdfast_probe.services.texts import fitting
from holdfast_probe.sight import Sight, failed, judged, not_applicable, passed, unknown

_WORD_AND_SPACE = re.compile(r"(\s*)(\S*)")
_WHOLE_LINE = re.compile(r"^(.+)$", re.MULTILINE)
_GRUB_SETTINGS = "/etc/default/grub"
_LOADERS = (
    ("/boot/cmdline.txt", _WHOLE_LINE),
    ("/boot/firmware/cmdline.txt", _WHOLE_LINE),
    ("/etc/kernel/cmdline", _WHOLE_LINE),
    ("/boot/extlinux/extlinux.conf", re.compile(r"^[ \t]*append[ \t]+(\S.*)$", re.MULTILINE | re.IGNORECASE)),
    ("/boot/loader/entries/*.conf", re.compile(r"^options[ \t]+(\S.*)$", re.MULTILINE)),
    ("/boot/grub/grub.cfg", re.compile(r"^[ \t]*linux(?:16|efi)?[ \t]+\S+[ \t]+(\S.*)$", re.MULTILINE)),
    (_GRUB_SETTINGS, re.compile(r"^GRUB_CMDLINE_LINUX(?:_DEFAULT)?=[\"']?([^\"'\n]*)", re.MULTILINE)),
)
"""Where boot loaders keep the command line."""
_LOCKDOWN_SINCE = "5.4"
_LOCKDOWN = "/sys/kernel/security/lockdown"


def see_cmdline(case: Case, spec: Cmdline) -> Sight:
    """Judge one `Cmdline` probe."""
    lines = case.once(command_lines)
    if not lines:
        return unknown("No boot loader file with a kernel command line was found.")
    bad = [
        f"{word[:80]} ({where})"
        for where, line in lines.items()
        for word in line.split()
        if any(_forbids(token, word) for token in spec.forbid)
    ]
    bad += [
        f"{wanted.replace('|', ' or ')} is missing ({where})"
        for where, line in lines.items()
        for wanted in spec.require
        if not _has(line, wanted)
    ]
    if case.root.told.gaps and not bad:
        return unknown(" ".join(case.root.told.gaps))
    named = f"all of {', '.join(spec.require)}" if spec.require else f"none of {', '.join(spec.forbid)}"
    return judged(bad, f"{named} ({', '.join(sorted(lines))})")


def command_lines(root: Root) -> Mapping[str, str]:
    """The command line of the kernel that runs, or those that a root would boot with, by where they stand."""
    if root.live:
        return {"/proc/cmdline": root.read("/proc/cmdline").decode("utf-8", "replace")}
    told = {f"the image's command line {number}": line for number, line in enumerate(root.told.command_lines, 1)}
    return told | dict(_of_loaders(root))


def _of_loaders(root: Root) -> Iterator[tuple[str, str]]:
    for path, pattern in _loader_files(root):
        lines = [match.group(1) for match in _entries(root.read(path).decode("utf-8", "replace"), path, pattern)]
        if lines:
            yield path, " ".join(lines)


def _loader_files(root: Root) -> Iterator[tuple[str, re.Pattern[str]]]:
    for glob, pattern in _LOADERS:
        for path in fitting(root, glob):
            yield path, pattern


def _entries(text: str, path: str, pattern: re.Pattern[str]) -> list[re.Match[str]]:
    """The places of a loader's file that count: the first, but GRUB's settings are two that are put together."""
    found = pattern.finditer(text)
    return list(found) if path == _GRUB_SETTINGS else [match for match in [next(found, None)] if match]


def _forbids(token: str, word: str) -> bool:
    return word == token or (token.endswith("=") and word.startswith(token))


def _has(line: str, wanted: str) -> bool:
    return not set(wanted.split("|")).isdisjoint(line.split())


def mend_cmdline(case: Case, editor: Editor, spec: Cmdline) -> None:
    """Take the forbidden words out of what the boot loader passes, and put the required ones in."""
    found = False
    for path, pattern in _loader_files(case.root):
        text = (editor.read(path) or b"").decode("utf-8", "surrogateescape")
        entries = _entries(text, path, pattern)
        for entry in reversed(entries):
            line = _corrected(entry.group(1), spec, whole=entry is entries[0])
            text = text[: entry.start(1)] + line + text[entry.end(1) :]
        if entries:
            found = True
            editor.write(path, text.encode("utf-8", "surrogateescape"))
    if not found:
        raise CannotMend("/boot", "no boot loader file with a kernel command line was found")


def _corrected(line: str, spec: Cmdline, *, whole: bool) -> str:
    """`line` without the forbidden words and, if it speaks for the whole command line, with the required ones."""
    pieces = _WORD_AND_SPACE.findall(line)
    line = "".join(space + word for space, word in pieces if not any(_forbids(token, word) for token in spec.forbid))
    for wanted in spec.require if whole else ():
        if not _has(line, wanted):
            ending = line[len(line.rstrip()) :]
            line = f"{line.rstrip()} {wanted.split('|')[0]}".lstrip() + ending
    return line


def see_lockdown(case: Case, _spec: Lockdown) -> Sight:
    """Judge one `Lockdown` probe."""
    root = case.root
    if not root.live:
        return not_applicable("No kernel runs in a folder or an image.")
    try:
        state = root.read(_LOCKDOWN).decode("ascii", "replace").strip()
    except Missing:
        return _without_lockdown(case)
    return failed([f"lockdown is {state} ({_LOCKDOWN})"]) if "[none]" in state else passed(f"{state} ({_LOCKDOWN})")


def _without_lockdown(case: Case) -> Sight:
    """Why the kernel says nothing about lockdown."""
    known = {options.get("CONFIG_SECURITY_LOCKDOWN_LSM") for options in case.once(kernel_configs).values()}
    if known == {"n"}:
        return failed(["the kernel is built without lockdown (CONFIG_SECURITY_LOCKDOWN_LSM is not set)"])
    if known == {None} or any(older_than(release, _LOCKDOWN_SINCE) for release in releases(case.root)):
        return not_applicable("This kernel has no lockdown.")
    return unknown(f"There is no {_LOCKDOWN}, and nothing says why.")
