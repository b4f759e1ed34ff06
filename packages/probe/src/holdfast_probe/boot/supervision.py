"""The probes of what the running hardware says: its watchdog, its radios.

1. The kernel's own list decides on a running system; in a folder, what would start it or switch it off.
2. A watchdog device is never opened: opening it starts it.

Sources: the kernel's watchdog/watchdog-api and rfkill, systemd-system.conf(5), OpenWrt's procd and wireless settings.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast_core.baseline.probes.boot import Radios, Watchdog
from holdfast_probe.boot.conf import by_name, lines_of
from holdfast_probe.case import Case
from holdfast_probe.roots import Missing, Root
from holdfast_probe.services.texts import exists, text, truthy
from holdfast_probe.services.uci import sections
from holdfast_probe.sight import Sight, failed, judged, not_applicable, passed, unknown

_WATCHDOGS = "/sys/class/watchdog"
_MAIN = ("/etc/systemd/system.conf", "/usr/lib/systemd/system.conf")
_DROP_INS = ("/etc/systemd/system.conf.d", "/run/systemd/system.conf.d", "/usr/lib/systemd/system.conf.d")
_SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd", "/etc/systemd/system.conf")
_PROCD = "/sbin/procd"
_OFF = frozenset({"", "0", "off", "0s", "no"})
_WIRELESS = "/etc/config/wireless"
_KINDS = {
    "wlan": frozenset({"wifi", "wlan", "wi-fi"}),
    "bluetooth": frozenset({"bluetooth", "ble"}),
    "wwan": frozenset({"cellular", "lte", "5g", "wwan", "modem"}),
}
"""What a model may call a radio of each of the kernel's kinds; any other kind goes by its own name."""
_LISTENS_ONLY = frozenset({"gps", "fm"})


def see_watchdog(case: Case, _spec: Watchdog) -> Sight:
    """Judge one `Watchdog` probe."""
    return _running(case.root) if case.root.live else _configured(case.root)


def _running(root: Root) -> Sight:
    devices = root.glob(f"{_WATCHDOGS}/watchdog*")
    if not devices:
        return failed([f"the kernel drives no watchdog ({_WATCHDOGS} is empty)"])
    states = {f"{device}/state": text(root, f"{device}/state").strip() for device in devices}
    active = [path for path, state in states.items() if state == "active"]
    if active:
        return passed(f"a watchdog is active ({active[0]})")
    if not any(states.values()):
        return unknown("The kernel does not tell whether its watchdogs are active (CONFIG_WATCHDOG_SYSFS).")
    return failed(f"the watchdog is {state} ({path})" for path, state in states.items() if state)


def _configured(root: Root) -> Sight:
    if exists(root, _PROCD):
        return passed(f"procd feeds the watchdog ({_PROCD})")
    if not any(exists(root, path) for path in _SYSTEMD):
        return unknown("Neither systemd nor procd starts here, and nothing else tells who feeds a watchdog.")
    value, where = "", "systemd's default"
    main = [path for path in _MAIN if exists(root, path)][:1]
    for path in [*main, *by_name(root, _DROP_INS)]:
        for line in lines_of(root, path):
            key, sign, said = line.partition("=")
            if sign and key.strip() == "RuntimeWatchdogSec":
                value, where = said.strip(), path
    said = f"RuntimeWatchdogSec is {value[:40]!r} ({where})"
    return failed([said]) if value.lower() in _OFF else passed(said)


def see_radios(case: Case, _spec: Radios) -> Sight:
    """Judge one `Radios` probe."""
    root, declared = case.root, {kind.lower() for kind in case.plan.interfaces}
    if root.live:
        radios = list(_switched_on(root))
    elif exists(root, _WIRELESS):
        radios = [
            ("wlan", f"{section.name or 'a radio'} ({section.where})")
            for section in sections(root, _WIRELESS)
            if section.kind == "wifi-device" and not truthy(section.last("disabled"))
        ]
    else:
        return not_applicable("Nothing in this folder tells of a radio.")
    bad = [
        f"{kind} is on, and the model does not declare it: {where}"
        for kind, where in radios
        if not _known(kind, declared)
    ]
    return judged(bad, "every radio that is on is declared" if radios else "no radio is on")


def _known(kind: str, declared: set[str]) -> bool:
    return kind in _LISTENS_ONLY or bool(declared & _KINDS.get(kind, frozenset({kind})))


def _switched_on(root: Root) -> Iterator[tuple[str, str]]:
    """The kind of every radio that is on, and where the kernel lists it."""
    switches = root.glob("/sys/class/rfkill/rfkill*")
    for switch in switches:
        if _first(root, f"{switch}/soft") != "1" and _first(root, f"{switch}/hard") != "1":
            yield _first(root, f"{switch}/type") or "radio", switch
    if not switches:  # a kernel without switches: what is there is on
        yield from (("wlan", path) for path in root.glob("/sys/class/net/*/phy80211"))
        yield from (("bluetooth", path) for path in root.glob("/sys/class/bluetooth/hci*"))


def _first(root: Root, path: str) -> str:
    try:
        return root.read(path).decode("ascii", "replace").strip()
    except Missing:
        return ""
