"""Merkle trees over leaves (RFC 6962 §2.1, SHA-256): roots, the frontier that grows one, and proofs.

1. Leaf ``SHA256(0x00 || data)``, node ``SHA256(0x01 || left || right)``, empty tree ``SHA256("")``.
2. A proof is accepted or an error is raised that says why; there is no result to forget to look at.
3. Nothing is lenient: a proof from the empty tree, one that is too long, one of hashes that are not 32 bytes and one
   where none is needed are refused, whatever root they would lead to.
4. Subtrees ``[start, end)`` are those of the Merkle Tree Certificates draft (draft-ietf-plants-merkle-tree-certs §4):
   `start` is a multiple of the smallest power of two that is at least ``end - start``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from holdfast_core.kernel.errors import Bug, HostileData

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()
"""Root of the tree without leaves."""

_sha256 = hashlib.sha256


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf (32 bytes)."""
    return _sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of the node above `left` and `right` (32 bytes)."""
    return _sha256(b"\x01" + left + right).digest()


class Frontier(msgspec.Struct, frozen=True):
    """All that is needed to grow a tree: the roots of its perfect subtrees, largest first (a compact range).

    `hashes` holds one 32-byte hash for each bit set in `size`, so it stays under 2 KB for any log.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a frontier whose hashes cannot be those of its size."""
        fits = self.size >= 0 and len(self.hashes) == self.size.bit_count()
        if not fits or any(len(each) != HASH_BYTES for each in self.hashes):
            raise HostileData(
                "merkle.frontier_invalid",
                f"The stored frontier does not belong to a tree of {self.size} leaves.",
                remedy="Rebuild it from the leaves: 'holdfast doctor' says how.",
            )

    def append(self, leaf_hashes: Iterable[bytes]) -> Frontier:
        """The frontier after these leaf hashes (see `leaf_hash`), in order."""
        hashes = list(self.hashes)
        size = self.size
        for each in leaf_hashes:
            grown = each
            below = size
            while below & 1:
                grown = node_hash(hashes.pop(), grown)
                below >>= 1
            hashes.append(grown)
            size += 1
        return Frontier(size, tuple(hashes))

    def root(self) -> bytes:
        """Root of the tree (32 bytes)."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Root of the tree over these leaves (data, not hashes)."""
    return Frontier().append(leaf_hash(each) for each in leaves).root()


def inclusion_proof(index: int, leaf_hashes: Sequence[bytes]) -> tuple[bytes, ...]:
    """The proof that leaf `index` is in the tree over `leaf_hashes`, lowest hash first (RFC 6962 §2.1.1).

    Raises:
        Bug: ``merkle.out_of_range``.
    """
    if not 0 <= index < len(leaf_hashes):
        raise _out_of_range()
    proof: list[bytes] = []
    start, end = 0, len(leaf_hashes)
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(_range_root(leaf_hashes, middle, end))
            end = middle
        else:
            proof.append(_range_root(leaf_hashes, start, middle))
            start = middle
    return tuple(reversed(proof))


def consistency_proof(size1: int, leaf_hashes: Sequence[bytes]) -> tuple[bytes, ...]:
    """The proof that the tree over `leaf_hashes` begins with the one over its first `size1` (RFC 6962 §2.1.2).

    Raises:
        Bug: ``merkle.out_of_range``.
    """
    if not 0 < size1 <= len(leaf_hashes):
        raise _out_of_range()
    proof: list[bytes] = []
    start, end = 0, len(leaf_hashes)
    while end != size1:
        middle = start + _split(end - start)
        if size1 <= middle:
            proof.append(_range_root(leaf_hashes, middle, end))
            end = middle
        else:
            proof.append(_range_root(leaf_hashes, start, middle))
            start = middle
    if start:
        # The old root is the new tree's left edge when nothing was split off to its left; then it is not sent.
        proof.append(_range_root(leaf_hashes, start, end))
    return tuple(reversed(proof))


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Accept that the leaf with hash `leaf` stands at `index` in the tree of `size` leaves with `root`.

    Raises:
        HostileData: ``merkle.proof_invalid``, ``merkle.root_differs``.
    """
    if not 0 <= index < size:
        raise _refused(f"there is no leaf {index} in a tree of {size}")
    _check_hashes((leaf, *proof))
    node, last, found = index, size - 1, leaf
    for each in proof:
        if last == 0:
            raise _refused("it is longer than the tree is high")
        if node & 1 or node == last:
            found = node_hash(each, found)
            shift = _trailing_zeros(node)
            node, last = node >> shift, last >> shift
        else:
            found = node_hash(found, each)
        node, last = node >> 1, last >> 1
    if last:
        raise _refused("it is shorter than the tree is high")
    _check_root(found, root)


def verify_consistency(size1: int, size2: int, proof: Sequence[bytes], root1: bytes, root2: bytes) -> None:
    """Accept that the tree of `size2` leaves with `root2` begins with the tree of `size1` leaves with `root1`.

    Raises:
        HostileData: ``merkle.proof_invalid``, ``merkle.root_differs``.
    """
    if size1 == 0:
        raise _refused("every tree begins with the empty one; nothing is proven")
    verify_subtree_consistency((0, size1), size2, proof, root1, root2)


def verify_subtree_inclusion(
    index: int, subtree: tuple[int, int], leaf: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Accept that the leaf with hash `leaf` stands at `index` of a log whose `subtree` ``[start, end)`` has `root`.

    Raises:
        HostileData: ``merkle.proof_invalid``, ``merkle.root_differs``.
    """
    start, end = subtree
    _check_subtree(start, end)
    if index < start:
        raise _refused("the leaf lies before the subtree")
    verify_inclusion(index - start, end - start, leaf, proof, root)


