"""What the agent, or a token, says of the hardware: tamper switches, debug ports, lifecycle, parts.

1. A model says what it demands; what it does not speak of is only shown.
2. A part that is not expected, or an expected one that is missing, is a finding: somebody plugged something in or out.
3. What could not be seen is no finding and no proof: a model that demands it gets a warning.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast_core.attestation.model import (
    APPROVED_CONFIG,
    CONTRAINDICATED_HARDWARE,
    GENUINE_HARDWARE,
    UNKNOWN_CONFIG,
    UNSAFE_CONFIG,
    UNSAFE_HARDWARE,
    UNSUPPORTABLE_CONFIG,
    Expected,
    Policy,
)
from holdfast_core.kernel.printable import printable
from holdfast_core.kernel.reasons import Reason
from holdfast_core.wire.attestation import Claims, Component, Debug

NAMED = 4
"""So many parts are named in one sentence."""


class HardwareReading(msgspec.Struct, frozen=True):
    """The claims of AR4SI's vector that follow, 0 where nothing was demanded, and why."""

    configuration: int = 0
    hardware: int = 0
    reasons: tuple[Reason, ...] = ()


def read_hardware(claims: Claims, policy: Policy, *, lifecycle: str = "") -> HardwareReading:
    """What `claims` come to; `lifecycle` is a token's own word, which counts more than the agent's."""
    hardware = [*_tampers(claims, policy), *_parts(claims, policy)]
    configuration = [*_debug(claims, policy), *_lifecycle(lifecycle or claims.lifecycle, policy)]
    reasons = tuple(reason for _, reason in (*hardware, *configuration) if reason is not None)
    return HardwareReading(_worst(configuration), _worst(hardware), reasons)


_Found = tuple[int, Reason | None]


def _worst(found: Sequence[_Found]) -> int:
    return max((value for value, _ in found), default=0)


def _tampers(claims: Claims, policy: Policy) -> list[_Found]:
    if not policy.tamper_proof:
        return []
    if not claims.tampers:
        return [(UNSAFE_HARDWARE, _unseen("tamper switches", "tamper"))]
    opened = [tamper.name for tamper in claims.tampers if tamper.open or tamper.opened]
    if not opened:
        return [(GENUINE_HARDWARE, None)]
    reason = Reason(
        "attestation.tamper",
        f"The device's case was opened: {_named(opened)}.",
        "Look at the device itself. Once it was looked at, let its maker's tool clear the switch, or retire it.",
    )
    return [(CONTRAINDICATED_HARDWARE, reason)]


def _debug(claims: Claims, policy: Policy) -> list[_Found]:
    if not policy.debug_off:
        return []
    if not claims.debug_ports:
        return [(UNKNOWN_CONFIG, _unseen("debug ports", "debug"))]
    enabled = [port.name for port in claims.debug_ports if port.state is Debug.ENABLED]
    if not enabled:
        return [(APPROVED_CONFIG, None)]
    reason = Reason(
        "attestation.debug_enabled",
        f"A debug port is open: {_named(enabled)}.",
        "Close it as the maker says (fuses, option bytes); until then whoever has the device can read its memory.",
    )
    return [(UNSAFE_CONFIG, reason)]


def _lifecycle(state: str, policy: Policy) -> list[_Found]:
    if not policy.lifecycle:
        return []
    if not state:
        return [(UNKNOWN_CONFIG, _unseen("lifecycle", "lifecycle"))]
    if state in policy.lifecycle:
        return [(APPROVED_CONFIG, None)]
    reason = Reason(
        "attestation.lifecycle",
        f"The device's security lifecycle is {state!r}; good are only {', '.join(policy.lifecycle)}.",
        "A device in the field must be secured: find out who put it into this state.",
    )
    return [(UNSUPPORTABLE_CONFIG, reason)]


def _parts(claims: Claims, policy: Policy) -> list[_Found]:
    if policy.components is None:
        return []
    if claims.components is None:
        return [(UNSAFE_HARDWARE, _unseen("hardware parts", "parts"))]
    here = {_part(component) for component in claims.components}
    expected = set(policy.components)
    found: list[_Found] = [(GENUINE_HARDWARE, None)]
    if unexpected := sorted(here - expected):
        found.append((UNSAFE_HARDWARE, _finding("unexpected", "is there that its model does not name", unexpected)))
    if missing := sorted(expected - here):
        found.append((UNSAFE_HARDWARE, _finding("missing", "is missing that its model names", missing)))
    return found


def _part(component: Component) -> Expected:
    return Expected(component.place, component.identity)


def _finding(code: str, what: str, parts: Sequence[Expected]) -> Reason:
    named = _named([f"{part.identity} at {part.place}" for part in parts])
    return Reason(
        f"attestation.hardware_{code}",
        f"Hardware {what}: {named}.",
        "Look at the device itself, or name the part in its model file (attestation.components).",
    )


def _unseen(what: str, code: str) -> Reason:
    return Reason(
        f"attestation.{code}_unseen",
        f"Its model demands to know the {what}, and the device does not tell.",
        "Let the maker's code write the agent's claims file (docs/how-to/run-the-agent.md).",
    )


def _named(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(map(printable, names[:NAMED])) + (f" and {more} more" if more > 0 else "")
