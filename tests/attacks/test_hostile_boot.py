"""A tree whose boot files were written by an attacker: every probe still comes to one of its four outcomes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast_core.baseline.model import Findings, Outcome
from holdfast_core.baseline.probes import Simple
from holdfast_core.baseline.probes.boot import (
    BootEnvironment,
    BootEnvironmentCheck,
    BootProbe,
    Cmdline,
    FallbackSlot,
    GrubPassword,
    KernelBranch,
    KernelConfig,
    KernelSince,
    Lockdown,
    ModuleOff,
    Mount,
    Radios,
    ReadOnlyRoot,
    RootFsDriver,
    SecureBoot,
    SecureBootCheck,
    Sysctl,
    VerifiedRoot,
    Watchdog,
    Wear,
)
from holdfast_core.kernel.errors import HoldfastError
from holdfast_core.kernel.instants import parse_rfc3339
from holdfast_probe.audit import LOOKS, audit
from holdfast_probe.boot.mends import MENDS
from holdfast_probe.case import Case
from holdfast_probe.editor import Editor
from holdfast_probe.roots import FolderRoot, LiveRoot, Root
from probe_builders import a_plan, grow

NOW = parse_rfc3339("2026-11-21T10:00:00Z")
PLAN = a_plan(root_fs_drivers=("ext4",))
EFI = "sys/firmware/efi/efivars"
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
SPECS: tuple[Simple, ...] = (
    Sysctl(key="kernel.kptr_restrict", one_of=("1",), built=(("CONFIG_X", "y", "1"),)),
    KernelConfig(option="CONFIG_X", one_of=("y",)),
    KernelBranch(ends=(("6.12", "2028-12-31"),), known="2026-11-21"),
    Cmdline(("init=", "debug"), ("lockdown=integrity",)),
    Lockdown(),
    Mount(path="/tmp", options=("nosuid", "noexec")),  # noqa: S108  (audited, not used)
    ReadOnlyRoot(),
    VerifiedRoot(),
    Wear(),
    RootFsDriver(),
    ModuleOff(names=("usb-storage",)),
    *(SecureBoot(check=check) for check in SecureBootCheck),
    *(BootEnvironment(check=check) for check in BootEnvironmentCheck),
    GrubPassword(),
    FallbackSlot(),
    Watchdog(),
    Radios(),
    KernelSince(branch="5.4"),
)
FILES = (
    "boot/cmdline.txt", "boot/extlinux/extlinux.conf", "boot/loader/entries/a.conf", "boot/grub/grub.cfg",
    "boot/grub2/user.cfg", "boot/uboot.env", "boot/config-6.12.1", "etc/default/grub", "etc/fw_env.config", "etc/fstab",
    "etc/sysctl.conf", "etc/sysctl.d/a.conf", "etc/modprobe.d/a.conf", "etc/rauc/system.conf", "etc/mender/mender.conf",
    "etc/systemd/system.conf", "etc/config/wireless", "etc/ima/ima-policy", "lib/modules/6.12.1/modules.dep",
    "proc/cmdline", "proc/mounts", "proc/swaps", "proc/config.gz", "proc/sys/kernel/osrelease",
    "proc/sys/kernel/kptr_restrict", "sys/kernel/security/lockdown", "sys/class/watchdog/watchdog0/state",
    "sys/class/rfkill/rfkill0/type", "sys/class/mtd/mtd0/flags", f"{EFI}/SecureBoot-{GLOBAL}", f"{EFI}/PK-{GLOBAL}",
)  # fmt: skip
WIDE = 200_000
LONG = {
    "one long line": b"a" * WIDE,
    "spaces": b"append" + b" " * WIDE + b"x",
    "words": b"options " + b"init=a " * (WIDE // 7),
    "distinct words": b"".join(b"init=%d " % number for number in range(WIDE // 10)),
    "policies": b"ima_policy=" * (WIDE // 11),
    "continued lines": b"install x \\\n" * (WIDE // 12),
    "continued nothing": b"\\\n" * (WIDE // 2),
    "mounts": b"a /tmp b c,c\n" * (WIDE // 13),
    "mounts of one path": b"a " + b"/" * WIDE + b" b c",
    "options": b"CONFIG_X=" * (WIDE // 9),
    "linux lines": b"linux " + b"\t" * WIDE,
    "settings": b"kernel." * (WIDE // 7) + b"*=1\n",
    "stars": b"*" * 2000 + b"=1\n",
    "sections": b"[slot.rootfs.0]\n" * (WIDE // 16),
    "brackets": b"[" * WIDE,
    "quotes": b"option '" * (WIDE // 8),
    "not text": bytes(range(256)) * (WIDE // 256),
    "numbers": b"/dev/mtd0 0x" + b"f" * WIDE + b" 0x10\n",
}


def looked_at(root: Root) -> Findings:
    asked = [(f"XX-{number:02d}", spec) for number, spec in enumerate(SPECS)]
    return audit(root, asked, PLAN, now=NOW)


def both(tree: Path) -> Iterator[Root]:
    yield FolderRoot(tree, owners_kept=True)
    yield LiveRoot(tree)


def assert_judged(tree: Path) -> None:
    for root in both(tree):
        found = looked_at(root).findings
        assert len(found) == len(SPECS)
        for finding in found:
            assert finding.proof or finding.reason
            assert not any("(bug" in item or "Traceback" in item for item in (*finding.proof, finding.reason))
        mended_or_refused(root)


def mended_or_refused(root: Root) -> None:
    for spec in SPECS:
        if type(spec) in MENDS:
            with suppress(HoldfastError):  # refused, in a sentence; anything else is a bug
                MENDS[type(spec)](Case(root, PLAN, now=NOW), Editor(root), spec)


def test_every_probe_of_this_area_is_tried() -> None:
    kinds = set(get_args(BootProbe))
    assert {type(spec) for spec in SPECS} == kinds
    assert kinds <= set(LOOKS)


@pytest.mark.parametrize("content", LONG.values(), ids=LONG)
def test_long_lines_in_every_file(tmp_path: Path, content: bytes) -> None:
    assert_judged(grow(tmp_path, dict.fromkeys(FILES, content)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=80), min_size=len(FILES), max_size=len(FILES)))
def test_any_bytes_in_every_file(tmp_path: Path, contents: list[bytes]) -> None:
    assert_judged(grow(tmp_path, dict(zip(FILES, contents, strict=True))))


def test_pipes_in_place_of_every_file(tmp_path: Path) -> None:
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path)
    for root in both(tmp_path):
        met = {
            type(SPECS[number]) for number, each in enumerate(looked_at(root).findings) if each.outcome is Outcome.PASS
        }
        assert met <= {KernelBranch, KernelSince}, "the name of a directory of modules is no file"


def test_directories_in_place_of_every_file(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).mkdir(parents=True)
    for root in both(tmp_path):
        assert len(looked_at(root).findings) == len(SPECS)


def test_more_files_than_anybody_needs_are_not_read(tmp_path: Path) -> None:
    grow(tmp_path, {f"etc/sysctl.d/{number}.conf": "kernel.kptr_restrict=1\n" for number in range(300)})
    finding = audit(FolderRoot(tmp_path), [("XX-01", SPECS[0])], PLAN).findings[0]
    assert finding.outcome is Outcome.UNKNOWN
    assert "more than" in finding.reason


def test_links_out_of_the_root_lead_nowhere(tmp_path: Path) -> None:
    outside = grow(tmp_path / "outside", {"fstab": "tmpfs /tmp tmpfs nosuid,noexec 0 0\n"})
    tree = grow(tmp_path / "tree", {"etc/fstab": f"-> {outside}/fstab", "etc/sysctl.conf": "-> ../../outside/fstab"})
    by_spec = dict(zip(SPECS, looked_at(FolderRoot(tree)).findings, strict=True))
    assert by_spec[SPECS[5]].outcome is Outcome.UNKNOWN
    assert by_spec[SPECS[0]].outcome is Outcome.UNKNOWN
