"""The probe of name servers: who answers for names is set by the device, not by whoever hands out its address.

1. OpenWrt: every interface that learns its address refuses name servers with it (``peerdns '0'``).
2. systemd-resolved: servers are named, and networkd takes none over (``UseDNS=no``).
3. Elsewhere: ``/etc/resolv.conf`` is a file of the device's own, and no DHCP client of it writes there.

Sources: OpenWrt's network configuration, resolved.conf(5), systemd.network(5), dhcpcd.conf(5), dhclient.conf(5).
"""

from __future__ import annotations

from holdfast_core.baseline.probes.network import PinnedNames
from holdfast_probe.case import Case
from holdfast_probe.roots import Root
from holdfast_probe.services.ini import values
from holdfast_probe.services.listen_common import settings
from holdfast_probe.services.texts import exists, fitting, lines, numbered, truthy
from holdfast_probe.services.uci import sections
from holdfast_probe.sight import Sight, failed, judged, passed, unknown

_PATH = "/etc/resolv.conf"
_LEARNING = frozenset({"dhcp", "dhcpv6", "pppoe", "ppp", "3g", "qmi", "mbim", "ncm", "wwan", "l2tp", "pptp"})
_RESOLVED = "/etc/systemd/resolved.conf"


def see_pinned_names(case: Case, _spec: PinnedNames) -> Sight:
    """Judge one `PinnedNames` probe."""
    root = case.root
    if exists(root, "/etc/config/network"):
        return _openwrt(root)
    target = root.link(_PATH)
    if "systemd/resolve" in target:
        return _resolved(root)
    if target and root.real(_PATH).split("/")[1:2] in (["tmp"], ["run"], ["var"]):
        return failed([f"{_PATH} leads to {target}, which is written when the device learns its address"])
    servers = [
        line.split()[1] for line in lines(root, _PATH) or () if line.startswith("nameserver ") and line.split()[1:]
    ]
    if not exists(root, _PATH):
        return unknown("Nothing here says which name servers are asked.")
    bad = [] if servers else [f"{_PATH} names no server"]
    bad += _writers(root)
    return judged(bad, f"{_PATH} names {', '.join(servers[:3])}")


def _openwrt(root: Root) -> Sight:
    found = [s for s in sections(root, "/etc/config/network") if s.kind == "interface"]
    bad = [
        f"{s.where} ({s.name}) takes name servers over with its address"
        for s in found
        if s.last("proto") in _LEARNING and truthy(s.last("peerdns", "1")) and not truthy(s.last("disabled", "0"))
    ]
    named = [server for s in found for server in s.all("dns")]
    for section in sections(root, "/etc/config/dhcp"):
        named += section.all("server") if section.kind == "dnsmasq" else []
    if not bad and not named:
        bad = ["/etc/config/network names no server"]
    return judged(bad, f"names are asked of {', '.join(named[:3])}")


def _resolved(root: Root) -> Sight:
    found = values(root, _RESOLVED)
    servers, where = found.get(("Resolve", "DNS"), ("", _RESOLVED))
    bad = [] if servers else [f"{_RESOLVED} names no server"]
    for path in fitting(root, "/etc/systemd/network/*.network"):
        mine = values(root, path)
        dhcp = mine.get(("Network", "DHCP"), ("no", ""))[0].lower()
        keys = [(section, "UseDNS") for section in ("DHCPv4", "DHCPv6", "DHCP")]
        if dhcp not in ("no", "false", "none", "") and not any(
            mine.get(k, ("yes", ""))[0].lower() in ("no", "false") for k in keys
        ):
            bad.append(f"{path} takes name servers over with its address")
    return failed(bad) if bad else passed(f"names are asked of {servers} ({where})")


def _writers(root: Root) -> list[str]:
    """The DHCP clients that would write their servers into ``/etc/resolv.conf``."""
    bad = []
    learning = [
        f"{path}:{number}"
        for path in fitting(root, "/etc/network/interfaces", "/etc/network/interfaces.d/*")
        for number, line in numbered(root, path) or ()
        if line.startswith("iface ") and line.split()[-1] == "dhcp" and not _kept(root)
    ]
    bad += [f"{where} learns its name servers with its address" for where in learning]
    if exists(root, "/etc/NetworkManager/NetworkManager.conf"):
        kept = values(root, "/etc/NetworkManager/NetworkManager.conf").get(("main", "dns"), ("", ""))[0]
        bad += [] if kept == "none" else ["NetworkManager writes the name servers that it is given"]
    return bad


def _kept(root: Root) -> bool:
    """Whether the DHCP client is told to leave the file alone."""
    hooks = [value for key, value, _ in settings(root, "/etc/dhcpcd.conf") if key == "nohook"]
    if any("resolv.conf" in value for value in hooks):
        return True
    superseded = settings(root, "/etc/dhcp/dhclient.conf", "/etc/dhclient.conf")
    if any(key == "supersede" and value.startswith("domain-name-servers") for key, value, _ in superseded):
        return True
    scripts = [
        line
        for path in ("/usr/share/udhcpc/default.script", "/etc/udhcpc/udhcpc.conf")
        for line in lines(root, path) or ()
    ]
    return any(line.replace('"', "").startswith("RESOLV_CONF=no") for line in scripts)
