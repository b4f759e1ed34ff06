"""Evidence as it travels: what it is bound to, how logs are packed, and bytes that are none of it."""

from __future__ import annotations

import hashlib
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.wire.attestation import (
    DOMAIN,
    LARGEST_LOG,
    Ask,
    Asking,
    Claims,
    Component,
    Debug,
    DebugPort,
    Evidence,
    ImaSlice,
    Tamper,
    TokenEvidence,
    TpmEvidence,
    Unable,
    binding,
    pack,
    unpack,
)
from holdfast_core.wire.codec import decode_body

DECODER: msgspec.json.Decoder[Evidence] = msgspec.json.Decoder(Evidence)
CLAIMS = Claims(
    tampers=(Tamper("case", opened=2),),
    debug_ports=(DebugPort("jtag", Debug.LOCKED),),
    lifecycle="secured",
    components=(Component("usb:1-1", "0bda:8153"),),
)
EVIDENCE = TpmEvidence("nonce-nonce", b"quote", b"signature", CLAIMS, ImaSlice(3, b"packed", more=True), {"0": "00"})
KINDS = [EVIDENCE, TokenEvidence("nonce-nonce", b"token", CLAIMS), Asking(), Unable("no-tpm")]


def decoded(data):
    return decode_body(msgspec.Raw(data), DECODER, section="attestation")


@pytest.mark.parametrize("said", KINDS, ids=lambda said: type(said).__name__)
def test_evidence_reads_back_as_it_was_written(said):
    data = msgspec.json.encode(said)
    assert decoded(data) == said
    assert msgspec.json.encode(decoded(data)) == data


def test_what_is_not_said_takes_no_room():
    assert msgspec.json.encode(Asking()) == b'{"type":"ask"}'
    assert msgspec.json.encode(Ask()) == b"{}"
    assert b"claims" not in msgspec.json.encode(TokenEvidence("nonce-nonce", b""))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"type":"other"}',
        b'{"type":"tpm"}',
        b'{"type":"none","why":"' + b"x" * 121 + b'"}',
        b'{"type":"token","nonce":"short","token":""}',
        b'{"type":"token","nonce":"with spaces","token":""}',
        b'{"type":"token","nonce":"nonce-nonce","token":"%"}',
        b'{"type":"token","nonce":"nonce-nonce","token":"","claims":{"tampers":[{"name":"x","opened":-1}]}}',
        b'{"type":"token","nonce":"nonce-nonce","token":"","claims":{"debug_ports":[{"name":"x","state":"open"}]}}',
        b'{"type":"ask","deep":' + b"[" * 100_000,
        msgspec.json.encode(msgspec.structs.replace(EVIDENCE, quote=bytes(1025))),
        msgspec.json.encode(msgspec.structs.replace(EVIDENCE, registers={str(n): "" for n in range(25)})),
        msgspec.json.encode(msgspec.structs.replace(EVIDENCE, claims=Claims(tampers=(Tamper("x"),) * 17))),
    ],
)
def test_what_is_no_evidence_is_refused(data):
    with pytest.raises(HostileData) as caught:
        decoded(data)
    assert caught.value.code == "checkin.section_malformed"


WHOLE = msgspec.json.encode(EVIDENCE)


@given(st.integers(0, len(WHOLE) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_evidence_with_bytes_changed_is_read_or_refused(place, put, cut):
    try:
        decoded(WHOLE[:place] + put + WHOLE[place + cut :])
    except HostileData as refused:
        assert refused.code == "checkin.section_malformed"  # noqa: PT017 (some changes are evidence, too)


def test_evidence_truncated_at_every_byte_is_refused():
    for end in range(len(WHOLE)):
        with pytest.raises(HostileData):
            decoded(WHOLE[:end])


# The binding


def test_the_binding_is_the_documented_one():
    parts = (DOMAIN, b"nonce", b"gate-7", b"{}")
    assert binding("nonce", "gate-7", Claims()) == hashlib.sha256(
        b"".join(hashlib.sha256(part).digest() for part in parts)
    ).digest()  # fmt: skip


TEXTS = st.text(max_size=8)


@given(st.tuples(TEXTS, TEXTS), st.tuples(TEXTS, TEXTS))
def test_no_two_nonces_and_devices_are_bound_alike(one, other):
    assert (binding(*one, Claims()) == binding(*other, Claims())) == (one == other)


@pytest.mark.parametrize(
    "other",
    [
        Claims(),
        msgspec.structs.replace(CLAIMS, tampers=(Tamper("case"),)),
        msgspec.structs.replace(CLAIMS, components=None),
        msgspec.structs.replace(CLAIMS, components=()),
        msgspec.structs.replace(CLAIMS, lifecycle="debug"),
    ],
)
def test_every_claim_is_bound(other):
    assert binding("n", "d", CLAIMS) != binding("n", "d", other)


def test_claims_are_bound_alike_on_both_sides_whatever_unknown_keys_travel_beside_them():
    data = msgspec.json.encode(CLAIMS)[:-1] + b',"later": [1, 2]}'
    assert binding("n", "d", msgspec.json.decode(data, type=Claims)) == binding("n", "d", CLAIMS)


# Packed logs


@given(st.binary(max_size=2000))
def test_a_log_unpacks_to_what_was_packed(data):
    assert unpack(pack(data)) == data


def test_a_log_of_the_largest_size_is_taken_and_one_byte_more_is_not():
    assert len(unpack(pack(bytes(LARGEST_LOG)))) == LARGEST_LOG
    with pytest.raises(LimitExceeded) as caught:
        unpack(pack(bytes(LARGEST_LOG + 1)))
    assert caught.value.code == "attestation.log_too_large"
    assert unpack(pack(b"abc"), largest=3) == b"abc"


@pytest.mark.parametrize(
    "data",
    [b"", b"x", pack(b"log")[:-1], pack(b"log") + b"\0", pack(b"log") * 2, zlib.compress(b"log", wbits=-15)],
)
def test_what_is_not_one_whole_stream_is_refused(data):
    with pytest.raises(HostileData) as caught:
        unpack(data)
    assert caught.value.code == "attestation.log_packed"


@given(st.binary(max_size=300))
def test_arbitrary_bytes_unpack_or_are_refused(data):
    try:
        unpack(data)
    except HostileData as refused:
        assert refused.code in {"attestation.log_packed", "attestation.log_too_large"}  # noqa: PT017 (few unpack)


def test_a_packed_log_truncated_at_every_byte_is_refused():
    whole = pack(bytes(range(256)) * 4)
    for end in range(len(whole)):
        with pytest.raises(HostileData):
            unpack(whole[:end])
