"""The audit: typed probes in, findings out.

1. Every control that is asked gets exactly one finding, in control order, whatever the tree does.
2. What cannot be read is `unknown` with its reason, never `pass`, and never an exception of the audit.
3. Each simple probe is looked at once, however many controls combine it; those that walk share one walk.
4. The catalogue is not known here: the caller pairs control ids with probes.
"""

from __future__ import annotations

import re
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import msgspec

from holdfast_core.baseline.model import BuildManifest, ControlId, Findings, Plan
from holdfast_core.baseline.probes import Either, Every, If, ProbeSpec, Simple, Unowned, parts
from holdfast_core.kernel.digests import canonical, digest_of
from holdfast_core.kernel.errors import Bug, HoldfastError
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.limits import LIMITS
from holdfast_probe import boot, credentials, files, programs, services, statements
from holdfast_probe.bookmark import Mark
from holdfast_probe.budget import Budget
from holdfast_probe.case import Case, Looks
from holdfast_probe.hunt import Hunt, Hunts
from holdfast_probe.roots import Root
from holdfast_probe.sight import Sight, conditional, either, every, unknown
from holdfast_probe.walk import Walked
from holdfast_probe.whole import Sitting, known_owners, whole_walk

Progress = Callable[[str, int], None]
"""Told a stage (``controls``, ``files``) and how many of it are done."""

LOOKS: Looks = {
    **files.LOOKS,
    **boot.LOOKS,
    **services.LOOKS,
    **credentials.LOOKS,
    **programs.LOOKS,
    **statements.LOOKS,
}
"""Every probe that needs no walk, by the type of its spec."""
HUNTS: Hunts = {**files.HUNTS, **boot.HUNTS, **services.HUNTS, **credentials.HUNTS, **programs.HUNTS}
"""Every probe that walks, by the type of its spec."""

TROUBLE = (
    HoldfastError, OSError, ValueError, LookupError, ArithmeticError, RecursionError,
    struct.error, re.error, zlib.error,
)  # fmt: skip
"""What reading a hostile or broken tree can raise, even past a parser's own care; anything else is a bug of ours."""


def audit(
    root: Root,
    controls: Sequence[tuple[ControlId, ProbeSpec]],
    plan: Plan,
    *,
    clock: Callable[[], float] = time.monotonic,
    budget: Budget = Budget(),  # noqa: B008  (frozen)
    manifest: BuildManifest | None = None,
    now: Instant | None = None,
    progress: Progress | None = None,
) -> Findings:
    """Run the probes of `controls` on `root`.

    Args:
        root: the tree to look at.
        controls: what to ask; each control once.
        plan: the lists that some probes compare with; its digest names it in the result.
        clock: rising seconds, for the budget of the walk; the result carries no time.
        budget: what the audit may spend.
        manifest: what the build says of itself; without it, the manifest in the root is read.
        now: today, for certificates and branches that end; `None` where no clock can be trusted.
        progress: told how far it is, now and then.

    Raises:
        Bug: ``audit.controls`` when a control is asked twice, or more than `LIMITS.findings` are asked.
    """
    return sit(root, controls, plan, None, clock=clock, budget=budget, manifest=manifest, now=now, progress=progress)[0]


def sit(
    root: Root,
    controls: Sequence[tuple[ControlId, ProbeSpec]],
    plan: Plan,
    sitting: Sitting | None,
    *,
    clock: Callable[[], float] = time.monotonic,
    budget: Budget = Budget(),  # noqa: B008  (frozen)
    manifest: BuildManifest | None = None,
    now: Instant | None = None,
    progress: Progress | None = None,
) -> tuple[Findings, Mark | None]:
    """As `audit`, but in sittings: its walk may be put down, and then the mark says where.

    A control that the walk has not decided is `unknown` until the walk has ended.
    """
    asked = sorted(controls, key=lambda pair: pair[0])
    if len({control for control, _ in asked}) != len(asked) or len(asked) > LIMITS.findings:
        raise Bug("audit.controls", "A control was asked twice, or too many were.", remedy="Report this.")
    simple = dict.fromkeys(part for _, spec in asked for part in parts(spec))
    case = Case(root, plan, budget=budget, manifest=manifest, now=now)
    breath = sitting.breath if sitting is not None else None
    late = _lateness(clock, budget)
    sights = _look(case, (part for part in simple if type(part) not in HUNTS), progress, breath, late)
    walking = [part for part in simple if type(part) in HUNTS]
    mark = None
    if walking:
        seen, mark = _walk(case, walking, sitting, clock=clock, progress=progress)
        sights.update(seen)
    findings = tuple(_folded(spec, sights).finding(control) for control, spec in asked)
    return Findings(plan=digest_of(canonical(plan)), findings=findings), mark


