"""What somebody with a hand on the flash, the hardware or an old release tries on a machine that boots.

Each attack ends alike: what was attacked is not started, the machine recovers, and log and registers say so.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator

import msgspec
import pytest

from boot_builders import attests, boot_keys, boot_release, expected, measured, powered_tpm
from holdfast_core.formats.eventlog.banks import SHA256
from holdfast_core.formats.mcuboot import parse_mcuboot
from holdfast_sim.boot.artefacts import APP, FIT, MCU, ROOT_TREE, ROOTFS, SPL, UBOOT, WORKSHOP, BootRelease, manifest_of
from holdfast_sim.boot.hardware import Component
from holdfast_sim.boot.keys import KeyTable, signed_table
from holdfast_sim.boot.machine import BootReport, Machine
from holdfast_sim.boot.manifest import Manifest, signed_manifest
from holdfast_sim.boot.swtpm import Swtpm

IPL, ACTION = 0xD, 0x5
CHAIN = ("rom", "spl", "u-boot", "kernel", "rootfs")
Flash = dict[str, bytes]


@pytest.fixture(scope="module")
def tpm() -> Iterator[Swtpm]:
    with powered_tpm() as running:
        yield running


def control(release: BootRelease, tpm: Swtpm) -> Machine:
    """A machine that has booted well, as its release says."""
    machine = Machine.of(release, tpm)
    report = machine.boot()
    assert report.state == "running"
    assert measured(attests(report, tpm)) == expected(release)
    return machine


def recovers(machine: Machine, tpm: Swtpm, *, code: str, started: tuple[str, ...]) -> BootReport:
    """Boot: refused with `code` after `started`, recovered, and attested."""
    report = machine.boot()
    assert report.state == "recovery"
    assert [failure.code for failure in report.failures] == [code]
    assert report.started == (*started, "recovery")
    log = attests(report, tpm)
    told, recovery = [event for event in log.events if event.register == 4 and event.kind == IPL][-2:]
    assert told.data.decode() == f"failed after {started[-1]}: {code}: {report.failures[0].sentence}"
    assert told.digests[SHA256] == hashlib.sha256(told.data).digest()
    assert recovery.data == b"recovery"
    assert recovery.digests[SHA256] == hashlib.sha256(machine.flash["recovery"]).digest()
    assert measured(log)[4][-1] == recovery.digests[SHA256]
    return report


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def resigned(name: str, artefact: bytes, keys: str, **more: object) -> bytes:
    """A manifest by somebody's own keys."""
    honest = Manifest(name, "1.4.0", 4, hashlib.sha256(artefact).digest(), **more)
    return signed_manifest(honest, boot_keys(keys).root)


def without_signature(data: bytes) -> bytes:
    return msgspec.json.encode({**msgspec.json.decode(data), "signature": ""})


@pytest.mark.parametrize(("name", "started"), [(SPL, CHAIN[:1]), (UBOOT, CHAIN[:2]), ("mcuboot", CHAIN[:1])])
@pytest.mark.parametrize("attack", ["unsigned", "tampered", "wrong key", "damaged", "missing", "other's place"])
def test_firmware_stage(tpm, name, started, attack):
    machine = control(boot_release(chain=MCU if name == "mcuboot" else "linux"), tpm)
    flash, manifest = machine.flash, manifest_of(name)
    if attack == "unsigned":
        flash[manifest] = without_signature(flash[manifest])
        code = "boot.unsigned"
    elif attack == "tampered":
        flash[name] = flipped(flash[name], 100)
        code = "boot.digest"
    elif attack == "wrong key":
        flash[name] = b"mine"
        flash[manifest] = resigned(name, b"mine", "thief")
        code = "boot.signature"
    elif attack == "damaged":
        flash[manifest] = flash[manifest][:-9]
        code = "boot.manifest"
    elif attack == "missing":
        del flash[manifest]
        code = "boot.missing"
    else:
        flash[name], flash[manifest] = flash["recovery"], flash["recovery.manifest"]
        code = "boot.signature" if name == UBOOT else "boot.manifest"
    recovers(machine, tpm, code=code, started=started)


def test_whole_release_of_another_product(tpm):
    """Key table and all: the ROM knows its own root key."""
    machine = control(boot_release(), tpm)
    machine.flash.update(boot_release(keys="thief").artefacts)
    report = machine.boot()
    assert report.state == "halted"
    assert report.started == ("rom",)
    assert [failure.code for failure in report.failures] == ["boot.keys", "boot.keys"]
    attests(report, tpm)


