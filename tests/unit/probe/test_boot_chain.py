"""The boot chain, the boot loader and what watches over the running hardware."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.boot import (
    BootEnvironment,
    BootEnvironmentCheck,
    FallbackSlot,
    GrubPassword,
    Radios,
    SecureBoot,
    SecureBootCheck,
    Watchdog,
)
from holdfast_probe.boot.environment import parse_block
from holdfast_probe.roots import FolderRoot, LiveRoot, Told
from probe_builders import Files, a_plan, ask, grow

EFI = "sys/firmware/efi/efivars"
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
ON, OFF = b"\x06\0\0\0\x01", b"\x06\0\0\0\0"
SHELL = BootEnvironment(check=BootEnvironmentCheck.SHELL_LOCKED)
GUARDED = BootEnvironment(check=BootEnvironmentCheck.GUARDED)


def told(folder: Path, **what: Any) -> FolderRoot:
    """A folder of which a container tells something."""
    root = FolderRoot(folder, owners_kept=True)
    root.told = Told(**what)
    return root


def block(variables: dict[str, str], *, serial: int | None = None, size: int = 1024, order: str = "little") -> bytes:
    """A block of U-Boot's environment, single or redundant."""
    head = b"" if serial is None else bytes([serial])
    body = b"".join(f"{name}={value}\0".encode() for name, value in variables.items())
    body = body.ljust(size - 4 - len(head), b"\0")
    return zlib.crc32(body).to_bytes(4, "little" if order == "little" else "big") + head + body


def two(open_: int, locked: int) -> Files:
    """Two copies of the environment with their serials: one opens the shell, one does not."""
    return {
        "boot/uboot.env": block({"bootdelay": "2"}, serial=open_),
        "boot/uboot-redund.env": block({"bootdelay": "-2"}, serial=locked),
    }


def variables(**values: bytes) -> Files:
    """EFI's global variables; there is always some other."""
    others: Files = {f"{EFI}/BootCurrent-{GLOBAL}": b"\x06\0\0\0\0\0"}
    return others | {f"{EFI}/{name}-{GLOBAL}": value for name, value in values.items()}


@pytest.mark.parametrize(
    ("check", "files", "outcome"),
    [
        (SecureBootCheck.ENFORCED, variables(SecureBoot=ON), Outcome.PASS),
        (SecureBootCheck.ENFORCED, variables(SecureBoot=OFF), Outcome.FAIL),
        (SecureBootCheck.ENFORCED, variables(), Outcome.FAIL),
        (SecureBootCheck.ENFORCED, variables(SecureBoot=b"\x06"), Outcome.UNKNOWN),
        (SecureBootCheck.ENFORCED, {f"{EFI}/": ""}, Outcome.UNKNOWN),
        (SecureBootCheck.ENFORCED, {"proc/device-tree/chosen/bootloader/signed": b"\0\0\0\x08"}, Outcome.PASS),
        (SecureBootCheck.ENFORCED, {"proc/device-tree/chosen/bootloader/signed": b"\0\0\0\0"}, Outcome.FAIL),
        (SecureBootCheck.ENFORCED, {}, Outcome.NOT_APPLICABLE),
        (SecureBootCheck.KEY, variables(PK=b"\x27\0\0\0a key", SetupMode=OFF), Outcome.PASS),
        (SecureBootCheck.KEY, variables(PK=b"\x27\0\0\0a key", SetupMode=ON), Outcome.FAIL),
        (SecureBootCheck.KEY, variables(SetupMode=ON), Outcome.FAIL),
        (SecureBootCheck.PRODUCTION_KEY, variables(PK=b"\x27\0\0\0Acme Platform Key"), Outcome.PASS),
        (SecureBootCheck.PRODUCTION_KEY, variables(PK=b"\x27\0\0\0DO NOT TRUST - Test PK"), Outcome.FAIL),
        (
            SecureBootCheck.PRODUCTION_KEY,
            variables(PK=b"\x27\0\0\0" + "DO NOT SHIP - PK".encode("utf-16-le")),
            Outcome.FAIL,
        ),
        (SecureBootCheck.PRODUCTION_KEY, variables(), Outcome.NOT_APPLICABLE),
        (SecureBootCheck.REVOCATION, variables(), Outcome.FAIL),
        (
            SecureBootCheck.REVOCATION,
            {f"{EFI}/SbatLevelRT-605dab50-e046-4300-abb6-3dd810dd8b23": b"\x06\0\0\0sbat,1,2024"},
            Outcome.PASS,
        ),
    ],
)
def test_the_boot_chain_is_asked_where_it_speaks(
    tmp_path: Path, check: SecureBootCheck, files: Files, outcome: Outcome
) -> None:
    grow(tmp_path, {"etc/x": "", **files})
    assert ask(LiveRoot(tmp_path), SecureBoot(check=check)).outcome is outcome
    assert ask(tmp_path, SecureBoot(check=check)).outcome is Outcome.NOT_APPLICABLE, "a folder runs no firmware"


