"""Structures of the TPM: what a real one made, and what nobody's parser may fall over."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.formats.tpm.attest import (
    Certified,
    Created,
    Quoted,
    Selection,
    Signature,
    parse_attestation,
    parse_signature,
)
from holdfast_core.formats.tpm.credential import make_credential
from holdfast_core.formats.tpm.keyfile import BEGIN, END, key_file
from holdfast_core.formats.tpm.keys import public_key, spki_of, verifies
from holdfast_core.formats.tpm.public import (
    COORDINATE_BYTES,
    Algorithm,
    Attribute,
    Curve,
    EccPoint,
    Public,
    RsaPoint,
    Scheme,
    Symmetric,
    parse_public,
    public_area,
)
from holdfast_core.formats.tpm.reader import tpm2b
from holdfast_core.kernel.errors import Bug, HostileData

MADE = {
    name: bytes.fromhex(value) if name != "source" else value
    for name, value in json.loads((Path(__file__).parent / "swtpm.json").read_text()).items()
}
PUBLICS = ("ek_rsa", "ek_ecc", "ak", "ak_rsa", "key")
ATTESTED = {"creation": Created, "certify": Certified, "quote": Quoted, "quote_rsa": Quoted}


@pytest.mark.parametrize("name", PUBLICS)
def test_public_area_is_read_and_written_back(name):
    public = parse_public(MADE[name])
    assert tpm2b(public_area(public)) == MADE[name]
    assert isinstance(public_key(public), rsa.RSAPublicKey if "rsa" in name else ec.EllipticCurvePublicKey)


def test_name_is_the_one_that_the_tpm_computes():
    assert parse_public(MADE["key"]).name == MADE["key_name"]


def test_attributes_say_what_a_key_is_for():
    ek, ak, key = (parse_public(MADE[name]) for name in ("ek_ecc", "ak", "key"))
    assert ek.has(Attribute.RESTRICTED, Attribute.DECRYPT, Attribute.FIXED_TPM)
    assert ak.has(Attribute.RESTRICTED, Attribute.SIGN)
    assert not key.has(Attribute.RESTRICTED)
    assert ek.symmetric == Symmetric(128)
    assert ak.scheme == Scheme(Algorithm.ECDSA, Algorithm.SHA256)


def test_endorsement_key_is_the_one_in_its_certificate():
    certificate = x509.load_der_x509_certificate(MADE["ek_certificate"])
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert spki == spki_of(parse_public(MADE["ek_rsa"]))


@pytest.mark.parametrize(("name", "kind"), ATTESTED.items())
def test_attestation_is_read_and_verified(name, kind):
    ak = parse_public(MADE["ak_rsa" if "rsa" in name else "ak"])
    attestation = parse_attestation(MADE[name])
    signature = parse_signature(MADE[f"{name}_signature"])
    assert isinstance(attestation.attested, kind)
    assert verifies(ak, signature, MADE[name])
    assert not verifies(ak, signature, MADE[name] + b"\0")
    assert not verifies(parse_public(MADE["ak" if "rsa" in name else "ak_rsa"]), signature, MADE[name])


def test_attestation_of_a_key_names_it_and_carries_the_nonce():
    created = parse_attestation(MADE["creation"])
    assert created.attested.name == MADE["key_name"]
    assert created.nonce == MADE["nonce"]
    assert parse_attestation(MADE["certify"]).attested.name == MADE["key_name"]


def test_quote_selects_registers():
    quoted = parse_attestation(MADE["quote"]).attested
    assert quoted.selections == (Selection(Algorithm.SHA256, (0, 2, 7, 23)),)
    assert len(quoted.digest) == 32


# Hostile bytes.

PARSERS = (
    (parse_public, PUBLICS),
    (parse_attestation, tuple(ATTESTED)),
    (parse_signature, tuple(f"{name}_signature" for name in ATTESTED)),
)


@pytest.mark.parametrize("parse", [parse for parse, _ in PARSERS])
@given(data=st.binary(max_size=1200))
def test_any_bytes_are_read_or_refused(parse, data):
    refused_or_read(parse, data)


@given(data=st.data())
def test_changed_structures_are_read_or_refused(data):
    parse, names = data.draw(st.sampled_from(PARSERS))
    made = bytearray(MADE[data.draw(st.sampled_from(names))])
    for _ in range(data.draw(st.integers(1, 4))):
        made[data.draw(st.integers(0, len(made) - 1))] = data.draw(st.integers(0, 255))
    refused_or_read(parse, bytes(made))


@pytest.mark.parametrize("parse", [parse for parse, _ in PARSERS])
def test_truncated_and_overlong_structures_are_refused(parse):
    for name in dict(PARSERS)[parse]:
        made = MADE[name]
        for end in range(len(made)):
            with pytest.raises(HostileData):
                parse(made[:end])
        with pytest.raises(HostileData):
            parse(made + b"\0")


def refused_or_read(parse, data):
    try:
        value = parse(data)
    except HostileData:
        return
    if isinstance(value, Public):
        assert tpm2b(public_area(value)) == data


def points():
    def of(curve):
        size = COORDINATE_BYTES[curve]
        return st.builds(EccPoint, st.just(curve), *[st.binary(min_size=size, max_size=size)] * 2)

    moduli = st.sampled_from([2048, 3072, 4096]).flatmap(
        lambda bits: st.binary(min_size=bits // 8 - 1, max_size=bits // 8 - 1).map(
            lambda rest: RsaPoint(bits, 65537, b"\x80" + rest)
        )
    )
    return st.sampled_from(list(Curve)).flatmap(of) | moduli


@given(
    hashed=st.sampled_from([Algorithm.SHA256, Algorithm.SHA384, Algorithm.SHA512]),
    attributes=st.lists(st.sampled_from(list(Attribute))),
    symmetric=st.none() | st.builds(Symmetric, st.sampled_from([128, 192, 256])),
    scheme=st.none() | st.just(Scheme(Algorithm.ECDSA, Algorithm.SHA256)),
    unique=points(),
)
def test_every_public_area_survives_the_way_there_and_back(hashed, attributes, symmetric, scheme, unique):
    flags = Attribute(0)
    for attribute in attributes:
        flags |= attribute
    public = Public(hashed, flags, b"policy", symmetric, scheme, unique, b"")
    read = parse_public(tpm2b(public_area(public)))
    assert (read.hash, read.attributes, read.policy) == (hashed, flags, b"policy")
    assert (read.symmetric, read.scheme, read.unique) == (symmetric, scheme, unique)


def test_point_that_is_not_on_its_curve_is_refused():
    public = parse_public(MADE["key"])
    off = Public(public.hash, public.attributes, b"", None, None, EccPoint(Curve.P256, b"\x01" * 32, b"\x02" * 32), b"")
    with pytest.raises(HostileData) as refused:
        public_key(off)
    assert refused.value.code == "tpm.malformed"


def rsa_public(bits: int, modulus: bytes) -> Public:
    key = RsaPoint(bits, 65537, modulus)
    return Public(Algorithm.SHA256, Attribute.SIGN, b"", None, None, key, b"")


def test_rsa_key_of_no_bits_is_refused():
    with pytest.raises(HostileData) as refused:
        parse_public(tpm2b(public_area(rsa_public(0, b""))))
    assert refused.value.code == "tpm.malformed"


@pytest.mark.parametrize("bits", [512, 1024, 2048])
@pytest.mark.parametrize("algorithm", [Algorithm.RSASSA, Algorithm.RSAPSS])
def test_short_rsa_key_vouches_for_nothing(bits, algorithm):
    public = parse_public(tpm2b(public_area(rsa_public(bits, b"\x80" + bytes(bits // 8 - 2) + b"\1"))))
    assert not verifies(public, Signature(algorithm, Algorithm.SHA512, (bytes(bits // 8),)), b"what was signed")


def test_no_credential_is_made_for_a_key_that_has_no_cipher():
    with pytest.raises(Bug):
        make_credential(parse_public(MADE["ak"]), b"name", b"secret", seed=b"s" * 32)


def test_key_file_is_der_in_lines_of_64():
    text = key_file(MADE["key"], MADE["key_private"])
    lines = text.splitlines()
    assert (lines[0], lines[-1]) == (BEGIN, END)
    assert max(map(len, lines[1:-1])) == 64
    der = base64.b64decode("".join(lines[1:-1]))
    assert der[0] == 0x30
    assert MADE["key"] in der
    assert MADE["key_private"] in der
