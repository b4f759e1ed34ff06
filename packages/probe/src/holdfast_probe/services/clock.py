"""The time probe: what sets the clock, and whether the servers it asks prove who they are.

1. Every server that is asked counts: one that anybody can pose as is enough to set the clock wrong.
2. A client that has no way to check its servers fails by its kind: systemd-timesyncd, busybox's ntpd without a key.

Sources: chrony.conf(5), ntp.conf(5) of ntp and NTPsec, ntpd.conf(5) of OpenNTPD, busybox's ntpd.
"""

from __future__ import annotations

from holdfast_core.baseline.probes.logs import TimeSync
from holdfast_probe.case import Case
from holdfast_probe.roots import Root
from holdfast_probe.services.entries import Started
from holdfast_probe.services.listen_common import arguments
from holdfast_probe.services.starts import NOTHING_STARTS, started
from holdfast_probe.services.texts import exists, fitting, lines, numbered
from holdfast_probe.sight import Sight, failed, judged, unknown

CLIENTS = (
    "systemd-timesyncd", "chrony", "chronyd", "ntp", "ntpd", "ntpsec", "openntpd", "sysntpd", "busybox-ntpd",
    "ntp-client", "sntp", "ptp4l", "tlsdate*", "htpdate",
)  # fmt: skip
_ASKING = frozenset({"server", "pool", "peer"})
_CHRONY = ("/etc/chrony/chrony.conf", "/etc/chrony.conf", "/etc/chrony/*.d/*")
_NTP = ("/etc/ntp.conf", "/etc/ntpsec/ntp.conf", "/etc/ntp/ntp.conf", "/etc/ntp.d/*.conf")


def see_time_sync(case: Case, _spec: TimeSync) -> Sight:
    """Judge one `TimeSync` probe."""
    items, sources = case.once(started)
    if not sources:
        return unknown(NOTHING_STARTS)
    clients = [item for item in items if item.answers_to(CLIENTS)]
    if not clients:
        return failed(["nothing that starts sets the clock"])
    bad = [fault for item in clients for fault in _faults(case.root, item)]
    return judged(bad, f"{clients[0].name} sets the clock from servers that prove themselves")


def _faults(root: Root, item: Started) -> list[str]:
    if item.answers_to(("chrony", "chronyd")):
        return _asked(root, item, _CHRONY)
    if item.answers_to(("openntpd",)):
        constrained = any("constraint" in line for line in lines(root, "/etc/openntpd/ntpd.conf") or ())
        return [] if constrained else [f"{item.name} asks servers without a constraint ({item.source})"]
    if item.answers_to(("ntp", "ntpd", "ntpsec")) and any(exists(root, path) for path in _NTP[:3]):
        return _asked(root, item, _NTP)
    keyed = "-k" in arguments(root, item, "ntpd")
    return [] if keyed else [f"{item.name} believes any server that answers ({item.source})"]


def _asked(root: Root, item: Started, patterns: tuple[str, ...]) -> list[str]:
    """The servers of a settings file that prove nothing."""
    bad = []
    count = 0
    for path in fitting(root, *patterns):
        for number, line in numbered(root, path, "#!;%") or ():
            parts = line.split()
            if parts[0] in _ASKING:
                count += 1
                if not {"nts", "key"} & set(parts[2:]) and parts[1:2] != ["127.127.1.0"]:
                    bad.append(f"{path}:{number} asks a server that proves nothing")
    return bad if count else [f"{item.name} asks no server ({item.source})"]