def test_key_table_of_a_thief_leads_to_recovery_by_the_spare_one(tpm):
    machine = control(boot_release(), tpm)
    thief = boot_keys("thief")
    machine.flash["keys"] = signed_table(KeyTable((machine_root(), thief.certificate("root"))), thief.root)
    recovers(machine, tpm, code="boot.keys", started=CHAIN[:1])


def machine_root() -> bytes:
    return boot_keys().certificate("root")


def test_key_that_is_in_no_table(tpm):
    """The manifest is signed by the root key itself, and names a key nobody put into the table."""
    machine = control(boot_release(), tpm)
    spl = machine.flash[SPL]
    machine.flash[manifest_of(SPL)] = resigned(SPL, spl, "product", next_key="00" * 32)
    recovers(machine, tpm, code="boot.wrong_key", started=CHAIN[:2])


def fit_tampered(flash: Flash) -> None:
    kernel = hashlib.shake_256(b"kernel 1.4.0").digest(64)
    flash[FIT] = flipped(flash[FIT], flash[FIT].index(kernel))


def fit_description_changed(flash: Flash) -> None:
    flash[FIT] = flash[FIT].replace(b"arch\0", b"arCh\0", 1)


def fit_unsigned(flash: Flash) -> None:
    flash[FIT] = flash[FIT].replace(b"signature-1\0", b"sIgnature-1\0")


def fit_wrong_key(flash: Flash) -> None:
    flash[FIT] = boot_release(keys="thief").artefacts[FIT]


def fit_unknown_key_name(flash: Flash) -> None:
    flash[FIT] = flash[FIT].replace(b"\0\0\0\x04" + struct.pack(">I", hint_offset(flash[FIT])) + b"fit\0",
                                    b"\0\0\0\x04" + struct.pack(">I", hint_offset(flash[FIT])) + b"fix\0")  # fmt: skip


def hint_offset(fit: bytes) -> int:
    strings = struct.unpack_from(">I", fit, 12)[0]
    return fit.index(b"key-name-hint\0", strings) - strings


def fit_swapped_configuration(flash: Flash) -> None:
    """The device tree with the shell, under the name of the configuration to boot."""
    flash[FIT] = (
        flash[FIT].replace(b"conf-1\0\0", b"conf-x\0\0", 1).replace(b"conf-workshop\0", b"conf-1\0\0\0\0\0\0\0\0", 1)
    )


def fit_swapped_images(flash: Flash) -> None:
    """The workshop's device tree takes the name of the good one."""
    flash[FIT] = (
        flash[FIT]
        .replace(b"\0\0\0\x01fdt\0", b"\0\0\0\x01fdx\0", 1)
        .replace(b"\0\0\0\x01fdt-workshop\0\0\0\0", b"\0\0\0\x01fdt\0" + bytes(12), 1)
    )


def fit_no_configuration(flash: Flash) -> None:
    flash[FIT] = b"\xd0\x0d\xfe\xed" + bytes(100)


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (fit_tampered, "fit.image_hash"),
        (fit_description_changed, "fit.signature"),
        (fit_unsigned, "fit.unsigned"),
        (fit_wrong_key, "fit.signature"),
        (fit_unknown_key_name, "fit.wrong_key"),
        (fit_swapped_configuration, None),
        (fit_swapped_images, None),
        (fit_no_configuration, "devicetree.malformed"),
    ],
)
def test_fit_image(tpm, attack: Callable[[Flash], None], code):
    machine = control(boot_release(), tpm)
    before = machine.flash[FIT]
    attack(machine.flash)
    assert machine.flash[FIT] != before
    if code is None:
        report = machine.boot()
        code = report.failures[0].code
        assert code.split(".")[0] in ("fit", "devicetree")
    report = recovers(machine, tpm, code=code, started=CHAIN[:3])
    assert report.command_line == ""


def test_default_configuration_is_turned_to_the_workshops(tpm):
    """Nobody signs which configuration is the default; U-Boot asks for its own by name, so it changes nothing."""
    machine = control(boot_release(), tpm)
    fit = machine.flash[FIT]
    # The property grows from 7 to 14 bytes; the totals of the header and all behind it move by 8.
    at = fit.index(b"conf-1\0\0") - 12
    assert struct.unpack_from(">II", fit, at) == (3, 7)
    name = struct.pack(">III", 3, len(WORKSHOP) + 1, struct.unpack_from(">I", fit, at + 8)[0])
    grown = fit[:at] + name + WORKSHOP.encode() + bytes(-(len(WORKSHOP) + 1) % 4 + 1) + fit[at + 20 :]
    header = list(struct.unpack_from(">10I", grown))
    for field in (1, 3, 9):
        header[field] += 8
    machine.flash[FIT] = struct.pack(">10I", *header) + grown[40:]
    report = machine.boot()
    assert report.state == "running"
    assert "init=/bin/sh" not in report.command_line
    log = attests(report, tpm)
    assert measured(log)[8] == expected(boot_release())[8]
    assert measured(log)[9] == expected(boot_release())[9]


