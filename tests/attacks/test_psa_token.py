"""A device's token, changed on the way or made by somebody else. The control, the same token unchanged, is taken."""

from __future__ import annotations

import hashlib
import hmac

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast_core.formats.cbor import LARGEST_ITEM
from holdfast_core.formats.psa import Lifecycle, Profile, instance_id_of, verify_psa_token
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from psa_builders import KEYS, component, fresh_key, psa_claims, psa_token, sign1, signed

NONCE = b"\x0a" * 32
DEBUGGED = 0x5000


@pytest.fixture(scope="module")
def key():
    return fresh_key()


@pytest.fixture(scope="module")
def token(key):
    """The control: an honest device's token."""
    made = psa_token(key, NONCE)
    claims = verify_psa_token(made, key.public_key())
    assert claims.nonce == NONCE
    assert claims.lifecycle is Lifecycle.SECURED
    return made


def refusal_of(token: bytes, key) -> str:
    with pytest.raises(HostileData) as refused:
        verify_psa_token(token, key.public_key())
    return refused.value.code


def parts_of(token: bytes) -> list:
    return list(cbor2.loads(token).value)


def put_together(parts: list, tag: int = 18) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(tag, parts))


def test_a_flipped_bit(token, key):
    for bit in range(len(token) * 8):
        flipped = bytearray(token)
        flipped[bit // 8] ^= 1 << bit % 8
        refusal_of(bytes(flipped), key)


def test_a_token_cut_short(token, key):
    for size in range(len(token)):
        refusal_of(token[:size], key)


def test_bytes_appended(token, key):
    for more in (b"\x00", b"\xa0", token):
        assert refusal_of(token + more, key) == "cbor.trailing"


def test_claims_replaced_under_the_old_signature(token, key):
    head, unprotected, payload, signature = parts_of(token)
    claims = cbor2.loads(payload)
    for change in ({10: b"\x0b" * 32}, {2395: DEBUGGED}, {2399: [component(value=b"\x77" * 32)]}):
        changed = cbor2.dumps(claims | change)
        assert refusal_of(put_together([head, unprotected, changed, signature]), key) == "cose.signature"


def test_a_token_of_another_device(token, key):
    other = fresh_key()
    theirs = psa_token(other, NONCE)
    assert verify_psa_token(theirs, other.public_key()).nonce == NONCE
    assert refusal_of(theirs, key) == "cose.signature"
    assert refusal_of(token, other) == "cose.signature"


def test_another_device_claiming_this_instance_id(key):
    theirs = psa_token(fresh_key(), NONCE, instance_id=instance_id_of(key.public_key()))
    assert refusal_of(theirs, key) == "cose.signature"


def test_the_signature_of_one_token_under_the_claims_of_another(token, key):
    head, unprotected, _, signature = parts_of(token)
    later = parts_of(psa_token(key, b"\x0b" * 32))
    assert refusal_of(put_together([head, unprotected, later[2], signature]), key) == "cose.signature"


def test_the_algorithm_exchanged(token, key):
    _, unprotected, payload, signature = parts_of(token)
    codes = {
        -35: "cose.key",
        -36: "cose.key",
        -37: "psa.algorithm",
        -8: "psa.algorithm",
        -257: "cose.alg",
        0: "cose.alg",
    }
    for algorithm, code in codes.items():
        assert refusal_of(put_together([cbor2.dumps({1: algorithm}), unprotected, payload, signature]), key) == code


def test_no_algorithm_named(token, key):
    _, unprotected, payload, signature = parts_of(token)
    assert refusal_of(put_together([b"", unprotected, payload, signature]), key) == "cose.alg_missing"


def test_the_algorithm_in_the_unprotected_header(token, key):
    head, _, payload, signature = parts_of(token)
    assert refusal_of(put_together([b"", {1: -7}, payload, signature]), key) == "cose.alg_unprotected"
    assert refusal_of(put_together([head, {1: -8}, payload, signature]), key) == "cose.alg_unprotected"
    # Even signed so by the device itself.
    signed = sign1(key, payload, protected=b"", unprotected={1: -7})
    assert refusal_of(signed, key) == "cose.alg_unprotected"


def test_the_public_key_used_as_a_shared_secret(token, key):
    """The classic confusion: who verifies a MAC with whatever key is registered takes the public key for a secret."""
    payload = parts_of(token)[2]
    head = cbor2.dumps({1: 5})
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    mac = hmac.digest(public, cbor2.dumps(["MAC0", head, b"", payload]), hashlib.sha256)
    for tag in (17, 18):
        assert refusal_of(put_together([head, {}, payload, mac], tag), key) == "cose.mac"
    assert refusal_of(cbor2.dumps([head, {}, payload, mac]), key) == "cose.mac"


def test_the_tag_stripped_or_exchanged(token, key):
    parts = parts_of(token)
    assert refusal_of(cbor2.dumps(parts), key) == "psa.untagged"
    assert refusal_of(put_together(parts, 17), key) == "cose.mac"
    for tag in (16, 61, 96, 97, 98, 55799):
        assert refusal_of(put_together(parts, tag), key) == "cose.tag"
    assert refusal_of(b"\xd2" + token, key) == "cbor.tag"
    assert refusal_of(b"\xd8\x3d" + token, key) == "cose.tag"


def test_another_structure_behind_the_tag(token, key):
    head, unprotected, payload, signature = parts_of(token)
    several = [head, unprotected, payload, [[head, {}, signature]]]  # a COSE_Sign
    assert refusal_of(put_together(several), key) == "cose.malformed"
    for parts in ([], [head, unprotected, payload], [head, unprotected, payload, signature, b""]):
        assert refusal_of(put_together(parts), key) == "cose.malformed"
    assert (
        refusal_of(cbor2.dumps(cbor2.CBORTag(18, {0: head, 1: payload, 2: signature, 3: b""})), key) == "cose.malformed"
    )


def test_a_signature_made_for_another_structure(token, key):
    payload = parts_of(token)[2]
    head = cbor2.dumps({1: -7})
    for context in ("Signature", "CounterSignature", "MAC0"):
        made = sign1_under(context, key, head, payload)
        assert refusal_of(put_together([head, {}, payload, made]), key) == "cose.signature"
    assert verify_psa_token(
        put_together([head, {}, payload, sign1_under("Signature1", key, head, payload)]), key.public_key()
    )


def sign1_under(context: str, key, head: bytes, payload: bytes) -> bytes:
    return signed(key, cbor2.dumps([context, head, b"", payload]))


def test_a_payload_somewhere_else(token, key):
    head, unprotected, _, signature = parts_of(token)
    assert refusal_of(put_together([head, unprotected, None, signature]), key) == "cose.detached"


def test_a_critical_parameter_nobody_understands(token, key):
    payload = parts_of(token)[2]
    control = sign1(key, payload, protected={1: -7, 99: 1})
    assert verify_psa_token(control, key.public_key()).nonce == NONCE
    assert refusal_of(sign1(key, payload, protected={1: -7, 99: 1, 2: [99]}), key) == "cose.critical"


def test_a_signature_in_der(token, key):
    head, unprotected, payload, signature = parts_of(token)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    der = encode_dss_signature(r, s)
    assert refusal_of(put_together([head, unprotected, payload, der]), key) == "cose.signature"


def test_a_signature_of_zeros_or_of_numbers_beyond_the_curve(token, key):
    head, unprotected, payload, _ = parts_of(token)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    one, last = (1).to_bytes(32, "big"), order.to_bytes(32, "big")
    for signature in (bytes(64), one + bytes(32), bytes(32) + one, last + last, b"\xff" * 64):
        assert refusal_of(put_together([head, unprotected, payload, signature]), key) == "cose.signature"


def test_a_key_on_another_curve_or_of_another_kind(token, key):
    assert verify_psa_token(token, key.public_key())
    for other in (ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()):
        assert refusal_of(token, other) == "cose.key"


def twice(payload: bytes, key: int, value: object) -> bytes:
    """The map `payload` with one more entry at its end, whatever it holds already."""
    assert payload[0] >> 5 == 5
    assert payload[0] & 31 < 23
    return bytes([payload[0] + 1]) + payload[1:] + cbor2.dumps(key) + cbor2.dumps(value)


@pytest.mark.parametrize(
    ("claim", "value"), [(10, b"\x0b" * 32), (2395, 0x3000), (256, b"\x01" + bytes(32)), (265, "x")]
)
def test_a_claim_twice_signed_by_the_device(key, claim, value):
    payload = cbor2.dumps(psa_claims(NONCE))
    assert verify_psa_token(sign1(key, payload), key.public_key()).nonce == NONCE
    assert refusal_of(sign1(key, twice(payload, claim, value)), key) == "cbor.duplicate_key"


def test_a_claim_twice_in_two_encodings_of_its_key(key):
    payload = cbor2.dumps(psa_claims(NONCE))
    doubled = bytes([payload[0] + 1]) + payload[1:] + b"\x18\x0a" + cbor2.dumps(b"\x0b" * 32)
    assert refusal_of(sign1(key, doubled), key) == "cbor.duplicate_key"


def test_the_claims_of_two_profiles_in_one_token(key):
    later, first = psa_claims(NONCE), psa_claims(b"\x0b" * 32, profile=Profile.PSA_1)
    for claims in (later | first, later | {KEYS[Profile.PSA_1]["nonce"]: b"\x0b" * 32}, first | {10: NONCE}):
        assert refusal_of(sign1(key, cbor2.dumps(claims)), key) == "psa.profiles_mixed"


def test_two_nonces_one_of_them_the_right_one(key):
    assert refusal_of(psa_token(key, NONCE, nonce=[b"\x0b" * 32, NONCE]), key) == "psa.nonce_many"


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x81" * 60_000 + b"\x00",
        b"\xa1\x00" * 30_000 + b"\x00",
        b"\xd2" * 60_000 + b"\x00",
        b"\x9b\x00\x00\x00\x7f\xff\xff\xff\xff",
        b"\xbb\x00\x00\x00\x7f\xff\xff\xff\xff",
        b"\x5b\x00\x00\x00\x7f\xff\xff\xff\xff",
        b"\x9f" * 60_000,
        b"\x99\xff\xf0" + b"\x80" * 60_000,
        b"\xb9\x7f\xff" + b"\x00" * 65_000,
    ],
    ids=["arrays", "maps", "tags", "long array", "long map", "long bytes", "endless", "wide array", "wide map"],
)
def test_nested_and_swollen_structures(token, key, bomb):
    _, unprotected, payload, signature = parts_of(token)
    refusal_of(bomb, key)
    refusal_of(b"\xd2" + bomb, key)
    refusal_of(put_together([bomb, unprotected, payload, signature]), key)
    # And by a device that was taken over and signs what it likes.
    refusal_of(sign1(key, bomb), key)


def test_a_token_that_is_too_large(key):
    large = psa_token(key, NONCE, **{"-1": bytes(LARGEST_ITEM)})
    with pytest.raises(LimitExceeded):
        verify_psa_token(large, key.public_key())
    assert verify_psa_token(psa_token(key, NONCE, **{"-1": bytes(LARGEST_ITEM // 2)}), key.public_key())


def test_an_indefinite_length_that_hides_a_second_reading(token, key):
    head, _, payload, signature = parts_of(token)
    endless = b"\xbf" + payload[1:] + b"\xff"
    assert cbor2.loads(endless) == cbor2.loads(payload)
    assert refusal_of(sign1(key, endless), key) == "cbor.indefinite"
    chunked = b"\x5f" + cbor2.dumps(payload) + b"\xff"
    whole = b"\xd2\x84" + cbor2.dumps(head) + b"\xa0" + chunked + cbor2.dumps(signature)
    assert refusal_of(whole, key) == "cbor.indefinite"