@pytest.mark.parametrize(("signed", "outcome"), [(True, Outcome.PASS), (False, Outcome.FAIL)])
def test_an_image_tells_whether_its_payload_is_signed(tmp_path: Path, *, signed: bool, outcome: Outcome) -> None:
    root = told(grow(tmp_path, {"etc/x": ""}), signed_boot=signed)
    assert ask(root, SecureBoot(check=SecureBootCheck.ENFORCED)).outcome is outcome
    assert ask(root, SecureBoot(check=SecureBootCheck.KEY)).outcome is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ({"bootdelay": "-2"}, Outcome.PASS),
        ({"bootdelay": "-1"}, Outcome.FAIL),
        ({"bootdelay": "0"}, Outcome.FAIL),
        ({"bootdelay": "3"}, Outcome.FAIL),
        ({"bootdelay": "-2 "}, Outcome.PASS),
        ({"bootdelay": "many"}, Outcome.FAIL),
        ({"bootdelay": "3", "bootstopkeysha256": "ab" * 32}, Outcome.PASS),
        ({"bootdelay": "-1", "bootstopkeysha256": "ab" * 32}, Outcome.FAIL),
        ({"bootdelay": "3", "bootstopkeysha256": ""}, Outcome.FAIL),
        ({"bootcmd": "run x"}, Outcome.UNKNOWN),
    ],
)
def test_a_boot_is_stopped_by_nobody(tmp_path: Path, values: dict[str, str], outcome: Outcome) -> None:
    folder = grow(tmp_path, {"boot/uboot.env": block(values)})
    finding = ask(folder, SHELL)
    assert finding.outcome is outcome
    assert not any("abab" in item for item in finding.proof), "no hash is shown"
    assert ask(told(grow(tmp_path / "image", {"etc/x": ""}), boot_environment=values), SHELL).outcome is outcome


@pytest.mark.parametrize(
    ("files", "outcome", "said"),
    [
        pytest.param({"etc/x": ""}, Outcome.NOT_APPLICABLE, "no sign", id="no U-Boot"),
        pytest.param({"boot/uboot.env": b"\0" * 1024}, Outcome.UNKNOWN, "checksum", id="a wrong checksum"),
        pytest.param({"boot/uboot.env": b""}, Outcome.UNKNOWN, "checksum", id="an empty file"),
        pytest.param({"etc/fw_env.config": "/dev/mtd1 0x0 0x4000\n"}, Outcome.UNKNOWN, "/dev/mtd1", id="on a device"),
        pytest.param({"etc/fw_env.config": "/a nonsense 1\n/b 0 -1\n#c\n"}, Outcome.NOT_APPLICABLE, "", id="nonsense"),
        pytest.param(
            {"etc/fw_env.config": "/data/env 0x10 0x400\n", "data/env": b"x" * 16 + block({"bootdelay": "-2"}) + b"y"},
            Outcome.PASS, "-2", id="a part of a file",
        ),
        pytest.param({"boot/uboot.env": block({"bootdelay": "-2"}, order="big")}, Outcome.PASS, "", id="big-endian"),
        pytest.param(
            two(7, 8),
            Outcome.PASS, "redund", id="the newer of two",
        ),
        pytest.param(
            two(255, 0),
            Outcome.PASS, "redund", id="the newer of two, once round",
        ),
        pytest.param(
            {**two(9, 8), "boot/uboot.env": block({"bootdelay": "2"}, serial=9)[:-1] + b"z"},
            Outcome.PASS, "redund", id="the whole one of two",
        ),
    ],
)  # fmt: skip
def test_the_environment_is_read_where_it_lies(tmp_path: Path, files: Files, outcome: Outcome, said: str) -> None:
    finding = ask(grow(tmp_path, files), SHELL)
    assert finding.outcome is outcome
    assert said in " ".join((*finding.proof, finding.reason))


