"""Attacks by a packet filter that reads like one and lets everything in."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.network import Firewall, FirewallCheck
from probe_builders import Files, ask, grow

INBOUND = Firewall(check=FirewallCheck.INBOUND)
STARTS: Files = {
    "lib/systemd/system/nftables.service": "[Service]\nExecStart=/usr/sbin/nft -f /etc/nftables.conf\n",
    "etc/systemd/system/sysinit.target.wants/nftables.service": "-> /lib/systemd/system/nftables.service",
}
RULES = """\
flush ruleset
table inet filter {
  chain input {
    type filter hook input priority 0; policy drop;
    iifname "lo" accept
    {}
    ct state established,related accept
    ip protocol icmp accept
    meta l4proto ipv6-icmp accept
    tcp dport { 22, 443 } accept
  }
}
"""
OPEN = (
    "ct state new,established accept",
    "ct state new, established accept",
    "ct state { new, established } accept",
    "ct state != invalid accept",
    "ct state vmap { established : accept, new : accept }",
    "meta l4proto { tcp, udp } accept",
    "meta l4proto tcp accept",
    "ip protocol tcp accept",
    'iifname != "lo" accept',
    "ip saddr != 192.0.2.1 accept",
    "tcp dport != 23 accept",
)
CLOSED = (
    "ct state related,established accept",
    "ct state != new accept",
    "ct state vmap { established : accept, related : accept, invalid : drop }",
    "ct state invalid drop",
    "meta l4proto { icmp, ipv6-icmp } accept",
    "meta l4proto { tcp, udp } th dport 53 accept",
    "ip saddr 192.0.2.0/24 accept",
    "ip saddr { 192.0.2.1, 192.0.2.2 } tcp dport 161 accept",
)
TAKEN_BACK = (
    "flush ruleset",
    "flush ruleset inet",
    "delete table inet filter",
    "destroy table inet filter",
    "delete chain inet filter input",
)


def filtered(rules: str) -> Files:
    return {**STARTS, "etc/nftables.conf": rules}


@pytest.mark.parametrize("rule", OPEN)
def test_a_rule_that_lets_in_what_is_new_is_open(tmp_path: Path, rule: str) -> None:
    finding = ask(grow(tmp_path, filtered(RULES.replace("{}", rule))), INBOUND)
    assert finding.outcome is Outcome.FAIL, finding


@pytest.mark.parametrize("rule", CLOSED)
def test_a_rule_that_lets_answers_in_still_passes(tmp_path: Path, rule: str) -> None:
    finding = ask(grow(tmp_path, filtered(RULES.replace("{}", rule))), INBOUND)
    assert finding.outcome is Outcome.PASS, finding


@pytest.mark.parametrize("line", TAKEN_BACK)
def test_rules_that_are_taken_back_at_the_end_are_none(tmp_path: Path, line: str) -> None:
    kept = RULES.replace("{}", "")
    assert ask(grow(tmp_path, filtered(f"{kept}{line}\n")), INBOUND).outcome is Outcome.FAIL
    grow(tmp_path, {"etc/nftables.conf": f"table inet filter\n{line}\n{kept}"})
    assert ask(tmp_path, INBOUND).outcome is Outcome.PASS
