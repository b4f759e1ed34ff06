"""Attacks at the serial line: whoever leaves a shell there writes it so that it does not look like one."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.services import ConsoleLogin
from probe_builders import Files, ask, grow

SHELL: Files = {"bin/bash": (b"\x7fELF\0", 0o755), "bin/sh": "-> bash"}
OPEN: dict[str, tuple[str, Files]] = {
    "a value in the same word": ("ttyS1::respawn:/sbin/getty -n -l/bin/sh ttyS1", {}),
    "a cluster": ("ttyS1::respawn:/sbin/getty -nl /bin/sh ttyS1", {}),
    "a long option": ("ttyS1::respawn:/sbin/agetty --login-program=/bin/sh ttyS1", {}),
    "a long option cut short": ("ttyS1::respawn:/sbin/agetty --auto root ttyS1", {}),
    "a user in the same word": ("1:2345:respawn:/sbin/agetty -aroot tty1", {}),
    "options for login": ("1:2345:respawn:/sbin/agetty -o '-f root' tty1", {}),
    "a login that is told who": ("ttyS1::respawn:/bin/login -froot", {}),
    "a login with a cluster": ("ttyS1::respawn:/bin/login -pf root", {}),
    "sulogin that gives in": ("ttyS1::respawn:/sbin/sulogin -e", {}),
    "a shell in a shell": ("ttyS1::respawn:/bin/sh -c /bin/sh", {}),
    "a shell that reads the line": ("ttyS1::respawn:/bin/sh /dev/ttyS1", {}),
    "a shell while it starts": ("::sysinit:/bin/sh", {}),
    "a shell with a terminal of its own": ("ttyS1::respawn:/bin/setsid /bin/cttyhack /bin/sh", {}),
    "a link": ("ttyS1::respawn:/bin/mysh", {"bin/mysh": "-> sh"}),
    "a script": ("ttyS1::respawn:/bin/mysh", {"bin/mysh": ("#!/bin/sh\nexec /bin/sh\n", 0o755)}),
    "a link for login": ("ttyS1::respawn:/sbin/getty -l /bin/in ttyS1", {"bin/in": "-> sh"}),
    "on demand": ("ttyS1::ondemand:/bin/sh", {}),
}
ASKING = (
    "ttyS1::respawn:/sbin/getty -L 115200 -l /bin/login ttyS1",
    "ttyS1::respawn:/sbin/agetty --keep-baud --noclear ttyS1 115200 linux",
    "ttyS1::respawn:/bin/login -p",
    "~~:S:wait:/sbin/sulogin",
    "::sysinit:/bin/mount -t proc proc /proc",
    "::respawn:/sbin/syslogd -n",
    "null::sysinit:/bin/sh -c 'mount -a; hostname x'",
)


@pytest.mark.parametrize(("line", "files"), OPEN.values(), ids=OPEN)
def test_an_open_console_is_found_however_it_is_written(tmp_path: Path, line: str, files: Files) -> None:
    finding = ask(grow(tmp_path, {**SHELL, **files, "etc/inittab": f"{line}\n"}), ConsoleLogin())
    assert finding.outcome is Outcome.FAIL, finding
    assert finding.proof[0].startswith("/etc/inittab:1 ")


@pytest.mark.parametrize("line", ASKING)
def test_a_console_that_asks_still_passes(tmp_path: Path, line: str) -> None:
    finding = ask(grow(tmp_path, {**SHELL, "etc/inittab": f"{line}\n"}), ConsoleLogin())
    assert finding.outcome is Outcome.PASS, finding


@pytest.mark.parametrize(
    "command", ["/usr/bin/backdoor", "/sbin/getty -l /usr/bin/backdoor ttyS1", "/bin/sh /etc/gone.sh", "su -"]
)
def test_an_unknown_program_on_a_console_is_unknown(tmp_path: Path, command: str) -> None:
    tree = {**SHELL, "usr/bin/backdoor": (b"\x7fELF\0", 0o755), "etc/inittab": f"ttyS1::respawn:{command}\n"}
    finding = ask(grow(tmp_path, tree), ConsoleLogin())
    assert finding.outcome is Outcome.UNKNOWN, finding


def test_busyboxs_own_table_is_an_open_console(tmp_path: Path) -> None:
    tree: Files = {
        "bin/busybox": (b"\x7fELF\0", 0o755),
        "sbin/init": "-> ../bin/busybox",
        "etc/init.d/rcS": "mount -a\n",
    }
    assert ask(grow(tmp_path, tree), ConsoleLogin()).outcome is Outcome.FAIL
    grow(tmp_path, {"etc/inittab": "::sysinit:/etc/init.d/rcS\n::respawn:/sbin/getty ttyS0\n"})
    assert ask(tmp_path, ConsoleLogin()).outcome is Outcome.PASS


UNITS = "etc/systemd/system"
WANTED = f"{UNITS}/multi-user.target.wants"


@pytest.mark.parametrize(("what", "outcome"), [("/bin/sh", Outcome.FAIL), ("/usr/bin/odd", Outcome.UNKNOWN)])
def test_a_unit_with_a_terminal_opens_what_it_runs(tmp_path: Path, what: str, outcome: Outcome) -> None:
    unit = f"[Service]\nExecStart={what}\nStandardInput=tty\nTTYPath=/dev/ttyS0\n"
    wanted = {f"{WANTED}/hello.service": "-> ../hello.service"}
    grow(tmp_path, {**SHELL, f"{UNITS}/hello.service": unit, **wanted})
    assert ask(tmp_path, ConsoleLogin()).outcome is outcome
    grow(tmp_path, {f"{UNITS}/hello.service": unit.replace("StandardInput=tty\n", "")})
    assert ask(tmp_path, ConsoleLogin()).outcome is Outcome.PASS


@pytest.mark.parametrize("options", ["-aroot", "-l/bin/sh -n", "--login-p /bin/sh", "-o '-f root'"])
def test_a_getty_of_systemd_is_read_as_getopt_reads(tmp_path: Path, options: str) -> None:
    unit = f"[Service]\nExecStart=-/sbin/agetty {options} %I\n"
    wanted = {f"{WANTED}/serial-getty@ttyS0.service": "-> ../serial-getty@.service"}
    grow(tmp_path, {**SHELL, f"{UNITS}/serial-getty@.service": unit, **wanted})
    assert ask(tmp_path, ConsoleLogin()).outcome is Outcome.FAIL
    grow(tmp_path, {f"{UNITS}/serial-getty@.service": unit.replace(options, "-o '-p -- \\\\u' --noclear")})
    assert ask(tmp_path, ConsoleLogin()).outcome is Outcome.PASS