def verify_subtree_consistency(
    subtree: tuple[int, int], size: int, proof: Sequence[bytes], subtree_root: bytes, root: bytes
) -> None:
    """Accept that `subtree` ``[start, end)`` with `subtree_root` is part of the tree of `size` leaves with `root`.

    The empty subtree is part of every tree: it is accepted with an empty proof, and `root` is not looked at.

    Raises:
        HostileData: ``merkle.proof_invalid``, ``merkle.root_differs``.
    """
    start, end = subtree
    _check_subtree(start, end)
    if end > size:
        raise _refused(f"it reaches to leaf {end} of a tree of {size}")
    if start == end or (start == 0 and end == size):
        if proof:
            raise _refused("none is needed here, and it is not empty")
        _check_root(subtree_root, EMPTY_ROOT if start == end else root)
        return
    _check_hashes(proof)
    first, last, top = start, end - 1, size - 1
    while first != last and (last & 1 or last == top):
        first, last, top = first >> 1, last >> 1, top >> 1
    rest = list(proof)
    if first != last and not rest:
        raise _refused("it is empty")
    seed = subtree_root if first == last else rest.pop(0)
    old, new = _climb(first, last, top, seed, rest)
    _check_root(old, subtree_root)
    _check_root(new, root)


def _climb(first: int, last: int, top: int, seed: bytes, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The subtree's root and the tree's that a consistency proof leads to, from `seed` upwards."""
    old = new = seed
    for each in proof:
        if top == 0:
            raise _refused("it is longer than the tree is high")
        if last & 1 or last == top:
            if first < last:
                old = node_hash(each, old)
            new = node_hash(each, new)
            shift = _trailing_zeros(last)
            first, last, top = first >> shift, last >> shift, top >> shift
        else:
            new = node_hash(new, each)
        first, last, top = first >> 1, last >> 1, top >> 1
    if top:
        raise _refused("it is shorter than the tree is high")
    return old, new


def _trailing_zeros(value: int) -> int:
    """How often `value` halves before it is odd; 0 for 0, which never becomes odd."""
    return (value & -value).bit_length() - 1 if value else 0


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def _range_root(leaf_hashes: Sequence[bytes], start: int, end: int) -> bytes:
    return Frontier().append(leaf_hashes[position] for position in range(start, end)).root()


def _check_subtree(start: int, end: int) -> None:
    if not 0 <= start <= end:
        raise _refused("its range runs backwards")
    if start != end and start % (1 << (end - start - 1).bit_length()):
        raise _refused(f"leaves {start} to {end} are no subtree")


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(each) != HASH_BYTES for each in hashes):
        raise _refused("it holds something that is not a hash of 32 bytes")


def _check_root(found: bytes, expected: bytes) -> None:
    if found != expected:
        raise HostileData(
            "merkle.root_differs",
            "The proof leads to another root than the one it should prove.",
            remedy="One of leaf, proof and root is not from this log, or the log was rewritten; fetch them again.",
        )


def _refused(why: str) -> HostileData:
    return HostileData(
        "merkle.proof_invalid",
        f"The proof is refused: {why}.",
        remedy="Ask the log for a proof between exactly these sizes.",
    )


def _out_of_range() -> Bug:
    return Bug(
        "merkle.out_of_range",
        "A proof was asked for a leaf or size that the tree does not have.",
        remedy="Report this with the log of the server.",
    )
