"""The audit: typed probes in, findings out.

1. Every control that is asked gets exactly one finding, in control order, whatever the tree does.
2. What cannot be read is `unknown` with its reason, never `pass`, and never an exception of the audit.
3. All probes that walk share one walk; a cheap audit does not walk at all.
4. The catalogue is not known here: the caller pairs control ids with probes.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from holdfast_core.baseline.model import BuildManifest, ControlId, Findings, Plan
from holdfast_core.baseline.probes import (
    Absent,
    Accounts,
    Autostart,
    Cmdline,
    CoreFiles,
    Elf,
    Every,
    FileMode,
    KernelConfig,
    Listening,
    Manifest,
    Mount,
    Present,
    PrivateKeys,
    ProbeSpec,
    RootFsDriver,
    Service,
    Setting,
    Setuid,
    Simple,
    Sysctl,
    Unowned,
    Words,
    WorldWritable,
    WritableList,
    judge_manifest,
)
from holdfast_core.kernel.digests import canonical, digest_of
from holdfast_core.kernel.errors import Bug, HoldfastError
from holdfast_core.kernel.limits import LIMITS
from holdfast_probe.accounts import see_accounts
from holdfast_probe.budget import Budget
from holdfast_probe.files import see_absent, see_file_mode, see_present, see_words
from holdfast_probe.kernel import see_cmdline, see_kernel_config, see_root_fs_driver, see_sysctl
from holdfast_probe.mounts import local_devices, see_mount
from holdfast_probe.passwords import Purse
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.services import see_autostart, see_service
from holdfast_probe.settings import see_setting
from holdfast_probe.sight import Sight, combined, unknown
from holdfast_probe.sockets import see_listening
from holdfast_probe.tree import (
    ElfFactsHunt,
    Hunt,
    KeyHunt,
    LeftoverHunt,
    SetuidHunt,
    UnownedHunt,
    WorldWritableHunt,
    WritableHunt,
)  # fmt: skip
from holdfast_probe.walk import Walk, Walked

Progress = Callable[[str, int], None]
"""Told a stage (``controls``, ``files``) and how many of it are done."""

_Part = tuple[ControlId, int]
"""One probe of a control: the only one, or one of an `Every`."""

_SKIPPED_LIVE = frozenset({"proc", "sys", "dev", "run"})
_WALKING = (WorldWritable, Unowned, Setuid, WritableList, PrivateKeys, Elf, CoreFiles)
_TROUBLE = (HoldfastError, OSError, ValueError, LookupError, ArithmeticError, RecursionError, struct.error, re.error)
"""What reading a hostile or broken tree can raise, even past a parser's own care; anything else is a bug of ours."""


def audit(
    root: Root,
    controls: Sequence[tuple[ControlId, ProbeSpec]],
    plan: Plan,
    *,
    clock: Callable[[], float] = time.monotonic,
    budget: Budget = Budget(),  # noqa: B008  (frozen)
    manifest: BuildManifest | None = None,
    progress: Progress | None = None,
) -> Findings:
    """Run the probes of `controls` on `root`.

    Args:
        root: the tree to look at.
        controls: what to ask; each control once.
        plan: the lists that some probes compare with; its digest names it in the result.
        clock: rising seconds, for the budget of the walk; the result carries no time.
        budget: what the audit may spend.
        manifest: what the build says of itself, for `Manifest` probes.
        progress: told how far it is, now and then.

    Raises:
        Bug: ``audit.controls`` when a control is asked twice, or more than `LIMITS.findings` are asked.
    """
    if len({control for control, _ in controls}) != len(controls) or len(controls) > LIMITS.findings:
        raise Bug("audit.controls", "A control was asked twice, or too many were.", remedy="Report this.")
    parts: dict[_Part, Simple] = {}
    for control, spec in sorted(controls, key=lambda pair: pair[0]):
        for number, part in enumerate(spec.of if isinstance(spec, Every) else (spec,)):
            parts[control, number] = part
    sights = _see_simple(root, parts, plan, Purse(budget.guess_cost), manifest=manifest, progress=progress)
    walking = {part: spec for part, spec in parts.items() if isinstance(spec, _WALKING)}
    if walking:
        sights.update(_walk(root, walking, plan, budget=budget, clock=clock, progress=progress))
    together: dict[ControlId, list[Sight]] = {}
    for control, number in parts:
        together.setdefault(control, []).append(sights[control, number])
    findings = tuple(combined(seen).finding(control) for control, seen in together.items())
    return Findings(plan=digest_of(canonical(plan)), findings=findings)


