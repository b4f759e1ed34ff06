"""Reading iptables: saved rule sets, and the commands of start-up scripts, which are written alike.

1. Saved files are read for their filter table only; a script's commands count where they name no other table.
2. A command whose words are variables is not understood, and a chain made of such is not found.

Source: iptables(8), iptables-save(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from holdfast_probe.roots import Root, Unreadable
from holdfast_probe.services.filters import MOST_RULES, Chain, Filter, Rule, inlined, ports_of
from holdfast_probe.services.texts import fitting, gathered, numbered, text, truthy, unquoted, words

_FOUR = (
    "/etc/iptables/rules.v4", "/etc/iptables/iptables.rules", "/etc/iptables.rules", "/etc/iptables.up.rules",
    "/etc/sysconfig/iptables", "/etc/iptables/rules-save", "/var/lib/iptables/rules-save", "/etc/iptables.conf",
)  # fmt: skip
_SIX = (
    "/etc/iptables/rules.v6", "/etc/iptables/ip6tables.rules", "/etc/ip6tables.rules", "/etc/ip6tables.up.rules",
    "/etc/sysconfig/ip6tables", "/etc/iptables/rules6-save", "/var/lib/ip6tables/rules-save", "/etc/ip6tables.conf",
)  # fmt: skip
_SCRIPTS = ("/etc/init.d/*", "/etc/rc.local", "/etc/network/if-pre-up.d/*", "/etc/network/if-up.d/*", "/etc/firewall.*")
_COMMAND = re.compile(r"(?:^|[\s;&|/])(ip6?tables)\s+(-.*)")
_HOOKS = {"INPUT": "input", "FORWARD": "forward", "OUTPUT": "output"}


def iptables_filter(root: Root) -> Filter | None:
    """The filter of the saved rule sets and of start-up scripts, or `None` where there is neither."""
    chains: list[Chain] = []
    commands = gathered(root, *_SCRIPTS)
    for family, places, command in ((4, _FOUR, "iptables"), (6, _SIX, "ip6tables")):
        table = _Table()
        for path in fitting(root, *places)[:1]:
            table.saved(numbered(root, path) or (), path)
        for where, line in commands:
            if (match := _COMMAND.search(line)) and match.group(1) == command:
                table.command(match.group(2), where)
        chains += table.chains(family)
    return Filter("iptables", tuple(chains)) if chains else None


def ufw_filter(root: Root) -> Filter | None:
    """The policies of ufw and the rules a person gave it, or `None` where it is not there or off."""
    settings = {key.strip(): unquoted(value) for key, _, value in _pairs(root, "/etc/default/ufw", "/etc/ufw/ufw.conf")}
    if not truthy(settings.get("ENABLED", "no")):
        return None
    chains = []
    for family, path, chain in ((4, "/etc/ufw/user.rules", "ufw"), (6, "/etc/ufw/user6.rules", "ufw6")):
        if family == 6 and not truthy(settings.get("IPV6", "yes")):  # noqa: PLR2004  (the other family)
            continue
        table = _Table()
        table.saved(numbered(root, path) or (), path)
        for hook, key in (("input", "INPUT"), ("output", "OUTPUT"), ("forward", "FORWARD")):
            policy = settings.get(f"DEFAULT_{key}_POLICY", "ACCEPT" if key == "OUTPUT" else "DROP").lower()
            rules = tuple(table.rules.get(f"{chain}-user-{hook}", ()))
            families = frozenset({family})
            chains.append(Chain(hook=hook, families=families, policy=policy, rules=rules, where="/etc/default/ufw"))
    return Filter("ufw", tuple(chains), syn_guard=any(r.limited for c in chains for r in c.rules))


def firewalld_filter(root: Root) -> Filter | None:
    """What firewalld does: it rejects what its zones do not name, unless the default zone trusts everybody."""
    content = text(root, "/etc/firewalld/firewalld.conf")
    if not content:
        return None
    pairs = _pairs(root, "/etc/firewalld/firewalld.conf")
    zone = next((unquoted(value) for key, _, value in pairs if key == "DefaultZone"), "public")
    policy = "accept" if zone == "trusted" else "reject"
    both = frozenset({4, 6})
    inward = Chain(hook="input", families=both, policy=policy, where="/etc/firewalld/firewalld.conf")
    return Filter("firewalld", (inward, Chain(hook="output", families=both, policy="accept", where=inward.where)))


def _pairs(root: Root, *paths: str) -> list[tuple[str, str, str]]:
    return [line.partition("=") for path in paths for _, line in numbered(root, path) or ()]


class _Table:
    """One family's filter table."""

    def __init__(self) -> None:
        self.rules: dict[str, list[Rule]] = {}
        self._policies: dict[str, tuple[str, str]] = {}
        self._count = 0

    def saved(self, lines: Iterable[tuple[int, str]], path: str) -> None:
        """Read a saved rule set."""
        inside = True
        for number, line in lines:
            if line.startswith("*"):
                inside = line == "*filter"
            elif inside and line.startswith(":"):
                name, *rest = line[1:].split()
                if name in _HOOKS and rest:
                    self._policies[name] = (rest[0].lower(), f"{path}:{number}")
            elif inside:
                self.command(line, f"{path}:{number}")

    def command(self, line: str, where: str) -> None:
        """Read what one command adds."""
        parts = words(line)
        if "-t" in parts[:-1] and parts[parts.index("-t") + 1] != "filter":
            return
        parts = parts[2:] if parts[:1] == ["-t"] else parts
        if parts[:1] in (["-P"], ["--policy"]) and len(parts) > 2:  # noqa: PLR2004  (chain and policy)
            self._policies[parts[1]] = (parts[2].lower(), where)
        elif parts[:1] in (["-A"], ["--append"], ["-I"], ["--insert"]) and len(parts) > 1:
            self._count += 1
            if self._count > MOST_RULES:
                raise Unreadable(where, f"there are more than {MOST_RULES} rules")
            found = self.rules.setdefault(parts[1], [])
            rule = _rule(parts[2:], where)
            found.insert(0 if parts[0] in ("-I", "--insert") else len(found), rule)

    def chains(self, family: int) -> list[Chain]:
        """The chains at a hook."""
        found = []
        for name, hook in _HOOKS.items():
            if name in self._policies or name in self.rules:
                policy, where = self._policies.get(name, ("accept", ""))
                rules = inlined(self.rules.get(name, ()), self.rules)
                where = where or (rules[0].where if rules else "")
                families = frozenset({family})
                found.append(Chain(hook=hook, families=families, policy=policy, rules=rules, where=where))
        return found


