"""The published vectors: transparency-dev/merkle `testdata/`, transparency-dev/tessera `testdata/log` (Apache-2.0)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast_core.formats.note import open_note, parse_verifier_key, serialise
from holdfast_core.kernel.errors import HostileData
from holdfast_core.record import checkpoint, merkle

LOG_KEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
SIZES = (0, 2, 4, 6, 8, 10, 12, 14)


def raw(text: str) -> bytes:
    return base64.b64decode(text)


def proof_of(case: dict[str, Any]) -> list[bytes]:
    return [raw(each) for each in case["proof"] or ()]


def inclusion(case: dict[str, Any]) -> None:
    merkle.verify_inclusion(case["leafIdx"], case["treeSize"], raw(case["leafHash"]), proof_of(case), raw(case["root"]))


def consistency(case: dict[str, Any]) -> None:
    merkle.verify_consistency(case["size1"], case["size2"], proof_of(case), raw(case["root1"]), raw(case["root2"]))


def subtree_inclusion(case: dict[str, Any]) -> None:
    merkle.verify_subtree_inclusion(
        case["leafIdx"], (case["start"], case["end"]), raw(case["leafHash"]), proof_of(case), raw(case["root"])
    )


def subtree_consistency(case: dict[str, Any]) -> None:
    merkle.verify_subtree_consistency(
        (case["start"], case["end"]), case["size"], proof_of(case), raw(case["root1"]), raw(case["root2"])
    )


FOLDERS = [
    ("inclusion", inclusion, 49, 3),
    ("consistency", consistency, 49, 4),
    ("subtreeinclusion", subtree_inclusion, 102, 6),
    ("subtreeconsistency", subtree_consistency, 59, 8),
]


@pytest.mark.parametrize(("folder", "verify", "cases", "good"), FOLDERS, ids=[each[0] for each in FOLDERS])
def test_every_vector_is_accepted_or_refused_as_stated(
    vectors: Path, folder: str, verify: Callable[[dict[str, Any]], None], cases: int, good: int
) -> None:
    files = sorted((vectors / "merkle" / "rfc6962" / folder).rglob("*.json"))
    assert len(files) >= cases
    wrong, accepted = [], 0
    for file in files:
        case = msgspec.json.decode(file.read_bytes())
        try:
            verify(case)
        except HostileData:
            if not case["wantErr"]:
                wrong.append(f"{file} was refused")
        else:
            accepted += 1
            if case["wantErr"]:
                wrong.append(f"{file} was accepted")
    assert not wrong
    assert accepted >= good


def entries(bundle: bytes) -> list[bytes]:
    """A C2SP entry bundle: entries with a 16-bit big-endian length in front of each."""
    found = []
    while bundle:
        end = 2 + int.from_bytes(bundle[:2])
        found.append(bundle[2:end])
        bundle = bundle[end:]
    return found


def tile_of(log: Path, size: int) -> list[bytes]:
    if not size:
        return []
    data = (log / "tile" / "0" / "000.p" / str(size)).read_bytes()
    return [data[at : at + 32] for at in range(0, len(data), 32)]


@pytest.mark.parametrize("size", SIZES)
def test_a_checkpoint_of_another_implementation_verifies_with_its_tiles(vectors: Path, size: int) -> None:
    log = vectors / "merkle" / "c2sp-tlog" / "log"
    text = (log / f"checkpoint.{size}").read_text()
    key = parse_verifier_key(LOG_KEY)
    assert str(key) == LOG_KEY
    assert serialise(open_note(text, [key])) == text

    read = checkpoint.read(text, [key])
    assert read == checkpoint.unsigned_read(text)
    assert (read.origin, read.size) == ("example.com/log/testdata", size)
    tile = tile_of(log, size)
    assert merkle.Frontier().append(tile).root() == read.root
    if size:
        leaves = entries((log / "tile" / "entries" / "000.p" / str(size)).read_bytes())
        assert [merkle.leaf_hash(each) for each in leaves] == tile


def test_checkpoints_of_another_implementation_are_consistent_with_each_other(vectors: Path) -> None:
    log = vectors / "merkle" / "c2sp-tlog" / "log"
    key = parse_verifier_key(LOG_KEY)
    read = {size: checkpoint.read((log / f"checkpoint.{size}").read_text(), [key]) for size in SIZES}
    pairs = [(old, new) for old in SIZES[1:] for new in SIZES if old <= new]
    assert len(pairs) == 28
    for old, new in pairs:
        proof = merkle.consistency_proof(old, tile_of(log, new))
        merkle.verify_consistency(old, new, proof, read[old].root, read[new].root)
    for size in SIZES[1:]:
        tile = tile_of(log, size)
        for index, leaf in enumerate(tile):
            merkle.verify_inclusion(index, size, leaf, merkle.inclusion_proof(index, tile), read[size].root)
