"""Attacks by what lies beside the root of an image: a second tree, an appended archive, bytes between the parts."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

import image_builders as build
from holdfast_core.baseline.model import Finding, Outcome
from holdfast_core.baseline.probes import PrivateKeys, ProbeSpec, Setuid
from holdfast_core.baseline.probes.services import Service
from holdfast_probe.images import open_target
from probe_builders import Files, ask, der_ec_key, grow, own_ids, pem

KEY = pem("EC PRIVATE KEY", der_ec_key()).encode()
CLEAN: Files = {
    "etc/passwd": own_ids(),
    "etc/group": own_ids(),
    "etc/inittab": "::sysinit:/etc/init.d/rcS\n",
    "bin/sh": ("x", 0o755),
}
ASIDE: Files = {"keys/device.pem": KEY, "tool": ("x", 0o4755)}
PACKED = ("squashfs", "ext4", "tar.gz", "cpio")


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    return build.squashfs(grow(tmp_path / "clean", CLEAN), tmp_path / "root").read_bytes()


def packed(kind: str, files: Files, folder: Path) -> bytes:
    tree = grow(folder / "aside", files)
    if kind == "squashfs":
        return build.squashfs(tree, folder / "a").read_bytes()
    if kind == "ext4":
        return build.ext(tree, folder / "a").read_bytes()
    if kind == "cpio":
        return build.cpio(tree, folder / "a").read_bytes()
    return gzip.compress(build.tar(tree, folder / "a").read_bytes())


def asked(image: bytes, spec: ProbeSpec, folder: Path) -> Finding:
    (folder / "image").write_bytes(image)
    with open_target(folder / "image") as target:
        return ask(target.root, spec)


@pytest.mark.parametrize("kind", PACKED)
def test_a_key_and_a_setuid_program_in_a_small_second_tree_are_found(tmp_path: Path, root: bytes, kind: str) -> None:
    image = root + bytes(4096) + packed(kind, ASIDE, tmp_path)
    key = asked(image, PrivateKeys(), tmp_path)
    assert key.outcome is Outcome.FAIL, key
    assert "keys/device.pem" in key.proof[0]
    assert asked(image, Setuid(), tmp_path).outcome is Outcome.FAIL
    assert asked(root, PrivateKeys(), tmp_path).outcome is Outcome.PASS
    assert asked(root, Setuid(), tmp_path).outcome is Outcome.PASS


def test_a_small_second_tree_without_fault_passes(tmp_path: Path, root: bytes) -> None:
    image = root + bytes(4096) + packed("squashfs", {"data/web/index.html": "hello"}, tmp_path)
    assert asked(image, PrivateKeys(), tmp_path).outcome is Outcome.PASS


def test_an_init_in_a_second_tree_starts_what_it_starts(tmp_path: Path, root: bytes) -> None:
    spec = Service(names=("telnetd",))
    init = {"init": ("#!/bin/sh\ntelnetd -l /bin/sh\nexec switch_root /new /sbin/init\n", 0o755)}
    assert asked(root, spec, tmp_path).outcome is Outcome.PASS
    image = root + bytes(4096) + packed("cpio", dict(init), tmp_path)
    assert asked(image, spec, tmp_path).outcome is Outcome.FAIL
    assert asked(image, PrivateKeys(), tmp_path).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("before", [0, 100, 8192, 300_000])
def test_a_key_between_the_parts_is_found(tmp_path: Path, root: bytes, before: int) -> None:
    finding = asked(root + b"\xff" * before + KEY, PrivateKeys(), tmp_path)
    assert finding.outcome is Outcome.FAIL, finding
    assert " at 0x" in finding.proof[0]
    padded = asked(root + b"\xff" * (before + 5000), PrivateKeys(), tmp_path)
    assert padded.outcome is Outcome.PASS


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_an_archive_that_is_appended_to_an_archive_is_seen(tmp_path: Path, pack: type[bytes]) -> None:
    first = build.tar(grow(tmp_path / "clean", CLEAN), tmp_path / "a").read_bytes()
    second = build.tar(grow(tmp_path / "aside", ASIDE), tmp_path / "b").read_bytes()
    assert asked(first, PrivateKeys(), tmp_path).outcome is Outcome.PASS
    assert asked(first + pack(second), PrivateKeys(), tmp_path).outcome is Outcome.FAIL


def test_files_beside_the_image_in_an_archive_are_seen(tmp_path: Path, root: bytes) -> None:
    outer = build.tar(grow(tmp_path / "outer", {"root.squashfs": root, "device.pem": KEY}), tmp_path / "t").read_bytes()
    assert asked(outer, PrivateKeys(), tmp_path).outcome is Outcome.FAIL
    bare = build.tar(grow(tmp_path / "bare", {"root.squashfs": root}), tmp_path / "t").read_bytes()
    assert asked(bare, PrivateKeys(), tmp_path).outcome is Outcome.PASS
