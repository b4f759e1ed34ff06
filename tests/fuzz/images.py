"""Targets: what a boot loader reads (device trees, FIT, MCUboot, PE, unified kernels, dm-verity).

Where a signature stands before the code that matters, it is verified once as it is, and once taken for good: nobody
can guess a signature, a fuzzer neither, but whoever holds a leaked key reaches what stands behind it.
"""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from unittest import mock

from fuzz.keys import ED25519, P256, PUBLIC, RSA_PUBLIC
from fuzz.target import Target, may_refuse, yes
from holdfast_core.attestation.building import Source, measure
from holdfast_core.formats import fit_verify, mcuboot_verify
from holdfast_core.formats.devicetree import parse_device_tree
from holdfast_core.formats.fit import image_data, parse_fit
from holdfast_core.formats.mcuboot import parse_mcuboot
from holdfast_core.formats.pe import DIGESTS, authenticode_digest, parse_pe, pe_signatures
from holdfast_core.formats.uki import stub_version, uki_measurements, uki_register, uki_sections
from holdfast_core.formats.verity import (
    SUPERBLOCK_BYTES,
    parse_verity_superblock,
    root_of_tree,
    verify_tree,
    verity_root,
    verity_tree,
)
from holdfast_core.formats.verity_cmdline import verity_lapses_in, verity_roots_in
from holdfast_core.supply.model import ArtefactKind

FIT_KEYS = {"dev": P256.public_key(), "rsa": RSA_PUBLIC}
MCU_KEYS = PUBLIC
LARGEST_TREE = 32_768
KINDS = tuple(ArtefactKind)
BANKS = ("sha256", "sha384", "sha512", "sha1")


def fit(data: bytes) -> None:
    """Every image's data lie in the file, or are refused; a signature's regions as well."""
    read = parse_fit(data)
    for image in read.images.values():
        may_refuse(image_data, data, image)
    for configuration in read.configurations.values():
        for signature in configuration.signatures:
            may_refuse(fit_verify.signed_bytes, data, read, signature)


def fit_verified(data: bytes) -> None:
    may_refuse(fit_verify.verify_fit, data, FIT_KEYS)
    with mock.patch.object(fit_verify, "_verifies", yes):
        for name in ("", "conf"):
            verified = fit_verify.verify_fit(data, FIT_KEYS, name)
    for each in verified.images:
        assert each.image.hashes
        assert hashlib.sha256(image_data(data, each.image)).digest() == each.digest


def mcuboot(data: bytes) -> None:
    image = parse_mcuboot(data)
    assert 0 < image.signed <= image.size <= len(data)
    may_refuse(mcuboot_verify.verify_mcuboot, data, MCU_KEYS)
    any_hash = SimpleNamespace(compare_digest=yes)
    with mock.patch.object(mcuboot_verify, "hmac", any_hash):
        may_refuse(mcuboot_verify.verify_mcuboot, data, MCU_KEYS)
        with (
            mock.patch.object(mcuboot_verify, "_verifies_digest", yes),
            mock.patch.object(mcuboot_verify, "_verifies_bytes", yes),
        ):
            mcuboot_verify.verify_mcuboot(data, MCU_KEYS)


def verity(data: bytes) -> None:
    """A superblock; then a tree; then, where it speaks of little, an image, which has that very tree."""
    superblock = parse_verity_superblock(data)
    rest = data[SUPERBLOCK_BYTES:]
    assert len(superblock.levels) < 64
    assert superblock.tree_offset >= SUPERBLOCK_BYTES
    may_refuse(root_of_tree, rest, superblock)
    may_refuse(verity_root, rest, superblock)
    if superblock.data_bytes > LARGEST_TREE:
        return
    image = rest[: superblock.data_bytes].ljust(superblock.data_bytes, b"\0")
    root, tree = verity_tree(image, superblock)
    assert len(tree) == superblock.tree_bytes
    verify_tree(image, tree, superblock, root)
    if superblock.levels:
        assert root_of_tree(tree, superblock) == root


def command_line(data: bytes) -> None:
    line = data.decode("utf-8", "replace")
    verity_lapses_in(line)
    roots = verity_roots_in(line)
    assert all(bytes.fromhex(root) for root in roots)


