"""Programs that a start-up script runs and of which nobody here knows whether they stay, and listen.

1. What is known to do its work and end again is left out: tools by name, and every applet of a program that is many.
2. A script is followed instead; what is not in the tree at all counts only by its whole path.

Sources: the manuals of the tools that are named.
"""

from __future__ import annotations

import re

from holdfast_probe.roots import Root
from holdfast_probe.services.running import PATH, QUIET_TOOLS, Command, Running
from holdfast_probe.services.scripts import LIBRARY, startup_scripts, stays
from holdfast_probe.services.shell import SOURCING
from holdfast_probe.services.texts import SHELLS, exists
from holdfast_probe.services.wrapped import base

MANY_IN_ONE = frozenset({"busybox", "toybox", "busybox.nosuid", "busybox.suid", "coreutils"})
"""Programs that are many; which one they are, the name says that they are called by."""
TOOLS = frozenset({
    "mknod", "mount", "umount", "swapon", "swapoff", "insmod", "rmmod", "modprobe", "ifconfig", "route", "ip",
    "hostname", "fsck", "stty", "setterm", "clear", "reset", "dmesg", "reboot", "poweroff", "halt", "uname", "export",
    "env", "id", "tty", "initctl", "telinit", "openrc", "rc", "getopts", "hwclock", "date", "depmod", "udevadm",
    "chvt", "setfont", "loadkeys", "ifup", "ifdown", "iptables", "ip6tables", "iptables-restore", "ip6tables-restore",
    "nft", "ipset", "tc", "brctl", "vconfig", "iwconfig", "iw", "sysctl", "mountpoint", "findmnt", "blkid", "lsblk",
    "losetup", "e2fsck", "fsck.ext4", "resize2fs", "tune2fs", "mkfs.ext4", "mke2fs", "mkswap", "dd", "tar", "gzip",
    "gunzip", "zcat", "xargs", "find", "sort", "uniq", "tr", "wc", "tee", "stat", "df", "du", "ps", "top", "free",
    "uptime", "install", "cmp", "diff", "md5sum", "sha256sum", "openssl", "ssh-keygen", "dropbearkey", "mktemp",
    "readlink", "realpath", "ls", "renice", "setserial", "setconsole", "loadkmap", "loadfont", "fbset", "systemctl",
    "service", "rc-service", "update-rc.d", "run-parts", "ldconfig", "makedev", "MAKEDEV", "nvram", "fw_printenv",
    "fw_setenv", "flash_erase", "nandwrite", "ubiattach", "ubimkvol", "jffs2reset", "mtd", "pivot_root",
    "switch_root", "chroot", "getent", "passwd", "chpasswd", "adduser", "addgroup", "setcap", "ethtool", "mii-tool",
    "arping", "ping", "nslookup", "wget", "curl", "ntpdate", "hostid", "head", "load", "send", "cmd", "local",
    "declare", "typeset", "let", "eval", "exec", "hash", "times", "enable", "disable", "break", "continue", "sleep",
    "usleep", "mesg", "runlevel", "zramctl", "cryptsetup", "dmsetup", "veritysetup", "uci", "ubus", "board_detect",
    "kmodloader", "config_generate", "jshn", "logread", "source", ".",
})  # fmt: skip
"""What does its work and ends again."""
_NAME = re.compile(r"[A-Za-z][\w.+-]*")


def unclear_programs(root: Root) -> list[tuple[str, str]]:
    """Names and places, sorted. Raises `Unreadable`."""
    running = Running(root)
    found: dict[str, str] = {}
    for path in startup_scripts(root, running):
        for command in running.of_script(path):
            if not LIBRARY.fullmatch(command.path) and not stays(command) and _unclear(root, running, command):
                found.setdefault(command.name, f"{command.path}:{command.number}")
    return sorted(found.items())


def _unclear(root: Root, running: Running, command: Command) -> bool:
    name, word = command.name, command.words[0]
    if not _NAME.fullmatch(name) or name in QUIET_TOOLS | TOOLS | SHELLS | SOURCING or running.is_script(word):
        return False
    place = word if word.startswith("/") else next((p for p in (f"{f}/{name}" for f in PATH) if exists(root, p)), "")
    if not place or place.startswith(("/etc/init.d/", "/etc/rc", "/dev/")):
        return False
    return base(root.real(place)) not in MANY_IN_ONE
