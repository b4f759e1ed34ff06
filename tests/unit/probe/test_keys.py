"""A private key is what decodes to one, whoever made it; a header, a public key and a self-test key are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes import PrivateKeys
from holdfast_probe.credentials.keys import bare_key, may_be_bare, private_keys
from probe_builders import ask

KEYS: dict[str, Any] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "dsa": dsa.generate_private_key(1024),
}
FORMATS = {
    "pkcs8": ser.PrivateFormat.PKCS8,
    "traditional": ser.PrivateFormat.TraditionalOpenSSL,
    "openssh": ser.PrivateFormat.OpenSSH,
}
PAIRS = [(k, f) for k in KEYS for f in FORMATS if (k, f) not in (("ed25519", "traditional"), ("dsa", "openssh"))]


@pytest.mark.parametrize(("key", "form"), PAIRS)
def test_finds_what_a_real_library_writes(key: str, form: str) -> None:
    text = KEYS[key].private_bytes(ser.Encoding.PEM, FORMATS[form], ser.NoEncryption())
    assert len(private_keys(b"noise\0" + text + b"more")) == 1
    assert len(private_keys(text.replace(b"\n", b'\\n"\n"'))) == 1, "as a string in C"


@pytest.mark.parametrize("key", KEYS)
def test_finds_bare_der(key: str) -> None:
    data = KEYS[key].private_bytes(ser.Encoding.DER, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    assert may_be_bare(data[:32])
    assert bare_key(data)


@pytest.mark.parametrize("rest", [b"\n", b"\r\n", bytes(20_000), b"\xff" * 4096, b"noise"])
@pytest.mark.parametrize("key", KEYS)
def test_what_follows_a_bare_key_does_not_hide_it(tmp_path: Path, key: str, rest: bytes) -> None:
    data = KEYS[key].private_bytes(ser.Encoding.DER, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    public = KEYS[key].public_key().public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public").write_bytes(public + rest)
    assert ask(tmp_path, PrivateKeys()).outcome is Outcome.PASS
    (tmp_path / "device").write_bytes(data + rest)
    assert ask(tmp_path, PrivateKeys()).proof[0].startswith("/device ")


@pytest.mark.parametrize("rest", [b"\n", bytes(4096)])
def test_what_follows_a_dropbear_file_does_not_hide_it_nor_make_a_public_one_secret(rest: bytes) -> None:
    assert bare_key(ssh(b"ssh-rsa", b"\1\0\1", b"n" * 256, b"d" * 256, b"p" * 128, b"q" * 128) + rest) == "SSH"
    assert bare_key(ssh(b"ssh-ed25519", b"k" * 64) + rest) == "SSH"
    assert bare_key(ssh(b"ssh-rsa", b"\1\0\1", b"n" * 256) + rest) is None
    assert bare_key(ssh(b"ssh-ed25519", b"k" * 32) + rest) is None


@pytest.mark.parametrize("key", KEYS)
def test_a_passphrase_or_a_public_key_is_none(key: str) -> None:
    locked = KEYS[key].private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.BestAvailableEncryption(b"x"))
    assert private_keys(locked) == ()
    public = KEYS[key].public_key()
    assert bare_key(public.public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo)) is None
    assert private_keys(public.public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)) == ()


def ssh(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def test_dropbear_files_are_told_from_public_blobs() -> None:
    assert bare_key(ssh(b"ssh-rsa", b"\1\0\1", b"n" * 256, b"d" * 256, b"p" * 128, b"q" * 128)) == "SSH"
    assert bare_key(ssh(b"ssh-rsa", b"\1\0\1", b"n" * 256)) is None
    assert bare_key(ssh(b"ssh-ed25519", b"s" * 64)) == "SSH"
    assert bare_key(ssh(b"ssh-ed25519", b"p" * 32)) is None


def test_words_of_a_library_are_none() -> None:
    mbedtls = b"\0-----BEGIN RSA PRIVATE KEY-----\0-----END RSA PRIVATE KEY-----\0-----BEGIN EC PRIVATE KEY-----\n\0"
    assert private_keys(mbedtls) == ()
    assert private_keys(b"-----BEGIN PRIVATE KEY-----\nTUlJRQ==\n-----END PRIVATE KEY-----") == ()


def test_stock_libraries_of_this_machine_raise_nothing() -> None:
    folder = Path("/usr/lib/x86_64-linux-gnu")
    stock = [p for n in ("libgnutls.so.*", "libmbed*.so.*", "libcrypto.so.*", "libssl.so.*") for p in folder.glob(n)]
    if not stock:
        pytest.skip("no crypto library in the usual place")
    assert {path.name: private_keys(path.read_bytes()) for path in stock} == {path.name: () for path in stock}


@given(st.binary(max_size=300))
def test_never_raises(noise: bytes) -> None:
    private_keys(b"-----BEGIN EC PRIVATE KEY-----" + noise + b"-----END")
    bare_key(noise)
    bare_key(b"\x30\x82" + noise)
    assert private_keys(noise.replace(b"KEY", b"")) == ()
