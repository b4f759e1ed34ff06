"""The wireless probe: every network that is configured keeps strangers out, and its keys are not those of old.

1. Open, WEP, WPA 1 and TKIP fail where a file asks for them; what a file leaves open the programs settle on AES.
2. A key is never shown, only the network's name.

Sources: wpa_supplicant.conf(5), hostapd.conf, OpenWrt's wireless configuration, nm-settings(5), iwd.network(5).
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast_core.baseline.probes.network import Wifi
from holdfast_probe.case import Case
from holdfast_probe.roots import Root
from holdfast_probe.services.listen_common import settings
from holdfast_probe.services.texts import fitting, numbered, truthy, unquoted
from holdfast_probe.services.uci import sections
from holdfast_probe.sight import Sight, judged, not_applicable

_UCI_GOOD = ("psk2", "psk3", "sae", "sae-mixed", "wpa2", "wpa3", "wpa3-mixed", "wpa3-192")
_SUPPLICANT = ("/etc/wpa_supplicant.conf", "/etc/wpa_supplicant/*.conf")
_HOSTAPD = ("/etc/hostapd.conf", "/etc/hostapd/*.conf")

Network = tuple[str, str]
"""Where it stands with its name, and what is wrong with it (empty: nothing)."""


def see_wifi(case: Case, _spec: Wifi) -> Sight:
    """Judge one `Wifi` probe."""
    readers = (_supplicant, _hostapd, _uci, _network_manager, _iwd)
    found = [network for reader in readers for network in reader(case.root)]
    if not found:
        return not_applicable("No wireless network is configured.")
    return judged(
        (f"{where} {fault}" for where, fault in found if fault),
        f"{len(found)} wireless network(s) with WPA2 or WPA3",
    )


def _supplicant(root: Root) -> Iterator[Network]:
    for path in fitting(root, *_SUPPLICANT):
        block: dict[str, str] | None = None
        start = 0
        for number, line in numbered(root, path) or ():
            if line.replace(" ", "").startswith("network={"):
                block, start = {}, number
            elif line.startswith("}") and block is not None:
                if block.get("disabled") != "1":
                    yield f"{path}:{start} ({unquoted(block.get('ssid', 'no name'))})", _supplicant_fault(block)
                block = None
            elif block is not None:
                key, _, value = line.partition("=")
                block[key.strip()] = value.strip()


def _supplicant_fault(block: dict[str, str]) -> str:
    ways = block.get("key_mgmt", "WPA-PSK").upper().split()
    if "NONE" in ways:
        return "is WEP" if any(key.startswith("wep_key") for key in block) else "is open"
    if "OWE" in ways or "IEEE8021X" in ways:
        return "proves nobody's identity" if "OWE" in ways else "uses keys that change too seldom (802.1X with WEP)"
    if "WPA" in block.get("proto", "RSN").upper().split():
        return "accepts WPA 1"
    return "accepts TKIP" if "TKIP" in block.get("pairwise", "CCMP").upper().split() else ""


def _hostapd(root: Root) -> Iterator[Network]:
    for path in fitting(root, *_HOSTAPD):
        block: dict[str, str] = {}
        for key, value, _ in settings(root, path, sign="="):
            if key == "bss" and block:
                yield _hostapd_network(path, block)
                block = {}
            block[key] = value
        if "ssid" in block or "interface" in block:
            yield _hostapd_network(path, block)


def _hostapd_network(path: str, block: dict[str, str]) -> Network:
    where = f"{path} ({block.get('ssid', 'no name')})"
    version = block.get("wpa", "0")
    if version == "0":
        return where, "is WEP" if any(key.startswith("wep_key") for key in block) else "is open"
    if version in ("1", "3"):
        return where, "accepts WPA 1"
    pairwise = f"{block.get('rsn_pairwise', '')} {block.get('wpa_pairwise', '')}".upper()
    return where, "accepts TKIP" if "TKIP" in pairwise.split() else ""


def _uci(root: Root) -> Iterator[Network]:
    found = sections(root, "/etc/config/wireless")
    off = {s.name for s in found if s.kind == "wifi-device" and truthy(s.last("disabled", "0"))}
    for section in found:
        if section.kind != "wifi-iface" or truthy(section.last("disabled", "0")) or section.last("device") in off:
            continue
        kind, _, ciphers = section.last("encryption", "none").partition("+")
        where = f"{section.where} ({section.last('ssid', 'no name')})"
        if kind in _UCI_GOOD:
            yield where, "accepts TKIP" if "tkip" in ciphers.split("+") else ""
        else:
            yield where, {"none": "is open", "owe": "proves nobody's identity"}.get(kind, f"uses {kind[:20]}")


def _network_manager(root: Root) -> Iterator[Network]:
    for path in fitting(root, "/etc/NetworkManager/system-connections/*"):
        inside, wireless, way = "", False, ""
        for _, line in numbered(root, path) or ():
            if line.startswith("["):
                inside = line.strip("[]")
                wireless |= inside == "wifi"
            elif inside == "wifi-security" and line.replace(" ", "").startswith("key-mgmt="):
                way = line.partition("=")[2].strip()
        if wireless:
            faults = {"": "is open", "none": "is WEP", "owe": "proves nobody's identity", "ieee8021x": "is WEP"}
            yield path, faults.get(way, "")


def _iwd(root: Root) -> Iterator[Network]:
    for path in fitting(root, "/var/lib/iwd/*.open"):
        yield path, "is open"
    for path in fitting(root, "/var/lib/iwd/*.psk", "/var/lib/iwd/*.8021x"):
        yield path, ""
