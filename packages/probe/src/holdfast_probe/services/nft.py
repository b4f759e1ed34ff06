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
from holdfast_probe.services.filters import MOST_RULES, Chain, Filter, Rule, inlined
from holdfast_probe.services.nft_rules import rule_of
from holdfast_probe.services.texts import fitting, numbered

_FAMILIES = {"ip": frozenset({4}), "ip6": frozenset({6}), "inet": frozenset({4, 6})}
_WORD = re.compile(r'"[^"]*"|[{};]|[^\s{};"]+')
_MOST_INCLUDES = 64
_MOST_HOOKS = 64
_MOST_TAKINGS = 256
_MOST_SIZE = 2 * 1024 * 1024
_TAKING = frozenset({"flush", "delete", "destroy"})
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
            self._rules.setdefault((table, chain), []).append(rule_of(plain, where))


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
