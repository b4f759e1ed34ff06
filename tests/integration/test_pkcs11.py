"""A PKCS#11 token that goes away, comes back, refuses, or would give its keys out (SoftHSM2)."""

from __future__ import annotations

import itertools
import shutil

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from holdfast.adapters.pki.keystores import find_pin, open_key_store
from holdfast.adapters.pki.passphrase import Passphrase
from holdfast.config import Config
from holdfast.ports.keystore import KeyAlgorithm
from holdfast_core.kernel.errors import HostileData, WorldError
from token_builders import PIN, new_token, tokens

_LABELS = itertools.count(1)
WORDS = Passphrase("correct horse battery staple")


@pytest.fixture
def label():
    return f"integration-{next(_LABELS)}"


@pytest.fixture
def module(label):
    return new_token(label)


def opened(module, label, pin=PIN):
    config = Config(keys="pkcs11", pkcs11_module=module, pkcs11_token=label)
    return open_key_store(config, None, WORDS, {"HOLDFAST_PKCS11_PIN": pin})


def signs(key):
    signature = key.sign(b"words", ec.ECDSA(hashes.SHA256()))
    key.public_key().verify(signature, b"words", ec.ECDSA(hashes.SHA256()))
    return True


def refusal(use):
    with pytest.raises(WorldError) as refused:
        use()
    assert refused.value.remedy
    return refused.value.code


def test_a_key_goes_on_signing_after_its_session_ended(module, label):
    store = opened(module, label)
    key = store.create("one", KeyAlgorithm.P256)
    assert signs(key)
    store._session.close()  # the token's daemon restarted, and nobody told us
    assert signs(key)
    assert store.load("one").public_key() == key.public_key()


def test_two_stores_of_one_token_do_not_shut_each_other_out(module, label):
    first, second = opened(module, label), opened(module, label)
    key = first.create("one", KeyAlgorithm.P256)
    other = second.load("one")
    assert signs(key)
    assert signs(other)
    first.close()  # logs the whole process out of the token
    assert signs(other)
    assert signs(key)


def test_a_token_that_is_pulled_is_told_and_works_again_when_it_is_back(module, label, tmp_path):
    store = opened(module, label)
    key = store.create("one", KeyAlgorithm.P256)
    places = list((tokens() / "tokens").iterdir())
    for place in places:
        shutil.move(place, tmp_path / place.name)
    store.close()
    assert refusal(lambda: key.sign(b"words", ec.ECDSA(hashes.SHA256()))) == "keystore.token_missing"
    for place in places:
        shutil.move(tmp_path / place.name, place)
    assert signs(key)


def test_a_wrong_pin_is_shown_to_the_token_once(module, label):
    from pkcs11 import TokenFlag, lib  # noqa: PLC0415  (an extra)

    store = opened(module, label, "not the pin")
    for _ in range(5):
        assert refusal(lambda: store.load("one")) == "keystore.pin_wrong"
    flags = lib(module).get_token(token_label=label).flags
    assert not flags & TokenFlag.USER_PIN_LOCKED
    assert not opened(module, label).holds("one")  # the right one still opens it


def test_a_module_that_is_none_is_told(label):
    assert refusal(lambda: opened("/nonexistent/module.so", label).load("one")) == "keystore.module"


def test_a_label_that_no_token_has_is_told(module):
    assert refusal(lambda: opened(module, "nobody").load("one")) == "keystore.token_missing"


def test_a_key_that_the_token_would_let_out_is_refused(module, label):
    store = opened(module, label)
    assert not store.holds("one")
    session = store._session
    from pkcs11 import Attribute, KeyType, Mechanism  # noqa: PLC0415  (an extra)
    from pkcs11.util.ec import encode_named_curve_parameters  # noqa: PLC0415

    curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
    session.create_domain_parameters(KeyType.EC, curve, local=True).generate_keypair(
        mechanism=Mechanism.EC_KEY_PAIR_GEN,
        label="one",
        store=True,
        private_template={Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True},
    )
    assert refusal(lambda: store.load("one")) == "keystore.extractable"


def test_two_keys_of_one_name_are_not_chosen_between(module, label):
    from holdfast.adapters.pki.pkcs11 import _generate  # noqa: PLC0415  (an extra)

    store = opened(module, label)
    store.create("one", KeyAlgorithm.P256)
    _generate(store._session, "one", KeyAlgorithm.P256)
    store.close()
    assert refusal(lambda: store.load("one")) == "keystore.ambiguous"
    assert signs(store.create("two", KeyAlgorithm.P256))  # the search that was cut short stops nothing


def test_the_pin_comes_from_a_file_systemd_or_the_environment(tmp_path):
    (tmp_path / "holdfast-pkcs11-pin").write_text("of systemd\n")
    (tmp_path / "named").write_text("of the file\r\n")
    variable = {"HOLDFAST_PKCS11_PIN": "of the variable"}
    systemd = variable | {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    named = systemd | {"HOLDFAST_PKCS11_PIN_FILE": str(tmp_path / "named")}
    assert [find_pin(each) for each in (variable, systemd, named)] == ["of the variable", "of systemd", "of the file"]
    assert refusal(lambda: find_pin({})) == "keystore.pin_missing"


def test_a_configuration_that_names_no_token_is_refused():
    with pytest.raises(HostileData) as refused:
        Config(keys="pkcs11", pkcs11_module="/usr/lib/softhsm/libsofthsm2.so")
    assert refused.value.code == "config.invalid"