def pe(data: bytes) -> None:
    image = parse_pe(data)
    assert authenticode_digest(data) == authenticode_digest(memoryview(data), image=image)
    for algorithm in sorted(DIGESTS):
        authenticode_digest(data, algorithm)
    pe_signatures(data)


def uki(data: bytes) -> None:
    may_refuse(uki_sections, data)
    may_refuse(stub_version, data)
    for version in (None, 252, 254, 256, 260):
        measured = uki_measurements(data, version=version)
        assert len(uki_register(measured, phases=("enter-initrd",))) == 32


def artefact(data: bytes) -> None:
    """A file of a release, of whatever kind its builder says it is."""
    if data:
        measure(Source("file", KINDS[data[0] % len(KINDS)], data[1:], data[0] >> 4), BANKS[data[0] >> 6])


FIT_WORDS = (
    b"\xd0\x0d\xfe\xed", b"\0\0\0\1", b"\0\0\0\2", b"\0\0\0\3", b"\0\0\0\4", b"\0\0\0\x09", b"images",
    b"configurations",
    b"default\0", b"signature-1\0", b"hash-1\0", b"algo\0", b"value\0", b"data-size\0", b"data-position\0",
    b"data-offset\0", b"hashed-nodes\0", b"hashed-strings\0", b"sha256,rsa2048\0", b"sha256,ecdsa256\0", b"sha256\0",
    b"cipher\0", b"key-name-hint\0", b"dev\0", b"rsa\0", b"pss\0", b"kernel\0", b"fdt\0", b"loadables\0", b"conf\0",
    b"description\0", b"timestamp\0", b"/images/kernel\0", b"padding\0", b"type\0", b"compression\0",
)  # fmt: skip
MCU_WORDS = (
    b"\x3d\xb8\xf3\x96", b"\x07\x69", b"\x08\x69", b"\x10\0\x20\0", b"\x11\0", b"\x12\0", b"\x01\0\x20\0", b"\x22\0",
    b"\x24\0\x40\0", b"\x20\0\0\x01", b"\x50\0\x04\0", b"\x40\0\x0c\0", b"\x60\0", b"\x25\0", b"\x02\0", b"\x01\0",
    mcuboot_verify.key_hash_of(P256.public_key()), mcuboot_verify.key_hash_of(ED25519.public_key()),
)  # fmt: skip
PE_WORDS = (
    b"MZ", b"PE\0\0", b"\x64\x86", b"\x64\xaa", b"\x0b\x01", b"\x0b\x02", b".linux\0\0", b".osrel\0\0", b".cmdline",
    b".initrd\0", b".ucode\0\0", b".splash\0", b".dtb\0\0\0\0", b".uname\0\0", b".sbat\0\0\0", b".pcrpkey",
    b".pcrsig\0",
    b".profile", b".dtbauto", b".hwids\0\0", b".sdmagic", b"#### LoaderInfo: systemd-stub 252 ####", b"\0\x02\x02\0",
)  # fmt: skip
LINE_WORDS = (
    b"roothash=", b"usrhash=", b"rd.", b"dm-mod.create=", b"dm_mod.create=", b'"', b"'", b",,,ro,0 8 verity 1 ",
    b" verity ", b"ignore_corruption", b"ignore-zero-blocks", b"systemd.verity=0", b"systemd.verity_root_options=",
    b";",
    b",", b" -- ", b"sha256 " + b"ab" * 32, b"\xc2\xa0",
)  # fmt: skip

TARGETS = {
    "device-tree": Target(parse_device_tree, FIT_WORDS, 8_192),
    "fit": Target(fit, FIT_WORDS, 16_384),
    "fit-verified": Target(fit_verified, FIT_WORDS, 16_384),
    "mcuboot": Target(mcuboot, MCU_WORDS, 8_192),
    "verity": Target(
        verity, (b"verity\0\0", b"sha256\0", b"sha512\0", b"sha1\0\0", b"\0\x10\0\0", b"\0\x02\0\0"), 16_384
    ),
    "command-line": Target(command_line, LINE_WORDS, 20_000),
    "pe": Target(pe, PE_WORDS, 8_192),
    "uki": Target(uki, PE_WORDS, 16_384),
    "artefact": Target(artefact, FIT_WORDS + MCU_WORDS + PE_WORDS + LINE_WORDS, 16_384),
}