def _rule(parts: list[str], where: str) -> Rule:
    """One rule; each option that takes a value is read with it."""
    transport: tuple[str, ...] = ("tcp", "udp")
    written: list[str] = []
    verdict = ""
    interfaces: list[str] = []
    facts = dict.fromkeys(("addressed", "established", "limited", "narrow"), False)
    for option, value in zip(parts, [*parts[1:], ""], strict=True):
        if option in ("-j", "--jump", "-g", "--goto"):
            verdict = value.lower() if value in ("ACCEPT", "DROP", "REJECT") else f"jump {value}"
        elif option in ("-p", "--protocol"):
            transport = (value,)
            facts["narrow"] |= value not in ("tcp", "udp", "all")
        elif option in ("--dport", "--destination-port", "--dports"):
            written += value.split(",")
        elif option in ("-i", "--in-interface", "-o", "--out-interface"):
            interfaces.append(value)
        elif option in ("-s", "--source", "-d", "--destination"):
            facts["addressed"] |= value not in ("0.0.0.0/0", "::/0")
        elif option in ("--ctstate", "--state"):
            facts["established"] |= "NEW" not in value.upper()
        elif option == "-m":
            facts["limited"] |= value in ("limit", "hashlimit", "connlimit", "recent")
            facts["narrow"] |= value in ("mac", "mark", "set", "string", "owner", "u32", "addrtype")
    if transport in (("tcp",), ("udp",)) and not written:
        facts["narrow"] = True
    ports = ports_of(transport, written) if written else ()
    return Rule(verdict=verdict, ports=ports, interfaces=tuple(interfaces), where=where, **facts)
