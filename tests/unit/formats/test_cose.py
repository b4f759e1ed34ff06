"""COSE_Sign1: every algorithm, both headers, and what is refused before and after the signature is looked at."""

from __future__ import annotations

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.formats.cose import Algorithm, parse_sign1, to_be_signed, verify_sign1
from holdfast_core.kernel.errors import HostileData
from psa_builders import fresh_key, sign1, signed

KEY = fresh_key()
KEYS = {
    Algorithm.ES256: KEY,
    Algorithm.ES384: ec.generate_private_key(ec.SECP384R1()),
    Algorithm.ES512: ec.generate_private_key(ec.SECP521R1()),
    Algorithm.PS256: rsa.generate_private_key(65537, 2048),
    Algorithm.EDDSA: ed25519.Ed25519PrivateKey.generate(),
}
OTHERS = {
    "P-256K": ec.generate_private_key(ec.SECP256K1()),
    "Ed448": ed448.Ed448PrivateKey.generate(),
    "RSA 1024": rsa.generate_private_key(65537, 1024),
    "X25519": x25519.X25519PrivateKey.generate(),
}
GOOD = sign1(KEY, b"payload")


def refusal_of(data: bytes, key: object = None) -> str:
    with pytest.raises(HostileData) as refused:
        verify_sign1(parse_sign1(data), key or KEY.public_key())
    return refused.value.code


def changed(**parts: object) -> bytes:
    """The good message with some of its four parts replaced; its signature is not made anew."""
    names = ("protected", "unprotected", "payload", "signature")
    return cbor2.dumps(
        cbor2.CBORTag(18, [parts.get(name, part) for name, part in zip(names, cbor2.loads(GOOD).value, strict=True)])
    )


@pytest.mark.parametrize(("algorithm", "key"), [*KEYS.items(), (Algorithm.EDDSA, OTHERS["Ed448"])])
def test_message_verifies_by_the_key_that_signed_it(algorithm, key):
    message = parse_sign1(sign1(key, b"payload"))
    assert message.algorithm is algorithm
    assert verify_sign1(message, key.public_key()) == b"payload"


@pytest.mark.parametrize("algorithm", KEYS)
@pytest.mark.parametrize("other", [*KEYS, *OTHERS])
def test_algorithm_must_be_the_one_of_the_key(algorithm, other):
    message = sign1(KEYS[algorithm], b"payload")
    key = (KEYS | OTHERS)[other].public_key()
    if algorithm is other:
        assert verify_sign1(parse_sign1(message), key) == b"payload"
    else:
        expected = "cose.signature" if (algorithm, other) == (Algorithm.EDDSA, "Ed448") else "cose.key"
        assert refusal_of(message, key) == expected


def test_message_without_its_tag_is_read_and_says_so():
    assert parse_sign1(GOOD).tagged
    untagged = parse_sign1(sign1(KEY, b"payload", tag=None))
    assert not untagged.tagged
    assert verify_sign1(untagged, KEY.public_key()) == b"payload"


def test_what_was_signed_is_the_structure_of_the_standard():
    message = parse_sign1(GOOD)
    assert to_be_signed(message) == cbor2.dumps(["Signature1", b"\xa1\x01\x26", b"", b"payload"])
    assert to_be_signed(message, b"more") == cbor2.dumps(["Signature1", b"\xa1\x01\x26", b"more", b"payload"])


def test_external_data_is_signed_along():
    message = parse_sign1(sign1(KEY, b"payload", external=b"context"))
    assert verify_sign1(message, KEY.public_key(), b"context") == b"payload"
    with pytest.raises(HostileData):
        verify_sign1(message, KEY.public_key())


def test_protected_header_counts_as_the_bytes_that_came():
    odd = b"\xa1\x18\x01\x38\x06"  # {1: -7} in more bytes than needed
    message = parse_sign1(sign1(KEY, b"payload", protected=odd))
    assert message.protected == odd
    assert verify_sign1(message, KEY.public_key()) == b"payload"


def test_key_identifier_is_read_from_either_header():
    assert parse_sign1(sign1(KEY, b"", unprotected={4: b"k"})).kid == b"k"
    assert parse_sign1(sign1(KEY, b"", protected={1: -7, 4: b"k"})).kid == b"k"
    assert parse_sign1(GOOD).kid == b""


def test_unknown_parameters_that_are_not_critical_are_passed_over():
    message = parse_sign1(
        sign1(KEY, b"payload", protected={1: -7, 99: [1, {2: 3}]}, unprotected={33: b"chain", "x": 1})
    )
    assert verify_sign1(message, KEY.public_key()) == b"payload"


def test_critical_parameter_that_is_understood_is_taken():
    assert parse_sign1(sign1(KEY, b"", protected={1: -7, 2: [1, 4], 4: b"k"})).kid == b"k"


