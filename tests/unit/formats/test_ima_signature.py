"""Signatures of files in a list: those that `evmctl` makes, and everything that is none."""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.formats.ima import signature as signature_module
from holdfast_core.formats.ima.signature import key_id, parse_signature, verify_ima_signature
from holdfast_core.formats.ima.slices import parse_ima
from holdfast_core.kernel.errors import HostileData
from ima_builders import Made, binary
from tpm_builders import need

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
KEYS = {key_id(key.public_key()): key.public_key() for key in (RSA, EC)}
CONTENT = b"#!/bin/sh\n"
SHA1 = hashes.SHA1()  # noqa: S303 (made to see it refused)
NUMBERS = {"sha1": (2, SHA1), "sha256": (4, hashes.SHA256()), "sha512": (6, hashes.SHA512())}


def attribute(key, digest: bytes, *, kind: int = 3, version: int = 2, algorithm: str = "sha256") -> bytes:
    number, hashed = NUMBERS[algorithm]
    if version == 3:
        digest = hashlib.new(algorithm, bytes([kind, number]) + digest).digest()
    value = (
        key.sign(digest, padding.PKCS1v15(), Prehashed(hashed))
        if isinstance(key, rsa.RSAPrivateKey)
        else key.sign(digest, ec.ECDSA(Prehashed(hashed)))
    )
    header = struct.pack(">BBB4sH", kind, version, number, key_id(key.public_key()), len(value))
    return header + value


def entry(signature: bytes, *, content: bytes = CONTENT, kind: str = "", algorithm: str = "sha256"):
    template = "ima-sigv2" if kind else "ima-sig"
    digest = hashlib.new(algorithm, content).digest()
    (read,) = parse_ima(
        binary(Made(digest=digest, algorithm=algorithm, template=template, kind=kind, extra=(signature,)))
    )
    return read


def code_of(*arguments, **options) -> str:
    with pytest.raises(HostileData) as refused:
        verify_ima_signature(*arguments, **options)
    return refused.value.code


DIGEST = hashlib.sha256(CONTENT).digest()


@pytest.mark.parametrize("key", [RSA, EC], ids=["rsa", "ec"])
@pytest.mark.parametrize("tool", ["evmctl"])
def test_what_the_tool_of_the_kernel_signs_verifies(tmp_path, key, tool):
    need(tool)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    (tmp_path / "file").write_bytes(CONTENT)
    command = [shutil.which(tool), "ima_sign", "--sigfile", "--hashalgo", "sha256", "-k", tmp_path / "key.pem"]
    subprocess.run([*command, tmp_path / "file"], check=True, capture_output=True, timeout=60)
    made = (tmp_path / "file.sig").read_bytes()
    signature = verify_ima_signature(entry(made), KEYS)
    assert (signature.key, signature.kind, signature.version) == (key_id(key.public_key()), "ima", 2)
    assert code_of(entry(made, content=CONTENT + b"#"), KEYS) == "ima.signature_wrong"


@pytest.mark.parametrize("key", [RSA, EC], ids=["rsa", "ec"])
@pytest.mark.parametrize(("kind", "number"), [("ima", 3), ("verity", 6)])
def test_a_signature_of_version_3_is_of_one_kind(key, kind, number):
    other = {"ima": "verity", "verity": "ima"}[kind]
    made = attribute(key, DIGEST, kind=number, version=3)
    assert verify_ima_signature(entry(made, kind=kind), KEYS).kind == kind
    assert code_of(entry(made, kind=other), KEYS) == "ima.signature_wrong"
    relabelled = bytes([9 - number]) + made[1:]
    assert code_of(entry(relabelled, kind=other), KEYS) == "ima.signature_wrong"


def test_sha1_is_taken_only_where_a_caller_says_so():
    read = entry(
        attribute(RSA, hashlib.sha1(CONTENT, usedforsecurity=False).digest(), algorithm="sha1"), algorithm="sha1"
    )
    assert code_of(read, KEYS) == "ima.signature_hash"
    assert verify_ima_signature(read, KEYS, accepted={"sha1"}).algorithm == "sha1"


def test_a_hash_that_is_not_the_entrys_is_refused():
    assert code_of(entry(attribute(RSA, bytes(64), algorithm="sha512")), KEYS) == "ima.signature_hash"


def test_a_key_that_is_not_known_is_refused():
    assert code_of(entry(attribute(RSA, DIGEST)), {}) == "ima.signature_key"


def test_another_key_under_the_same_identifier_is_refused():
    for key in (EC, rsa.generate_private_key(65537, 2048)):
        keys = {key_id(RSA.public_key()): key.public_key()}
        assert code_of(entry(attribute(RSA, DIGEST)), keys) == "ima.signature_wrong"


def test_a_digest_of_another_length_verifies_nothing():
    read = msgspec.structs.replace(entry(attribute(RSA, DIGEST)), digest=DIGEST[:-1])
    assert code_of(read, KEYS) == "ima.signature_wrong"


def test_a_violation_has_no_signature_that_counts():
    made = Made(digest=DIGEST, template="ima-sig", extra=(attribute(RSA, DIGEST),), violation=True)
    (read,) = parse_ima(binary(made))
    assert code_of(read, KEYS) == "ima.signature_wrong"


GOOD = attribute(RSA, DIGEST)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"", "ima.unsigned"),
        (b"\x04\x04" + bytes(32), "ima.unsigned"),
        (b"\x01" + bytes(20), "ima.unsigned"),
        (b"\x05" + GOOD[1:], "ima.unsigned"),
        (b"\x03", "ima.signature"),
        (GOOD[:9], "ima.signature"),
        (GOOD[:-1], "ima.signature"),
        (GOOD + b"\0", "ima.signature"),
        (b"\x03\x01" + GOOD[2:], "ima.signature"),
        (b"\x06\x02" + GOOD[2:], "ima.signature"),
        (b"\x03\x02\x09" + GOOD[3:], "ima.signature"),
        (b"\x03" + bytes(4096), "ima.signature"),
    ],
)
def test_what_is_no_signature_is_refused(value, code):
    with pytest.raises(HostileData) as refused:
        parse_signature(value)
    assert refused.value.code == code


@given(st.binary(max_size=300), st.integers(0, 300))
def test_arbitrary_signatures_are_refused(data, at):
    for value in (data, GOOD[:at] + data + GOOD[at + len(data) :], GOOD[:9] + data):
        if value != GOOD:
            read = entry(value)
            assert code_of(read, KEYS).startswith("ima.")


def test_a_signature_that_held_vouches_for_nothing_else(monkeypatch):
    """What held is remembered; another file, another signature and another key are verified all the same."""
    other = ec.generate_private_key(ec.SECP256R1())
    made = attribute(EC, hashlib.sha256(CONTENT).digest())
    calls = []
    kept = signature_module.ec.ECDSA
    monkeypatch.setattr(signature_module.ec, "ECDSA", lambda hashed: calls.append(hashed) or kept(hashed))
    for _ in range(3):
        assert verify_ima_signature(entry(made), KEYS).kind == "ima"
    assert len(calls) == 1
    calls.clear()
    stranger = {key_id(EC.public_key()): other.public_key()}
    for _ in range(2):
        assert code_of(entry(made, content=b"other"), KEYS) == "ima.signature_wrong"
        assert code_of(entry(made[:-1] + bytes([made[-1] ^ 1])), KEYS) == "ima.signature_wrong"
        assert code_of(entry(made), stranger) == "ima.signature_wrong"
    assert len(calls) == 6
