"""Reading nftables: blocks in blocks, rules between line ends, and what other files are included.

1. One pass over the words; a block is closed by its brace, however deep, and the depth is only counted.
2. Both ways of writing are read: blocks, and ``add chain``/``add rule`` lines.
3. Variables are put in where a file defines them; one that is not known is not understood, which narrows nothing away.

Source: nft(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from holdfast_probe.roots import Root, Unreadable
from holdfast_probe.services.filters import MOST_RULES, Chain, Filter, Port, Rule, inlined, ports_of
from holdfast_probe.services.texts import fitting, numbered

_FAMILIES = {"ip": frozenset({4}), "ip6": frozenset({6}), "inet": frozenset({4, 6})}
_WORD = re.compile(r'"[^"]*"|[{};]|[^\s{};"]+')
_MOST_INCLUDES = 64
_MOST_HOOKS = 64
_MOST_TAKINGS = 256
_MOST_SIZE = 2 * 1024 * 1024
_VERDICTS = frozenset({"accept", "drop", "reject"})
_SILENT = frozenset({"counter", "log", "prefix", "comment", "packets", "bytes", "level", "flags", "with", "all"})
_TAKING = frozenset({"flush", "delete", "destroy"})
_LEADING = frozenset({"tcp", "udp", "ct", "ip", "ip6", "th", "meta"})
_PROTOCOLS = frozenset({"l4proto", "protocol", "nexthdr"})
_CARRIERS = frozenset({"tcp", "udp", "6", "17"})
"""Protocols that carry nearly everything: a rule for all of one is as wide as a rule for everything."""
_MATCHES = _PROTOCOLS | frozenset({"dport", "sport", "saddr", "daddr", "state", "iif", "iifname", "oif", "oifname"})
_PLACES = ("/etc/nftables.conf", "/etc/nftables.nft", "/etc/nftables/*.nft", "/etc/sysconfig/nftables.conf")

Token = tuple[str, str]
"""A word and where it stands."""


def nft_filter(root: Root) -> Filter | None:
    """The filter that nftables' files describe, or `None` without such files."""
    paths = fitting(root, *_PLACES)
    if not paths:
        return None
    reader = _Reader(root)
    for path in paths[:1] if paths[0] == _PLACES[0] else paths:
        reader.file(path)
    return Filter("nftables", reader.chains())


