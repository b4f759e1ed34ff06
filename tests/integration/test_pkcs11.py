"""A PKCS#11 token that goes away, comes back, refuses, or would give its keys out (SoftHSM2)."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from builders import enrolled
from holdfast.adapters.pki.keystores import find_pin
from holdfast.bootstrap import Plane
from holdfast.cli.app import build
from holdfast.config import Config, load
from holdfast.ports.keystore import KeyAlgorithm
from holdfast_core.kernel.errors import HostileData, WorldError
from token_builders import PIN, new_token, tokens

_LABELS = itertools.count(1)


@pytest.fixture
def label():
    return f"integration-{next(_LABELS)}"


@pytest.fixture
def module(label):
    return new_token(label)


def opened(module, label, pin=PIN):
    from holdfast.adapters.pki.pkcs11 import Pkcs11KeyStore  # noqa: PLC0415  (an extra)

    return Pkcs11KeyStore(module, label, lambda: pin)


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


def test_a_control_plane_whose_authorities_lie_in_a_token(module, label, tmp_path, monkeypatch):
    """Made by the command, it certifies a device; what is in the folder can sign for nobody."""
    monkeypatch.setenv("HOLDFAST_PKCS11_PIN", PIN)
    runner, data = CliRunner(env={"NO_COLOR": "1"}), str(tmp_path / "data")
    where = ("--keys", "pkcs11", "--pkcs11-module", module, "--pkcs11-token", label)
    for expected in ("first", "again"):
        result = runner.invoke(build(), ["init", "--name", "localhost", *where, "--data", data])
        assert result.exit_code == 0, (expected, result.output)
    keys = tmp_path / "data" / "keys"
    assert sorted(path.name for path in keys.rglob("*.key")) == [
        "device-port.key",
        "log.key",
        "operator-port.key",
        "root.key",
    ]

    async def certified():
        async with Plane.open(load(tmp_path / "data", {}), tmp_path / "data") as plane:
            device = await enrolled(plane)
            credential = plane.store.credential(device.fingerprint)
            assert credential is not None
            assert plane.authority.root.subject != plane.authority.services.subject
            return credential.serial

    assert asyncio.run(certified())
    store = opened(module, label)
    assert store.holds("services")
    assert PIN not in (tmp_path / "data" / "holdfast.toml").read_text()
    doctor = ["doctor", "--json", "--data", data]
    assert "keystore." not in runner.invoke(build(), doctor).stdout
    store.delete("services")
    assert "keystore.missing" in runner.invoke(build(), doctor).stdout
    monkeypatch.delenv("HOLDFAST_PKCS11_PIN")
    assert "keystore.pin_missing" in runner.invoke(build(), doctor).stdout


def test_a_server_whose_keys_are_files_never_loads_what_talks_to_tokens():
    # Ours, that is: securesystemslib, which python-tuf stands on, tries to import the binding by itself.
    code = "import holdfast.serving, holdfast.cli.app, sys; sys.exit('holdfast.adapters.pki.pkcs11' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
