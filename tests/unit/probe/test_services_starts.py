"""Who starts what, on every layout we know; and whether a console asks who sits there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.services import ConsoleLogin, Runs, Service
from holdfast_probe.roots import FolderRoot
from holdfast_probe.services.starts import started
from probe_builders import ask, grow

LAYOUTS: dict[str, dict[str, Any]] = {
    "systemd": {
        "lib/systemd/system/chrony.service": "[Service]\nExecStart=/usr/sbin/chronyd\n",
        "etc/systemd/system/multi-user.target.wants/chrony.service": "-> /lib/systemd/system/chrony.service",
    },
    "sysv": {"etc/init.d/chrony": "x", "etc/rc2.d/S01chrony": "-> ../init.d/chrony"},
    "openwrt": {"etc/init.d/chrony": "x", "etc/rc.d/S15chrony": "-> ../init.d/chrony"},
    "buildroot": {"etc/init.d/S49chrony": ("x", 0o755)},
    "openrc": {"etc/init.d/chrony": "x", "etc/runlevels/default/chrony": "-> /etc/init.d/chrony"},
    "inittab": {"etc/inittab": "::respawn:/usr/sbin/chronyd -d\n"},
    "rcS": {"etc/init.d/rcS": "#!/bin/sh\nmount -a\n/usr/sbin/chronyd\n"},
    "OpenRC's local.d": {"etc/local.d/time.start": "#!/bin/sh\n/usr/sbin/chronyd\n"},
    "cron at boot": {"etc/cron.d/time": "# x\n@reboot root /usr/sbin/chronyd -d\n"},
    "a user's cron at boot": {"etc/crontabs/root": "@reboot /usr/sbin/chronyd -d\n"},
    "inetd": {"etc/inetd.conf": "time stream tcp nowait root /usr/sbin/chronyd chronyd\n"},
    "xinetd": {"etc/xinetd.d/time": "service time\n{\n server = /usr/sbin/chronyd\n}\n"},
}


@pytest.mark.parametrize("tree", LAYOUTS.values(), ids=LAYOUTS)
def test_what_starts_is_found_on_every_layout(tmp_path: Path, tree: dict[str, Any]) -> None:
    grow(tmp_path, tree)
    assert ask(tmp_path, Runs(names=("chrony", "chronyd"))).outcome is Outcome.PASS
    assert ask(tmp_path, Service(names=("chrony", "chronyd"))).outcome is Outcome.FAIL
    assert ask(tmp_path, Runs(names=("ntpd",))).outcome is Outcome.FAIL


def test_an_unknown_layout_says_nothing(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/vendor.start": "chronyd\n"})
    assert ask(tmp_path, Runs(names=("chronyd",))).outcome is Outcome.UNKNOWN
    assert ask(tmp_path, ConsoleLogin()).outcome is Outcome.UNKNOWN


def test_journald_starts_unasked_but_not_under_a_mask(tmp_path: Path) -> None:
    grow(tmp_path, {"lib/systemd/systemd-journald": "x", "lib/systemd/system/systemd-journald.service": "[Unit]\n"})
    spec = Runs(names=("systemd-journald",))
    assert ask(tmp_path, spec).outcome is Outcome.PASS
    grow(tmp_path, {"etc/systemd/system/systemd-journald.service": ""})
    assert ask(tmp_path, spec).outcome is Outcome.FAIL


def test_a_script_of_several_runlevels_is_one_entry_with_all_its_links(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/rc2.d/S01x": "x", "etc/rc3.d/S01x": "x"})
    (entry,), _ = started(FolderRoot(tmp_path))
    assert entry.places == ("/etc/rc2.d/S01x", "/etc/rc3.d/S01x")


CONSOLES = {
    "::sysinit:/etc/init.d/rcS": True,
    "::askfirst:/sbin/getty -L ttyS0 115200 vt100": True,
    "console::respawn:/sbin/getty -L console 0 vt100 # GENERIC_SERIAL": True,
    "tty1::respawn:/bin/login": True,
    "::respawn:/bin/sh /etc/supervise.sh": True,
    "::askfirst:-/bin/sh": False,
    "ttyS0::respawn:/bin/ash --login": False,
    "ttyS0::askconsole:/bin/busybox sh": False,
    "::askconsole:/usr/libexec/login.sh": False,
    "ttyS0::respawn:/sbin/getty -n -l /bin/sh -L 115200 ttyS0": False,
    "1:2345:respawn:/sbin/agetty --autologin root tty1 linux": False,
    "ttyS0::respawn:/bin/login -f root": False,
}


@pytest.mark.parametrize(("line", "asks"), CONSOLES.items())
def test_a_console_asks_for_a_login_or_is_named(tmp_path: Path, line: str, *, asks: bool) -> None:
    tree = {"etc/inittab": f"# x\n{line}\n", "etc/supervise.sh": "while true; do /usr/bin/app; done\n"}
    finding = ask(grow(tmp_path, tree), ConsoleLogin())
    assert finding.outcome is (Outcome.PASS if asks else Outcome.FAIL), finding
    assert asks or "/etc/inittab:2" in finding.proof[0]


def test_ttylogin_lets_openwrt_ask(tmp_path: Path) -> None:
    tree = {
        "etc/inittab": "::askconsole:/usr/libexec/login.sh\n",
        "etc/config/system": "config system\n option ttylogin '1'\n",
    }
    assert ask(grow(tmp_path, tree), ConsoleLogin()).outcome is Outcome.PASS


def test_a_getty_of_systemd_that_logs_in_by_itself_is_named(tmp_path: Path) -> None:
    tree = {"lib/systemd/system/getty@.service": "[Service]\nExecStart=-/sbin/agetty - $TERM\n"}
    wants = {"etc/systemd/system/getty.target.wants/getty@tty1.service": "-> /lib/systemd/system/getty@.service"}
    grow(tmp_path, tree | wants)
    assert ask(tmp_path, ConsoleLogin()).outcome is Outcome.PASS
    grow(
        tmp_path,
        {"etc/systemd/system/getty@tty1.service.d/a.conf": "[Service]\nExecStart=\nExecStart=/sbin/agetty -a root\n"},
    )
    assert ask(tmp_path, ConsoleLogin()).outcome is Outcome.FAIL
