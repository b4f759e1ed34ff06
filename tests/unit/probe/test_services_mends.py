"""What is started can be kept from it, whoever starts it; taken back, every byte is as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.network import Firewall, FirewallCheck
from holdfast_core.baseline.probes.services import Broker, ConsoleLogin, Service, Snmp
from holdfast_core.baseline.probes.shape import Probe
from holdfast_probe.case import Case
from holdfast_probe.changing import apply, undo
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.mending import mend
from holdfast_probe.roots import FolderRoot
from probe_builders import a_plan, ask, grow

Tree = dict[str, Any]
TELNET = Service(names=("telnet", "telnetd"))
UNIT = "[Service]\nExecStart=/usr/sbin/telnetd -F\n"
WANTS = "multi-user.target.wants/telnetd.service"

STARTED: dict[str, Tree] = {
    "an enabled unit": {
        "lib/systemd/system/telnetd.service": UNIT,
        f"etc/systemd/system/{WANTS}": "-> /lib/systemd/system/telnetd.service",
    },
    "a unit that its vendor wants": {
        "lib/systemd/system/telnetd.service": UNIT,
        f"lib/systemd/system/{WANTS}": "-> ../telnetd.service",
    },
    "two runlevels": {
        "etc/init.d/telnetd": "x",
        "etc/rc2.d/S01telnetd": "-> ../init.d/telnetd",
        "etc/rc3.d/S01telnetd": "-> ../init.d/telnetd",
        "etc/rc3.d/S02cron": "x",
    },
    "OpenWrt": {"etc/rc.d/S10boot": "x", "etc/init.d/telnet": "x", "etc/rc.d/S50telnet": "-> ../init.d/telnet"},
    "buildroot": {"etc/init.d/S50telnet": ("#!/bin/sh\ntelnetd\n", 0o755), "etc/init.d/rcS": "x\n"},
    "OpenRC": {"etc/init.d/telnetd": "x", "etc/runlevels/default/telnetd": "-> /etc/init.d/telnetd"},
    "an inittab": {"etc/inittab": "::sysinit:/etc/init.d/rcS\r\n::respawn:/usr/sbin/telnetd -F\r\n::x:y\r\n"},
    "a start-up script": {"etc/init.d/rcS": "#!/bin/sh\nmount -a\n  telnetd -l /bin/sh &\n\xe4\nexit 0"},
    "OpenRC's local.d": {"etc/local.d/x.start": "#!/bin/sh\ntelnetd\n"},
    "cron at boot": {"etc/init.d/rcS": "x\n", "etc/crontabs/root": "@reboot telnetd -l /bin/sh\n0 1 * * * date\n"},
    "inetd": {"etc/inetd.conf": "# x\ntelnet stream tcp nowait root /usr/sbin/telnetd telnetd\n"},
    "xinetd": {"etc/xinetd.d/telnet": "service telnet\n{\n\tserver = /usr/sbin/telnetd\n}\n"},
    "xinetd with its switch": {
        "etc/xinetd.d/t": "service telnet\n{\n\tdisable = no\n\tserver = /usr/sbin/telnetd\n}\n"
    },
}


def picture(tree: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(tree)): (
            path.lstat().st_mode,
            bytes(path.readlink()) if path.is_symlink() else path.read_bytes(),
        )
        for path in sorted(tree.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def mended(tree: Path, spec: Probe) -> None:
    before = picture(tree)
    assert ask(tree, spec).outcome is Outcome.FAIL  # type: ignore[arg-type]  # every spec here is one of the union
    root = FolderRoot(tree, owners_kept=True)
    editor = Editor(root)
    mend(Case(root, a_plan()), editor, spec)  # type: ignore[arg-type]
    apply(tree, editor.changes())
    assert ask(tree, spec).outcome is Outcome.PASS  # type: ignore[arg-type]
    assert undo(tree, editor.changes()) == ()
    assert picture(tree) == before


@pytest.mark.parametrize("tree", STARTED.values(), ids=STARTED)
def test_what_starts_is_kept_from_it_and_taken_back(tmp_path: Path, tree: Tree) -> None:
    mended(grow(tmp_path, tree), TELNET)


REFUSED: dict[str, tuple[Probe, Tree]] = {
    "a line in a branch": (TELNET, {"etc/init.d/rcS": "if true; then telnetd; fi\n"}),
    "a line that goes on": (TELNET, {"etc/init.d/rcS": "telnetd \\\n -l /bin/sh\n"}),
    "a block in one line": (TELNET, {"etc/xinetd.d/t": "service telnet { server = /x }\n"}),
    "the administrator's own unit": (
        TELNET,
        {
            "etc/systemd/system/telnetd.service": UNIT,
            f"lib/systemd/system/{WANTS}": "-> /etc/systemd/system/telnetd.service",
        },
    ),
    "a policy that would cut off": (
        Firewall(check=FirewallCheck.INBOUND),
        {
            "etc/nftables.conf": "table ip f {\nchain i {\ntype filter hook input priority 0; policy accept;\n}\n}\n",
            "etc/init.d/S41nftables": "x",
        },
    ),
    "an outgoing policy": (
        Firewall(check=FirewallCheck.OUTBOUND),
        {"etc/config/firewall": "config defaults\n", "etc/rc.d/S19firewall": "x"},
    ),
    "communities of OpenWrt": (
        Snmp(),
        {"etc/init.d/S50snmpd": "x", "etc/config/snmpd": "config com2sec public\n option community public\n"},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_changed_safely_is_left_to_a_person(tmp_path: Path, name: str) -> None:
    spec, tree = REFUSED[name]
    root = FolderRoot(grow(tmp_path, tree), owners_kept=True)
    with pytest.raises(CannotMend):
        mend(Case(root, a_plan()), Editor(root), spec)  # type: ignore[arg-type]  # every spec here is one of the union


CLOSED: dict[str, tuple[Probe, Tree]] = {
    "a console": (ConsoleLogin(), {"etc/inittab": "::sysinit:/x\n::askfirst:-/bin/sh\n"}),
    "a broker": (
        Broker(),
        {"etc/init.d/S50mosquitto": "x", "etc/mosquitto/mosquitto.conf": "listener 1\nallow_anonymous  true\n"},
    ),
    "an SNMP agent": (
        Snmp(),
        {"etc/init.d/S50snmpd": "x", "etc/snmp/snmpd.conf": "rocommunity a\nrouser b priv\nrwcommunity c\n"},
    ),
    "OpenWrt's policy": (
        Firewall(check=FirewallCheck.INBOUND),
        {"etc/config/firewall": "config defaults\n\toption input ACCEPT\n\nconfig zone\n", "etc/rc.d/S19firewall": "x"},
    ),
    "a saved policy": (
        Firewall(check=FirewallCheck.INBOUND),
        {
            "etc/iptables/rules.v4": "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m state --state ESTABLISHED -j ACCEPT\n"
            "-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n",
            "etc/rc2.d/S01netfilter-persistent": "x",
        },
    ),
}


@pytest.mark.parametrize("name", CLOSED)
def test_what_is_open_is_closed_and_taken_back(tmp_path: Path, name: str) -> None:
    spec, tree = CLOSED[name]
    mended(grow(tmp_path, tree), spec)
