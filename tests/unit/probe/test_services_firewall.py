"""The packet filter, in every way of writing one: what it lets in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.network import Firewall, FirewallCheck
from holdfast_core.kernel.errors import HoldfastError
from holdfast_probe.roots import FolderRoot
from holdfast_probe.services.iptables import iptables_filter
from holdfast_probe.services.nft import nft_filter
from holdfast_probe.services.zones import uci_filter
from probe_builders import a_plan, ask, grow

NFT = """#!/usr/sbin/nft -f
flush ruleset
define ADMIN = { 22, 443 }
table inet filter {
    set trusted {
        type ipv4_addr
        elements = { 192.0.2.1 }
    }
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iif "lo" accept
        ip saddr 192.0.2.0/24 tcp dport $ADMIN accept
        tcp dport { 8883,
            8884 } limit rate 10/second accept comment "the broker; and more"
    }
    chain output {
        type filter hook output priority 0; policy drop;
        ct state established accept
        oif lo accept
        meta l4proto icmp accept
        jump conversations
    }
    chain conversations { tcp dport 8883 accept; udp dport 123 accept
    }
}
"""
V4 = """*filter
:INPUT DROP [0:0]
:OUTPUT DROP [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -s 192.0.2.0/24 -p tcp -m tcp --dport 22 -m limit --limit 10/min -j ACCEPT
-A OUTPUT -p tcp --dport 8883 -j ACCEPT
-A OUTPUT -p udp --dport 123 -j ACCEPT
COMMIT
"""
UCI = """config defaults
 option syn_flood '1'
 option input 'REJECT'
 option output 'REJECT'

config zone
 option name 'lan'
 option input 'ACCEPT'

config zone
 option name 'wan'
 option input 'REJECT'

config rule
 option src 'wan'
 option proto 'icmp'
 option target 'ACCEPT'

config rule
 option dest 'wan'
 option proto 'tcp'
 option dest_port '8883'
 option target 'ACCEPT'
"""
TREES: dict[str, dict[str, Any]] = {
    "nftables": {"etc/nftables.conf": NFT, "etc/init.d/S41nftables": "nft -f /etc/nftables.conf\n"},
    "iptables": {
        "etc/iptables/rules.v4": V4,
        "etc/iptables/rules.v6": V4.replace("192.0.2.0/24", "2001:db8::/32"),
        "etc/rc2.d/S01netfilter-persistent": "x",
    },
    "uci": {"etc/config/firewall": UCI, "etc/rc.d/S19firewall": "x"},
}
LISTS = {"outgoing": (("tcp", 8883), ("udp", 123))}
FILE = {"nftables": "etc/nftables.conf", "iptables": "etc/iptables/rules.v4", "uci": "etc/config/firewall"}


def outcome(tree: Path, check: FirewallCheck) -> Any:
    return ask(tree, Firewall(check=check), a_plan(**LISTS))


@pytest.mark.parametrize("check", FirewallCheck)
@pytest.mark.parametrize("kind", TREES)
def test_a_good_filter_passes(tmp_path: Path, kind: str, check: FirewallCheck) -> None:
    finding = outcome(grow(tmp_path, TREES[kind]), check)
    assert finding.outcome is Outcome.PASS, finding
    assert finding.proof


@pytest.mark.parametrize("check", FirewallCheck)
def test_where_nothing_filters_one_control_tells(tmp_path: Path, check: FirewallCheck) -> None:
    finding = outcome(grow(tmp_path, {"etc/init.d/S50sshd": "sshd\n", "etc/nftables.conf": NFT}), check)
    if check is FirewallCheck.INBOUND:
        assert finding.proof == ("nothing loads rules of a packet filter, so everything is let through",)
    else:
        assert finding.reason == "Nothing filters here; NET-01 tells."


SIX_ONLY = """
config rule
 option src wan
 option family ipv6
 option dest_port 80
 option proto tcp
 option target ACCEPT

config rule
 option dest 'wan'
"""
FAULTS = {
    ("nftables", FirewallCheck.INBOUND): ("input priority filter; policy drop", "input priority 0; policy accept"),
    ("nftables", FirewallCheck.OUTBOUND): ("tcp dport 8883 accept; ", "tcp dport { 8883, 80 } accept; "),
    ("nftables", FirewallCheck.IPV6): ("table inet filter", "table ip filter"),
    ("nftables", FirewallCheck.RATE): ("limit rate 10/second accept", "accept"),
    ("nftables", FirewallCheck.WAN_ADMIN): ("ip saddr 192.0.2.0/24 tcp", "tcp"),
    ("iptables", FirewallCheck.INBOUND): (":INPUT DROP", ":INPUT ACCEPT"),
    ("iptables", FirewallCheck.OUTBOUND): ("-p udp --dport 123", "-p udp --dport 1:123"),
    ("iptables", FirewallCheck.IPV6): (
        "-A INPUT -s 192.0.2.0/24 -p tcp -m tcp --dport 22",
        "-A INPUT -p tcp --dport 80",
    ),
    ("iptables", FirewallCheck.RATE): ("-m limit --limit 10/min ", ""),
    ("iptables", FirewallCheck.WAN_ADMIN): ("-s 192.0.2.0/24 ", "-i ppp0 "),
    ("uci", FirewallCheck.INBOUND): ("option input 'REJECT'\n option output", "option input 'ACCEPT'\n option output"),
    ("uci", FirewallCheck.OUTBOUND): ("option output 'REJECT'", "option output 'ACCEPT'"),
    ("uci", FirewallCheck.IPV6): ("\nconfig rule\n option dest 'wan'\n", SIX_ONLY),
    ("uci", FirewallCheck.RATE): ("syn_flood '1'", "syn_flood '0'"),
    ("uci", FirewallCheck.WAN_ADMIN): (
        "option name 'wan'\n option input 'REJECT'",
        "option name wan\n option input ACCEPT",
    ),
}


@pytest.mark.parametrize(("kind", "check"), FAULTS, ids=str)
def test_a_hole_is_seen(tmp_path: Path, kind: str, check: FirewallCheck) -> None:
    old, new = FAULTS[kind, check]
    grow(tmp_path, TREES[kind])
    path = tmp_path / FILE[kind]
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    if (kind, check) == ("iptables", FirewallCheck.IPV6):  # the hole is in the other family's file
        (tmp_path / "etc/iptables/rules.v6").write_text(text.replace(old, new, 1))
        path.write_text(text)
    finding = outcome(tmp_path, check)
    assert finding.outcome is Outcome.FAIL, finding


def test_rules_that_nothing_loads_are_no_firewall(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/nftables.conf": NFT, "etc/init.d/S50sshd": "x"})
    assert outcome(tmp_path, FirewallCheck.INBOUND).outcome is Outcome.FAIL


def test_a_firewall_nobody_can_read_is_unknown(tmp_path: Path) -> None:
    assert (
        outcome(grow(tmp_path / "a", {"etc/init.d/S20shorewall": "x"}), FirewallCheck.INBOUND).outcome
        is Outcome.UNKNOWN
    )
    assert outcome(grow(tmp_path / "b", {"etc/vendor": "x"}), FirewallCheck.INBOUND).outcome is Outcome.UNKNOWN


def test_ipv6_that_is_switched_off_needs_no_filter(tmp_path: Path) -> None:
    tree = {"etc/nftables.conf": NFT.replace("inet", "ip"), "etc/init.d/S41nftables": "x"}
    grow(tmp_path, tree | {"etc/sysctl.d/9.conf": "net.ipv6.conf.all.disable_ipv6 = 1\n"})
    assert outcome(tmp_path, FirewallCheck.IPV6).outcome is Outcome.FAIL
    grow(tmp_path, {"etc/init.d/S02sysctl": "sysctl --system\n"})
    assert outcome(tmp_path, FirewallCheck.IPV6).outcome is Outcome.PASS


@pytest.mark.parametrize("path", FILE.values())
@given(text=st.text("{};\n table chain hook input policy 'drop\"-A:*/#$\\", max_size=300))
@settings(max_examples=40, deadline=None)
def test_a_hostile_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, path: str, text: str) -> None:
    root = FolderRoot(grow(tmp_path_factory.mktemp("hostile"), {path: text}))
    for reader in (nft_filter, iptables_filter, uci_filter):
        try:
            reader(root)
        except (HoldfastError, ValueError, LookupError):
            continue


def test_deep_blocks_are_refused_or_read_without_a_crash(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/nftables.conf": "table inet x {\n" * 5000, "etc/init.d/S41nftables": "x"})
    assert outcome(tmp_path, FirewallCheck.INBOUND).outcome in {Outcome.UNKNOWN, Outcome.FAIL}


JUMPS = "table ip f {\nchain i {\ntype filter hook input priority 0;\n" + "jump a\n" * 900 + "}\nchain a {\n"
TOO_MUCH = {
    "chains that multiply": JUMPS + "jump b\n" * 900 + "}\nchain b {\n" + "jump c\n" * 900 + "}\n}\n",
    "a variable used again and again": f"define a = {{{'1,' * 9000}}}\ntable ip f {{\nchain i {{\n" + "$a\n" * 999,
    "hooks without number": "table ip f {\n"
    + "".join(f"chain c{i} {{\ntype filter hook input priority 0;\n}}\n" for i in range(999)),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_rules_made_to_be_endless_are_refused(tmp_path: Path, name: str) -> None:
    grow(tmp_path, {"etc/nftables.conf": TOO_MUCH[name], "etc/init.d/S41nftables": "x"})
    finding = outcome(tmp_path, FirewallCheck.INBOUND)
    assert finding.outcome is Outcome.UNKNOWN
    assert "more than" in finding.reason
