"""The broker probe: who publishes and subscribes has shown who they are.

1. With ``per_listener_settings``, what stands below a listener holds for it alone, and else for all of them.
2. A listener that only the device itself reaches is left out.

Source: mosquitto.conf(5).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from holdfast_core.baseline.probes.services import Broker
from holdfast_probe.case import Case
from holdfast_probe.roots import Root
from holdfast_probe.services.entries import Started
from holdfast_probe.services.including import MOSQUITTO_FILES, own_files, spread
from holdfast_probe.services.listen_common import at, joined
from holdfast_probe.services.listen_daemons import MOSQUITTO
from holdfast_probe.services.starts import NOTHING_STARTS, started
from holdfast_probe.services.texts import truthy
from holdfast_probe.sight import Sight, failed, not_applicable, passed, unknown

_OTHERS = ("emqx*", "vernemq", "nanomq", "rabbitmq*", "activemq*", "hivemq*", "rumqttd", "ejabberd", "nats-server")


class _Door(msgspec.Struct):
    """A listener, or what holds for all, while the file is read."""

    where: str
    local: bool = False
    anonymous: bool | None = None
    anonymous_at: str = ""
    certified: bool = False


def see_broker(case: Case, _spec: Broker) -> Sight:
    """Judge one `Broker` probe."""
    items, sources = case.once(started)
    if not sources:
        return unknown(NOTHING_STARTS)
    mine = [item for item in items if item.answers_to(MOSQUITTO)]
    if mine:
        return _mosquitto(broker_settings(case.root, mine))
    others = [item.name for item in items if item.answers_to(_OTHERS)]
    if others:
        return unknown(f"{others[0]} is started, and nobody here reads its settings.")
    return not_applicable("No message broker is started.")


def broker_settings(root: Root, items: Iterable[Started]) -> list[tuple[str, str, str]]:
    """Keyword, value and place of mosquitto's settings, as `items` start it. Raises `Unreadable`."""
    mine = [item for item in items if item.answers_to(MOSQUITTO)]
    return spread(root, MOSQUITTO_FILES, own_files(root, mine, MOSQUITTO_FILES))


def _mosquitto(found: list[tuple[str, str, str]]) -> Sight:
    every, doors, apart = _doors(found)
    outside = [door for door in doors if not door.local]
    if not outside and doors:
        return passed("only the device itself reaches the broker")
    if not outside:
        outside = [every]
    bad = []
    silent = []
    for door in outside:
        mine = door if apart else every
        if mine.anonymous:
            bad.append(f"{door.where} lets anybody in ({mine.anonymous_at})")
        elif mine.anonymous is None and not door.certified and not every.certified:
            silent.append(door.where)
    if bad:
        return failed(bad)
    if silent:
        return unknown(f"{silent[0]} does not say allow_anonymous; before version 2 that let anybody in.")
    return passed(f"mosquitto lets nobody in who does not show who they are ({outside[0].where})")


def _doors(found: list[tuple[str, str, str]]) -> tuple[_Door, list[_Door], bool]:
    every = _Door("mosquitto.conf")
    doors: list[_Door] = []
    apart = False
    for key, value, where in found:
        door = doors[-1] if doors else every
        if key in ("listener", "port"):
            parts = [*value.split(), ""]
            doors.append(_Door(where, local=at("mosquitto", "tcp", joined(parts[1], parts[0]), 1883, where).local))
        elif key == "per_listener_settings":
            apart = yes(value)
        elif key == "allow_anonymous":
            mine = door if apart else every
            mine.anonymous, mine.anonymous_at = yes(value), where
        elif key == "require_certificate":
            door.certified = yes(value)
    return every, doors, apart


def yes(value: str) -> bool:
    """Whether a setting is on: its first word counts, as mosquitto has it."""
    return truthy(value.partition(" ")[0])
