"""Group NET: nftables in front of everything, one address to administer, one wireless network with certificates."""

from __future__ import annotations

from typing import Any

from hardened.shape import Break
from hardened.svc import ADDRESS
from probe_builders import Files

IN = """\
        ct state established,related accept
        iif "lo" accept
        ip{0} saddr {1} tcp dport {{ 22, 443 }} accept
        tcp dport 8883 limit rate 50/second accept
"""
OUT = """\
        ct state established accept
        oif "lo" accept
        tcp dport { 443, 8883, 6514, 4460 } accept
        udp dport { 53, 123 } accept
"""
TABLE = """\
table ip{0} filter {{
    chain input {{
        type filter hook input priority filter; policy drop;
{1}    }}
    chain output {{
        type filter hook output priority filter; policy drop;
{2}    }}
}}
"""
FOUR = TABLE.format("", IN.format("", "192.0.2.0/24"), OUT)
SIX = TABLE.format("6", IN.format("6", "2001:db8::/64"), OUT)
SSHD = f"""\
ListenAddress {ADDRESS}
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxAuthTries 4
Ciphers chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes256-ctr
MACs hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com
"""
PARAMETERS = "".join(
    f"net.{key} = {value}\n"
    for key, value in {
        "ipv4.ip_forward": 0,
        "ipv6.conf.all.forwarding": 0,
        "ipv4.conf.all.rp_filter": 2,
        "ipv4.conf.all.accept_redirects": 0,
        "ipv4.conf.all.send_redirects": 0,
        "ipv4.conf.all.accept_source_route": 0,
        "ipv6.conf.all.accept_redirects": 0,
    }.items()
)
WIFI = 'network={\n\tssid="plant"\n\tkey_mgmt=WPA-EAP\n\teap=TLS\n\tproto=RSN\n\tpairwise=CCMP\n}\n'
CRONTAB = "17 3 * * * /usr/bin/report https://reports.example.net/in\n"


def filtered(four: str = FOUR, six: str = SIX) -> Files:
    """The rules, for both families."""
    return {"etc/nftables.conf": f"flush ruleset\n{four}{six}"}


GOOD: Files = {
    **filtered(),
    "etc/init.d/S41nftables": ("#!/bin/sh\nnft -f /etc/nftables.conf\n", 0o755),
    "etc/ssh/sshd_config": SSHD,
    "etc/sysctl.d/60-network.conf": PARAMETERS,
    "etc/resolv.conf": "nameserver 192.0.2.53\n",
    "etc/wpa_supplicant/wpa_supplicant.conf": (WIFI, 0o600),
    "etc/crontabs/root": (CRONTAB, 0o600),
    **{
        "proc/sys/" + key.strip().replace(".", "/"): f"{value.strip()}\n"
        for key, _, value in (line.partition("=") for line in PARAMETERS.splitlines())
    },
}
PLAN: dict[str, tuple[Any, ...]] = {
    "autostart": ("nftables",),
    "outgoing": (("tcp", 443), ("tcp", 8883), ("tcp", 6514), ("tcp", 4460), ("udp", 53), ("udp", 123)),
}
FACTS: dict[str, Any] = {"segment_as_assigned": True, "wifi_security": "wpa3", "rate_limited": True}
LIVE_ONLY: frozenset[str] = frozenset()
FOLDER_ONLY: frozenset[str] = frozenset()
BREAKS: dict[str, Break] = {
    "SVC-04": Break(files=filtered(FOUR.replace("ip saddr 192.0.2.0/24 ", ""))),
    "NET-01": Break(
        files=filtered(FOUR.replace("input priority filter; policy drop", "input priority 0; policy accept"))
    ),
    "NET-02": Break(files=filtered(FOUR.replace("{ 443, ", "{ 25, 443, "))),
    "NET-03": Break(facts={"segment_as_assigned": False}),
    "NET-04": Break(files={"etc/sysctl.d/60-network.conf": PARAMETERS.replace("ip_forward = 0", "ip_forward = 1")}),
    "NET-05": Break(files={"etc/sysctl.d/60-network.conf": PARAMETERS.replace("rp_filter = 2", "rp_filter = 0")}),
    "NET-06": Break(files=filtered(six=SIX.replace("input priority filter; policy drop", "input priority 0"))),
    "NET-07": Break(files={"etc/ssh/sshd_config": SSHD.partition("\n")[2]}),
    "NET-08": Break(files={"etc/wpa_supplicant/wpa_supplicant.conf": (WIFI.replace("WPA-EAP", "NONE"), 0o600)}),
    "NET-09": Break(files={"etc/resolv.conf": "-> /run/resolv.conf"}),
    "NET-10": Break(
        files=filtered(FOUR.replace(" limit rate 50/second", ""), SIX.replace(" limit rate 50/second", ""))
    ),
    "NET-11": Break(files={"etc/crontabs/root": (CRONTAB.replace("https", "http"), 0o600)}),
}
