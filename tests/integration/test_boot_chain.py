"""Machines that boot against real TPMs in software: what is attested, and what others' tools say of it."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_builders import attests, boot_keys, boot_release, expected, imgtool, measured, powered_tpm, registers, scratch
from holdfast_core.formats.devicetree import parse_device_tree
from holdfast_core.formats.eventlog.banks import SHA256
from holdfast_core.formats.eventlog.contents import content_of
from holdfast_core.formats.eventlog.facts import facts_of
from holdfast_core.formats.eventlog.log import parse_event_log
from holdfast_core.kernel.errors import WorldError
from holdfast_sim.boot.artefacts import APP, FIT, MCU, ROOT_TREE, ROOTFS, make_release
from holdfast_sim.boot.machine import Machine, Nv
from holdfast_sim.boot.measurements import recovery_measurement
from holdfast_sim.boot.swtpm import Swtpm
from holdfast_sim.boot.tpm import TpmLink
from tpm_builders import need


@pytest.fixture(scope="module")
def tpm() -> Iterator[Swtpm]:
    with powered_tpm() as running:
        yield running


def said(*argv: str) -> str:
    need(argv[0])
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.parametrize("chain", ["linux", MCU])
def test_a_good_boot_measures_what_the_files_say(tpm, chain):
    release = boot_release(chain=chain)
    machine = Machine.of(release, tpm)
    report = machine.boot()
    assert report.state == "running"
    assert report.failures == ()
    log = attests(report, tpm)
    assert measured(log) == expected(release)
    facts = facts_of(log, SHA256)
    assert facts.secure_boot is True
    assert facts.unproven == facts.failed == ()
    assert facts.separators == tuple(range(8))
    assert all(type(content_of(event)).__name__ not in ("Unread", "Opaque") for event in log.events)
    if chain == "linux":
        assert facts.command_lines == (report.command_line,)
        assert "roothash=" in report.command_line


def test_boots_of_one_release_measure_the_same_and_another_release_differs(tpm):
    machine = Machine.of(boot_release(), tpm)
    first = machine.boot()
    values = registers(tpm)
    assert machine.boot() == first
    assert registers(tpm) == values
    machine.flash.update(boot_release("1.5.0", 5).artefacts)
    assert machine.boot().state == "running"
    assert registers(tpm) != values


def test_tools_of_others_read_registers_and_log(tpm):
    report = Machine.of(boot_release(), tpm).boot()
    shown = said("tpm2_pcrread", "-T", tpm.tcti, "sha256:0,4,8,9")
    ours = registers(tpm)
    for register in (0, 4, 8, 9):
        assert f"{register} : 0x{ours[register].hex().upper()}" in " ".join(shown.split())
    with scratch() as folder:
        (folder / "log").write_bytes(report.log)
        listed = said("tpm2_eventlog", str(folder / "log"))
    for register in (0, 1, 4, 7, 8, 9):
        assert f"0x{ours[register].hex()}" in listed
    assert "EV_S_CRTM_VERSION" in listed
    assert "roothash=" in listed


def clock(tpm: Swtpm) -> dict[str, str]:
    lines = said("tpm2_readclock", "-T", tpm.tcti).splitlines()
    return dict(line.strip().split(": ") for line in lines if ": " in line)


def test_power_cut_is_told_from_an_orderly_reboot():
    with powered_tpm() as tpm:
        machine = Machine.of(boot_release(), tpm)
        machine.boot()
        machine.boot()
        first = clock(tpm)
        assert first["safe"] == "yes"
        machine.boot(orderly=False)
        cut = clock(tpm)
        assert cut["safe"] == "no"
        assert int(cut["reset_count"]) == int(first["reset_count"]) + 1
        assert machine.boot().state == "running"
        assert int(clock(tpm)["reset_count"]) == int(first["reset_count"]) + 2


def test_state_that_is_kept_stays_the_same_tpm(tmp_path):
    need("swtpm")
    release = boot_release()
    resets = []
    for _ in range(2):
        with Swtpm(tmp_path) as tpm:
            machine = Machine(tpm, dict(release.artefacts), Nv(), release.rom)
            assert machine.boot().state == "running"
            resets.append(int(clock(tpm)["reset_count"]))
    assert resets[1] > resets[0]


def test_swtpm_is_gone_after_use():
    with powered_tpm() as tpm:
        pid, folder = tpm.pid, tpm.socket.parent
    tpm.close()
    assert not Path(f"/proc/{pid}").exists()
    assert not folder.exists()
    with pytest.raises(WorldError) as caught:
        Machine.of(boot_release(), tpm).boot()
    assert caught.value.code == "boot.tpm"


def test_refusal_of_the_tpm_has_its_number(tpm):
    with tpm.link() as link:
        link.power_cycle()
        with pytest.raises(WorldError, match="0x100"):
            link.extend(0, bytes(32))
    with pytest.raises(WorldError):
        TpmLink(tpm.socket.parent / "absent").power_cycle()


def test_releases_are_made_twice_alike_but_for_their_signatures():
    with scratch() as folder:
        again = make_release(folder, version="1.4.0", svn=4, keys=boot_keys())
        assert {path.name for path in folder.iterdir()} == set(again.artefacts)
        assert all((folder / name).read_bytes() == data for name, data in again.artefacts.items())
    first = boot_release()
    differing = {name for name, data in first.artefacts.items() if again.artefacts[name] != data}
    assert all("keys" in name or "manifest" in name for name in differing)


def test_tools_of_others_agree_on_the_artefacts():
    linux, mcu = boot_release(), boot_release(chain=MCU)
    with scratch() as folder:
        for name in (FIT, ROOTFS, ROOT_TREE):
            (folder / name).write_bytes(linux.artefacts[name])
        (folder / APP).write_bytes(mcu.artefacts[APP])
        assert "Default Configuration: 'conf-1'" in said("mkimage", "-l", str(folder / FIT))
        line = linux_lines(linux.artefacts[FIT])[0]
        root = line.split("roothash=")[1].split()[0]
        said("/usr/sbin/veritysetup", "verify", str(folder / ROOTFS), str(folder / ROOT_TREE), root)
        assert "Image version: 1.4.0" in said(imgtool(), "verify", str(folder / APP))


def linux_lines(fit: bytes) -> list[str]:
    images = parse_device_tree(fit).root.children["images"].children
    return [
        parse_device_tree(images[name].properties["data"]).root.children["chosen"].text("bootargs")
        for name in ("fdt", "fdt-workshop")
    ]


def test_log_of_a_failed_boot_says_what_failed(tpm):
    machine = Machine.of(boot_release(), tpm)
    del machine.flash[FIT]
    report = machine.boot()
    log = parse_event_log(report.log)
    told = [event for event in log.events if event.data.startswith(b"failed after u-boot: boot.missing")]
    assert len(told) == 1
    assert told[0].digests[SHA256] == hashlib.sha256(told[0].data).digest()
    assert (4, measured(log)[4][-1], "recovery") == recovery_measurement(boot_release())
