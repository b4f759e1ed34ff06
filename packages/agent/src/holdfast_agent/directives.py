"""Carrying out directives: each ends done or refused, with a code and a sentence; none is dropped in silence.

1. What is not known is refused, so that the server learns it; it never becomes an error of the check-in.
2. ``harden`` carries out only fixes that the catalogue calls automatic: they take permission bits away, no more.
   What exactly is changed is worked out here, on the device, inside its root.
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from holdfast_agent import modes
from holdfast_agent.audit import root_of
from holdfast_agent.state import Config
from holdfast_core.baseline.model import ControlId, Plan
from holdfast_core.kernel.errors import HoldfastError, WorldError
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.changes import ModeChange
from holdfast_core.wire.confirm import MAX_CHANGES, MAX_CONFIRM_S, MIN_CONFIRM_S
from holdfast_core.wire.frame import DirectiveReport, DirectiveState
from holdfast_core.wire.orders import Order

if TYPE_CHECKING:
    from holdfast_core.baseline.control import Control
    from holdfast_core.baseline.probes import FileMode

_OTHERS_WRITE = 0o002
_ALL_BITS = 0o7777


class HardenArgs(msgspec.Struct, frozen=True):
    """The arguments of ``harden``: which control to put right, and how long a healthy check-in may take."""

    control: ControlId
    confirm_s: Annotated[int, msgspec.Meta(ge=MIN_CONFIRM_S, le=MAX_CONFIRM_S)] = 300


def done(order: Order, sentence: str = "") -> DirectiveReport:
    """The report of a directive that was carried out."""
    return DirectiveReport(order.id, DirectiveState.DONE, "", sentence[: LIMITS.text])


def refused(order: Order, code: str, sentence: str) -> DirectiveReport:
    """The report of a directive that was not."""
    return DirectiveReport(order.id, DirectiveState.REFUSED, code, sentence[: LIMITS.text])


def unsupported(order: Order) -> DirectiveReport:
    """The refusal of a directive this agent cannot carry out."""
    if order.kind == "network-profile":
        return refused(
            order,
            "agent.no_enforcer",
            "Nothing on this device can enforce a network profile; it has to be enforced around the device.",
        )
    return refused(order, "directive.unknown", f"This agent does not know how to {order.kind[:40]!r}.")


def read_plan(order: Order) -> Plan | DirectiveReport:
    """The plan in a ``plan`` directive, or why it is refused."""
    try:
        plan = msgspec.json.decode(order.args, type=Plan)
    except (msgspec.MsgspecError, RecursionError) as error:
        return refused(order, "directive.malformed", f"The plan could not be read: {error}.")
    if plan.probes and (fault := _unreadable_probe(plan)):
        return refused(order, "directive.malformed", fault)
    if len(set(plan.controls)) != len(plan.controls) or len(plan.controls) > LIMITS.findings:
        return refused(order, "directive.malformed", "The plan asks a control twice, or asks too many.")
    if "\0" in plan.health.path or "\0" in plan.health.process:
        return refused(order, "directive.malformed", "The plan's health probe names what no file can be called.")
    if max(len(plan.setuid), len(plan.writable)) > LIMITS.model_items:
        return refused(order, "directive.malformed", "The plan expects more paths than a model can list.")
    return plan


def _unreadable_probe(plan: Plan) -> str:
    """What is wrong with the probes that came with a plan; empty where they can be looked at."""
    from holdfast_core.baseline.probes import MAX_PARTS, ProbeSpec, parts  # noqa: PLC0415  (only such a plan pays)

    for name, raw in plan.probes.items():
        try:
            count = sum(1 for _ in parts(msgspec.json.decode(raw, type=ProbeSpec)))
        except (msgspec.MsgspecError, HoldfastError, ValueError, RecursionError) as error:
            return f"The probe of {name} could not be read: {error}."
        if count > MAX_PARTS:
            return f"The probe of {name} combines {count} probes, more than {MAX_PARTS}."
    return ""


def read_harden(order: Order) -> HardenArgs | DirectiveReport:
    """The arguments of a ``harden`` directive, or why it is refused."""
    try:
        return msgspec.json.decode(order.args, type=HardenArgs)
    except (msgspec.MsgspecError, RecursionError) as error:
        return refused(order, "directive.malformed", f"The arguments could not be read: {error}.")


def hardening(order: Order, args: HardenArgs, plan: Plan | None, config: Config) -> list[ModeChange] | DirectiveReport:
    """What to change to meet the control, or the report when nothing is to be or can be changed."""
    if plan is None or plan.health.kind not in {"tcp", "file-fresh", "process"}:
        return refused(
            order,
            "harden.no_probe",
            "The device cannot tell whether its essential function goes on, so a change could not be confirmed.",
        )
    from holdfast_core.baseline.control import Fix  # noqa: PLC0415  (only a change pays for it)
    from holdfast_probe.catalogue import shipped_catalogue  # noqa: PLC0415  (only a change pays for it)

    control = next((entry for entry in shipped_catalogue().controls if entry.id == args.control), None)
    if control is None or control.remedy.fix is not Fix.AUTOMATIC:
        return refused(
            order, "harden.not_automatic", f"There is no automatic fix for {args.control}; its guide says what to do."
        )
    try:
        changes = _changes(control, config)
    except WorldError as error:
        return refused(order, error.code, error.sentence)
    if len(changes) > MAX_CHANGES:
        return refused(
            order, "harden.too_many", f"More than {MAX_CHANGES} paths would change; that needs a person's eye."
        )
    return changes or done(order, "Nothing had to be changed.")


def _changes(control: Control, config: Config) -> list[ModeChange]:
    from holdfast_core.baseline.probes import FileMode, WorldWritable  # noqa: PLC0415  (only a change pays for it)

    if isinstance(control.probe, FileMode):
        return _too_open(control.probe, config)
    if isinstance(control.probe, WorldWritable):
        return _writable_by_all(config)
    raise WorldError(
        "harden.not_automatic",
        f"This agent does not know the automatic fix of {control.id}.",
        remedy="Update the agent, or follow the control's guide.",
    )


def _too_open(probe: FileMode, config: Config) -> list[ModeChange]:
    root = root_of(config)
    paths = {path for pattern in probe.paths for path in root.glob(pattern)}
    take = _ALL_BITS & ~probe.max_mode
    planned = (modes.planned(Path(config.root), path, take=take) for path in sorted(paths))
    return [change for change in planned if change is not None]


def _writable_by_all(config: Config) -> list[ModeChange]:
    """What everyone can write: files lose the bit, directories too, since the control passes the sticky ones."""
    from holdfast_probe.boot.mounts import local_devices  # noqa: PLC0415  (only a change pays for it)
    from holdfast_probe.budget import Budget  # noqa: PLC0415  (only a change pays for it)
    from holdfast_probe.walk import Collector, Walk, Wants  # noqa: PLC0415  (only a change pays for it)

    class Gather(Collector):
        """The same files and directories that the control's probe counts."""

        wants = Wants(mode_bits=_OTHERS_WRITE)

        def __init__(self) -> None:
            self.paths: list[str] = []

        def seen(self, path: str, status: os.stat_result) -> None:
            mode = status.st_mode
            counts = stat.S_ISREG(mode) or (stat.S_ISDIR(mode) and not mode & stat.S_ISVTX)
            if counts and len(self.paths) <= MAX_CHANGES:  # one more than may be changed shows that it is too many
                self.paths.append(path)

    root = root_of(config)
    gather = Gather()
    skip = frozenset({"proc", "sys", "dev", "run"}) if root.live else frozenset[str]()
    devices = local_devices(root)
    walk = Walk(root, (gather,), budget=Budget(), clock=time.monotonic, skip=skip, devices=devices)
    walk.run()
    planned = (modes.planned(Path(config.root), path, take=_OTHERS_WRITE) for path in gather.paths)
    return [change for change in planned if change is not None]
