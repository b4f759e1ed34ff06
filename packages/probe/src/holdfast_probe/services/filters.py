"""What a packet filter is, however it is written: chains at a hook, with a policy and rules.

1. Only what decides a control is kept of a rule; a match that is not understood makes it `narrow`, never wider.
2. Rules of a chain that another jumps to stand in the place of the jump, a few levels deep.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from holdfast_probe.roots import Unreadable

MOST_RULES = 4096
"""Rules kept of one filter; a longer one is not judged."""
_DEEPEST = 4
PORT_NAMES: Mapping[str, int] = {
    "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "bootps": 67, "bootpc": 68, "tftp": 69, "http": 80,
    "sunrpc": 111, "ntp": 123, "snmp": 161, "snmptrap": 162, "https": 443, "submission": 587, "syslog": 514, "ipp": 631,
    "syslog-tls": 6514, "mqtt": 1883, "secure-mqtt": 8883, "mdns": 5353, "isakmp": 500, "openvpn": 1194, "nts": 4460,
    "http-alt": 8080, "dhcpv6-client": 546, "dhcpv6-server": 547, "nfs": 2049, "rsync": 873,
}  # fmt: skip

Port = tuple[str, int, int]
"""Transport, first and last port."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: its verdict, and what it is limited to."""

    verdict: str = ""
    """``accept``, ``drop``, ``reject``, ``jump NAME``, or empty where it decides nothing."""
    ports: tuple[Port, ...] = ()
    interfaces: tuple[str, ...] = ()
    addressed: bool = False
    """Limited to a sender (or, on the way out, to a receiver)."""
    established: bool = False
    limited: bool = False
    """Limited in its rate or number."""
    narrow: bool = False
    """Limited by something else: a protocol, a mark, a match that is not understood."""
    where: str = ""

    @property
    def wide(self) -> bool:
        """Whether it holds for every packet."""
        return not (self.ports or self.interfaces or self.addressed or self.established or self.narrow or self.limited)


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """The rules at one hook (``input``, ``forward``, ``output``) for the families 4, 6 or both."""

    hook: str
    families: frozenset[int]
    policy: str
    rules: tuple[Rule, ...] = ()
    where: str = ""
    """Where the policy stands."""

    @property
    def denies(self) -> bool:
        """Whether what no rule allows is dropped or rejected."""
        for rule in self.rules:
            if rule.wide and rule.verdict in {"accept", "drop", "reject"}:
                return rule.verdict != "accept"
        return self.policy in {"drop", "reject"}

    @property
    def openly_accepting(self) -> list[Rule]:
        """The rules that accept, without what answers or stays on the device."""
        return [r for r in self.rules if r.verdict == "accept" and not r.established and r.interfaces != ("lo",)]


class Filter(msgspec.Struct, frozen=True):
    """A whole packet filter as one program's files have it."""

    program: str
    """``nftables``, ``iptables``, ``uci``, ``ufw``, ``firewalld``."""
    chains: tuple[Chain, ...]
    syn_guard: bool = False
    """Whether the program limits floods without a rule that says so."""

    def at(self, hook: str, family: int) -> list[Chain]:
        """The chains at `hook` that see packets of `family`."""
        return [chain for chain in self.chains if chain.hook == hook and family in chain.families]


def inlined(rules: Sequence[Rule], chains: Mapping[str, Sequence[Rule]]) -> tuple[Rule, ...]:
    """`rules`, with those of a chain that one jumps to in the place of the jump; limits of the jump are kept.

    Raises:
        Unreadable: chains jump to chains so often that more than `MOST_RULES` come of it.
    """
    steps = iter(range(MOST_RULES))
    return tuple(_inlined(rules, chains, steps, 0))


def _inlined(
    rules: Sequence[Rule], chains: Mapping[str, Sequence[Rule]], steps: Iterator[int], depth: int
) -> Iterator[Rule]:
    for rule in rules:
        if next(steps, None) is None:
            raise Unreadable(rule.where or "/", f"its chains come to more than {MOST_RULES} rules")
        if not rule.verdict.startswith("jump ") or depth == _DEEPEST:
            yield rule
            continue
        for inner in _inlined(chains.get(rule.verdict.removeprefix("jump "), ()), chains, steps, depth + 1):
            yield _both(rule, inner)


def _both(outer: Rule, inner: Rule) -> Rule:
    """A rule that holds where both do."""
    return Rule(
        verdict=inner.verdict,
        ports=inner.ports or outer.ports,
        interfaces=inner.interfaces or outer.interfaces,
        addressed=inner.addressed or outer.addressed,
        established=inner.established or outer.established,
        limited=inner.limited or outer.limited,
        narrow=inner.narrow or outer.narrow,
        where=inner.where,
    )


def ports_of(transports: Iterable[str], written: Iterable[str]) -> tuple[Port, ...]:
    """Ports as rules write them (``22``, ``ssh``, ``1000-2000``); one that is not known is every port."""
    found = []
    for word in written:
        first, _, last = word.strip().replace(":", "-").partition("-")
        low = _number(first)
        high = _number(last) if last else low
        found += [(transport, max(low, 0), high if high >= 0 else 65_535) for transport in transports]
    return tuple(found)


def _number(word: str) -> int:
    if word.isascii() and word.isdigit():
        return int(word[:6])
    return PORT_NAMES.get(word, -1)
