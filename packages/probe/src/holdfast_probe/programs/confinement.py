"""How far started services are shut in: what their units and drop-ins set, as shares of what could be set.

1. A grade is between 0 (nothing) and 1 (all that the directive can do); a directive that is not set has 0.
2. The weights are ours. They say how much an intruder in the service is kept from, not how much was typed.
3. What runs once and ends is not asked, and what hands its rights on by its nature is named by the caller.

Source: systemd.exec(5); OpenWrt's procd (``procd_add_jail`` needs /sbin/ujail).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from holdfast_core.baseline.probes.programs import Confined, Exposed
from holdfast_probe.case import Case
from holdfast_probe.patterns import fits_any
from holdfast_probe.roots import Root
from holdfast_probe.services.entries import Way
from holdfast_probe.services.starts import NOTHING_STARTS, started
from holdfast_probe.services.texts import exists, text, truthy
from holdfast_probe.services.units import from_units, unit_folders, unit_settings
from holdfast_probe.sight import Sight, judged, not_applicable, unknown

_NETWORK = frozenset({"network.target", "network-online.target", "nss-lookup.target", "remote-fs.target"})
_ORDERS = frozenset({"After", "Wants", "Requires", "BindsTo"})
_GATHERED = frozenset({"CapabilityBoundingSet", "SystemCallFilter", "RestrictAddressFamilies"})
"""Given again, they add to what is there."""
_DYNAMIC = {
    "NoNewPrivileges": "yes", "RestrictSUIDSGID": "yes", "ProtectSystem": "strict", "ProtectHome": "read-only",
    "PrivateTmp": "yes",
}  # fmt: skip
"""What ``DynamicUser=yes`` brings along."""
_NO = frozenset({"no", "false", "0", "off"})
_GREAT = ("CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_PTRACE")
"""Capabilities that are as good as all of them."""
WEIGHTS = {
    "User": 22, "CapabilityBoundingSet": 12, "SystemCallFilter": 10, "NoNewPrivileges": 8, "ProtectSystem": 8,
    "ProtectHome": 5, "PrivateDevices": 5, "RestrictAddressFamilies": 5, "PrivateTmp": 3, "ProtectKernelTunables": 3,
    "ProtectKernelModules": 3, "MemoryDenyWriteExecute": 3, "RestrictNamespaces": 3, "ProtectKernelLogs": 2,
    "ProtectControlGroups": 2, "RestrictSUIDSGID": 2, "LockPersonality": 1, "ProtectClock": 1, "ProtectHostname": 1,
    "UMask": 1,
}  # fmt: skip
"""What each directive takes from an exposure of 100."""
_PROCD = ("procd_add_jail", "procd_set_param seccomp", "procd_set_param capabilities")
_JAIL = "/sbin/ujail"


class Unit(msgspec.Struct, frozen=True):
    """A started service: its plain name, its unit, what the unit sets, whether it faces the network."""

    name: str
    unit: str
    given: Mapping[str, str]
    networked: bool

    def grade(self, directive: str) -> float:
        """How much of `directive` is in force."""
        value = self.given.get(directive)
        if directive == "User":
            return float(truthy(self.given.get("DynamicUser", "")) or (value or "root") not in ("root", "0"))
        if directive == "CapabilityBoundingSet" and value is None and self.grade("User"):
            return 0.0 if self.given.get("AmbientCapabilities") else 0.9  # an ordinary user has none to begin with
        return 0.0 if value is None else _grade(directive, value)

    @property
    def exposure(self) -> int:
        """0 where everything is shut, 100 where nothing is."""
        return round(sum(WEIGHTS.values()) - sum(weight * self.grade(name) for name, weight in WEIGHTS.items()))


def see_confined(case: Case, spec: Confined) -> Sight:
    """Judge one `Confined` probe."""
    if not case.once(started)[1]:
        return unknown(NOTHING_STARTS)
    units = [unit for unit in case.once(services) if unit.networked and not fits_any(unit.name, spec.but)]
    scripts = procd_scripts(case, spec)
    if not units and not scripts:
        return not_applicable("No service that faces the network is started by systemd or procd.")
    bad = [f"{unit.unit} lacks {', '.join(lacking(unit, spec))}" for unit in units if lacking(unit, spec)]
    bad += [f"{name}: {why}" for name, why in scripts.items() if why]
    return judged(bad, f"all {len(units) + len(scripts)} services that face the network are confined")


def see_exposed(case: Case, spec: Exposed) -> Sight:
    """Judge one `Exposed` probe."""
    units = [unit for unit in case.once(services) if not fits_any(unit.name, spec.but)]
    if not units:
        return not_applicable("systemd starts no service here.")
    bad = (f"{unit.unit} is exposed by {unit.exposure} of 100" for unit in units if unit.exposure > spec.maximum)
    worst = max(units, key=lambda unit: unit.exposure)
    return judged(bad, f"{worst.unit} is exposed most, by {worst.exposure} of 100")


def lacking(unit: Unit, spec: Confined) -> list[str]:
    """The directives that `unit` should have and has not."""
    return [directive for directive in spec.directives if not unit.grade(directive)]


def services(root: Root) -> tuple[Unit, ...]:
    """The services that systemd starts and that go on running, sorted. Raises `Unreadable`."""
    units = unit_folders(root)
    found: dict[str, Unit] = {}
    for item in from_units(root) or ():
        if not item.command.endswith((".service", ".socket")):
            continue
        plain, _, kind = item.command.rpartition(".")
        names = [item.command] if kind == "service" else [f"{plain}.service", f"{plain}@.service"]
        listens = kind == "socket" and _listens(unit_settings(root, item.command, units))
        for name in names:
            given = unit_settings(root, name, units)
            if given and not any(pair == ("Type", "oneshot") for pair in given):
                # A service may be started by its socket and by itself: what either says of the network holds.
                networked = listens or (name in found and found[name].networked) or _ordered(given)
                found[name] = Unit(item.name, name, _in_force(given), networked)
    return tuple(found[name] for name in sorted(found))


def _ordered(given: list[tuple[str, str]]) -> bool:
    """Whether a service waits for the network."""
    return any(key in _ORDERS and _NETWORK & set(value.split()) for key, value in given)


def _listens(given: list[tuple[str, str]]) -> bool:
    """Whether a socket is one of the network."""
    return any(k in ("ListenStream", "ListenDatagram") and v and v[0] not in "/@" for k, v in given)


def _in_force(given: list[tuple[str, str]]) -> dict[str, str]:
    values: dict[str, str] = {}
    for key, value in given:
        values[key] = f"{values[key]} {value}" if key in _GATHERED and value and key in values else value
    if truthy(values.get("DynamicUser", "")):
        values = {**_DYNAMIC, **values}
    return values


_LEVELS = {"ProtectSystem": {"strict": 1.0, "full": 0.7, "": 0.4}, "ProtectHome": {"read-only": 0.7}}
"""Directives with steps; the empty name is a plain yes, where that is not all."""
_LISTS = frozenset({"RestrictAddressFamilies", "RestrictNamespaces"})


def _grade(directive: str, value: str) -> float:
    if directive in _LEVELS:
        levels = _LEVELS[directive]
        return levels.get(value, levels.get("", 1.0) if truthy(value) or value == "tmpfs" else 0.0)
    if directive == "CapabilityBoundingSet":
        return _capabilities(value.split())
    if directive == "SystemCallFilter":
        return (0.7 if value.startswith("~") else 1.0) if value else 0.0
    if directive in _LISTS:
        return float(bool(value) and value.lower() not in _NO)
    if directive == "UMask":
        return float(value.endswith("7"))
    return float(truthy(value))


def _capabilities(words: list[str]) -> float:
    """An empty set drops all; a list that keeps, or does not name, the great ones drops next to nothing."""
    dropped = bool(words) and words[0].startswith("~")
    named = {word.lstrip("~") for word in words}
    if dropped:
        return 0.7 if named.issuperset(_GREAT) else 0.0
    return 0.0 if named & set(_GREAT) else 1.0


def procd_scripts(case: Case, spec: Confined) -> dict[str, str]:
    """The procd services that are asked, and why each is not confined (empty: it is)."""
    found = {}
    for item in case.once(started)[0]:
        if item.answers_to(spec.procd) and item.way in (Way.LINK, Way.SCRIPT):
            content = text(case.root, item.command or item.places[0])
            if "USE_PROCD=1" in content:
                found[item.name] = _looseness(case.root, content)
    return found


def _looseness(root: Root, script: str) -> str:
    if not any(word in script for word in _PROCD):
        return "its procd script sets no jail, no seccomp and no capabilities"
    return "" if exists(root, _JAIL) else f"it asks for confinement, and there is no {_JAIL}"


def exposures(case: Case, spec: Exposed) -> Iterator[Unit]:
    """The units that are exposed too much."""
    return (u for u in case.once(services) if u.exposure > spec.maximum and not fits_any(u.name, spec.but))
