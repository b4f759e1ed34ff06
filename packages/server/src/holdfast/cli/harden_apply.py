"""Making a change set on a tree, checking it, and taking it back.

1. Everything is checked before anything is touched: the catalogue it was planned with, every path as it was, nothing
   that the essential function visibly needs.
2. A journal beside the change set is there from before the first touch until all is well or all is undone. Where it is
   found, a run was killed in the middle: only ``--undo`` goes on from there.
3. On a running system the essential function is asked before, and after every step; a step that stops it is undone.
4. Afterwards the tree is audited again: every control of a step must pass, on a running system at least by what its
   files say, and none that passed may do worse. Otherwise everything is undone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from holdfast.cli.session import Exit, Session
from holdfast_core.baseline.essential import danger
from holdfast_core.baseline.hardening import MAX_SET_BYTES, ChangeSet, Step, parse
from holdfast_core.baseline.model import ControlId, Finding, Findings, Outcome
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.wire.frame import Health
from holdfast_probe import changing
from holdfast_probe.chains import Standing
from holdfast_probe.changing import ChangeRefused

JOURNAL_SUFFIX = ".journal"
_JOURNAL_BYTES = 16 * 1024
_WORSE = frozenset({Outcome.FAIL, Outcome.UNKNOWN})


class Journal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is written down before the first touch: which change set, and on which tree."""

    changes: Digest
    tree: str


class Dropped(msgspec.Struct, frozen=True):
    """A step that was not made, or undone at once, and why."""

    control: ControlId
    why: str


class Made(msgspec.Struct, frozen=True):
    """How a change set was carried out."""

    steps: tuple[ControlId, ...]
    dropped: tuple[Dropped, ...]
    later: tuple[ControlId, ...]
    """Those of `steps` that are met once everything that runs was started anew."""
    asked_health: bool
    """Whether the essential function was asked before and after every step."""


Look = Callable[[], Findings]
Ask = Callable[[], Health | None]
Settle = Callable[[frozenset[ControlId]], set[ControlId]]


def applied(session: Session, tree: Path, file: Path) -> Exit:
    """Make the change set in `file` on `tree`, and say how it went."""
    from holdfast.cli.files import read_bounded  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.harden import look, opened  # noqa: PLC0415
    from holdfast.cli.harden_text import show_made  # noqa: PLC0415
    from holdfast_probe.catalogue import shipped_catalogue  # noqa: PLC0415

    _require_folder(tree)
    data = read_bounded(file, MAX_SET_BYTES)
    changes = parse(data)
    catalogue = shipped_catalogue()
    if changes.plan.catalogue != catalogue.digest:
        raise HostileData(
            "harden.other_catalogue",
            "The change set was planned with the controls of another version of Holdfast.",
            remedy="Plan it anew with this version: holdfast harden TREE --model FILE -o FILE.",
        )

    def again() -> Findings:
        with opened(tree) as root:
            return look(root, changes.plan, catalogue)

    with _journalled(file, digest_of(data), tree):
        made = carry_out(tree, changes, look=again, ask=_asking(tree, changes), settle=_settling(tree, changes))
    show_made(session, made, str(file), str(tree))
    return Exit.FINDINGS if made.dropped else Exit.FINE


def undone(session: Session, tree: Path, file: Path) -> Exit:
    """Take the change set in `file` back from `tree`, and say what was left alone."""
    from holdfast.cli.files import read_bounded  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.harden_text import show_undone  # noqa: PLC0415

    _require_folder(tree)
    data = read_bounded(file, MAX_SET_BYTES)
    changes = parse(data)
    journal = _journal_of(file)
    if journal is not None and journal != Journal(digest_of(data), _named(tree)):
        raise WorldError(
            "harden.other_journal",
            f"{file}{JOURNAL_SUFFIX} is of another change set or of {journal.tree}.",
            remedy="Undo the change set as it was when it was applied, on the tree it was applied to.",
        )
    left = changing.undo(tree, changes.changes)
    _close(file)
    show_undone(session, left, str(tree))
    return Exit.FINDINGS if left else Exit.FINE


def carry_out(tree: Path, changes: ChangeSet, *, look: Look, ask: Ask, settle: Settle) -> Made:
    """Make `changes` on `tree` (rules 1, 3 and 4).

    Args:
        tree: the folder that stands for ``/``.
        changes: what to make.
        look: audits the tree by the change set's plan.
        ask: whether the essential function goes on; `None` where nobody can say.
        settle: which of these controls the files meet, whatever runs.

    Raises:
        WorldError: ``harden.changed_meanwhile``, ``harden.already``, ``harden.essential``,
            ``harden.unwell``, ``harden.not_met``: nothing of the change set is in force then.
    """
    require_as_planned(tree, changes)
    well = ask()
    if well is not None and not well.ok:
        raise WorldError(
            "harden.unwell",
            f"The essential function does not work now, so nobody could tell whether hardening stops it. {well.detail}",
            remedy="See to the device first, then apply the change set.",
        )
    before = look()
    made: list[Step] = []
    dropped: list[Dropped] = []
    try:
        for step in changes.steps:
            if why := _made(tree, step, ask if well is not None else None):
                dropped.append(Dropped(step.control, why))
            else:
                made.append(step)
        after = look()
        met = {each.control for each in after.findings if each.outcome is Outcome.PASS}
        later = settle(frozenset(step.control for step in made) - met)
        faults = worse(before, after, frozenset(step.control for step in made) - later)
    except BaseException:
        changing.undo(tree, changes.changes)
        raise
    if faults:
        left = changing.undo(tree, changes.changes)
        raise _not_met(faults, left)
    return Made(tuple(step.control for step in made), tuple(dropped), tuple(sorted(later)), well is not None)


