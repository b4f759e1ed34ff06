"""A device and its life: from being noticed to being retired.

::

    unmanaged --expect--> expected --enroll--> enrolled --check-in--> active
        |                    |                   |  ^                  |  |
        |                    |                   |  +-----enroll-------+  |
        |                    |                   +----order-erasure-------+--> retiring
        |                    |                   |                        |       |
        +------retire--------+------retire-------+---------retire---------+-------+--> retired

1. Nothing enrolls that nobody expects: an unmanaged device is expected first, by a person or an import.
2. Enrolling again is allowed (a new key, a repaired board); the device is active again once it has checked in.
3. Retired is the end: a name that once held a key never gets another, so the record of it stays unambiguous.
4. A device is retiring while it is waited for that it erases itself: it may say so, and has no other right any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey, parse_device_id, parse_name
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.limits import LIMITS

Labels = tuple[tuple[str, str], ...]
"""Labels in key order, each key once."""


class Lifecycle(StrEnum):
    """Where a device is in its life."""

    UNMANAGED = "unmanaged"
    EXPECTED = "expected"
    ENROLLED = "enrolled"
    ACTIVE = "active"
    RETIRING = "retiring"
    RETIRED = "retired"

    @property
    def is_over(self) -> bool:
        """Whether the device's life here has ended, or only its erasure is waited for."""
        return self in (Lifecycle.RETIRING, Lifecycle.RETIRED)


class LifecycleEvent(StrEnum):
    """What moves a device on."""

    SET_MODEL = "set-model"
    ENROLL = "enroll"
    CHECK_IN = "check-in"
    ORDER_ERASURE = "order-erasure"
    RETIRE = "retire"


TRANSITIONS: Mapping[tuple[Lifecycle, LifecycleEvent], Lifecycle] = MappingProxyType(
    {
        (Lifecycle.UNMANAGED, LifecycleEvent.SET_MODEL): Lifecycle.EXPECTED,
        (Lifecycle.UNMANAGED, LifecycleEvent.RETIRE): Lifecycle.RETIRED,
        (Lifecycle.EXPECTED, LifecycleEvent.SET_MODEL): Lifecycle.EXPECTED,
        (Lifecycle.EXPECTED, LifecycleEvent.ENROLL): Lifecycle.ENROLLED,
        (Lifecycle.EXPECTED, LifecycleEvent.RETIRE): Lifecycle.RETIRED,
        (Lifecycle.ENROLLED, LifecycleEvent.SET_MODEL): Lifecycle.ENROLLED,
        (Lifecycle.ENROLLED, LifecycleEvent.ENROLL): Lifecycle.ENROLLED,
        (Lifecycle.ENROLLED, LifecycleEvent.CHECK_IN): Lifecycle.ACTIVE,
        (Lifecycle.ENROLLED, LifecycleEvent.ORDER_ERASURE): Lifecycle.RETIRING,
        (Lifecycle.ENROLLED, LifecycleEvent.RETIRE): Lifecycle.RETIRED,
        (Lifecycle.ACTIVE, LifecycleEvent.SET_MODEL): Lifecycle.ACTIVE,
        (Lifecycle.ACTIVE, LifecycleEvent.ENROLL): Lifecycle.ENROLLED,
        (Lifecycle.ACTIVE, LifecycleEvent.CHECK_IN): Lifecycle.ACTIVE,
        (Lifecycle.ACTIVE, LifecycleEvent.ORDER_ERASURE): Lifecycle.RETIRING,
        (Lifecycle.ACTIVE, LifecycleEvent.RETIRE): Lifecycle.RETIRED,
        (Lifecycle.RETIRING, LifecycleEvent.CHECK_IN): Lifecycle.RETIRING,
        (Lifecycle.RETIRING, LifecycleEvent.RETIRE): Lifecycle.RETIRED,
    }
)
"""Every move there is; what is not listed is refused."""

