"""Reading OpenWrt's firewall, whose zones are turned into chains: what comes in and what goes out.

1. The default policy holds for traffic of no zone; each zone has its own, which is a rule limited to its networks.
2. Without a family, a rule and a zone hold for IPv4 and IPv6 alike.

Source: OpenWrt's firewall configuration (fw3, fw4).
"""

from __future__ import annotations

from holdfast_probe.roots import Root
from holdfast_probe.services.filters import Chain, Filter, Rule, ports_of
from holdfast_probe.services.texts import truthy
from holdfast_probe.services.uci import Section, sections

PATH = "/etc/config/firewall"
WIDE = ("wan", "wan6", "wwan", "modem", "lte", "internet")
"""Names of zones and networks on the wide-area side."""
_FAMILIES = {"ipv4": frozenset({4}), "ipv6": frozenset({6})}
_BOTH = frozenset({4, 6})


def uci_filter(root: Root) -> Filter | None:
    """The filter of ``/etc/config/firewall``, or `None` where there is none."""
    found = sections(root, PATH)
    defaults = [section for section in found if section.kind == "defaults"]
    if not found:
        return None
    first = defaults[-1] if defaults else None
    chains = [_chain(found, first, hook, families) for hook in ("input", "output") for families in _families(found)]
    guard = first is None or truthy(first.last("syn_flood", first.last("synflood_protect", "1")))
    return Filter("uci", tuple(chains), syn_guard=guard)


def wide_zone_accepting(root: Root) -> list[Section]:
    """Zones of the wide-area side that accept whatever comes in."""
    zones = [section for section in sections(root, PATH) if section.kind == "zone"]
    return [zone for zone in zones if zone.last("name") in WIDE and zone.last("input").upper() == "ACCEPT"]


def _families(found: list[Section]) -> list[frozenset[int]]:
    """One chain for both families, unless a rule or a zone tells them apart."""
    apart = any(section.last("family", "any") in _FAMILIES for section in found if section.kind in ("rule", "zone"))
    return [frozenset({4}), frozenset({6})] if apart else [_BOTH]


def _chain(found: list[Section], defaults: Section | None, hook: str, families: frozenset[int]) -> Chain:
    policy = defaults.last(hook, "REJECT" if hook == "input" else "ACCEPT").lower() if defaults else "reject"
    where = defaults.where if defaults else PATH
    rules = [_rule(section, hook) for section in found if section.kind == "rule" and _concerns(section, hook, families)]
    for zone in (section for section in found if section.kind == "zone"):
        if families <= _FAMILIES.get(zone.last("family"), _BOTH):
            verdict = zone.last(hook, policy).lower()
            rules.append(Rule(verdict=verdict, interfaces=(zone.last("name"),), where=zone.where))
    return Chain(hook=hook, families=families, policy=policy, rules=tuple(rules), where=where)


def _concerns(rule: Section, hook: str, families: frozenset[int]) -> bool:
    """Whether a rule is of this hook: one with a destination zone forwards, one without a source goes out."""
    if not truthy(rule.last("enabled", "1")) or not families & _FAMILIES.get(rule.last("family"), _BOTH):
        return False
    inward = bool(rule.last("src")) and not rule.last("dest")
    outward = bool(rule.last("dest")) and not rule.last("src")
    return inward if hook == "input" else outward


def _rule(section: Section, hook: str) -> Rule:
    protocols = section.all("proto") or ["tcp", "udp"]
    if "tcpudp" in protocols or "all" in protocols:
        protocols = ["tcp", "udp"]
    written = section.all("dest_port")
    zone = section.last("src" if hook == "input" else "dest")
    return Rule(
        verdict=section.last("target", "DROP").lower(),
        ports=ports_of(protocols, written),
        interfaces=() if zone == "*" else (zone,),
        addressed=bool(section.all("src_ip" if hook == "input" else "dest_ip")),
        limited=bool(section.last("limit")),
        narrow=not written and bool(section.all("proto")) and section.last("proto") != "all",
        where=section.where,
    )
