"""Carrying out directives: each ends done or refused, with a code and a sentence; none is dropped in silence.

1. What is not known is refused, so that the server learns it; it never becomes an error of the check-in.
2. What ``harden`` changes is worked out on the device (`hardening`); here its arguments are read.
"""

from __future__ import annotations

import msgspec

from holdfast_agent.hardening import HardenArgs
from holdfast_core.baseline.model import Plan
from holdfast_core.inventory.erasure import EraseArgs, is_erasable
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.frame import DirectiveReport, DirectiveState
from holdfast_core.wire.orders import Order


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
    if len(set(plan.controls)) != len(plan.controls) or len(plan.controls) > LIMITS.findings:
        return refused(order, "directive.malformed", "The plan asks a control twice, or asks too many.")
    if "\0" in plan.health.path or "\0" in plan.health.process:
        return refused(order, "directive.malformed", "The plan's health probe names what no file can be called.")
    if max(len(plan.setuid), len(plan.writable)) > LIMITS.model_items:
        return refused(order, "directive.malformed", "The plan expects more paths than a model can list.")
    return plan


def read_harden(order: Order) -> HardenArgs | DirectiveReport:
    """The arguments of a ``harden`` directive, or why it is refused."""
    try:
        return msgspec.json.decode(order.args, type=HardenArgs)
    except (msgspec.MsgspecError, RecursionError) as error:
        return refused(order, "directive.malformed", f"The arguments could not be read: {error}.")


def read_erase(order: Order) -> EraseArgs | DirectiveReport:
    """The arguments of an ``erase`` directive, or why it is refused. What a device starts from is never erased."""
    try:
        args = msgspec.json.decode(order.args, type=EraseArgs)
    except (msgspec.MsgspecError, RecursionError) as error:
        return refused(order, "directive.malformed", f"The arguments could not be read: {error}.")
    for path in args.paths:
        if not is_erasable(path):
            return refused(order, "erase.forbidden_place", f"{path} is no place that may be erased.")
    return args
