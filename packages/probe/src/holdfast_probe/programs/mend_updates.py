"""Making updaters check: one option or one setting is written, what does without the check is switched off.

1. opkg: ``option check_signature`` is set, and options that do without the check are taken out.
2. apt: what is wrong in its settings is overruled by a file that is read after all others; what is wrong in a source is
   taken out of its brackets.
3. Which key an updater checks with is its owner's to choose: no mend makes one up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from holdfast_core.baseline.probes.programs import PendingUpdates, UpdateCheck, Updater
from holdfast_probe.case import Case
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.programs.updates import apt, packages
from holdfast_probe.roots import Root
from holdfast_probe.services.texts import fitting, lines, truthy

OVERRULING = "/etc/apt/apt.conf.d/zz-holdfast"
"""apt reads the files of this folder in the order of their names; the last value counts."""
_APT_RIGHT: dict[UpdateCheck, dict[str, str]] = {
    UpdateCheck.VERIFIED: {
        "APT::Get::AllowUnauthenticated": "false",
        "APT::Get::Force-Yes": "false",
        "Acquire::AllowInsecureRepositories": "false",
        "Acquire::AllowWeakRepositories": "false",
        "Acquire::AllowDowngradeToInsecureRepositories": "false",
    },
    UpdateCheck.FORWARD: {"Acquire::Check-Valid-Until": "true", "APT::Get::Allow-Downgrades": "false"},
}
_OPKG_WRONG = {UpdateCheck.VERIFIED: ("force_checksum", "force_signature"), UpdateCheck.FORWARD: ("force_downgrade",)}
_BLIND_OPTION = re.compile(
    r"\s?\b(?:trusted|allow-insecure|allow-weak|allow-downgrade-to-insecure)=(?:yes|1|true|on)\b", re.IGNORECASE
)


def mend_updater(case: Case, editor: Editor, spec: Updater) -> None:
    """Switch the check on wherever a setting of opkg or apt keeps it off."""
    root = case.root
    if spec.check is UpdateCheck.SIGNED:
        _check_signatures(root, editor)
    _without_opkg_options(root, editor, _OPKG_WRONG.get(spec.check, ()))
    given = apt.settings(root)
    right = _APT_RIGHT.get(spec.check, {})
    _overrule(editor, {n: v for n, v in right.items() if given.get(n.lower(), v) != v and _wrong(given[n.lower()], v)})
    if spec.check is UpdateCheck.VERIFIED:
        _unblind_sources(root, editor)
    if spec.check is UpdateCheck.GUARDED:
        _overrule(editor, dict(_guards(root)))
    if not editor.changes():
        raise CannotMend("/etc", "which key or which slot an updater uses is its owner's to choose")


def mend_pending_updates(case: Case, editor: Editor, _spec: PendingUpdates) -> None:
    """Let security updates install themselves; what is waiting is then installed by the system, not by us."""
    if truthy(apt.settings(case.root).get("apt::periodic::unattended-upgrade", "0")):
        raise CannotMend("/var/lib/apt", "what is waiting is installed by running unattended-upgrade")
    _overrule(editor, {"APT::Periodic::Update-Package-Lists": "1", "APT::Periodic::Unattended-Upgrade": "1"})


def _wrong(value: str, right: str) -> bool:
    return truthy(value) != truthy(right)


def _guards(root: Root) -> Iterator[tuple[str, str]]:
    yield "Unattended-Upgrade::OnlyOnACPower", "true"
    if truthy(apt.settings(root).get("unattended-upgrade::automatic-reboot", "")):
        yield "Unattended-Upgrade::Automatic-Reboot-Time", "03:30"


def _overrule(editor: Editor, right: dict[str, str]) -> None:
    if right:
        before = (editor.read(OVERRULING) or b"").decode("utf-8", "surrogateescape")
        added = "".join(f'{name} "{value}";\n' for name, value in right.items())
        editor.write(OVERRULING, (before + added).encode("utf-8", "surrogateescape"))


def _check_signatures(root: Root, editor: Editor) -> None:
    if not packages.opkg_in_use(root) or any(word.good for word in packages.opkg_signed(root)):
        return
    _without_opkg_options(root, editor, ("check_signature",))
    path = next(path for path in fitting(root, *packages.OPKG) if lines(root, path) is not None)
    before = (editor.read(path) or b"").decode("utf-8", "surrogateescape")
    joint = "" if not before or before.endswith("\n") else "\n"
    editor.write(path, f"{before}{joint}option check_signature\n".encode("utf-8", "surrogateescape"))


def _without_opkg_options(root: Root, editor: Editor, options: tuple[str, ...]) -> None:
    for path in fitting(root, *packages.OPKG) if options else ():
        before = (editor.read(path) or b"").decode("utf-8", "surrogateescape")
        kept = [line for line in before.splitlines(keepends=True) if not _sets(line, options)]
        if len(kept) < len(before.splitlines()):
            editor.write(path, "".join(kept).encode("utf-8", "surrogateescape"))


def _sets(line: str, options: tuple[str, ...]) -> bool:
    words = line.split()
    return len(words) > 1 and words[0] == "option" and words[1] in options


def _unblind_sources(root: Root, editor: Editor) -> None:
    for path in fitting(root, *apt.SOURCE_LISTS, *apt.SOURCE_STANZAS):
        before = (editor.read(path) or b"").decode("utf-8", "surrogateescape")
        after = "".join(map(_unblind, before.splitlines(keepends=True)))
        if after != before:
            editor.write(path, after.encode("utf-8", "surrogateescape"))


def _unblind(line: str) -> str:
    """A line without the options that let anything in; brackets that are empty then go as well."""
    name, sign, value = line.partition(":")
    if sign and name.strip().lower() in apt.BLIND and truthy(value):
        return f"{name}: no\n"
    if not line.lstrip().startswith("deb"):
        return line
    return re.sub(r"\[\s{0,8}\]\s{0,8}", "", _BLIND_OPTION.sub("", line, count=8), count=1)