class _Reader:
    """What has been read so far: variables, chains with their hooks, rules by chain."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._read: set[str] = set()
        self._variables: dict[str, list[str]] = {}
        self._hooks: dict[tuple[str, str], list[str]] = {}
        self._rules: dict[tuple[str, str], list[Rule]] = {}
        self._count = 0
        self._takings = 0
        self._size = 0

    def file(self, path: str) -> None:
        """Read one file and what it includes, each once."""
        if path in self._read:
            return
        self._read.add(path)
        if len(self._read) > _MOST_INCLUDES:
            raise Unreadable(path, f"more than {_MOST_INCLUDES} files are included")
        self._block(self._tokens(path), "", "")

    def chains(self) -> tuple[Chain, ...]:
        """Every chain that is at a hook, with the rules that it jumps to."""
        tables: dict[str, dict[str, list[Rule]]] = {}
        for (table, name), listed in self._rules.items():
            tables.setdefault(table, {})[name] = listed
        found: list[Chain] = []
        for (table, name), (hook, policy, where) in self._hooks.items():
            family = table.partition(" ")[0]
            if len(found) > _MOST_HOOKS:
                raise Unreadable(where, f"more than {_MOST_HOOKS} chains are at a hook")
            if family in _FAMILIES:
                mine = tables.get(table, {})
                rules = inlined(mine.get(name, ()), mine)
                found.append(Chain(hook=hook, families=_FAMILIES[family], policy=policy, rules=rules, where=where))
        return tuple(found)

    def _tokens(self, path: str) -> Iterator[Token]:
        for number, line in numbered(self._root, path) or ():
            where = f"{path}:{number}"
            more = line.endswith("\\")
            for word in _WORD.findall(line.rstrip("\\")):
                if word.startswith("#"):
                    break
                yield word, where
            if not more:
                yield "\n", where

    def _block(self, tokens: Iterator[Token], table: str, chain: str) -> None:
        """Read statements until the brace that closes this block."""
        for statement, opened in _statements(tokens, whole=bool(chain)):
            words = [word for word, _ in statement]
            if words and chain:
                self._in_chain(table, chain, statement)
            elif opened:
                self._opened(words, tokens, table)
            elif words:
                self._line(statement)

    def _opened(self, words: list[str], tokens: Iterator[Token], table: str) -> None:
        head = words[1:] if words[:1] in (["add"], ["create"]) else words
        if head[:1] == ["table"] and len(head) > 1:
            family = head[1] if head[1] in _FAMILIES or len(head) > 2 else "ip"  # noqa: PLR2004  (family and name)
            self._block(tokens, f"{family} {head[-1]}", "")
        elif head[:1] == ["chain"] and len(head) > 1:
            owner = f"{head[1]} {head[2]}" if len(head) > 3 else table  # noqa: PLR2004  (family, table, name)
            self._rules.setdefault((owner, head[-1]), [])
            self._block(tokens, owner, head[-1])
        else:
            _skip(tokens)

    def _line(self, statement: list[Token]) -> None:
        words = [word for word, _ in statement]
        if words[0] == "include" and len(words) > 1:
            pattern = words[1].strip('"')
            for path in fitting(self._root, pattern if pattern.startswith("/") else f"/etc/{pattern}"):
                self.file(path)
        elif words[0] == "define" and "=" in words:
            self._variables[f"${words[1]}"] = [word for word in words[3:] if word not in "{},"]
        elif words[0] in _TAKING and len(words) > 1:
            self._taken(words)
        elif words[:2] == ["add", "rule"] and len(words) > 4:  # noqa: PLR2004  (family, table, chain)
            family = words[2] if words[2] in _FAMILIES else "ip"
            start = 3 if words[2] in _FAMILIES else 2
            self._in_chain(f"{family} {words[start]}", words[start + 1], statement[start + 2 :])

    def _taken(self, words: list[str]) -> None:
        """``flush`` and ``delete`` take back what was said so far; a rule or a set by itself is not followed."""
        what, rest = words[1], words[2:]
        self._takings += 1
        if self._takings > _MOST_TAKINGS:
            raise Unreadable("/etc/nftables.conf", f"rules are taken back more than {_MOST_TAKINGS} times")
        if what == "ruleset":
            for table, name in list(self._hooks) + list(self._rules):
                if not rest or table.partition(" ")[0] == rest[0]:
                    self._hooks.pop((table, name), None)
                    self._rules.pop((table, name), None)
            return
        family, names = (rest[0], rest[1:]) if rest[:1] and rest[0] in _FAMILIES else ("ip", rest)
        if what not in ("table", "chain") or not names:
            return
        for table, name in list(self._hooks) + list(self._rules):
            if table == f"{family} {names[0]}" and (what == "table" or name in names[1:2]):
                self._rules[table, name] = []
                if words[0] != "flush":
                    self._hooks.pop((table, name), None)

    def _in_chain(self, table: str, chain: str, statement: list[Token]) -> None:
        words, where = [word for word, _ in statement], statement[0][1]
        if words[0] == "type" and "hook" in words[:-1]:
            self._hooks[table, chain] = [words[words.index("hook") + 1], "accept", where]
        elif words[0] == "policy" and len(words) > 1 and (table, chain) in self._hooks:
            self._hooks[table, chain][1:] = [words[1], where]
        else:
            self._count += 1
            if self._count > MOST_RULES:
                raise Unreadable(where, f"there are more than {MOST_RULES} rules")
            plain = [each for word in words for each in self._variables.get(word, [word])]
            self._size += sum(map(len, plain))
            if self._size > _MOST_SIZE:
                raise Unreadable(where, f"its rules come to more than {_MOST_SIZE} characters")
            self._rules.setdefault((table, chain), []).append(_rule(plain, where))


def _statements(tokens: Iterator[Token], *, whole: bool) -> Iterator[tuple[list[Token], bool]]:
    """Statements of one block and whether a block follows; in a chain (`whole`) braces belong to the statement."""
    found: list[Token] = []
    depth = 0
    for word, where in tokens:
        if depth == 0 and word == "}":
            break
        if depth == 0 and word in ("\n", ";"):
            if found:
                yield found, False
            found = []
        elif word == "{" and not whole and "=" not in [w for w, _ in found]:
            yield found, True
            found = []
        elif word != "\n":
            depth += (word == "{") - (word == "}")
            found.append((word, where))
    if found:
        yield found, False


def _skip(tokens: Iterator[Token]) -> None:
    depth = 1
    for word, _ in tokens:
        depth += (word == "{") - (word == "}")
        if depth == 0:
            return


def _rule(words: list[str], where: str) -> Rule:
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
