"""Signed envelopes: only the payload that a given key signed, under its own type."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.formats.dsse import (
    LARGEST_ENVELOPE,
    SIGNATURES,
    Opened,
    key_id,
    open_envelope,
    pae,
    parse_envelope,
    read_key,
)
from holdfast_core.kernel.errors import HostileData, LimitExceeded

TYPE = "application/vnd.example+json"
PAYLOAD = b'{"hello": "world"}'
SIGNERS = {
    "ed25519": ed25519.Ed25519PrivateKey.from_private_bytes(b"\3" * 32),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
}
KEYS = {name: key.public_key() for name, key in SIGNERS.items()}


def signed(key, data):
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(hashes.SHA384() if key.curve.name == "secp384r1" else hashes.SHA256()))
    return key.sign(data)


def envelope(*signers, payload=PAYLOAD, kind=TYPE, over=None, **more):
    data = pae(kind, payload) if over is None else over
    signatures = [{"keyid": "any", "sig": base64.b64encode(signed(SIGNERS[name], data)).decode()} for name in signers]
    made = {"payload": base64.b64encode(payload).decode(), "payloadType": kind, "signatures": signatures}
    return json.dumps(made | more).encode()


def refused(data, keys=KEYS, kind=TYPE):
    with pytest.raises(HostileData) as caught:
        open_envelope(data, kind, keys)
    return caught.value.code


def der(key):
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_what_is_signed_is_as_in_the_standards_own_example():
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("\u00e9", b"") == b"DSSEv1 2 \xc3\xa9 0 "


@pytest.mark.parametrize("name", SIGNERS)
def test_a_payload_opens_under_each_kind_of_key_and_names_it(name):
    assert open_envelope(envelope(name), TYPE, KEYS) == Opened(PAYLOAD, name)


def test_one_good_signature_among_others_is_enough():
    assert open_envelope(envelope("p384", "p256"), TYPE, {"ci": KEYS["p256"]}).signer == "ci"


def test_the_name_of_a_key_in_the_envelope_proves_nothing():
    assert refused(envelope("p256"), {"any": KEYS["p384"]}) == "dsse.signature"


def test_where_no_key_is_trusted_nothing_opens():
    assert refused(envelope("p256"), {}) == "dsse.signature"


def test_a_signature_of_one_type_counts_for_no_other():
    other = envelope("p256", over=pae("text/plain", PAYLOAD))
    assert refused(other) == "dsse.signature"
    assert refused(envelope("p256", kind="text/plain")) == "dsse.type"


def test_a_signature_over_the_bare_payload_counts_for_nothing():
    assert refused(envelope("p256", over=PAYLOAD)) == "dsse.signature"


def test_a_payload_that_was_changed():
    assert refused(envelope("p256", payload=b"x", over=pae(TYPE, PAYLOAD))) == "dsse.signature"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"payload":' + b"[" * 100_000,
        envelope(),
        envelope(*["ed25519"] * (SIGNATURES + 1)),
        envelope("p256", payload=b"").replace(b'"payload": ""', b'"payload": "%%"'),
        envelope("p256", payloadType=1),
        envelope("p256", signatures={}),
        envelope("p256", signatures=[{"sig": "%"}]),
    ],
)
def test_what_is_no_envelope(data):
    assert refused(data) == "dsse.malformed"


def test_an_envelope_that_is_too_large():
    with pytest.raises(LimitExceeded) as caught:
        parse_envelope(bytes(LARGEST_ENVELOPE + 1))
    assert caught.value.code == "dsse.too_large"


@pytest.mark.parametrize("name", SIGNERS)
def test_a_key_is_read_from_both_forms_and_named_by_its_digest(name):
    key = KEYS[name]
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert der(read_key(pem)) == der(read_key(der(key))) == der(key)
    assert key_id(read_key(b"\n" + pem)) == key_id(key)
    assert key_id(key).startswith("sha256:")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
        b"no key",
        der(rsa.generate_private_key(65537, 2048).public_key()),
        der(ed448.Ed448PrivateKey.generate().public_key()),
        der(ec.generate_private_key(ec.SECP521R1()).public_key()),
        der(ec.generate_private_key(ec.SECP256K1()).public_key()),
    ],
)
def test_a_key_that_signs_no_statements_is_refused(data):
    with pytest.raises(HostileData) as caught:
        read_key(data)
    assert caught.value.code == "dsse.key"


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_only_ever_refused(data):
    assert refused(data) == "dsse.malformed"
    with pytest.raises(HostileData):
        read_key(data)


GOOD = envelope("ed25519")


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_whatever_byte_is_changed_only_the_same_payload_opens(place, byte):
    try:
        opened = open_envelope(GOOD[:place] + bytes([byte]) + GOOD[place + 1 :], TYPE, KEYS)
    except HostileData as error:
        assert error.code in {"dsse.malformed", "dsse.type", "dsse.signature"}  # noqa: PT017 (some bytes mean nothing)
    else:
        assert opened.payload == PAYLOAD


def test_an_envelope_truncated_at_every_byte_is_refused():
    for end in range(len(GOOD)):
        assert refused(GOOD[:end]) == "dsse.malformed"


@given(st.binary(max_size=80))
def test_arbitrary_signatures_verify_under_no_key(signature):
    said = [{"sig": base64.b64encode(signature).decode()}]
    assert refused(envelope(signatures=said)) == "dsse.signature"