def _see_simple(
    root: Root,
    parts: Mapping[_Part, Simple],
    plan: Plan,
    purse: Purse,
    *,
    manifest: BuildManifest | None,
    progress: Progress | None,
) -> dict[_Part, Sight]:
    """The results of the probes that need no walk."""
    sights: dict[_Part, Sight] = {}
    for part, spec in parts.items():
        if isinstance(spec, Manifest):
            finding = judge_manifest(part[0], spec, manifest)
            sights[part] = Sight(finding.outcome, finding.proof, finding.reason)
        elif not isinstance(spec, _WALKING):
            sights[part] = _careful(partial(_look, root, plan, spec, purse))
        if progress is not None:
            progress("controls", len(sights))
    return sights


def _careful(look: Callable[[], Sight]) -> Sight:
    try:
        return look()
    except _TROUBLE as error:
        return unknown(_why(error))


def _why(error: Exception) -> str:
    return error.sentence if isinstance(error, HoldfastError) else f"Reading it failed ({type(error).__name__})."


def _look(root: Root, plan: Plan, spec: Simple, purse: Purse) -> Sight:  # noqa: C901, PLR0911, PLR0912  (one a kind)
    """Judge one probe that needs no walk."""
    match spec:
        case Absent():
            return see_absent(root, spec)
        case Present():
            return see_present(root, spec)
        case Words():
            return see_words(root, spec)
        case FileMode():
            return see_file_mode(root, spec)
        case Accounts():
            return see_accounts(root, plan, spec, purse)
        case Service():
            return see_service(root, spec)
        case Autostart():
            return see_autostart(root, plan, spec)
        case Listening():
            return see_listening(root, plan, spec)
        case Setting():
            return see_setting(root, spec)
        case Sysctl():
            return see_sysctl(root, spec)
        case KernelConfig():
            return see_kernel_config(root, spec)
        case Cmdline():
            return see_cmdline(root, spec)
        case Mount():
            return see_mount(root, spec)
        case RootFsDriver():
            return see_root_fs_driver(root, plan, spec)
        case _:
            raise Bug("audit.kind", f"{type(spec).__name__} is no probe of its own.", remedy="Report this.")


def _walk(
    root: Root,
    walking: Mapping[_Part, Simple],
    plan: Plan,
    *,
    budget: Budget,
    clock: Callable[[], float],
    progress: Progress | None,
) -> dict[_Part, Sight]:
    """The results of the probes that walk."""
    known, gap = _known_owners(root)
    sights: dict[_Part, Sight] = {}
    hunts: dict[_Part, Hunt] = {}
    for part, spec in walking.items():
        if gap and isinstance(spec, Unowned):
            sights[part] = unknown(gap)
            continue
        try:
            hunts[part] = _hunt(root, spec, plan, budget)
        except _TROUBLE as error:
            sights[part] = unknown(_why(error))
    walk = Walk(
        root,
        tuple(hunts.values()),
        budget=budget,
        clock=clock,
        known=known,
        skip=_SKIPPED_LIVE if root.live else frozenset(),
        devices=local_devices(root),
        progress=None if progress is None else partial(progress, "files"),
    )
    try:
        walked = walk.run()
    except _TROUBLE as error:
        walked = Walked(0, _why(error), 0)
    sights.update((part, hunt.result(walked)) for part, hunt in hunts.items())
    return sights


def _hunt(root: Root, spec: Simple, plan: Plan, budget: Budget) -> Hunt:  # noqa: PLR0911  (one a kind)
    match spec:
        case WorldWritable():
            return WorldWritableHunt()
        case Unowned():
            return UnownedHunt(root)
        case Setuid():
            return SetuidHunt(root, plan)
        case WritableList():
            return WritableHunt(root, plan)
        case PrivateKeys():
            return KeyHunt(spec, file_bytes=budget.live_file_bytes if root.live else budget.folder_file_bytes)
        case Elf():
            return ElfFactsHunt(root, spec)
        case _:
            return LeftoverHunt()


def _known_owners(root: Root) -> tuple[tuple[frozenset[int], frozenset[int]] | None, str]:
    """The uids and gids that have a name, and why they are not known (empty: they are)."""
    try:
        return (_ids(root, "/etc/passwd"), _ids(root, "/etc/group")), ""
    except (Missing, Unreadable) as error:
        return None, error.sentence


def _ids(root: Root, path: str) -> frozenset[int]:
    ids = set()
    for line in root.read(path).decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        with suppress(ValueError, IndexError):
            ids.add(int(fields[2]))
    return frozenset(ids)