def test_configuration_that_the_signed_manifest_does_not_name(tpm):
    machine = control(boot_release(), tpm)
    uboot = machine.flash[UBOOT]
    machine.flash[manifest_of(UBOOT)] = resigned(UBOOT, uboot, "product", configuration=WORKSHOP)
    recovers(machine, tpm, code="boot.signature", started=CHAIN[:2])


def rootfs_tampered(flash: Flash) -> None:
    flash[ROOTFS] = flipped(flash[ROOTFS], 40_000)


def tree_tampered(flash: Flash) -> None:
    flash[ROOT_TREE] = flipped(flash[ROOT_TREE], 4096 + 40)


def superblock_tampered(flash: Flash) -> None:
    flash[ROOT_TREE] = flipped(flash[ROOT_TREE], 0)


def rootfs_with_its_own_tree(flash: Flash) -> None:
    """Image and tree fit each other; only the signed command line names another root."""
    other = boot_release("1.5.0", 5).artefacts
    flash[ROOTFS], flash[ROOT_TREE] = other[ROOTFS], other[ROOT_TREE]


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (rootfs_tampered, "verity.root_wrong"),
        (tree_tampered, "verity.tree_wrong"),
        (superblock_tampered, "verity.superblock"),
        (rootfs_with_its_own_tree, "verity.root_wrong"),
    ],
)
def test_root_file_system(tpm, attack, code):
    machine = control(boot_release(), tpm)
    attack(machine.flash)
    recovers(machine, tpm, code=code, started=CHAIN[:4])


def app_tampered(flash: Flash) -> None:
    flash[APP] = flipped(flash[APP], 0x200)


def app_wrong_key(flash: Flash) -> None:
    flash[APP] = boot_release(chain=MCU, keys="thief").artefacts[APP]


def app_unsigned(flash: Flash) -> None:
    """Only the hash is left of the records."""
    image = parse_mcuboot(flash[APP])
    kept = [struct.pack("<HH", kind, len(value)) + value for kind, value in image.records if kind == 0x10]
    area = struct.pack("<HH", 0x6907, 4 + len(kept[0])) + kept[0]
    flash[APP] = flash[APP][: image.signed] + area


def app_with_a_higher_counter(flash: Flash) -> None:
    flash[APP] = flash[APP].replace(struct.pack("<HHI", 0x50, 4, 4), struct.pack("<HHI", 0x50, 4, 9))


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (app_tampered, "mcuboot.hash"),
        (app_wrong_key, "mcuboot.wrong_key"),
        (app_unsigned, "mcuboot.unsigned"),
        (app_with_a_higher_counter, "mcuboot.hash"),
    ],
)
def test_application_of_a_microcontroller(tpm, attack, code):
    machine = control(boot_release(chain=MCU), tpm)
    before = machine.flash[APP]
    attack(machine.flash)
    assert machine.flash[APP] != before
    recovers(machine, tpm, code=code, started=("rom", "mcuboot"))


@pytest.mark.parametrize("chain", ["linux", MCU])
def test_signed_old_release_after_a_newer_one_was_confirmed(tpm, chain):
    old, new = boot_release("1.3.0", 3, chain=chain), boot_release(chain=chain)
    machine = control(old, tpm)
    machine.confirm()
    machine.flash.update(new.artefacts)
    assert machine.boot().state == "running"
    machine.flash.update(old.artefacts)
    assert machine.boot().state == "running"  # nobody confirmed the new one, so the way back is open
    machine.flash.update(new.artefacts)
    assert machine.boot().state == "running"
    machine.confirm()
    machine.flash.update({name: data for name, data in old.artefacts.items() if not name.startswith("recovery")})
    recovers(machine, tpm, code="boot.rollback", started=("rom",))
    assert machine.nv.floors["recovery"] == 4


@pytest.mark.parametrize(("chain", "name", "started"), [("linux", FIT, CHAIN[:3]), (MCU, APP, ("rom", "mcuboot"))])
def test_old_system_under_new_firmware(tpm, chain, name, started):
    machine = control(boot_release(chain=chain), tpm)
    machine.confirm()
    machine.flash[name] = boot_release("1.3.0", 3, chain=chain).artefacts[name]
    recovers(machine, tpm, code="boot.rollback", started=started)