@pytest.mark.parametrize(
    "protected",
    [{2: [99], 99: 1}, {2: ["x"], "x": 1}, {2: [4]}, {2: []}, {2: 1}, {2: [True]}, {2: [[1]]}, {2: [b"\x01"]}],
)
def test_critical_parameter_that_is_not_understood_is_refused(protected):
    assert refusal_of(sign1(KEY, b"", protected={1: -7, **protected})) == "cose.critical"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "cbor.malformed"),
        (b"\xd2", "cbor.malformed"),
        (cbor2.dumps(cbor2.CBORTag(61, cbor2.loads(GOOD))), "cose.tag"),
        (cbor2.dumps(cbor2.CBORTag(98, [])), "cose.tag"),
        (b"\xd2" + GOOD, "cbor.tag"),
        (GOOD + b"\x00", "cbor.trailing"),
        (b"\xd2\x83\x40\xa0\x40", "cose.malformed"),
        (b"\xd2\xa0", "cose.malformed"),
        (b"\xd2\x00", "cose.malformed"),
        (changed(protected={1: -7}), "cose.malformed"),
        (changed(protected=b"\x26"), "cose.malformed"),
        (changed(protected=b"\xa1"), "cbor.malformed"),
        (changed(protected=b"\xa1\x01\x26\x00"), "cbor.trailing"),
        (changed(protected=b"\xa2\x01\x26\x01\x26"), "cbor.duplicate_key"),
        (changed(unprotected=[]), "cose.malformed"),
        (changed(payload="payload"), "cose.malformed"),
        (changed(payload=None), "cose.detached"),
        (changed(signature=None), "cose.malformed"),
        (changed(protected=b""), "cose.alg_missing"),
        (changed(protected=b"\xa0"), "cose.alg_missing"),
        (changed(protected=b"", unprotected={1: -7}), "cose.alg_unprotected"),
        (changed(unprotected={1: -7}), "cose.alg_unprotected"),
        (changed(protected=cbor2.dumps({1: "ES256"})), "cose.alg"),
        (changed(protected=cbor2.dumps({1: True})), "cose.alg"),
        (changed(protected=cbor2.dumps({1: -257})), "cose.alg"),
        (changed(protected=cbor2.dumps({1: 5})), "cose.mac"),
        (cbor2.dumps(cbor2.CBORTag(17, [b"\xa1\x01\x05", {}, b"", b""])), "cose.mac"),
        (changed(protected=cbor2.dumps({1: -7, 4: b"k"}), unprotected={4: b"k"}), "cose.header"),
        (changed(protected=cbor2.dumps({1: -7, b"k": 1})), "cose.header"),
        (changed(unprotected={4: "k"}), "cose.header"),
        (changed(unprotected={4: bytes(129)}), "cose.header"),
        (changed(unprotected={2: [1]}), "cose.critical"),
        (changed(payload=b"other"), "cose.signature"),
        (changed(signature=b""), "cose.signature"),
        (changed(signature=bytes(64)), "cose.signature"),
        (changed(signature=b"\xff" * 64), "cose.signature"),
        (changed(signature=bytes(63)), "cose.signature"),
        (changed(signature=cbor2.loads(GOOD).value[3] + b"\x00"), "cose.signature"),
    ],
)
def test_what_is_no_good_message_is_refused_by_its_own_code(data, code):
    assert refusal_of(data) == code


@pytest.mark.parametrize(("algorithm", "key"), KEYS.items())
@given(st.binary(max_size=300))
def test_no_signature_is_found_by_guessing(algorithm, key, signature):
    assert algorithm in Algorithm
    message = parse_sign1(cbor2.dumps([cbor2.dumps({1: int(algorithm)}), {}, b"payload", signature]))
    with pytest.raises(HostileData) as refused:
        verify_sign1(message, key.public_key())
    assert refused.value.code == "cose.signature"


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_a_refusal(data):
    for prefix in (b"", b"\xd2", b"\xd2\x84"):
        with pytest.raises(HostileData):
            verify_sign1(parse_sign1(prefix + data), KEY.public_key())


@given(st.data())
def test_mutated_messages_raise_nothing_but_a_refusal(data):
    message = bytearray(sign1(KEY, b"payload", protected={1: -7, 2: [4], 4: b"k"}, unprotected={33: [b"c"]}))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(message) - 1))
        message[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not message:
            break
    try:
        payload = verify_sign1(parse_sign1(bytes(message)), KEY.public_key())
    except HostileData:
        return
    assert payload == b"payload"


def test_signature_of_an_empty_protected_header_is_over_the_empty_string():
    # Nothing without an algorithm is parsed, so the rule is held against the structure itself.
    message = parse_sign1(GOOD)
    empty = type(message)(message.algorithm, b"\xa0", b"", b"payload", b"", tagged=True)
    assert to_be_signed(empty) == cbor2.dumps(["Signature1", b"", b"", b"payload"])
    assert signed(KEY, to_be_signed(empty))
