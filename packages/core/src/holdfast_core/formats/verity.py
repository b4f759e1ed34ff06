"""dm-verity: the superblock of a hash device, the tree below it, and its root as one digest for a whole file system.

1. The root hash is of the data, hashed with salt, block sizes and hash of the superblock, which itself is bound by
   nothing. So a root is compared with one that came another way (a signed command line, a release), never with what the
   image says of itself; and so is the count of blocks, for a tree's lower level passed off as data has the same root.
2. Each block is hashed with the salt before it (type 1) or behind it (type 0, of Chrome OS). A level's digests fill
   blocks, which are the next level's data; the last digest is the root. An image of one block has no tree at all.
3. Type 1 gives each digest a power of two of bytes, type 0 lays them side by side and fills the block up.
4. The tree lies from the top level down, one block after the superblock.

Source: Linux, Documentation/admin-guide/device-mapper/verity.rst; cryptsetup, docs/on-disk-format for verity,
veritysetup(8).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from struct import Struct
from types import MappingProxyType
from typing import Any

import msgspec

from holdfast_core.kernel.errors import HostileData, LimitExceeded

SUPERBLOCK_BYTES = 512
LARGEST_SALT = 256
LARGEST_BLOCK = 64 * 1024
SMALLEST_BLOCK = 512
LARGEST_DATA = 4 * 1024 * 1024 * 1024
"""Of one image whose tree is computed here: a million digests at a time. A superblock may speak of more."""
_BLOCKS = 1 << 40
HASHES: Mapping[str, int] = MappingProxyType({"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64})
_SIGNATURE = b"verity\0\0"
_LAYOUT = Struct("<8sII16s32sIIQH6s256s168s")
_NORMAL, _CHROME = 1, 0


class Superblock(msgspec.Struct, frozen=True):
    """How a tree was made.

    Args:
        type: 1, or 0 as Chrome OS does it.
        uuid: of the hash device, 16 bytes.
        algorithm: the hash, by `hashlib`'s name.
        data_block: bytes of one block of data.
        hash_block: bytes of one block of the tree.
        blocks: how many blocks of data.
        salt: what each block is hashed with.
    """

    type: int
    uuid: bytes
    algorithm: str
    data_block: int
    hash_block: int
    blocks: int
    salt: bytes

    @property
    def data_bytes(self) -> int:
        """Bytes of the data that the tree is of."""
        return self.blocks * self.data_block

    @property
    def levels(self) -> tuple[int, ...]:
        """Blocks of each level of the tree, from the lowest up; none for one block of data."""
        counts, count = [], self.blocks
        while count > 1:
            count = -(-count // self._fan)
            counts.append(count)
        return tuple(counts)

    @property
    def tree_bytes(self) -> int:
        """Bytes of the whole tree, without what stands before it."""
        return sum(self.levels) * self.hash_block

    @property
    def tree_offset(self) -> int:
        """Where on the hash device the tree begins: at the first whole block behind the superblock."""
        return -(-SUPERBLOCK_BYTES // self.hash_block) * self.hash_block

    @property
    def _fan(self) -> int:
        """Digests of one block of the tree: a power of two for either type."""
        return 1 << (self.hash_block // HASHES[self.algorithm]).bit_length() - 1

    @property
    def _stride(self) -> int:
        return self.hash_block // self._fan if self.type == _NORMAL else HASHES[self.algorithm]


def parse_verity_superblock(data: bytes) -> Superblock:
    """The superblock at the beginning of a hash device.

    Args:
        data: the device's first 512 bytes, or more.

    Raises:
        HostileData: ``verity.superblock`` when it is none, ``verity.unsupported`` for a hash or version that is not
            taken.
    """
    if len(data) < SUPERBLOCK_BYTES or data[:8] != _SIGNATURE:
        raise _malformed("it does not begin as one")
    _, version, kind, uuid, name, data_block, hash_block, blocks, size, pad, salt, rest = _LAYOUT.unpack_from(data)
    algorithm = name.rstrip(b"\0").decode("ascii", "replace")
    if version != 1 or kind not in (_NORMAL, _CHROME) or algorithm not in HASHES:
        raise HostileData(
            "verity.unsupported",
            f"The hash device is of version {version}, type {kind} and hash {algorithm!r}, which is not taken.",
            remedy="Make it with veritysetup format --hash=sha256 --format=1.",
        )
    if not all(_is_block(each) for each in (data_block, hash_block)):
        raise _malformed(f"blocks cannot have {data_block} and {hash_block} bytes")
    if not 1 <= blocks <= _BLOCKS:
        raise _malformed(f"it speaks of {blocks} blocks")
    if size > LARGEST_SALT or any(pad) or any(rest) or any(salt[size:]):
        raise _malformed("there is something where nothing may be")
    return Superblock(kind, uuid, algorithm, data_block, hash_block, blocks, salt[:size])


def root_of_tree(tree: bytes, superblock: Superblock) -> bytes:
    """The root hash of a tree, from its top block alone; whether what lies below fits is not asked.

    Args:
        tree: the tree (at `Superblock.tree_offset` of its device), or at least its first block.
        superblock: how it was made.

    Raises:
        HostileData: ``verity.size`` when there is no whole block, or no tree at all for one block of data.
    """
    if not superblock.levels or len(tree) < superblock.hash_block:
        raise _size("its tree has no whole block")
    return _hashed(superblock, tree[: superblock.hash_block])


def verity_root(data: bytes | memoryview, superblock: Superblock) -> bytes:
    """The root hash of an image.

    Args:
        data: the image; an `mmap` serves as well. It must have as many blocks as the superblock says.
        superblock: how the tree is to be made.

    Raises:
        HostileData: ``verity.size`` when the image has another length.
        LimitExceeded: ``verity.too_large``.
    """
    return _built(data, superblock)[0]


def verity_tree(data: bytes | memoryview, superblock: Superblock) -> tuple[bytes, bytes]:
    """The root hash of an image and its tree, as it lies on a hash device. Raises as `verity_root`."""
    root, levels = _built(data, superblock)
    return root, b"".join(reversed(levels))


def verify_tree(data: bytes | memoryview, tree: bytes, superblock: Superblock, root: bytes) -> None:
    """Whether image and tree belong to `root`, every block of both.

    Raises:
        HostileData: ``verity.size``, ``verity.root_wrong`` when the data are others, ``verity.tree_wrong`` when only
            the tree is.
        LimitExceeded: ``verity.too_large``.
    """
    found, levels = _built(data, superblock)
    if found != root:
        raise HostileData(
            "verity.root_wrong",
            f"The image has the root hash {found.hex()}, not {root.hex()}.",
            remedy="Take the image and the root hash of one release.",
            http_status=403,
        )
    if tree[: superblock.tree_bytes] != b"".join(reversed(levels)):
        raise HostileData(
            "verity.tree_wrong",
            "The hash tree is not that of the image, so a device could not read all of it.",
            remedy="Make it again with veritysetup format, with the same salt.",
            http_status=403,
        )


def _built(data: bytes | memoryview, superblock: Superblock) -> tuple[bytes, list[bytes]]:
    """Root and levels, from the lowest up."""
    view = memoryview(data).cast("B")
    if superblock.data_bytes > LARGEST_DATA:
        raise LimitExceeded(
            "verity.too_large",
            f"The image has {superblock.data_bytes} bytes.",
            remedy=f"Make images of at most {LARGEST_DATA} bytes.",
        )
    if len(view) != superblock.data_bytes:
        raise _size(f"it has {len(view)} bytes where its superblock says {superblock.data_bytes}")
    digests = _digests(superblock, view, superblock.data_block)
    levels = []
    while len(digests) > 1:
        levels.append(_packed(superblock, digests))
        digests = _digests(superblock, memoryview(levels[-1]), superblock.hash_block)
    return digests[0], levels


def _digests(superblock: Superblock, data: memoryview, block: int) -> list[bytes]:
    return [_hashed(superblock, data[at : at + block]) for at in range(0, len(data), block)]


def _hashed(superblock: Superblock, block: bytes | memoryview) -> bytes:
    parts: Iterable[Any] = (superblock.salt, block) if superblock.type == _NORMAL else (block, superblock.salt)
    made = hashlib.new(superblock.algorithm, usedforsecurity=False)
    for part in parts:
        made.update(part)
    return made.digest()


def _packed(superblock: Superblock, digests: list[bytes]) -> bytes:
    """A level: digests, each in its stride, as many to a block as its fan says."""
    fan, stride = superblock._fan, superblock._stride  # noqa: SLF001 (the module's own)
    blocks = (digests[at : at + fan] for at in range(0, len(digests), fan))
    return b"".join(
        b"".join(each.ljust(stride, b"\0") for each in block).ljust(superblock.hash_block, b"\0") for block in blocks
    )


def _is_block(size: int) -> bool:
    return SMALLEST_BLOCK <= size <= LARGEST_BLOCK and size & (size - 1) == 0


def _malformed(why: str) -> HostileData:
    return HostileData(
        "verity.superblock",
        f"The superblock of the hash device could not be read: {why}.",
        remedy="Give the beginning of a device made by veritysetup format, without --no-superblock.",
    )


def _size(why: str) -> HostileData:
    return HostileData(
        "verity.size",
        f"The image and its superblock do not fit: {why}.",
        remedy="Give the image that the hash device was made from, and the hash device whole.",
    )
