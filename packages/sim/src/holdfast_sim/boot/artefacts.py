"""Releases to boot: made once, by the tools that make them for real devices (mkimage, dtc, veritysetup, imgtool).

1. A release is what lies in a machine's flash, file by file under the names below. The payloads are small and follow
   from version and seed, so that two releases differ and one made twice is the same, but for the signatures.
2. Everything is signed when it is made; a machine and `measurements` only read.
3. The FIT image has two configurations, both signed: the one to boot, and one for the workshop, with a shell. Which one
   is booted is in U-Boot's manifest, because the default that a FIT image proposes is signed by nobody.

Source: U-Boot, doc/uImage.FIT; veritysetup(8); MCUboot, docs/imgtool.md.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from holdfast_core.kernel.errors import WorldError
from holdfast_sim.boot.hardware import Component
from holdfast_sim.boot.keys import FIT_KEY, BootKeys, KeyTable, key_digest, signed_table
from holdfast_sim.boot.manifest import Manifest, signed_manifest

KEYS, RECOVERY_KEYS = "keys", "recovery.keys"
SPL, UBOOT, FIT, ROOTFS, ROOT_TREE = "spl", "u-boot", "fit", "rootfs", "rootfs.verity"
MCUBOOT, APP = "mcuboot", "app"
RECOVERY = "recovery"
CONFIGURATION, WORKSHOP = "conf-1", "conf-workshop"
LINUX, MCU = "linux", "mcu"
ROOTFS_BYTES = 64 * 1024
TOOL_SECONDS = 60
_ENVIRONMENT: Mapping[str, str] = {"LC_ALL": "C", "SOURCE_DATE_EPOCH": "1767225600"}
"""What makes the tools' output the same on every machine: words and time stamps."""
HARDWARE = (
    Component("i2c0/secure-element", "atecc608b", "0123ee4d"),
    Component("mmc0", "emmc", "8GTF4R-1f2e3d4c"),
    Component("spi0/modem", "quectel-bg95", "867698041234567"),
    Component("i2c1/thermometer", "tmp102", "-", essential=False),
)

_DEVICE_TREE = """/dts-v1/;
/ {{ model = "Holdfast simulated board"; compatible = "holdfast,sim"; chosen {{ bootargs = "{bootargs}"; }}; }};
"""
_IMAGE = """
    {name} {{ data = /incbin/("{name}"); type = "{type}"; arch = "arm64"; os = "linux"; compression = "none";
      {more} hash-1 {{ algo = "sha256"; }}; }};"""
_CONFIGURATION = """
    {name} {{ kernel = "kernel"; ramdisk = "ramdisk"; fdt = "{fdt}"; version = "{version}"; svn = <{svn}>;
      signature-1 {{ algo = "sha256,rsa2048"; key-name-hint = "{key}";
        sign-images = "fdt", "kernel", "ramdisk"; }}; }};"""
_ADDRESS = "load = <0x40080000>; entry = <0x40080000>;"


class Rom(msgspec.Struct, frozen=True):
    """What a machine's maker put where nobody can change it.

    `root` is the digest of the root key, `hardware` what the machine was built with, `chain` ``linux`` or ``mcu``.
    """

    version: str
    root: str
    hardware: tuple[Component, ...]
    chain: str = LINUX


class BootRelease(msgspec.Struct, frozen=True):
    """A release: its files by name, as they lie in flash, and the ROM of the machines that it is for."""

    version: str
    svn: int
    artefacts: dict[str, bytes]
    rom: Rom


