"""Targets: what somebody signs (tokens in CBOR, envelopes and results in JSON), before its signature and behind it."""

from __future__ import annotations

import base64

from fuzz.keys import ED25519, P256, PUBLIC
from fuzz.target import Target, may_refuse
from holdfast_core.attestation.ear import PROFILE, open_result
from holdfast_core.attestation.reference import STATEMENT_TYPE, parse_statement, statement_bytes
from holdfast_core.attestation.tokens import read_token_key
from holdfast_core.formats.cbor import read_cbor, split_tag
from holdfast_core.formats.cose import parse_sign1, verify_sign1
from holdfast_core.formats.dsse import key_id, open_envelope, parse_envelope, read_key
from holdfast_core.formats.eat import parse_eat_claims, verify_eat
from holdfast_core.formats.note import VerifierKey
from holdfast_core.formats.psa import parse_psa_claims, read_psa_token, verify_psa_token

RESULT_KEY = VerifierKey("fuzz.example", ED25519.public_key().public_bytes_raw())
DSSE_KEYS = {"p256": P256.public_key(), "ed25519": ED25519.public_key()}


def cbor(data: bytes) -> None:
    may_refuse(split_tag, data, "item")
    read_cbor(data, "item")


def cose(data: bytes) -> None:
    message = parse_sign1(data)
    for key in PUBLIC:
        may_refuse(verify_sign1, message, key)


def eat(data: bytes) -> None:
    for key in PUBLIC:
        may_refuse(verify_eat, data, key)
    parse_eat_claims(data)


def psa(data: bytes) -> None:
    may_refuse(read_psa_token, data)
    for key in PUBLIC:
        may_refuse(verify_psa_token, data, key)
    parse_psa_claims(data)


def dsse(data: bytes) -> None:
    may_refuse(open_envelope, data, STATEMENT_TYPE, DSSE_KEYS)
    parse_envelope(data)


def keys(data: bytes) -> None:
    """Keys that somebody hands in."""
    may_refuse(read_token_key, data)
    assert key_id(read_key(data)).startswith("sha256:")


def statement(data: bytes) -> None:
    """What was read is written, and read again as the same."""
    read = parse_statement(data)
    assert parse_statement(statement_bytes(read)[0]) == read


def result(data: bytes) -> None:
    """The text as it is; then with its two parts (parted by a zero) encoded and signed by the right key."""
    for errors in ("surrogateescape", "replace"):
        may_refuse(open_result, data.decode("utf-8", errors), RESULT_KEY)
    open_result(signed_text(data), RESULT_KEY)


def signed_text(data: bytes) -> str:
    header, _, payload = data.partition(b"\0")
    body = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, payload))
    return (body + b"." + base64.urlsafe_b64encode(ED25519.sign(body)).rstrip(b"=")).decode()


CBOR_WORDS = (
    b"\xd2\x84", b"\xd1\x84", b"\x43\xa1\x01\x26", b"\x44\xa1\x01\x38\x22", b"\xa0", b"\xbf", b"\xff", b"\xf6",
    b"\x1a\x00\x01\x24\xf8", b"\x3a\x00\x01\x24\xf7", b"\x19\x01\x09", b"\x19\x01\x00", b"\x19\x09\x5a",
    b"\x19\x09\x5b",
    b"\x19\x09\x5c", b"\x19\x09\x5d", b"\x19\x09\x5f", b"\x58\x20", b"\x58\x21\x01", b"\x0a\x58\x20",
    b"tag:psacertified.org,2023:psa#tfm", b"http://arm.com/psa/2.0.0", b"PSA_IOT_PROFILE_1", b"\xc0", b"\xfb\x7f\xf8",
    b"\x9f", b"\x5f", b"\x1b" + b"\xff" * 8, b"\x19\x01\x0a", b"\x18\x2b",
)  # fmt: skip
STATEMENT_WORDS = (
    b'"model"', b'"version"', b'"svn"', b'"made_at"', b'"v"', b'"bank":"sha256"', b'"retire_at"', b'"artefacts"',
    b'"measurements"', b'"golden"', b'"components"', b'"files"', b'"file_keys"', b'"learned"', b'"register"',
    b'"digest"',
    b'"what"', b'"optional"', b'"value"', b'"kind"', b'"signer"', b'"path"', b'"device"', b'"why"', b"ab" * 32, b"null",
    b"\\u0000", b"\\ud800", b"1e999", b"253402300799999",
)  # fmt: skip

TARGETS = {
    "cbor": Target(cbor, CBOR_WORDS, 4_096),
    "cose": Target(cose, CBOR_WORDS, 4_096),
    "eat": Target(eat, CBOR_WORDS, 4_096),
    "psa": Target(psa, CBOR_WORDS, 4_096),
    "dsse": Target(
        dsse,
        (b'"payload":"', b'"payloadType"', STATEMENT_TYPE.encode(), b'"signatures":[', b'"sig":"', b'"keyid"'),
        8_192,
    ),
    "keys": Target(
        keys,
        (
            b"-----BEGIN PUBLIC KEY-----\n",
            b"\n-----END PUBLIC KEY-----",
            b"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE",
            bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"),
            bytes.fromhex("302a300506032b6570032100"),
        ),
        5_000,
    ),
    "statement": Target(statement, STATEMENT_WORDS, 8_192),
    "result": Target(result, (PROFILE.encode(), b'"alg":"EdDSA"', b'"eat_profile"', b"\0", b"."), 20_000),
}
