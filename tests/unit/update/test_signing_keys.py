"""The server's own keys: made once, numbered, found by the root's word."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from builders import data_folder
from holdfast.adapters.pki import FileKeyStore, find_passphrase
from holdfast.update.signing_keys import SigningKeys
from holdfast_core.kernel.errors import WorldError
from holdfast_core.update.repository import Online
from repository_builders import SCOPE, MemoryKeys


def test_a_key_is_made_once_and_is_the_same_after_a_restart(tmp_path):
    folder = data_folder(tmp_path)
    store = FileKeyStore(folder / "keys", find_passphrase(folder / "keys", {}))
    made = SigningKeys(store).make(SCOPE, Online.DIRECTOR, 1)
    again = SigningKeys(store)
    assert again.make(SCOPE, Online.DIRECTOR, 1).keyid == made.keyid
    assert again.load(SCOPE, Online.DIRECTOR, 1).sign(b"x") == made.sign(b"x")
    assert (folder / "keys" / "update" / "acme" / "production" / "director" / "1.key").exists()


def test_the_key_in_force_is_the_one_that_a_root_names_not_the_newest():
    keys = SigningKeys(MemoryKeys())
    first, second = (keys.make(SCOPE, Online.TIMESTAMP, number) for number in (1, 2))
    assert keys.named(SCOPE, Online.TIMESTAMP, 2, first.keyid) is first
    assert keys.named(SCOPE, Online.TIMESTAMP, 2, second.keyid) is second


def test_a_key_that_is_away_is_said_so():
    keys = SigningKeys(MemoryKeys())
    keys.make(SCOPE, Online.TIMESTAMP, 1)
    with pytest.raises(WorldError) as refused:
        keys.named(SCOPE, Online.TIMESTAMP, 1, "0" * 64)
    assert refused.value.code == "repository.key_away"


def test_a_key_of_another_kind_signs_nothing():
    store = MemoryKeys()
    store.keys["update/acme/production/bundle/1"] = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(WorldError) as refused:
        SigningKeys(store).load(SCOPE, Online.BUNDLE, 1)
    assert refused.value.code == "keystore.algorithm"