def test_what_was_not_understood_may_hold_the_environment(tmp_path: Path) -> None:
    root = told(grow(tmp_path, {"etc/x": ""}), gaps=("Something at 0x400 is damaged.",))
    assert ask(root, SHELL).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("files", "live", "outcome"),
    [
        ({"boot/uboot.env": block({"a": "b"})}, False, Outcome.FAIL),
        ({"etc/fw_env.config": "/dev/mtd1 0 0x4000\n"}, False, Outcome.UNKNOWN),
        ({"etc/fw_env.config": "/dev/mtd1 0 0x4000\n", "sys/class/mtd/mtd1/flags": "0x800\n"}, True, Outcome.PASS),
        ({"etc/fw_env.config": "/dev/mtd1 0 0x4000\n", "sys/class/mtd/mtd1/flags": "0xc00\n"}, True, Outcome.FAIL),
        ({"etc/fw_env.config": "/dev/mtd1 0 0x4000\n", "sys/class/mtd/mtd1/flags": "rot\n"}, True, Outcome.FAIL),
        (
            {
                "etc/fw_env.config": "/dev/mmcblk0boot0 0 0x4000\n",
                "sys/block/mmcblk0boot0/ro_lock_until_next_power_on": "1\n",
            },
            True,
            Outcome.PASS,
        ),
        ({"etc/fw_env.config": "/dev/sda 0 0x4000\n"}, True, Outcome.FAIL),
        ({"etc/x": ""}, True, Outcome.NOT_APPLICABLE),
    ],
)
def test_who_may_write_the_environment(tmp_path: Path, files: Files, *, live: bool, outcome: Outcome) -> None:
    grow(tmp_path, files)
    assert ask(LiveRoot(tmp_path) if live else tmp_path, GUARDED).outcome is outcome


@given(st.binary(max_size=600))
def test_any_bytes_are_a_block_or_none(data: bytes) -> None:
    found = parse_block(data)
    assert found is None or isinstance(found[1], dict)


NAMES = st.text("abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1, max_size=12)
VALUES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)


@given(st.dictionaries(NAMES, VALUES, max_size=8), st.none() | st.integers(0, 255))
def test_what_is_written_is_read(values: dict[str, str], serial: int | None) -> None:
    found = parse_block(block(values, serial=serial, size=2048))
    assert found is not None
    assert found[1] == values
    assert serial is None or found[0] == serial


HASH = "grub.pbkdf2.sha512.10000.AB.CD"


@pytest.mark.parametrize(
    ("files", "outcome"),
    [
        ({"etc/x": ""}, Outcome.NOT_APPLICABLE),
        ({"boot/grub/grub.cfg": "menuentry x {\n}\n"}, Outcome.FAIL),
        ({"boot/grub/grub.cfg": f'set superusers="root"\npassword_pbkdf2 root {HASH}\n'}, Outcome.PASS),
        ({"boot/grub/grub.cfg": f"password_pbkdf2 root {HASH}\n"}, Outcome.FAIL),
        ({"boot/grub/grub.cfg": 'set superusers="root"\npassword root secret\n'}, Outcome.FAIL),
        (
            {"boot/grub2/grub.cfg": 'set superusers="root"\n', "boot/grub2/user.cfg": f"GRUB2_PASSWORD={HASH}\n"},
            Outcome.PASS,
        ),
    ],
)
def test_grub_asks_for_a_hashed_password(tmp_path: Path, files: Files, outcome: Outcome) -> None:
    finding = ask(grow(tmp_path, files), GrubPassword())
    assert finding.outcome is outcome
    assert not any("secret" in item or HASH in item for item in finding.proof)


RAUC = "[system]\nbootloader=uboot\n[slot.rootfs.0]\nbootname=A\n"


@pytest.mark.parametrize(
    ("files", "outcome"),
    [
        ({"etc/x": ""}, Outcome.NOT_APPLICABLE),
        ({"etc/rauc/system.conf": RAUC}, Outcome.FAIL),
        ({"etc/rauc/system.conf": RAUC + "[slot.rootfs.1]\nbootname=B\n"}, Outcome.PASS),
        ({"boot/uboot.env": block({"BOOT_ORDER": "A B"})}, Outcome.PASS),
        ({"boot/uboot.env": block({"BOOT_ORDER": "A"})}, Outcome.NOT_APPLICABLE),
        ({"boot/uboot.env": block({"bootlimit": "3", "altbootcmd": "run recovery"})}, Outcome.PASS),
        ({"boot/uboot.env": block({"bootlimit": "0", "altbootcmd": "run recovery"})}, Outcome.NOT_APPLICABLE),
        ({"boot/loader/entries/a+3.conf": "", "boot/loader/entries/b.conf": ""}, Outcome.PASS),
        ({"boot/loader/entries/a.conf": "", "boot/loader/entries/b.conf": ""}, Outcome.NOT_APPLICABLE),
        ({"boot/cmdline.txt": "root=/dev/x rauc.slot=A\n"}, Outcome.PASS),
    ],
)
def test_a_second_system_is_told_in_many_ways(tmp_path: Path, files: Files, outcome: Outcome) -> None:
    assert ask(grow(tmp_path, files), FallbackSlot()).outcome is outcome


