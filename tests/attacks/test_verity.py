"""Ways around a verified file system: other data, another tree, another superblock, a root that nobody looks at."""

from __future__ import annotations

import msgspec
import pytest

from holdfast_core.formats.verity import Superblock, root_of_tree, verify_tree, verity_root, verity_tree
from holdfast_core.formats.verity_cmdline import verity_lapses_in, verity_roots_in
from holdfast_core.kernel.errors import HostileData

MADE = Superblock(1, bytes(16), "sha256", 4096, 4096, 130, b"salt")
DATA = bytes(range(256)) * (MADE.data_bytes // 256)
ROOT, TREE = verity_tree(DATA, MADE)
RELEASED, EVIL = ROOT.hex(), "e0" * 32


def code_of(data: bytes, tree: bytes, superblock: Superblock = MADE) -> str:
    with pytest.raises(HostileData) as refused:
        verify_tree(data, tree, superblock, ROOT)
    return refused.value.code


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_control_image_and_tree_of_the_release():
    verify_tree(DATA, TREE, MADE, ROOT)
    assert root_of_tree(TREE, MADE) == ROOT


@pytest.mark.parametrize("at", [0, 4095, 4096, len(DATA) // 2, len(DATA) - 1])
def test_a_flipped_bit_of_the_data(at):
    assert code_of(flipped(DATA, at), TREE) == "verity.root_wrong"


@pytest.mark.parametrize("at", [0, 40, 4096, len(TREE) - 1])
def test_a_flipped_bit_of_the_tree(at):
    assert code_of(DATA, flipped(TREE, at)) == "verity.tree_wrong"


def test_a_tree_cut_short():
    assert code_of(DATA, TREE[:-1]) == "verity.tree_wrong"


def test_a_root_that_fits_the_tree_and_not_the_data():
    """The top block alone says nothing of the data: who only looks there sees nothing wrong."""
    other = flipped(DATA, 5000)
    assert root_of_tree(TREE, MADE) == ROOT
    assert verity_root(other, MADE) != ROOT
    assert code_of(other, TREE) == "verity.root_wrong"


@pytest.mark.parametrize(
    "changes",
    [{"salt": b""}, {"salt": b"salt\0"}, {"algorithm": "sha1"}, {"type": 0}, {"hash_block": 8192}],
    ids=str,
)
def test_another_superblock_over_the_same_data(changes):
    assert code_of(DATA, TREE, msgspec.structs.replace(MADE, **changes)) == "verity.root_wrong"


def test_the_tree_passed_off_as_the_data():
    """Levels are not told apart when they are hashed, so the count of blocks must come from the release too."""
    lower = TREE[MADE.hash_block :]
    shallow = msgspec.structs.replace(MADE, blocks=len(lower) // 4096)
    assert verity_root(lower, shallow) == ROOT  # the same root
    assert code_of(lower, TREE[: MADE.hash_block]) == "verity.size"  # but not with the count of the release


def test_control_one_root_that_is_the_released_one():
    cmdline = f"ro quiet roothash={RELEASED} rootflags=ro"
    assert verity_roots_in(cmdline) == (RELEASED,)
    assert verity_lapses_in(cmdline) == ()


@pytest.mark.parametrize(
    "second",
    [
        f"roothash={EVIL}",
        f"rd.roothash={EVIL}",
        f"-- roothash={EVIL}",
        f'"roothash={EVIL}"',
        f"'roothash={EVIL}'",
        f"root'hash'={EVIL}",
        f"'\"' roothash={EVIL} '\"'",
        f"\troothash={EVIL.upper()}",
        f'dm-mod.create="v,,,ro,0 8 verity 1 a b 4096 4096 1 1 sha256 {EVIL} -"',
        f'dm_mod.create="v,,,ro,0 8 verity 1 a b 4096 4096 1 1 sha256 {EVIL} -"',
    ],
)
def test_a_second_root_behind_the_released_one(second):
    """On the device the last one counts."""
    assert set(verity_roots_in(f"ro roothash={RELEASED} {second} quiet")) == {RELEASED, EVIL}


@pytest.mark.parametrize(
    "more",
    [
        "systemd.verity=0",
        "rd.systemd.verity=off",
        "systemd.verity_root_options=ignore-corruption",
        "'systemd.verity=no'",
        f'dm-mod.create="v,,,ro,0 8 verity 1 a b 4096 4096 1 1 sha256 {RELEASED} - 1 ignore_corruption"',
    ],
)
def test_the_released_root_with_its_strength_taken_away(more):
    cmdline = f"roothash={RELEASED} {more}"
    assert set(verity_roots_in(cmdline)) == {RELEASED}
    assert verity_lapses_in(cmdline)
