"""Keys in files: encrypted, private, whole or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from holdfast.adapters.pki.keyfiles import LARGEST, FileKeyStore
from holdfast.adapters.pki.passphrase import Passphrase
from holdfast.ports.keystore import KeyAlgorithm
from holdfast_core.kernel.errors import WorldError

WORDS, OTHER = Passphrase("correct horse battery staple"), Passphrase("another horse, another staple")


def pem(key, passphrase=None):
    how = BestAvailableEncryption(passphrase.reveal()) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


def test_a_file_is_encrypted_private_and_alone(tmp_path):
    store = FileKeyStore(tmp_path / "keys", WORDS)
    store.create("issuers/acme/1", KeyAlgorithm.P256)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [tmp_path / "keys/issuers/acme/1.key"]
    assert files[0].read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_dir()} == {0o700}


def test_openssl_reads_it_with_the_passphrase(tmp_path):
    key = FileKeyStore(tmp_path, WORDS).create("one", KeyAlgorithm.P256)
    said = subprocess.run(
        ["openssl", "pkey", "-in", tmp_path / "one.key", "-passin", "stdin", "-pubout"],
        input=WORDS.reveal() + b"\n",
        capture_output=True,
        check=True,
    )
    assert said.stdout == key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def refusal(store, reference="one"):
    with pytest.raises(WorldError) as refused:
        store.load(reference)
    assert refused.value.remedy
    return refused.value.code


def test_a_wrong_passphrase_is_told_from_damage(tmp_path):
    FileKeyStore(tmp_path, WORDS).create("one", KeyAlgorithm.P256)
    assert refusal(FileKeyStore(tmp_path, OTHER)) == "keystore.passphrase_wrong"
    whole = (tmp_path / "one.key").read_bytes()
    for data in (b"", b"hello", whole[:90], whole[:-40], whole.replace(b"M", b"!"), whole + b"x" * LARGEST):
        (tmp_path / "one.key").write_bytes(data)
        assert refusal(FileKeyStore(tmp_path, WORDS)) == "keystore.damaged"


def test_a_wrong_passphrase_whose_padding_happens_to_fit_is_still_one(tmp_path, monkeypatch):
    """Once in 256 times what comes out of a wrong passphrase ends like padding, and fails only as a key."""
    FileKeyStore(tmp_path, WORDS).create("one", KeyAlgorithm.P256)

    def nonsense(_data, _password):
        raise ValueError("error parsing asn1 value: ParseError { kind: UnexpectedTag }")

    monkeypatch.setattr("holdfast.adapters.pki.keyfiles.load_pem_private_key", nonsense)
    assert refusal(FileKeyStore(tmp_path, OTHER)) == "keystore.passphrase_wrong"


def test_what_is_no_key_of_ours_is_refused(tmp_path):
    other = dsa.generate_private_key(key_size=2048)
    (tmp_path / "one.key").write_bytes(pem(other, WORDS))
    assert refusal(FileKeyStore(tmp_path, WORDS)) == "keystore.damaged"


def test_a_key_in_the_clear_is_refused_unless_the_store_was_told(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "one.key").write_bytes(pem(key))
    assert refusal(FileKeyStore(tmp_path, WORDS)) == "keystore.clear"
    told = FileKeyStore(tmp_path, WORDS, clear_allowed=True)
    assert told.load("one").public_key() == key.public_key()


def test_a_key_in_the_clear_is_encrypted_once_in_its_place(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "one.key").write_bytes(pem(key))
    store = FileKeyStore(tmp_path, WORDS)
    assert [store.protect("one"), store.protect("one")] == [True, False]
    assert store.load("one").public_key() == key.public_key()
    assert [path.name for path in tmp_path.iterdir()] == ["one.key"]
    assert b"BEGIN PRIVATE KEY" not in (tmp_path / "one.key").read_bytes()


def test_a_passphrase_is_changed_and_changing_it_again_finds_it_done(tmp_path):
    key = FileKeyStore(tmp_path, WORDS).create("one", KeyAlgorithm.ED25519)
    old = FileKeyStore(tmp_path, WORDS)
    old.reseal("one", OTHER)
    old.reseal("one", OTHER)
    assert FileKeyStore(tmp_path, OTHER).load("one").public_key() == key.public_key()
    assert refusal(old) == "keystore.passphrase_wrong"
    with pytest.raises(WorldError) as refused:
        FileKeyStore(tmp_path, Passphrase("a third that opens nothing")).reseal("one", WORDS)
    assert refused.value.code == "keystore.passphrase_wrong"


def test_what_an_interrupted_run_left_stops_nobody(tmp_path):
    (tmp_path / "one.key.new").write_bytes(b"half a k")
    store = FileKeyStore(tmp_path, WORDS)
    store.create("one", KeyAlgorithm.P256)
    assert [path.name for path in tmp_path.iterdir()] == ["one.key"]


def test_of_two_that_make_one_key_the_second_is_refused(tmp_path, monkeypatch):
    """The name is taken between the look and the link: the link decides."""
    store = FileKeyStore(tmp_path, WORDS)
    link, came_between = os.link, threading.Event()

    def slow(source, target):
        if not came_between.is_set():
            came_between.set()
            target.write_bytes(b"the other's")
        link(source, target)

    monkeypatch.setattr(os, "link", slow)
    with pytest.raises(WorldError) as refused:
        store.create("one", KeyAlgorithm.P256)
    assert refused.value.code == "keystore.exists"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"one.key": b"the other's"}