@pytest.mark.parametrize(
    ("files", "live", "outcome"),
    [
        ({"sys/class/watchdog/watchdog0/state": "active\n"}, True, Outcome.PASS),
        ({"sys/class/watchdog/watchdog0/state": "inactive\n"}, True, Outcome.FAIL),
        (
            {"sys/class/watchdog/watchdog0/state": "inactive\n", "sys/class/watchdog/watchdog1/state": "active\n"},
            True,
            Outcome.PASS,
        ),
        ({"sys/class/watchdog/watchdog0/": ""}, True, Outcome.UNKNOWN),
        ({"etc/systemd/system.conf": "[Manager]\nRuntimeWatchdogSec=30\n"}, True, Outcome.FAIL),
        ({"etc/systemd/system.conf": "[Manager]\nRuntimeWatchdogSec=30\n"}, False, Outcome.PASS),
        ({"etc/systemd/system.conf": "[Manager]\n#RuntimeWatchdogSec=30\n"}, False, Outcome.FAIL),
        ({"etc/systemd/system.conf": "[Manager]\nRuntimeWatchdogSec=off\n"}, False, Outcome.FAIL),
        (
            {
                "usr/lib/systemd/systemd": "x",
                "usr/lib/systemd/system.conf.d/a.conf": "[Manager]\nRuntimeWatchdogSec=0\n",
                "etc/systemd/system.conf.d/b.conf": "[Manager]\nRuntimeWatchdogSec=1min\n",
            },
            False,
            Outcome.PASS,
        ),
        ({"sbin/procd": "x"}, False, Outcome.PASS),
        ({"etc/x": ""}, False, Outcome.UNKNOWN),
    ],
)
def test_a_watchdog_runs_or_will(tmp_path: Path, files: Files, *, live: bool, outcome: Outcome) -> None:
    grow(tmp_path, files)
    assert ask(LiveRoot(tmp_path) if live else tmp_path, Watchdog()).outcome is outcome


def rfkill(kind: str, soft: int = 0, hard: int = 0) -> Files:
    """One radio and its switches."""
    folder = "sys/class/rfkill/rfkill0"
    return {f"{folder}/type": f"{kind}\n", f"{folder}/soft": f"{soft}\n", f"{folder}/hard": f"{hard}\n"}


WIFI = "config wifi-device 'radio0'\n\toption type 'mac80211'\n"


@pytest.mark.parametrize(
    ("files", "live", "declared", "outcome"),
    [
        ({"etc/x": ""}, True, (), Outcome.PASS),
        (rfkill("wlan"), True, (), Outcome.FAIL),
        (rfkill("wlan", soft=1), True, (), Outcome.PASS),
        (rfkill("bluetooth", hard=1), True, (), Outcome.PASS),
        (rfkill("wlan"), True, ("WiFi",), Outcome.PASS),
        (rfkill("bluetooth"), True, ("wifi",), Outcome.FAIL),
        (rfkill("gps"), True, (), Outcome.PASS),
        (rfkill("wwan"), True, ("lte",), Outcome.PASS),
        ({"sys/class/net/wlan0/phy80211/name": "phy0\n"}, True, (), Outcome.FAIL),
        ({"sys/class/bluetooth/hci0/x": ""}, True, ("bluetooth",), Outcome.PASS),
        ({"etc/x": ""}, False, (), Outcome.NOT_APPLICABLE),
        ({"etc/config/wireless": WIFI}, False, (), Outcome.FAIL),
        ({"etc/config/wireless": WIFI + "\toption disabled '1'\n"}, False, (), Outcome.PASS),
        ({"etc/config/wireless": WIFI}, False, ("wifi",), Outcome.PASS),
    ],
)
def test_no_radio_is_on_that_nobody_declared(
    tmp_path: Path, files: Files, *, live: bool, declared: tuple[str, ...], outcome: Outcome
) -> None:
    grow(tmp_path, files)
    assert ask(LiveRoot(tmp_path) if live else tmp_path, Radios(), a_plan(interfaces=declared)).outcome is outcome
