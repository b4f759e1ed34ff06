"""dm-verity: trees and roots as `veritysetup` makes them, and what is no superblock."""

from __future__ import annotations

import random
import struct
import subprocess

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.formats import verity
from holdfast_core.formats.verity import (
    Superblock,
    parse_verity_superblock,
    root_of_tree,
    verify_tree,
    verity_root,
    verity_tree,
)
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from tpm_builders import need

UUID = "3b0a3f4e-6a0f-4c1c-9a55-70c3a6f1c0de"
MADE = Superblock(1, bytes(16), "sha256", 4096, 4096, 200, bytes(range(32)))
LAYOUT = "<8sII16s32sIIQH6s256s168s"


def packed(superblock: Superblock, **changes) -> bytes:
    fields = {
        "signature": b"verity\0\0",
        "version": 1,
        "type": superblock.type,
        "uuid": superblock.uuid,
        "algorithm": superblock.algorithm.encode(),
        "data_block": superblock.data_block,
        "hash_block": superblock.hash_block,
        "blocks": superblock.blocks,
        "salt_size": len(superblock.salt),
        "pad": b"",
        "salt": superblock.salt,
        "rest": b"",
    }
    return struct.pack(LAYOUT, *(fields | changes).values())


def image(size: int) -> bytes:
    return random.Random(size).randbytes(size)  # noqa: S311 (any bytes do)


def formatted(folder, data: bytes, *options: str) -> tuple[bytes, bytes]:
    """The hash device and root hash that veritysetup makes."""
    need("veritysetup")
    (folder / "data").write_bytes(data)
    files = [folder / "data", folder / "hash", f"--root-hash-file={folder}/root", f"--uuid={UUID}"]
    subprocess.run(["/usr/sbin/veritysetup", "format", *files, *options], check=True, capture_output=True, timeout=120)
    return (folder / "hash").read_bytes(), bytes.fromhex((folder / "root").read_text())


@pytest.mark.parametrize(
    ("blocks", "options"),
    [
        (1, []),
        (2, []),
        (128, []),
        (129, []),
        (1000, []),
        (300, ["--salt=-"]),
        (300, ["--salt=" + "ab" * 256]),
        (300, ["--hash=sha1"]),
        (300, ["--hash=sha512"]),
        (300, ["--hash=sha384"]),
        (300, ["--format=0"]),
        (300, ["--format=0", "--hash=sha1"]),
        (300, ["--data-block-size=512", "--hash-block-size=1024"]),
        (70, ["--hash-block-size=512"]),
    ],
    ids=str,
)
def test_veritysetup_comes_to_the_same_tree(tmp_path, blocks, options):
    data = image(blocks * 4096)
    device, root = formatted(tmp_path, data, *options)
    superblock = parse_verity_superblock(device)
    assert superblock.data_bytes == len(data)
    tree = device[superblock.tree_offset :]
    assert len(tree) == superblock.tree_bytes or not superblock.levels
    assert verity_root(data, superblock) == root
    assert verity_tree(memoryview(data), superblock) == (root, tree[: superblock.tree_bytes])
    verify_tree(data, tree, superblock, root)
    if superblock.levels:
        assert root_of_tree(tree, superblock) == root


def test_a_superblock_says_how_the_tree_was_made(tmp_path):
    device, _ = formatted(tmp_path, image(8 * 4096), "--salt=0102")
    expected = Superblock(1, bytes.fromhex(UUID.replace("-", "")), "sha256", 4096, 4096, 8, b"\1\2")
    assert parse_verity_superblock(device) == expected
    assert packed(expected) == device[:512]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"signature": b"verity\0\1"}, "verity.superblock"),
        ({"version": 2}, "verity.unsupported"),
        ({"type": 2}, "verity.unsupported"),
        ({"algorithm": b"md5"}, "verity.unsupported"),
        ({"algorithm": b"\xff\xfe"}, "verity.unsupported"),
        ({"algorithm": b"sha256\0x"}, "verity.unsupported"),
        ({"data_block": 0}, "verity.superblock"),
        ({"data_block": 4095}, "verity.superblock"),
        ({"hash_block": 256}, "verity.superblock"),
        ({"hash_block": 1 << 31}, "verity.superblock"),
        ({"blocks": 0}, "verity.superblock"),
        ({"blocks": 2**64 - 1}, "verity.superblock"),
        ({"salt_size": 257}, "verity.superblock"),
        ({"salt_size": 31}, "verity.superblock"),
        ({"pad": b"\1"}, "verity.superblock"),
        ({"rest": b"\1"}, "verity.superblock"),
    ],
    ids=str,
)
def test_what_is_no_superblock_is_refused(changes, code):
    assert parse_verity_superblock(packed(MADE)) == MADE
    with pytest.raises(HostileData) as refused:
        parse_verity_superblock(packed(MADE, **changes))
    assert refused.value.code == code


def test_a_cut_superblock_is_refused():
    data = packed(MADE)
    for end in range(len(data)):
        with pytest.raises(HostileData):
            parse_verity_superblock(data[:end])


@given(st.binary(max_size=600), st.integers(0, 511))
def test_arbitrary_superblocks_are_read_or_refused(data, at):
    whole = packed(MADE)
    for each in (data, whole[:at] + data + whole[at + len(data) :]):
        try:
            superblock = parse_verity_superblock(each)
        except HostileData as refused:
            assert_verity(refused)
        else:
            assert len(superblock.levels) < 16
            assert superblock.tree_bytes >= 0


def assert_verity(refused: HostileData) -> None:
    assert refused.code.startswith("verity.")


def test_images_and_trees_of_another_length_are_refused():
    data = image(MADE.data_bytes)
    for other in (data[:-1], data + b"\0", b""):
        with pytest.raises(HostileData) as refused:
            verity_root(other, MADE)
        assert refused.value.code == "verity.size"
    for tree, superblock in ((b"", MADE), (bytes(4095), MADE), (bytes(4096), msgspec.structs.replace(MADE, blocks=1))):
        with pytest.raises(HostileData) as refused:
            root_of_tree(tree, superblock)
        assert refused.value.code == "verity.size"


def test_an_image_has_a_largest_size(monkeypatch):
    monkeypatch.setattr(verity, "LARGEST_DATA", MADE.data_bytes - 1)
    with pytest.raises(LimitExceeded) as refused:
        verity_root(image(MADE.data_bytes), MADE)
    assert refused.value.code == "verity.too_large"
