"""Measurement lists of another verifier: keylime/keylime `test/data/create-runtime-policy` (Apache-2.0)."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from holdfast_core.formats.ima.replay import walk
from holdfast_core.formats.ima.signature import key_id
from holdfast_core.formats.ima.slices import parse_ima
from holdfast_core.kernel.errors import HostileData

READ = {"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
REFUSED = {
    # 32 bytes of SM3 in the template column, which is read as SHA-256.
    "sm3_256": "ima.template_digest",
    "unknown": "ima.file_hash",
}


def listed(vectors: Path, name: str) -> bytes:
    return (vectors / "attestation" / "keylime" / f"test__data__create-runtime-policy__ima-log-{name}").read_bytes()


@pytest.mark.parametrize("name", READ)
def test_a_list_of_another_verifier_is_read(vectors, name):
    entries = parse_ima(listed(vectors, name))
    assert [entry.text for entry in entries] == ["boot_aggregate", "/data"]
    assert {(entry.algorithm, len(entry.digest)) for entry in entries} == {(name, READ[name])}
    assert not entries[1].violation
    assert len(walk(listed(vectors, name), bytes(32), bank="sha256").values) == 2


@pytest.mark.parametrize(("name", "code"), REFUSED.items())
def test_a_list_by_a_hash_that_is_not_known_is_refused(vectors, name, code):
    with pytest.raises(HostileData) as refused:
        parse_ima(listed(vectors, name))
    assert refused.value.code == code


def test_the_key_that_signs_files_is_known_by_the_end_of_its_digest(vectors):
    pem = (vectors / "attestation" / "keylime" / "test__data__ima_keys__rsa2048pub.pem").read_bytes()
    assert key_id(load_pem_public_key(pem)).hex() == "f3452d23"