def make_release(
    folder: Path,
    *,
    version: str,
    svn: int,
    keys: BootKeys,
    chain: str = LINUX,
    hardware: Sequence[Component] = HARDWARE,
    revoked: Sequence[bytes] = (),
) -> BootRelease:
    """Make a release of the chain ``linux`` (SPL to root file system) or ``mcu`` (MCUboot and one application).

    Args:
        folder: where its files are kept; it exists. They are named as in flash.
        version: e.g. ``1.4.0``; for ``mcu`` one that imgtool takes.
        svn: its security version number.
        keys: what it is signed with.
        chain: ``linux`` or ``mcu``.
        hardware: what its machines are built with.
        revoked: SHA-256 digests of images that its machines refuse from then on.

    Raises:
        WorldError: ``boot.no_tool``, ``boot.tool`` when a tool fails.
    """
    table = KeyTable(tuple(keys.certificate(name) for name in keys.all()), tuple(revoked))
    signed = signed_table(table, keys.root)
    made = _linux(folder, version, svn, keys) if chain == LINUX else _mcu(folder, version, svn, keys)
    recovery = _payload(RECOVERY, version, 4096)
    files = {
        KEYS: signed,
        **made,
        RECOVERY_KEYS: signed,
        RECOVERY: recovery,
        manifest_of(RECOVERY): _manifest(RECOVERY, version, svn, recovery, keys.root),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    rom = Rom("holdfast-rom 1.0", key_digest(keys.root.public_key()), tuple(hardware), chain)
    return BootRelease(version, svn, files, rom)


def manifest_of(name: str) -> str:
    """The name of the manifest of the artefact `name`."""
    return f"{name}.manifest"


def _linux(folder: Path, version: str, svn: int, keys: BootKeys) -> dict[str, bytes]:
    spl, uboot = _payload(SPL, version, 4096), _payload(UBOOT, version, 16384)
    rootfs, tree, root_hash = _rootfs(folder, version)
    return {
        SPL: spl,
        manifest_of(SPL): _manifest(SPL, version, svn, spl, keys.root, next_key=key_digest(keys.stage.public_key())),
        UBOOT: uboot,
        manifest_of(UBOOT): _manifest(
            UBOOT, version, svn, uboot, keys.stage,
            next_key=key_digest(keys.fit.public_key()), configuration=CONFIGURATION,
        ),
        FIT: _fit(folder, version, svn, keys, root_hash),
        ROOTFS: rootfs,
        ROOT_TREE: tree,
    }  # fmt: skip


def _mcu(folder: Path, version: str, svn: int, keys: BootKeys) -> dict[str, bytes]:
    loader, work = _payload(MCUBOOT, version, 8192), folder / "work"
    work.mkdir(exist_ok=True)
    (work / "app").write_bytes(_payload(APP, version, 12288))
    (work / "mcu.pem").write_bytes(keys.mcu.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    imgtool = Path(sys.executable).parent / "imgtool"
    _run(
        str(imgtool) if imgtool.exists() else "imgtool", "sign", "-k", "mcu.pem", "--align", "4",
        "--header-size", "0x100", "--pad-header", "--slot-size", "0x8000", "--pad", "-v", version,
        "--security-counter", str(svn), "--boot-record", "APP", "app", "signed", folder=work,
    )  # fmt: skip
    application = (work / "signed").read_bytes()
    shutil.rmtree(work)
    return {
        MCUBOOT: loader,
        manifest_of(MCUBOOT): _manifest(
            MCUBOOT, version, svn, loader, keys.root, next_key=key_digest(keys.mcu.public_key())
        ),
        APP: application,
    }


def _manifest(
    name: str, version: str, svn: int, artefact: bytes, key: ec.EllipticCurvePrivateKey, **more: str
) -> bytes:
    return signed_manifest(Manifest(name, version, svn, hashlib.sha256(artefact).digest(), **more), key)


def _payload(name: str, version: str, size: int) -> bytes:
    """Bytes that stand for a program: they follow from name and version."""
    return hashlib.shake_256(f"{name} {version}".encode()).digest(size)


def _rootfs(folder: Path, version: str) -> tuple[bytes, bytes, str]:
    """A root file system's image, its hash tree and its root hash."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    image = _payload(ROOTFS, version, ROOTFS_BYTES)
    (work / "image").write_bytes(image)
    salt, uuid = hashlib.sha256(version.encode()).hexdigest(), "6d4e5f60-7182-4394-a5b6-c7d8e9f00112"
    output = _run("veritysetup", "format", f"--salt={salt}", f"--uuid={uuid}", "image", "tree", folder=work)
    tree = (work / "tree").read_bytes()
    shutil.rmtree(work)
    (found,) = (line.split()[-1] for line in output.splitlines() if line.startswith("Root hash:"))
    return image, tree, found


def _fit(folder: Path, version: str, svn: int, keys: BootKeys, root_hash: str) -> bytes:
    """The signed FIT image with kernel, initrd and a device tree for each configuration."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    (work / "kernel").write_bytes(_payload("kernel", version, 8192))
    (work / "ramdisk").write_bytes(_payload("ramdisk", version, 4096))
    arguments = f"root=/dev/mapper/root ro roothash={root_hash} console=ttyS0"
    for name, more in (("fdt", ""), ("fdt-workshop", " init=/bin/sh")):
        (work / f"{name}.dts").write_text(_DEVICE_TREE.format(bootargs=arguments + more))
        _run("dtc", "-q", "-O", "dtb", "-o", name, f"{name}.dts", folder=work)
    (work / "fit.its").write_text(_its(version, svn))
    _write_key(work, keys)
    _run("mkimage", "-q", "-f", "fit.its", "-k", ".", "-r", "fit.itb", folder=work)
    made = (work / "fit.itb").read_bytes()
    shutil.rmtree(work)
    return made


def _its(version: str, svn: int) -> str:
    images = [
        ("kernel", "kernel", _ADDRESS),
        ("ramdisk", "ramdisk", ""),
        ("fdt", "flat_dt", ""),
        ("fdt-workshop", "flat_dt", ""),
    ]
    of_images = "".join(_IMAGE.format(name=name, type=kind, more=more) for name, kind, more in images)
    configurations = "".join(
        _CONFIGURATION.format(name=name, fdt=fdt, version=version, svn=svn, key=FIT_KEY)
        for name, fdt in ((CONFIGURATION, "fdt"), (WORKSHOP, "fdt-workshop"))
    )
    return (
        f'/dts-v1/;\n/ {{ description = "Holdfast simulated board {version}"; #address-cells = <1>;\n'
        f'  images {{{of_images}\n  }};\n  configurations {{ default = "{CONFIGURATION}";{configurations}\n  }};\n}};\n'
    )


def _write_key(folder: Path, keys: BootKeys) -> None:
    """The FIT key as mkimage looks for it: a private key and a certificate under one name."""
    private = keys.fit.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{FIT_KEY}.key").write_bytes(private)
    certificate = x509.load_der_x509_certificate(keys.certificate("fit"))
    (folder / f"{FIT_KEY}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))


def _run(program: str, *arguments: str, folder: Path) -> str:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    found = shutil.which(program, path=path)
    if found is None:
        raise WorldError(
            "boot.no_tool",
            f"{program} was not found, and releases are made with it.",
            remedy="Install u-boot-tools, device-tree-compiler and cryptsetup-bin; imgtool comes with this package.",
        )
    try:
        return subprocess.run(  # noqa: S603  (fixed words and names of our own)
            [found, *arguments], cwd=folder, check=True, capture_output=True, timeout=TOOL_SECONDS,
            stdin=subprocess.DEVNULL, env={**os.environ, **_ENVIRONMENT}, text=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", "") or error
        raise WorldError(
            "boot.tool", f"{program} failed: {str(detail).strip()}.", remedy="Read what it says; check the free space."
        ) from error
