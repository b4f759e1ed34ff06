"""What a good boot of a release must measure, computed from its files alone, before any machine has booted it.

=====  ==============================  ==============================================================================
PCR    event                           what is measured
=====  ==============================  ==============================================================================
0      EV_S_CRTM_VERSION               the ROM's version
0      EV_POST_CODE                    the files ``spl`` and ``u-boot``, or ``mcuboot``
1      EV_TABLE_OF_DEVICES             the hardware found, a line for each component
1      EV_ACTION                       each difference from the expected hardware
1      EV_PLATFORM_CONFIG_FLAGS        the configuration of the FIT image that is booted
7      EV_EFI_VARIABLE_DRIVER_CONFIG   SecureBoot, PK, KEK, db and dbx, from the signed key table
7      EV_EFI_VARIABLE_AUTHORITY       each key's certificate, when it is first relied on
0-7    EV_SEPARATOR                    before the first program that is no firmware
4      EV_IPL                          the file ``fit``, or the image hash of the MCUboot application; in a failed boot
                                       the failure in words, then the file ``recovery``
8      EV_IPL                          the kernel's command line
9      EV_IPL                          kernel, ramdisk and fdt of the FIT image; the root file system by its root hash
=====  ==============================  ==============================================================================

1. The digest of a file is its SHA-256. Of an MCUboot slot it is the image hash, because the trailer of a slot changes
   with every update; of a root file system it is the dm-verity root.
2. This is written apart from the machine that boots and shares no path with it, so that either can be wrong alone.

Source: PFP 1.06, section 3.3.4 (use of the registers); GRUB manual, "Measured Boot" (8 and 9).
"""

from __future__ import annotations

import hashlib

from holdfast_core.formats.devicetree import parse_device_tree
from holdfast_core.formats.fit import Image, image_data, parse_fit
from holdfast_core.formats.mcuboot import parse_mcuboot
from holdfast_core.formats.verity_cmdline import verity_roots_in
from holdfast_sim.boot.artefacts import APP, CONFIGURATION, FIT, KEYS, LINUX, MCUBOOT, RECOVERY, SPL, UBOOT, BootRelease
from holdfast_sim.boot.events import authority, secure_boot_variables, version_text
from holdfast_sim.boot.hardware import table
from holdfast_sim.boot.keys import KeyTable, open_table

Expected = tuple[int, bytes, str]
"""Register, SHA-256 digest, and what it is of."""
_ROOT, _STAGE, _FIT, _MCU = range(4)
"""Places in the key table."""


def expected_measurements(release: BootRelease) -> tuple[Expected, ...]:
    """What a machine of `release` measures when all is well; within one register in this order.

    Raises:
        HostileData: when a file of the release cannot be read.
    """
    keys = open_table(release.artefacts[KEYS], release.rom.root)
    names = ("SecureBoot", "PK", "KEK", "db", "dbx")
    variables = secure_boot_variables(keys.certificates, keys.revoked)
    before = [
        (0, _sha256(version_text(release.rom.version)), "ROM version"),
        (1, _sha256(table(release.rom.hardware)), "hardware"),
        *((7, _sha256(data), name) for name, data in zip(names, variables, strict=True)),
    ]
    firmware, system = _linux(release, keys) if release.rom.chain == LINUX else _mcu(release, keys)
    separators = [(register, _sha256(bytes(4)), "separator") for register in range(8)]
    return (*before, *firmware, *separators, *system)


def recovery_measurement(release: BootRelease) -> Expected:
    """By what a machine in the declared safe state is known: the last event of register 4."""
    return (4, _sha256(release.artefacts[RECOVERY]), RECOVERY)


def _linux(release: BootRelease, keys: KeyTable) -> tuple[list[Expected], list[Expected]]:
    files = release.artefacts
    fit = parse_fit(files[FIT])
    used = dict(fit.configurations[CONFIGURATION].uses)
    line = _command_line(files[FIT], fit.images[used["fdt"]])
    firmware = [
        _authority(keys, _ROOT),
        (0, _sha256(files[SPL]), SPL),
        _authority(keys, _STAGE),
        (0, _sha256(files[UBOOT]), UBOOT),
        (1, _sha256(f"configuration={CONFIGURATION}".encode()), "configuration"),
        _authority(keys, _FIT),
    ]
    system = [
        (4, _sha256(files[FIT]), FIT),
        (8, _sha256(line.encode()), "command line"),
        *((9, _sha256(image_data(files[FIT], fit.images[name])), role) for role, name in used.items()),
        (9, bytes.fromhex(verity_roots_in(line)[0]), "rootfs"),
    ]
    return firmware, system


def _mcu(release: BootRelease, keys: KeyTable) -> tuple[list[Expected], list[Expected]]:
    slot = release.artefacts[APP]
    firmware = [
        _authority(keys, _ROOT),
        (0, _sha256(release.artefacts[MCUBOOT]), MCUBOOT),
        _authority(keys, _MCU),
    ]
    return firmware, [(4, _sha256(slot[: parse_mcuboot(slot).signed]), APP)]


def _command_line(fit: bytes, image: Image) -> str:
    return parse_device_tree(image_data(fit, image)).root.children["chosen"].text("bootargs")


def _authority(keys: KeyTable, place: int) -> Expected:
    return (7, _sha256(authority(keys.certificates[place])), f"authority {('root', 'stage', 'fit', 'mcu')[place]}")


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
