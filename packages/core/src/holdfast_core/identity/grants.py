"""What a device may publish and read at a broker: its own name, and what its model's flows say. Nothing else.

1. Every admitted device may publish ``fleet/<device>/up/#`` and read ``fleet/<device>/#``, whatever its model says.
2. A flow's filter that reaches beyond the device's own name counts only under an exception in force (`withheld` says
   which did not, and why).
3. A device that is quarantined keeps its own name and the flows of its essential function, and loses the others.
4. Who has no key or is retired has no grants at all: there is no empty `Grants` to admit by mistake.
5. For NATS a filter is one or two subjects (`nats_subjects`): `/` becomes `.`, `+` becomes `*`, `#` becomes `>`, and
   since ``a/#`` matches ``a`` too, ``a`` stands beside ``a.>`` (docs.nats.io, "MQTT: topics and subjects").
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.inventory.model import DeviceModel, Flow
from holdfast_core.inventory.topics import (
    DEVICE,
    MANY,
    ONE,
    SITE,
    TOPIC_ROOT,
    covers,
    crosses,
    includes,
    parse_filter,
    topic_name,
)
from holdfast_core.inventory.validation import last_day_ends
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, parse_name
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.kernel.reasons import Reason

ADMITTED = frozenset({Lifecycle.ENROLLED, Lifecycle.ACTIVE})
"""The states in which a device has a key that may speak."""


class Grants(msgspec.Struct, frozen=True):
    """The topic filters of one device, each way in order and once; `withheld` are those its model asks for in vain.

    Raises:
        HostileData: ``grants.too_many``.
    """

    device: DeviceId
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    withheld: tuple[Reason, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no broker should have to hold."""
        if max(len(self.publish), len(self.subscribe)) > LIMITS.device_filters:
            raise HostileData(
                "grants.too_many",
                f"{self.device} would have more than {LIMITS.device_filters} topic filters.",
                remedy="Let one filter with a wildcard below {device} stand for many.",
            )

    def may_publish(self, topic: str) -> bool:
        """Whether the device may publish to `topic`."""
        return any(covers(pattern, topic) for pattern in self.publish)

    def may_subscribe(self, pattern: str) -> bool:
        """Whether the device may read everything that the filter `pattern` matches."""
        return any(includes(granted, pattern) for granted in self.subscribe)


def own_filters(device: DeviceId) -> tuple[str, str]:
    """What a device may publish, and may read, under its own name."""
    name = topic_name(device)
    return f"{TOPIC_ROOT}/{name}/up/{MANY}", f"{TOPIC_ROOT}/{name}/{MANY}"


def grants_of(device: Device, model: DeviceModel | None, now: Instant, *, quarantined: bool = False) -> Grants | None:
    """What `device` may do at a broker; `None` when it may not even connect.

    Args:
        device: its inventory record.
        model: its model file; without one only its own name is granted.
        now: when (exceptions end with their last day).
        quarantined: whether its verdict is so.
    """
    if device.lifecycle not in ADMITTED:
        return None
    publish, subscribe = own_filters(device.key.device)
    if model is None:
        return Grants(device.key.device, (publish,), (subscribe,))
    excepted = {text for e in model.exceptions if last_day_ends(e.expires) > now for text in e.filters}
    withheld: list[Reason] = []
    ways: dict[str, list[str]] = {"publish": [publish], "subscribe": [subscribe]}
    for flow in _flows(model, quarantined=quarantined):
        for way, granted in ways.items():
            for text in getattr(flow, way):
                filled = _granted(text, flow, device, excepted)
                if isinstance(filled, Reason):
                    withheld.append(filled)
                elif filled not in granted:
                    granted.append(filled)
    return Grants(device.key.device, tuple(ways["publish"]), tuple(ways["subscribe"]), tuple(withheld))


def _flows(model: DeviceModel, *, quarantined: bool) -> Iterator[Flow]:
    essential = model.essential_function.flows
    return (flow for flow in model.flows if not quarantined or flow.name in essential)


def _granted(text: str, flow: Flow, device: Device, excepted: set[str]) -> str | Reason:
    """The filter of one device, or why it does not get it."""
    levels = parse_filter(text)
    if crosses(levels) and text not in excepted:
        return Reason(
            "grants.unexcepted",
            f"The flow {flow.name} asks for {text}, which reaches beyond the device's own name.",
            "Narrow it to {device}, or write an exception with owner and last day into the model file.",
        )
    if SITE in levels:
        try:
            parse_name(device.site, what="site")
        except HostileData:
            return Reason(
                "grants.site",
                f"The flow {flow.name} asks for {text}, and the site of the device is no name.",
                "Give the device a site of a-z, 0-9, '.', '_' and '-': import its row again.",
            )
    values = {DEVICE: topic_name(device.key.device), SITE: topic_name(device.site)}
    return "/".join(values.get(level, level) for level in levels)


def nats_subjects(pattern: str) -> tuple[str, ...]:
    """The NATS subjects that stand for a topic filter of ours (rule 5).

    Raises:
        HostileData: what `parse_filter` raises; a filter with a dot or a space has no subject that every NATS reads.
    """
    levels = parse_filter(pattern)
    words = [{ONE: "*", MANY: ">"}.get(level, level) for level in levels]
    subject = ".".join(words)
    return (".".join(words[:-1]), subject) if levels[-1] == MANY and len(levels) > 1 else (subject,)


def mqtt_topic(subject: str) -> str:
    """The MQTT topic filter that a NATS subject stands for."""
    words = subject.split(".")
    return "/".join({"*": ONE, ">": MANY}.get(word, word) for word in words)
