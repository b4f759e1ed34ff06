"""What is computed here of TPM structures, against a real TPM in software."""

from __future__ import annotations

import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from holdfast.adapters.system import SystemClock
from holdfast_agent.tpm import TCTI_VARIABLE, opened
from holdfast_core.formats.tpm.attest import Created, parse_attestation, parse_signature
from holdfast_core.formats.tpm.keys import verifies
from holdfast_core.formats.tpm.public import Attribute, parse_public, public_area
from holdfast_core.identity.devid import (
    check_attestation_key,
    check_certified,
    check_device_key,
    check_endorsement_key,
)
from holdfast_core.identity.endorsement import EkRoot, check_ek_certificate
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.ids import Scope
from tpm_builders import maker, prepared, running_chip, wrapped

NONCE = bytes(range(32))


@pytest.fixture(scope="module")
def chip():
    with running_chip() as tcti, prepared(tcti) as made:
        yield made


@pytest.mark.parametrize("kind", ["rsa", "ecc"])
def test_a_credential_made_here_is_opened_by_the_chip(kind):
    with running_chip(2, certified=False) as tcti, opened(tcti) as chip:
        ek = chip._endorsement_key(kind)
        ak, _ = chip.make_keys()
        challenge = wrapped(ek, parse_public(ak.public).name, b"a secret of thirty-two bytes too")
        assert chip.activate(challenge) == b"a secret of thirty-two bytes too"


def test_a_credential_for_another_name_stays_closed(chip):
    opened_chip, keys = chip
    name = bytearray(parse_public(keys.ak.public).name)
    name[-1] ^= 1
    with pytest.raises(WorldError) as refused:
        opened_chip.activate(wrapped(keys.endorsement.public, bytes(name), b"secret"))
    assert refused.value.code == "agent.tpm"
    assert "integrity" in refused.value.sentence


def test_keys_of_the_chip_are_read_and_written_back(chip):
    _, keys = chip
    for data in (keys.endorsement.public, keys.ak.public, keys.key.public):
        public = parse_public(data)
        assert public_area(public) == data[2:]
    check_endorsement_key(parse_public(keys.endorsement.public))
    check_attestation_key(parse_public(keys.ak.public))
    check_device_key(parse_public(keys.key.public))
    assert not parse_public(keys.key.public).has(Attribute.RESTRICTED)


def test_names_are_those_that_the_chip_computes(chip, tmp_path, monkeypatch):
    opened_chip, keys = chip
    monkeypatch.setenv(TCTI_VARIABLE, opened_chip._tcti)
    shown = tmp_path / "name"
    subprocess.run(["tpm2_readpublic", "-c", opened_chip._at("key.ctx"), "-n", shown], check=True, capture_output=True)
    subprocess.run(["tpm2_flushcontext", "-t"], check=True)
    assert parse_public(keys.key.public).name == shown.read_bytes()


def test_the_attestation_key_vouches_for_the_device_key(chip):
    opened_chip, keys = chip
    proof = opened_chip.certify(NONCE)
    ak, key = parse_public(keys.ak.public), parse_public(keys.key.public)
    said = parse_attestation(proof.attestation)
    assert isinstance(said.attested, Created)
    assert said.nonce == NONCE
    assert verifies(ak, parse_signature(proof.signature), proof.attestation)
    check_certified(ak, key, proof.attestation, proof.signature, NONCE)


def test_the_certificate_in_the_chip_leads_to_its_maker(chip):
    _, keys = chip
    now = SystemClock().now()  # the chip's maker dated its certificate by the clock on the wall
    ek = parse_public(keys.endorsement.public)
    issuer = x509.load_pem_x509_certificate(maker().issuer)
    root = x509.load_pem_x509_certificate(maker().root)

    def trusted(certificate):
        der = certificate.public_bytes(Encoding.DER)
        return EkRoot(Scope("home", "production"), "maker", certificate=der, added_at=now)

    found, leaf = check_ek_certificate(ek, keys.endorsement.certificates, [trusted(issuer)], now)
    assert found.id == "maker"
    assert leaf.issuer == issuer.subject
    by_way_of = (*keys.endorsement.certificates, issuer.public_bytes(Encoding.DER))
    found, _ = check_ek_certificate(ek, by_way_of, [trusted(root)], now)
    assert found.id == "maker"
