from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.kernel.errors import Bug, HostileData
from holdfast_core.record import merkle

UP_TO = 33
DATA = [bytes([each]) for each in range(UP_TO)]
HASHES = [merkle.leaf_hash(each) for each in DATA]


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


@given(st.lists(st.binary(max_size=40), max_size=70))
def test_the_frontier_leads_to_the_root_of_the_definition(leaves: list[bytes]) -> None:
    assert merkle.root_of(leaves) == naive_root(leaves)


@given(st.lists(st.binary(max_size=8), max_size=40), st.data())
def test_a_frontier_may_be_stored_and_grown_in_any_portions(leaves: list[bytes], data: st.DataObject) -> None:
    hashes = [merkle.leaf_hash(each) for each in leaves]
    cut = data.draw(st.integers(0, len(hashes)))
    stored = msgspec.json.encode(merkle.Frontier().append(hashes[:cut]))
    frontier = msgspec.json.decode(stored, type=merkle.Frontier).append(hashes[cut:])
    assert frontier == merkle.Frontier().append(hashes)
    assert (frontier.size, frontier.root()) == (len(leaves), naive_root(leaves))


@pytest.mark.parametrize("stored", [(3, (bytes(32),)), (1, (bytes(31),)), (-1, (bytes(32),)), (0, (bytes(32),))])
def test_a_frontier_that_cannot_be_is_refused(stored: tuple[int, tuple[bytes, ...]]) -> None:
    with pytest.raises(HostileData) as caught:
        merkle.Frontier(*stored)
    assert caught.value.code == "merkle.frontier_invalid"


@pytest.mark.parametrize("size", range(1, UP_TO + 1))
def test_inclusion_proofs_verify_for_every_leaf_and_for_no_other(size: int) -> None:
    root = naive_root(DATA[:size])
    for index in range(size):
        proof = merkle.inclusion_proof(index, HASHES[:size])
        merkle.verify_inclusion(index, size, HASHES[index], proof, root)
        with pytest.raises(HostileData):
            merkle.verify_inclusion(index, size, merkle.leaf_hash(b"another"), proof, root)
        with pytest.raises(HostileData):
            merkle.verify_inclusion((index + 1) % size if size > 1 else 1, size, HASHES[index], proof, root)


@pytest.mark.parametrize("size", range(1, UP_TO + 1))
def test_consistency_proofs_verify_for_every_older_size_and_for_no_other_root(size: int) -> None:
    root = naive_root(DATA[:size])
    for old in range(1, size + 1):
        proof = merkle.consistency_proof(old, HASHES[:size])
        merkle.verify_consistency(old, size, proof, naive_root(DATA[:old]), root)
        with pytest.raises(HostileData):
            merkle.verify_consistency(old, size, proof, naive_root([*DATA[: old - 1], b"another"]), root)
        with pytest.raises(HostileData):
            merkle.verify_consistency(old, size, [*proof, bytes(32)], naive_root(DATA[:old]), root)


@pytest.mark.parametrize(
    ("size1", "size2", "proof"),
    [(0, 4, ()), (0, 0, ()), (5, 4, ()), (4, 4, (bytes(32),)), (2, 4, ()), (-1, 4, ()), (2, 4, (bytes(31),))],
    ids=["from-empty", "empty-to-empty", "backwards", "equal-with-proof", "empty-proof", "negative", "short-hash"],
)
def test_a_consistency_proof_that_proves_nothing_is_refused(size1: int, size2: int, proof: tuple[bytes, ...]) -> None:
    same = naive_root(DATA[:4])
    with pytest.raises(HostileData) as caught:
        merkle.verify_consistency(size1, size2, proof, same, same)
    assert caught.value.code == "merkle.proof_invalid"


def test_asking_for_a_proof_outside_the_tree_is_our_mistake() -> None:
    for index in (-1, 4):
        with pytest.raises(Bug):
            merkle.inclusion_proof(index, HASHES[:4])
    for size in (0, 5):
        with pytest.raises(Bug):
            merkle.consistency_proof(size, HASHES[:4])