_REMEDIES: Mapping[Lifecycle, str] = MappingProxyType(
    {
        Lifecycle.UNMANAGED: "Say which model it is of first: holdfast device model DEVICE NAME@VERSION.",
        Lifecycle.EXPECTED: "Enroll the device first: create a claim and run the printed command on it.",
        Lifecycle.ENROLLED: "Let the device check in first.",
        Lifecycle.ACTIVE: "Nothing is needed: the device is active.",
        Lifecycle.RETIRING: "It is being erased; wait for it, or end it now: holdfast device retire DEVICE --now.",
        Lifecycle.RETIRED: "A retired device stays retired; add it again under another name.",
    }
)


def advance(state: Lifecycle, event: LifecycleEvent) -> Lifecycle:
    """The state after `event`.

    Raises:
        HostileData: ``lifecycle.not_allowed`` where `TRANSITIONS` has no such move.
    """
    after = TRANSITIONS.get((state, event))
    if after is None:
        raise HostileData(
            "lifecycle.not_allowed",
            f"A device that is {state.value} cannot {_VERBS[event]}.",
            remedy=_REMEDIES[state],
            http_status=409,
        )
    return after


_VERBS: Mapping[LifecycleEvent, str] = MappingProxyType(
    {
        LifecycleEvent.SET_MODEL: "be of another model",
        LifecycleEvent.ENROLL: "enroll",
        LifecycleEvent.CHECK_IN: "check in",
        LifecycleEvent.ORDER_ERASURE: "be asked to erase itself",
        LifecycleEvent.RETIRE: "be retired",
    }
)


class Device(msgspec.Struct, frozen=True, omit_defaults=True):
    """One device in the inventory, managed or not.

    Raises:
        HostileData: ``name.invalid``, ``device.model``, ``device.text`` or ``device.labels`` when built from parts that
            cannot be.
    """

    key: DeviceKey
    lifecycle: Lifecycle
    created_at: Instant
    model: str = ""
    """``name@version`` of its model file; empty when nobody knows yet."""
    owner: str = ""
    site: str = ""
    zone: str = ""
    labels: Labels = ()
    note: str = ""
    owner_since: Instant | None = None
    """When the last owner took over from another; `None` while there was only one."""
    serial: str = ""
    """The maker's serial number, as its manufacturer's certificate has it."""
    replaces: str = ""
    """The device whose role it took over."""
    replaced_by: str = ""
    """The device that took over its role."""

    def __post_init__(self) -> None:
        """Refuse parts that cannot be."""
        parse_device_id(self.key.device)
        parse_model_reference(self.model)
        for what in ("owner", "site", "zone", "note", "serial"):
            parse_text(getattr(self, what), what=what)
        if self.labels != parse_labels(self.labels):
            raise HostileData("device.labels", "The labels are not in key order.", remedy="Sort the labels by key.")


def parse_model_reference(text: str) -> str:
    """Return `text` if it is empty or ``name@version``, or raise `HostileData` ``device.model``."""
    name, at, version = text.partition("@")
    try:
        if text:
            parse_name(name, what="model name")
            parse_name(version if at else "", what="model version")
    except HostileData as error:
        raise HostileData(
            "device.model",
            f"{text[:80]!r} does not name a model.",
            remedy="Write name@version, such as door-camera@1.0.0, or leave it empty.",
        ) from error
    return text


def parse_text(text: str, *, what: str) -> str:
    """Return `text` if it is short and printable, or raise `HostileData` ``device.text``."""
    if len(text) > LIMITS.text or not all(sign.isprintable() or sign == "\u00a0" for sign in text):
        raise HostileData(
            "device.text",
            f"The {what} is too long or has a control character.",
            remedy=f"Use at most {LIMITS.text} printable characters on one line.",
        )
    return text


def parse_labels(pairs: Labels) -> Labels:
    """`pairs` in key order, or raise `HostileData` ``device.labels`` (a bad key, a key twice, too many)."""
    keys = [key for key, _ in pairs]
    if len(keys) > LIMITS.labels or len(set(keys)) != len(keys):
        raise HostileData(
            "device.labels",
            "A label appears twice, or there are too many.",
            remedy=f"Give at most {LIMITS.labels} labels, each key once.",
        )
    for key, value in pairs:
        try:
            parse_name(key, what="label key")
        except HostileData as error:
            raise HostileData("device.labels", error.sentence, remedy=error.remedy) from error
        parse_text(value, what=f"label {key}")
    return tuple(sorted(pairs))
