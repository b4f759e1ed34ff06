"""One rule of nftables: its verdict, and what limits it.

1. A list, with braces or without, is one value; what is not understood narrows a rule and never widens it.
2. ``!=`` leaves nearly everything, and so does a rule for all of TCP or UDP: neither limits anything.

Source: nft(8).
"""

from __future__ import annotations

from holdfast_probe.services.filters import Port, Rule, ports_of

_VERDICTS = frozenset({"accept", "drop", "reject"})
_SILENT = frozenset({"counter", "log", "prefix", "comment", "packets", "bytes", "level", "flags", "with", "all"})
_LEADING = frozenset({"tcp", "udp", "ct", "ip", "ip6", "th", "meta"})
_PROTOCOLS = frozenset({"l4proto", "protocol", "nexthdr"})
_CARRIERS = frozenset({"tcp", "udp", "6", "17"})
"""Protocols that carry nearly everything: a rule for all of one is as wide as a rule for everything."""
_MATCHES = _PROTOCOLS | frozenset({"dport", "sport", "saddr", "daddr", "state", "iif", "iifname", "oif", "oifname"})


def rule_of(words: list[str], where: str) -> Rule:
    """One rule from its words; a comment's words are in one token with their quotes."""
    plain = " ".join(words).replace("{", " { ").replace("}", " } ")
    # A list without braces stays one word.
    parts = plain.replace(" ,", ",").replace(", ", ",").split()
    draft = _Draft(parts)
    index = 0
    while index < len(parts) and not draft.verdict:
        index = draft.take(index)
    return Rule(
        verdict=draft.verdict,
        ports=tuple(draft.ports),
        interfaces=tuple(draft.interfaces),
        where=where,
        **{fact: fact in draft.facts for fact in ("addressed", "established", "limited", "narrow")},
    )


class _Draft:
    """A rule while it is read, word by word until its verdict."""

    def __init__(self, parts: list[str]) -> None:
        self._parts = parts
        self._closes = _closes(parts)
        self.verdict = ""
        self.ports: list[Port] = []
        self.interfaces: list[str] = []
        self.facts: set[str] = set()

    def take(self, index: int) -> int:
        """Read the word at `index` and what belongs to it; returns where to go on."""
        parts = self._parts
        word = parts[index]
        if word in _VERDICTS:
            self.verdict = word
        elif word in ("jump", "goto"):
            self.verdict = f"jump {''.join(parts[index + 1 : index + 2])}"
        elif word in ("limit", "meter", "count"):
            self.facts.add("limited")
        elif word in _MATCHES:
            values, after = self._values(index + 1)
            unlike = parts[index + 1 : index + 2] == ["!="]
            if unlike:
                self._match_unlike(word, values)
            elif values == ["vmap"]:
                return self._map(word, after)
            else:
                self._match(word, parts[index - 1] if index else "", values)
            return after
        elif word not in _SILENT and not word.startswith('"') and word not in _LEADING:
            self.facts.add("narrow")
        return index + 1

    def _match_unlike(self, word: str, values: list[str]) -> None:
        """``!=`` leaves everything else: that limits nothing, but for what is not new."""
        if word == "state" and "new" in values:
            self.facts.add("established")

    def _map(self, word: str, index: int) -> int:
        """A map of verdicts: wide where it accepts what is new, and else not understood."""
        values, after = self._values(index)
        pairs = " ".join(values).replace(":", " : ").split()
        accepted = {pairs[at - 1] for at in range(1, len(pairs) - 1) if pairs[at : at + 2] == [":", "accept"]}
        if word == "state" and {"new", "untracked"} & accepted:
            self.verdict = "accept"
        else:
            self.facts.add("narrow")
        return after

    def _match(self, word: str, before: str, values: list[str]) -> None:
        if word == "dport":
            self.ports += ports_of((before,) if before in ("tcp", "udp") else ("tcp", "udp"), values)
        elif word == "sport":
            self.facts.add("narrow")
        elif word in ("saddr", "daddr"):
            self.facts.update(() if values in (["0.0.0.0/0"], ["::/0"]) else ("addressed",))
        elif word in _PROTOCOLS:
            self.facts.update(() if _CARRIERS & set(values) else ("narrow",))
        elif word == "state":
            self.facts.update(() if {"new", "untracked"} & set(values) else ("established",))
        else:
            self.interfaces += [value.strip('"') for value in values]

    def _values(self, index: int) -> tuple[list[str], int]:
        """The value or the set at `index`, and what follows it."""
        parts = self._parts
        if index < len(parts) and parts[index] in ("!=", "==", "eq"):
            index += 1
        if index < len(parts) and parts[index] == "{":
            end = self._closes[index]
            return _listed(parts[index + 1 : end]), end + 1
        return _listed(parts[index : index + 1]), index + 1


def _listed(words: list[str]) -> list[str]:
    return [value for word in words for value in word.split(",") if value]


def _closes(parts: list[str]) -> list[int]:
    """For every place, where the next brace closes: found once, so that open ones cost nothing each."""
    found = [len(parts)] * len(parts)
    close = len(parts)
    for index in range(len(parts) - 1, -1, -1):
        close = index if parts[index] == "}" else close
        found[index] = close
    return found
