"""The simulated security processor: tokens that the verifier takes, bound to what they were asked for."""

from __future__ import annotations

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.attestation.reference import parse_statement, statement_bytes
from holdfast_core.formats.psa import verify_psa_token
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.instants import Instant
from holdfast_sim.psa import KEY, PARTS, Processor, cbor, make_key, statement

NONCE, NOW = bytes(range(32)), Instant(1_780_000_000_000)
ITEMS = st.recursive(
    st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=300) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.integers(-(2**40), 2**40), inner, max_size=30),
    max_leaves=20,
)


def test_a_token_verifies_and_says_what_the_statement_says(tmp_path):
    public = load_pem_public_key(make_key(tmp_path).encode())
    claims = verify_psa_token(Processor(tmp_path, "build-1").token(NONCE), public)
    said = statement("soil-sensor", "1.8.2", 3, "build-1", NOW)
    assert claims.nonce == NONCE
    assert claims.lifecycle.value == "secured"
    assert [(part.kind, part.value.hex()) for part in claims.components] == [
        (part.kind, part.digest) for part in said.components
    ]
    assert [part.kind for part in said.components] == list(PARTS)
    assert parse_statement(statement_bytes(said)[0]) == said


def test_another_build_another_key_or_a_changed_bit_is_told_apart(tmp_path):
    public = load_pem_public_key(make_key(tmp_path).encode())
    one, other = (Processor(tmp_path, build).token(NONCE) for build in ("build-1", "build-2"))
    assert verify_psa_token(one, public).components != verify_psa_token(other, public).components
    changed = one[:-1] + bytes([one[-1] ^ 1])
    for token, key in ((changed, public), (one, ec.generate_private_key(ec.SECP256R1()).public_key())):
        with pytest.raises(HostileData):
            verify_psa_token(token, key)


def test_a_key_that_signs_no_tokens_is_refused(tmp_path):
    make_key(tmp_path)
    key = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / KEY).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(WorldError) as caught:
        Processor(tmp_path, "build-1")
    assert caught.value.code == "sim.psa_key"


@given(ITEMS)
def test_what_is_written_is_what_a_general_decoder_reads(item):
    assert cbor2.loads(cbor(item)) == item