def test_old_recovery_image_does_not_run_after_a_newer_release_was_confirmed(tpm):
    machine = control(boot_release(), tpm)
    machine.confirm()
    old = boot_release("1.3.0", 3).artefacts
    machine.flash.update({name: data for name, data in old.items() if name.startswith("recovery")})
    del machine.flash[SPL]
    report = machine.boot()
    assert report.state == "halted"
    assert [failure.code for failure in report.failures] == ["boot.missing", "boot.rollback"]
    attests(report, tpm)


def test_confirming_with_a_damaged_recovery_raises_the_other_floors(tpm):
    machine = control(boot_release(), tpm)
    machine.flash["recovery"] = b""
    machine.confirm()
    assert machine.nv.floors == {SPL: 4, UBOOT: 4, FIT: 4}


def test_confirming_after_a_failed_boot_raises_no_floor(tpm):
    machine = control(boot_release("1.3.0", 3), tpm)
    machine.flash.update(boot_release().artefacts)
    fit_tampered(machine.flash)
    assert machine.boot().state == "recovery"
    machine.confirm()
    assert machine.nv.floors == {}


def test_revoked_image(tpm):
    """Its version is high enough and its signature right; the key table says that it may not run."""
    release = boot_release()
    machine = control(release, tpm)
    for name, started in ((SPL, CHAIN[:1]), (UBOOT, CHAIN[:2]), (FIT, CHAIN[:3])):
        table = KeyTable(
            tuple(boot_keys().certificate(each) for each in boot_keys().all()),
            (hashlib.sha256(release.artefacts[name]).digest(),),
        )
        machine.flash["keys"] = signed_table(table, boot_keys().root)
        recovers(machine, tpm, code="boot.revoked", started=started)


def without(place: str) -> Callable[[tuple[Component, ...]], tuple[Component, ...]]:
    return lambda found: tuple(each for each in found if each.place != place)


def swapped(place: str) -> Callable[[tuple[Component, ...]], tuple[Component, ...]]:
    return lambda found: tuple(
        msgspec.structs.replace(each, identity="another") if each.place == place else each for each in found
    )


def added(found: tuple[Component, ...]) -> tuple[Component, ...]:
    return (*found, Component("usb1/serial", "ch340", "-"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without("spi0/modem"), "hardware missing: spi0/modem"),
        (swapped("i2c0/secure-element"), "hardware changed: i2c0/secure-element"),
        (added, "hardware unexpected: usb1/serial"),
    ],
)
def test_hardware_that_is_not_what_was_built_in(tpm, change, told):
    machine = control(boot_release(), tpm)
    machine.hardware = change(machine.hardware)
    report = recovers(machine, tpm, code="boot.hardware", started=CHAIN[:1])
    assert [str(each) for each in report.hardware] == [told]
    log = attests(report, tpm)
    assert [event.data.decode() for event in log.events if event.kind == ACTION] == [told]
    assert measured(log)[1][:1] != expected(boot_release())[1][:1]


def test_missing_part_that_is_not_essential_is_told_and_stops_nothing(tpm):
    machine = control(boot_release(), tpm)
    machine.hardware = without("i2c1/thermometer")(machine.hardware)
    report = machine.boot()
    assert report.state == "running"
    assert [str(each) for each in report.hardware] == ["hardware missing: i2c1/thermometer"]
    log = attests(report, tpm)
    assert measured(log)[1] != expected(boot_release())[1]
    assert measured(log)[4] == expected(boot_release())[4]


def test_recovery_that_was_tampered_with_does_not_run(tpm):
    machine = control(boot_release(), tpm)
    machine.flash[SPL] = flipped(machine.flash[SPL], 0)
    machine.flash["recovery"] = flipped(machine.flash["recovery"], 0)
    report = machine.boot()
    assert report.state == "halted"
    assert report.started == ("rom",)
    assert [failure.code for failure in report.failures] == ["boot.digest", "boot.digest"]
    attests(report, tpm)


def test_failed_boot_cannot_pass_for_a_good_one(tpm):
    """Whatever fails, register 4 differs from the good boot's: secrets bound to it stay closed."""
    release = boot_release()
    good = control(release, tpm)
    good_value = attests_value(good, tpm)
    for attack in (fit_tampered, rootfs_tampered, fit_wrong_key):
        machine = Machine.of(release, tpm)
        attack(machine.flash)
        assert machine.boot().state == "recovery"
        with tpm.link() as link:
            assert link.read((4,))[4] != good_value


def attests_value(machine: Machine, tpm: Swtpm) -> bytes:
    attests(machine.boot(), tpm)
    with tpm.link() as link:
        return link.read((4,))[4]


def test_keys_of_the_tests_differ():
    """The controls above would prove nothing if thief and product shared keys."""
    assert boot_keys("thief").certificate("root") != boot_keys().certificate("root")
