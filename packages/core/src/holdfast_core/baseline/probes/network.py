"""The probes of the network as a device itself can set it: its packet filter, its radios, its names, its clients."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

from holdfast_core.baseline.probes.shape import Probe


class FirewallCheck(StrEnum):
    """What `Firewall` asks of the packet filter."""

    INBOUND = "inbound"
    """What no rule allows to come in over IPv4 is denied."""
    OUTBOUND = "outbound"
    """What no rule allows to go out is denied, and the rules allow only the plan's `outgoing`."""
    IPV6 = "ipv6"
    """IPv6 is denied by default as well and lets in nothing that IPv4 does not; IPv6 switched off passes."""
    RATE = "rate"
    """Something limits the rate of what comes in."""
    WAN_ADMIN = "wan_admin"
    """No rule lets a port of administration in from everywhere or from the wide-area side."""


class Firewall(Probe, frozen=True, tag="firewall"):
    """One `check` of the packet filter that something loads: nftables, iptables, UCI, ufw, firewalld.

    No filter at all: `inbound` fails, since everything is let through, and what is asked of its rules does not apply.
    A program that loads rules of its own: unknown.
    """

    check: FirewallCheck


class ManagementBound(Probe, frozen=True, tag="management_bound"):
    """What administers the device (SSH, a web server) listens on named addresses only.

    It fails where one listens on every interface; none started: not applicable.
    """


class Wifi(Probe, frozen=True, tag="wifi"):
    """Every wireless network that is configured (wpa_supplicant, hostapd, UCI) is WPA2 or WPA3 with AES.

    Open, WEP, WPA and TKIP fail; no wireless network: not applicable.
    """


class PinnedNames(Probe, frozen=True, tag="pinned_names"):
    """Name servers are set by the device, not taken from whoever answers first: resolv.conf, resolved, UCI.

    They are taken over from DHCP, or nothing sets them: fail. No settings of a resolver at all: unknown.
    """


class CleartextClients(Probe, frozen=True, tag="cleartext_clients"):
    """No crontab, start-up script or setting calls out in the clear, or without looking at the certificate.

    ``http://``, ``ftp://``, ``mqtt://`` and the like to another host, telnet, tftp, ``curl -k``,
    ``wget --no-check-certificate``. A package feed whose lists are signed is not meant.
    """


NetworkProbe: TypeAlias = Firewall | ManagementBound | Wifi | PinnedNames | CleartextClients
"""The probes of this module."""
