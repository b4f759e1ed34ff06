"""Ports derived from what starts and how it is set up, where no kernel runs that could be asked.

1. A port counts if its program is started and its settings, or its own defaults, open it.
2. A program whose ports nobody here knows is named: then nothing passes, since it may listen anywhere.
3. Settings of a known program that do not tell its port are a gap as well, never a guess.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from holdfast_core.baseline.model import Plan
from holdfast_probe.roots import Root, Unreadable
from holdfast_probe.services.entries import Started, Way
from holdfast_probe.services.filters import ports_of
from holdfast_probe.services.listen_common import Listener, at
from holdfast_probe.services.listen_daemons import DAEMONS
from holdfast_probe.services.listen_web import WEB
from holdfast_probe.services.starts import NOTHING_STARTS, STOCK, surveyed
from holdfast_probe.services.unclear import unclear_programs
from holdfast_probe.services.units import Units, unit_folders, unit_settings
from holdfast_probe.sight import Sight, failed, passed, unknown

_READERS = {**DAEMONS, **WEB}
_MOST_ALIKE = 16
"""Entries of one kind of program whose settings are read."""
QUIET = frozenset({
    # what init systems and distributions run to bring a machine up
    "acpid", "apparmor", "bluetooth", "boot", "bootcount", "bootlogd", "bootmisc*", "checkfs*", "checkroot*",
    "console*", "cron", "crond", "crontab", "cgroupfs-mount",
    "devfs", "devd", "dmesg", "done", "e2scrub*", "fake-hwclock", "fsck",
    "fstrim", "getty*", "*getty", "gpio_switch", "grub*", "halt", "hdparm", "hostname*", "hwclock*", "hwdrivers",
    "irqbalance", "keyboard*", "keymap*", "killprocs", "kmod", "led", "loadkmap", "localmount", "loopback", "lvm2*",
    "mdadm*", "mdev", "modloop", "modules*", "module-init-tools", "mount*", "networking", "network", "NetworkManager*",
    "networkd-dispatcher", "osbox*", "packet_steering", "plymouth*", "polkit", "populate-volatile*", "procps",
    "procfs", "quota*", "random*", "rc.local", "remote-fs", "resize*", "resolvconf", "rmnologin*", "rngd", "root",
    "rpcd", "save-rtc*", "savecache", "seedrng", "sendsigs", "smartd", "smartmontools", "start-udev", "stop-bootlogd*",
    "sudo", "swap", "sysctl", "sysfixtime", "sysfs*", "syslogd", "klogd", "klog", "syslog", "log", "logd", "system",
    "termencoding", "ubus", "ubusd", "ucitrack", "udev*", "udev", "udevd", "umount*", "urandom*", "urngd", "usb*",
    "watchdog*", "watchdogd", "wpa_supplicant*", "wpad", "hostapd*", "iwd", "x11-common", "apt-daily*", "dpkg-*",
    "man-db", "logrotate*", "anacron", "atd", "unattended-upgrades", "systemd-*", "machine-id*", "modprobe", "swapoff",
    "dhcpcd", "udhcpc", "dhclient", "ifup", "ifupdown*", "ifplugd", "connman", "init", "initctl", "reboot", "login*",
    "accounts-daemon", "alsa*", "apport*", "blk-availability", "busybox-cron", "busybox-klogd", "cloud-*", "devpts",
    "dm-event*", "dphys-swapfile", "firstboot", "fwupd*", "hciuart", "local", "lvmetad", "mcelog", "ModemManager*",
    "modutils", "motd-news", "multipathd*", "open-vm-tools*", "power-profiles-daemon", "psplash*", "qemu-guest-agent",
    "raspi-config", "rasdaemon", "read-only-rootfs-hook", "rpi-eeprom-update", "rtkit*", "run-postinsts",
    "secureboot-db", "swclock", "sysstat*", "thermald", "triggerhappy", "tuned", "udisks2", "upower",
    # what guards
    "nftables*", "nft", "iptables*", "ip6tables*", "netfilter*", "firewall*", "ufw", "firewalld", "fail2ban", "auditd",
    "aide*", "apparmor*", "selinux*", "ima*", "tcsd", "tpm2-abrmd", "tee-supplicant", "usbguard*", "rauc*", "swupdate",
    "mender*", "ostree*", "osqueryd", "holdfast*", "packagekit*",
    # what ships logs
    "fluent-bit", "vector", "promtail", "filebeat", "systemd-journal-upload",
})  # fmt: skip
"""Programs and scripts that listen on no port of their own (an update client calls out)."""


class Derived(msgspec.Struct, frozen=True):
    """What listens by its settings, and the programs that nobody can say it of."""

    listeners: tuple[Listener, ...]
    gaps: tuple[str, ...]
    sources: int
    doubt: str = ""
    """Which scripts could not be followed."""


def derived(root: Root) -> Derived:
    """Every port that something started opens."""
    known = surveyed(root)
    # What runs now and then counts where its ports are known; what else cron runs is no gap.
    items = (*known.items, *(item for item in known.occasional if _known(item)))
    units = unit_folders(root)
    found: set[Listener] = set()
    gaps: set[str] = {name for name, _ in unclear_programs(root) if not _is_quiet(name)}
    asked: Counter[object] = Counter()
    for item in items:
        for reader in _known(item):
            asked[reader] += 1
            if asked[reader] > _MOST_ALIKE:
                raise Unreadable(item.source, f"{item.name} starts more than {_MOST_ALIKE} times")
        listeners = _of(root, item, units)
        if listeners is None:
            gaps.add(item.name)
        else:
            found.update(listeners)
    return Derived(tuple(sorted(found)), tuple(sorted(gaps)), known.sources, known.doubt)


def _of(root: Root, item: Started, units: Units) -> Iterable[Listener] | None:
    if item.command.endswith(".socket"):
        return _of_socket(root, item, units)
    if item.way is Way.BLOCK:
        return _of_xinetd(item)
    if item.places == ("/etc/inetd.conf",):
        fields = item.command.split()
        return _super(item, fields[0].rpartition(":")[2], fields[2], fields[0].rpartition(":")[0])
    if readers := _known(item):
        found = [reader(root, item) for reader in readers]
        return None if None in found else [each for listeners in found for each in listeners or ()]
    return () if _is_quiet(item.name) or item.command.endswith((".timer", ".path")) else None


def _is_quiet(name: str) -> bool:
    return name in STOCK or any(fnmatch.fnmatchcase(name, pattern) for pattern in QUIET)


def _known(item: Started) -> list[Callable[[Root, Started], Iterable[Listener] | None]]:
    """The readers of what it is; a script may start several programs."""
    named = [reader for patterns, reader in _READERS.items() if item.named(patterns)][:1]
    return named or [reader for patterns, reader in _READERS.items() if item.running(patterns)]


def _of_socket(root: Root, item: Started, units: Units) -> list[Listener] | None:
    found = []
    for key, value in unit_settings(root, item.command, units):
        if key in ("ListenStream", "ListenDatagram") and value and not value.startswith(("/", "@", "%t", "vsock:")):
            transport = "tcp" if key == "ListenStream" else "udp"
            found.append(at(item.name, transport, value, 0, item.source))
    return None if any(listener.port == 0 for listener in found) else found


def _super(item: Started, service: str, transport: str, address: str) -> list[Listener] | None:
    (_, low, high), *_ = ports_of(("tcp",), [service])
    kind = "udp" if transport.startswith("udp") else "tcp"
    return [Listener(item.name, kind, low, address if address != "*" else "", item.source)] if low == high else None


def _of_xinetd(item: Started) -> list[Listener] | None:
    settings = dict(pair.split("=", 1) for pair in item.command.split() if "=" in pair)
    kind = "udp" if settings.get("socket_type") == "dgram" else settings.get("protocol", "tcp")
    return _super(item, settings.get("port", item.name), kind, settings.get("bind", ""))


def judge_derived(found: Derived, plan: Plan, *, loopback: bool) -> Sight:
    """The listening probe where no kernel can be asked."""
    if not found.sources:
        return unknown(f"Listening sockets need the running device. {NOTHING_STARTS}")
    extra = [
        f"{each.transport}/{each.port} of {each.program} ({each.where})"
        for each in found.listeners
        if (each.transport, each.port) not in plan.listening and (loopback or not each.local)
    ]
    if extra:
        return failed(extra)
    gaps = [name for name in found.gaps if name not in plan.programs]
    if gaps:
        named = ", ".join(gaps[:8])
        return unknown(
            f"Nobody here knows which ports {named} opens; the running device tells, or the model (flows: program)."
        )
    if found.doubt:
        return unknown(found.doubt)
    return passed("only expected ports are opened by what starts")