def require_as_planned(tree: Path, changes: ChangeSet) -> None:
    """Refuse a change set that touches what must not be touched, or whose paths are not as they were."""
    for change in changes.changes:
        if reason := danger(change, changes.plan):
            raise WorldError(
                "harden.essential",
                f"{change.path} must stay as it is: {reason}.",
                remedy="Take that step out of the change set, or plan it anew.",
            )
    stands = changing.standings(tree, changes.changes)
    found = {each for _, each in stands}
    if found == {Standing.AFTER}:
        raise WorldError(
            "harden.already",
            "The change set is already applied: all of it is in force.",
            remedy="Undo it with --undo, or leave it.",
        )
    if Standing.OTHER in found:
        raise WorldError(
            "harden.changed_meanwhile",
            f"Not as it was planned from: {_some(stands, {Standing.OTHER})}. Nothing was touched.",
            remedy="Plan the change set anew on the tree as it is now.",
        )
    if found - {Standing.BEFORE}:
        raise WorldError(
            "harden.changed_meanwhile",
            f"Not as it was planned from, but as the change set leaves it: {_some(stands, found - {Standing.BEFORE})}. "
            "Part of it is already applied, or somebody did the same. Nothing was touched.",
            remedy="Take it back with --undo and apply it again, or plan anew on the tree as it is now.",
        )


def _some(stands: Sequence[tuple[str, Standing]], which: set[Standing]) -> str:
    """The first few of the paths that stand so."""
    paths = sorted({path for path, each in stands if each in which})
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if paths[3:] else "")


def _made(tree: Path, step: Step, ask: Ask | None) -> str:
    """Make one step; why it was undone, or nothing when it stays."""
    try:
        changing.apply(tree, step.changes)
    except ChangeRefused as error:
        why = error.sentence
    else:
        health = ask() if ask is not None else None
        if health is None or health.ok:
            return ""
        why = f"The essential function stopped: {health.detail}"
    left = changing.undo(tree, step.changes)
    return f"{why} The step was undone." + (f" Left alone: {', '.join(left)}." if left else "")


def worse(before: Findings, after: Findings, made: frozenset[ControlId]) -> list[Finding]:
    """What speaks against keeping the changes: a control of a step that does not pass, or one that passed before."""
    passed = {each.control for each in before.findings if each.outcome is Outcome.PASS}
    return [
        each
        for each in after.findings
        if (each.control in made and each.outcome is not Outcome.PASS)
        or (each.control in passed and each.outcome in _WORSE)
    ]


def _not_met(faults: list[Finding], left: tuple[str, ...]) -> WorldError:
    told = "; ".join(f"{each.control} {each.outcome.value}: {(*each.proof, each.reason)[0]}" for each in faults[:3])
    kept = f" Left alone, since somebody changed them meanwhile: {', '.join(left)}." if left else ""
    return WorldError(
        "harden.not_met",
        f"After the changes it was worse or not yet good, so all of them were undone ({told}).{kept}",
        remedy="Leave the named control out (plan with --control), or meet it by hand.",
    )


def _settling(tree: Path, changes: ChangeSet) -> Settle:
    """How controls are settled by files: on the running system only, for a folder has been judged by them already."""
    if tree.resolve() != Path("/"):
        return lambda _: set()
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast_probe.catalogue import shipped_catalogue  # noqa: PLC0415
    from holdfast_probe.settling import settled  # noqa: PLC0415

    known, now = shipped_catalogue().controls, SystemClock().now()
    return lambda names: settled(tree, [each for each in known if each.id in names], changes.plan, now=now)


def _asking(tree: Path, changes: ChangeSet) -> Ask:
    """How the essential function is asked: on the running system only, for a folder runs nothing."""
    if tree.resolve() != Path("/"):
        return lambda: None
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast_probe.health import health  # noqa: PLC0415

    clock = SystemClock()
    return lambda: health(changes.plan.health, root=tree, proc=Path("/proc"), wall_s=clock.now() / 1000)


def _require_folder(tree: Path) -> None:
    if not tree.is_dir():
        raise WorldError(
            "harden.no_folder",
            f"{tree} is no folder; an image is planned for, but never changed.",
            remedy="Put the changes into the image's build, or unpack it and apply them to the folder.",
        )


# The journal


@contextmanager
def _journalled(file: Path, digest: Digest, tree: Path) -> Iterator[None]:
    """Keep a journal beside `file` while the block runs; a kill leaves it there."""
    path = _journal_path(file)
    data = msgspec.json.encode(Journal(digest, _named(tree)))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise WorldError(
            "harden.interrupted",
            f"There is a journal, {path}: a run is under way, or was killed in the middle.",
            remedy=f"If none is under way: holdfast harden --undo {file} {tree}",
        ) from error
    with os.fdopen(descriptor, "wb") as journal:
        journal.write(data)
        journal.flush()
        os.fsync(journal.fileno())
    _sync(path.parent)
    try:
        yield
    finally:
        _close(file)


def _journal_of(file: Path) -> Journal | None:
    from holdfast.cli.files import read_bounded  # noqa: PLC0415  (rule 3 of the package)

    path = _journal_path(file)
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(read_bounded(path, _JOURNAL_BYTES), type=Journal)
    except msgspec.MsgspecError:
        return None  # killed while it was written: before the first touch


def _close(file: Path) -> None:
    _journal_path(file).unlink(missing_ok=True)
    _sync(_journal_path(file).parent)


def _journal_path(file: Path) -> Path:
    return file.with_name(file.name + JOURNAL_SUFFIX)


def _named(tree: Path) -> str:
    return str(tree.resolve())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
