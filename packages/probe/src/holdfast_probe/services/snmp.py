"""The SNMP probe: communities, which are passwords in the clear, are gone; version 3 with users is left.

1. A community is a secret: proof masks it, unless it is one of the two that everybody knows.
2. An agent without any access to it at all passes: nobody gets in.

Sources: snmpd.conf(5), OpenWrt's snmpd.
"""

from __future__ import annotations

from collections.abc import Iterable

from holdfast_core.baseline.probes.services import Snmp
from holdfast_probe.case import Case
from holdfast_probe.roots import Root
from holdfast_probe.services.entries import Started
from holdfast_probe.services.including import SNMPD_FILES, own_files, spread
from holdfast_probe.services.listen_daemons import SNMPD
from holdfast_probe.services.starts import NOTHING_STARTS, started
from holdfast_probe.services.texts import fitting
from holdfast_probe.services.uci import sections
from holdfast_probe.sight import Sight, judged, not_applicable, unknown

COMMUNITIES = frozenset({
    "rocommunity", "rwcommunity", "rocommunity6", "rwcommunity6", "com2sec", "com2sec6", "trapcommunity",
})  # fmt: skip
_KNOWN = ("public", "private")
_UCI = "/etc/config/snmpd"


def see_snmp(case: Case, _spec: Snmp) -> Sight:
    """Judge one `Snmp` probe."""
    items, sources = case.once(started)
    if not sources:
        return unknown(NOTHING_STARTS)
    mine = [item for item in items if item.answers_to((*SNMPD, "mini_snmpd", "mini-snmpd"))]
    if not mine:
        return not_applicable("No SNMP agent is started.")
    found = snmp_settings(case.root, mine)
    if not found and not fitting(case.root, _UCI):
        return unknown("An SNMP agent is started, and its settings were not found.")
    bad = [f"{where} lets {_shown(value)} in by {key}" for key, value, where in found if key.lower() in COMMUNITIES]
    bad += [
        f"{section.where} lets {_shown(section.last('community'))} in by {section.kind}"
        for section in sections(case.root, _UCI)
        if section.kind in ("com2sec", "com2sec6", "trapcommunity")
    ]
    return judged(bad, "the SNMP agent knows users of version 3 only")


def snmp_settings(root: Root, items: Iterable[Started]) -> list[tuple[str, str, str]]:
    """Keyword, value and place of the agent's settings, as `items` start it. Raises `Unreadable`."""
    mine = [item for item in items if item.answers_to(SNMPD)]
    return spread(root, SNMPD_FILES, own_files(root, mine, SNMPD_FILES))


def _shown(value: str) -> str:
    known = [word for word in _KNOWN if word in value.split()]
    return f"the community {known[0]!r}" if known else "a community"