def seen(case: Case, spec: ProbeSpec) -> Sight:
    """The result of a probe, or of a combination, that needs no walk."""
    return _folded(spec, _look(case, dict.fromkeys(parts(spec)), None))


def _folded(spec: ProbeSpec, sights: Mapping[Simple, Sight]) -> Sight:
    """The result of a combination, from those of its parts."""
    match spec:
        case Every(of):
            return every([_folded(part, sights) for part in of])
        case Either(of):
            return either([_folded(part, sights) for part in of])
        case If(when, then, otherwise):
            return conditional(_folded(when, sights), _folded(then, sights), otherwise)
        case _:
            return sights[spec]


def _lateness(clock: Callable[[], float], budget: Budget) -> Callable[[], str]:
    """Tells why no more may be looked at; nothing while there is time."""
    deadline = clock() + budget.seconds
    return lambda: f"The audit took longer than {budget.seconds:g} s before it came to this." * (clock() > deadline)


def _look(
    case: Case,
    specs: Iterable[Simple],
    progress: Progress | None,
    breath: Callable[[], bool] | None = None,
    late: Callable[[], str] = str,
) -> dict[Simple, Sight]:
    """The results of the probes that need no walk; between two of them there is time for a breath."""
    sights: dict[Simple, Sight] = {}
    for spec in specs:
        sights[spec] = unknown(why_not) if (why_not := late()) else _careful(partial(LOOKS[type(spec)], case, spec))
        if breath is not None:
            breath()
        if progress is not None:
            progress("controls", len(sights))
    return sights


def _careful(look: Callable[[], Sight]) -> Sight:
    try:
        return look()
    except TROUBLE as error:
        return unknown(why(error))


def why(error: Exception) -> str:
    """What a person is told of an error of `TROUBLE`."""
    return error.sentence if isinstance(error, HoldfastError) else f"Reading it failed ({type(error).__name__})."


def _walk(
    case: Case,
    walking: Sequence[Simple],
    sitting: Sitting | None,
    *,
    clock: Callable[[], float],
    progress: Progress | None,
) -> tuple[dict[Simple, Sight], Mark | None]:
    """The results of the probes that walk, and where the walk was put down."""
    root = case.root
    known, gap = known_owners(root)
    sights: dict[Simple, Sight] = {}
    hunts: dict[Simple, Hunt] = {}
    for spec in walking:
        if gap and isinstance(spec, Unowned):
            sights[spec] = unknown(gap)
            continue
        try:
            hunts[spec] = HUNTS[type(spec)](case, spec)
        except TROUBLE as error:
            sights[spec] = unknown(why(error))
    walk = whole_walk(
        case,
        tuple(hunts.values()),
        clock=clock,
        known=known,
        progress=None if progress is None else partial(progress, "files"),
        sitting=sitting,
    )
    try:
        _take_up(sitting, hunts)
        walked = walk.run()
    except TROUBLE as error:
        walked = Walked(0, why(error), 0)
    sights.update((spec, hunt.result(walked)) for spec, hunt in hunts.items())
    mark = walk.mark
    if mark is not None:
        mark = msgspec.structs.replace(mark, hunts={_named(spec): hunt.put_down() for spec, hunt in hunts.items()})
    return sights, mark


def _take_up(sitting: Sitting | None, hunts: Mapping[Simple, Hunt]) -> None:
    if sitting is not None and sitting.mark is not None:
        for spec, hunt in hunts.items():
            hunt.take_up(sitting.mark.hunts[_named(spec)])


def _named(spec: Simple) -> str:
    return digest_of(canonical(spec))
