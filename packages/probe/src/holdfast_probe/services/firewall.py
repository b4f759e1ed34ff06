"""The firewall probes: what a device's packet filter lets in and out, judged by the files that something loads.

1. A rule file that nothing loads is no firewall. What a program of its own loads, and nobody can read, is `unknown`.
2. Without any filter the default is to let everything through, and that fails once, where it is asked what comes in:
   a silent kernel accepts. There are no rules then to ask more of.
3. IPv6 that is switched off needs no filter of its own.
4. What a device may start itself is the plan's `outgoing`; answers, the device's own loopback and ICMP are free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.network import Firewall, FirewallCheck
from holdfast_probe.case import Case
from holdfast_probe.roots import Root
from holdfast_probe.services.entries import Started, Way
from holdfast_probe.services.filters import Chain, Filter, Rule
from holdfast_probe.services.iptables import firewalld_filter, iptables_filter, ufw_filter
from holdfast_probe.services.loading import loads
from holdfast_probe.services.nft import nft_filter
from holdfast_probe.services.starts import started
from holdfast_probe.services.texts import fitting, gathered, lines, text
from holdfast_probe.services.zones import WIDE, uci_filter, wide_zone_accepting
from holdfast_probe.sight import Sight, every, failed, judged, not_applicable, passed, unknown

_LOADERS = {
    "nftables": ("nftables*", "nft", "*firewall*"),
    "iptables": ("iptables*", "ip6tables*", "netfilter*", "*firewall*"),
    "uci": ("firewall", "firewall4"),
    "ufw": ("ufw",),
    "firewalld": ("firewalld",),
}
_WORDS = {"nftables": ("nft ", "nft\t"), "iptables": ("iptables",)}
_READERS = (nft_filter, iptables_filter, uci_filter, ufw_filter, firewalld_filter)
_FOUR, _SIX = 4, 6
_ADMIN = (22, 23, 80, 443, 2222, 4433, 7547, 8000, 8008, 8080, 8081, 8443, 8888, 9090, 10000)
_WIDE_INTERFACES = (*WIDE, "ppp*", "wwan*", "pppoe-*", "usb*")
_NONE = "nothing loads rules of a packet filter, so everything is let through"
_IPV6_SWITCH = "net.ipv6.conf.all.disable_ipv6"


def see_firewall(case: Case, spec: Firewall) -> Sight:
    """Judge one `Firewall` probe."""
    if spec.check is FirewallCheck.IPV6 and case.once(_ipv6_off):
        return passed("IPv6 is switched off")
    filters, gap = case.once(loaded)
    if gap:
        return unknown(gap)
    if filters:
        return _CHECKS[spec.check](case, filters)
    return (
        failed([_NONE])
        if spec.check is FirewallCheck.INBOUND
        else not_applicable("Nothing filters here; NET-01 tells.")
    )


def loaded(root: Root) -> tuple[tuple[Filter, ...], str]:
    """The filters that something loads; where there is none, why that is not known (empty: there is none)."""
    items, sources = started(root)
    found = [each for reader in _READERS if (each := reader(root)) is not None]
    live = [
        each
        for each in found
        if any(item.answers_to(_LOADERS[each.program]) for item in items) or _called(root, items, each.program)
    ]
    if live:
        return tuple(live), ""
    if not sources and found:
        return (), "Rules of a packet filter are here, and nothing says what starts and loads them."
    if not sources:
        return (), "Nothing here says what starts, so no packet filter can be found."
    strange = [item.name for item in items if item.answers_to(("*firewall*", "shorewall*", "ferm", "fw", "*-fw"))]
    return (), f"{strange[0]} starts, and its rules are not understood." if strange else ""


def _called(root: Root, items: Iterable[Started], program: str) -> bool:
    """Whether a script that runs at boot or with an interface calls the program."""
    words = _WORDS.get(program, ())
    scripts = [root.real(item.command) for item in items if item.way in (Way.LINK, Way.SCRIPT)]
    found = gathered(root, "/etc/network/interfaces", "/etc/network/if-*.d/*", "/etc/rc.local", "/etc/init.d/rcS")
    found += gathered(root, *dict.fromkeys(scripts)) if scripts else []
    return any(word in line for _, line in found for word in words)


def _inbound(_case: Case, filters: Iterable[Filter]) -> Sight:
    return _denied(filters, "input", _FOUR, "IPv4")


def _denied(filters: Iterable[Filter], hook: str, family: int, named: str) -> Sight:
    chains = [chain for each in filters for chain in each.at(hook, family)]
    if not chains:
        return failed([f"no chain at {hook} sees {named} packets, so they are let through"])
    good = [chain for chain in chains if chain.denies]
    if good:
        return passed(f"what no rule allows is denied ({good[0].where})")
    return failed(f"what no rule mentions is accepted ({chain.where or hook})" for chain in chains)


def _ipv6(_case: Case, filters: Iterable[Filter]) -> Sight:
    found = tuple(filters)
    denied = _denied(found, "input", _SIX, "IPv6")
    more = _ports(found, _SIX) - _ports(found, _FOUR)
    if more and denied.outcome is Outcome.PASS:
        return failed(f"{transport}/{low} is let in over IPv6 only" for transport, low, _ in more)
    return denied


def _ports(filters: Iterable[Filter], family: int) -> set[tuple[str, int, int]]:
    """What is let in, but for what every IPv6 host needs to get an address."""
    rules = [rule for each in filters for chain in each.at("input", family) for rule in chain.openly_accepting]
    return {port for rule in rules for port in rule.ports if port[:2] not in (("udp", 546), ("udp", 547))}


def _ipv6_off(root: Root) -> bool:
    if root.live:
        return (
            not fitting(root, "/proc/sys/net/ipv6")
            or text(root, "/proc/sys/net/ipv6/conf/all/disable_ipv6").strip() == "1"
        )
    known = loads(root)
    paths = fitting(root, "/usr/lib/sysctl.d/*.conf", "/etc/sysctl.d/*.conf", "/etc/sysctl.conf")
    said = [line for path in paths if known.covers(path) for line in lines(root, path) or ()]
    pairs = [line.replace(" ", "").partition("=") for line in said]
    values = [value for key, _, value in pairs if key.replace("/", ".") == _IPV6_SWITCH]
    values += [value for key, value, _ in known.given if key == _IPV6_SWITCH]
    return values[-1:] == ["1"] or any("ipv6.disable=1" in line for line in root.told.command_lines)


def _outbound(case: Case, filters: Iterable[Filter]) -> Sight:
    found = tuple(filters)
    families = (_FOUR,) if case.once(_ipv6_off) else (_FOUR, _SIX)
    denied = every([_denied(found, "output", family, f"IPv{family}") for family in families])
    if denied.outcome is not Outcome.PASS:
        return denied
    chains = dict.fromkeys(chain for each in found for family in families for chain in each.at("output", family))
    rules = [rule for chain in chains for rule in chain.openly_accepting]
    bad = [f"{rule.where} lets everything out" for rule in rules if rule.wide or _only_interface(rule)]
    bad += [said for rule in rules for said in _undeclared(rule, frozenset(case.plan.outgoing))]
    return judged(bad, "only the declared conversations are let out")


def _undeclared(rule: Rule, outgoing: frozenset[tuple[str, int]]) -> list[str]:
    """The ports that a rule lets out and that the model does not declare."""
    found = []
    for transport, low, high in rule.ports:
        declared = [port for kind, port in outgoing if kind == transport and low <= port <= high]
        if len(declared) != high - low + 1:
            ports = f"{low}" if low == high else f"{low} to {high}"
            found.append(f"{rule.where} lets {transport}/{ports} out, which the model does not declare")
    return found


def _only_interface(rule: Rule) -> bool:
    """Limited to an interface of the outside and to nothing else."""
    rest = rule.ports or rule.addressed or rule.narrow
    return bool(rule.interfaces) and not rest and not all(name in ("lo", "loopback") for name in rule.interfaces)


def _rate(_case: Case, filters: Iterable[Filter]) -> Sight:
    for each in filters:
        limited = [rule for chain in each.at("input", _FOUR) for rule in chain.rules if rule.limited]
        if limited:
            return passed(f"traffic that comes in is limited ({limited[0].where})")
        if each.syn_guard:
            return passed(f"{each.program} limits floods of new connections")
    return failed(["no rule limits the rate of what comes in"])


def _wan_admin(case: Case, filters: Iterable[Filter]) -> Sight:
    bad = [f"{zone.where} accepts everything from {zone.last('name')}" for zone in wide_zone_accepting(case.root)]
    for each in filters:
        for chain in dict.fromkeys((*each.at("input", _FOUR), *each.at("input", _SIX))):
            bad += _admin_rules(chain)
    return judged(bad, "no rule lets administration in from everywhere")


def _admin_rules(chain: Chain) -> list[str]:
    found = []
    for rule in chain.openly_accepting:
        if rule.addressed or (rule.interfaces and not _wide(rule)):
            continue
        found += [
            f"{rule.where} lets port {port} in from {'the wide-area side' if rule.interfaces else 'everywhere'}"
            for _, low, high in rule.ports
            for port in _ADMIN
            if low <= port <= high
        ]
    return found


def _wide(rule: Rule) -> bool:

    return any(fnmatchcase(name, pattern) for name in rule.interfaces for pattern in _WIDE_INTERFACES)


_CHECKS: dict[FirewallCheck, Callable[[Case, tuple[Filter, ...]], Sight]] = {
    FirewallCheck.INBOUND: _inbound,
    FirewallCheck.OUTBOUND: _outbound,
    FirewallCheck.IPV6: _ipv6,
    FirewallCheck.RATE: _rate,
    FirewallCheck.WAN_ADMIN: _wan_admin,
}
