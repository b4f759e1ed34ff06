"""The look of ``holdfast audit``: from a target and what was given with it to the document that every format shows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.adapters.system import SystemClock
from holdfast.cli.audit_files import Given, read_manifest
from holdfast.cli.audit_target import Opened, opened
from holdfast.cli.minimal import without_lists
from holdfast_core.baseline.control import Catalogue
from holdfast_core.baseline.document import Document, Target, document
from holdfast_core.baseline.model import BuildManifest, Finding, Findings, Outcome, Plan
from holdfast_core.baseline.questions import answers_in
from holdfast_core.baseline.rules import judge_for
from holdfast_core.baseline.tailoring import compile_plan, tailor
from holdfast_core.inventory.model import DeviceClass
from holdfast_core.kernel.digests import canonical, digest_of
from holdfast_core.kernel.instants import Instant
from holdfast_probe.audit import audit
from holdfast_probe.roots import Root


def examine(path: Path, given: Given) -> Document:
    """Look at what is at `path`, judge it as the device that is `given`, and put together what came of it.

    Raises:
        WorldError: ``image.missing``, ``image.unreadable``, ``audit.not_a_manifest``.
        HostileData: of the files that are given (`Given`).
    """
    now, catalogue, model = SystemClock().now(), given.catalogue(), given.model()
    earlier, waivers, records = given.earlier(), given.waivers(), given.inspections(now)
    baseline = tailor(catalogue, model, now)
    body: Findings | BuildManifest
    if model.device_class is DeviceClass.MCU:
        body, target = read_manifest(path), Target(str(path), "manifest")
    else:
        with opened(path) as what:
            plan = compile_plan(baseline, model, catalogue)
            body, target = _look(what, catalogue, plan, given, now), what.target
        if not given.declared:
            body = without_lists(body, catalogue)
    report = judge_for(baseline, catalogue).report(body, now, records)
    return document(
        report,
        baseline,
        catalogue,
        target=target,
        now=now,
        model=f"{model.name}@{model.version}" if given.declared else None,
        answers=answers_in(report, model, now) if given.declared else (),
        waivers=waivers,
        earlier=earlier,
    )


def _look(what: Opened, catalogue: Catalogue, plan: Plan, given: Given, now: Instant) -> Findings:
    if what.root is None:
        blind = (Finding(name, Outcome.UNKNOWN, reason=_NO_LOOK) for name in plan.controls)
        return Findings(digest_of(canonical(plan)), tuple(blind))
    probes = {control.id: control.probe for control in catalogue.controls}
    asked = [(name, probe) for name in plan.controls if (probe := probes[name]) is not None]
    root: Root = what.root
    with _progress() as advance:
        return audit(
            root,
            asked,
            plan,
            manifest=given.manifest(),
            now=now,
            progress=lambda stage, done: advance(done) if stage == "files" else None,
        )


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """A bar for whoever watches; where nobody does, as on a build machine, what draws it is not loaded."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    from holdfast.cli.terminal import progress  # noqa: PLC0415  (see above)

    with progress("Auditing") as advance:
        yield advance


_NO_LOOK = "Nothing of the target could be looked at."
