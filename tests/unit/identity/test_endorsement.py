"""Certificates of chips: which lead to a trusted root, and which do not."""

from __future__ import annotations

import json
import warnings
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from hypothesis import given, settings
from hypothesis import strategies as st

from certificate_builders import authority, leaf
from holdfast_core.formats.tpm.credential import make_credential
from holdfast_core.formats.tpm.keys import public_key
from holdfast_core.formats.tpm.public import RsaPoint, parse_public
from holdfast_core.identity.endorsement import LONGEST_PATH, EkRoot, check_ek_certificate, ek_digest, read_root
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import from_datetime

NOW = from_datetime(datetime(2026, 6, 1, tzinfo=UTC))
MADE = json.loads((Path(__file__).parents[1] / "formats" / "swtpm.json").read_text())
EK = parse_public(bytes.fromhex(MADE["ek_ecc"]))
KEY = public_key(EK)
ROOT, ROOT_KEY = authority("root")


def der(certificate):
    return certificate.public_bytes(Encoding.DER)


def trusted(certificate):
    return EkRoot(Scope("home", "production"), "maker", certificate=der(certificate), added_at=NOW)


def check(*certificates, root=ROOT):
    return check_ek_certificate(EK, [der(certificate) for certificate in certificates], [trusted(root)], NOW)


def code_of(*certificates, root=ROOT):
    with pytest.raises(HostileData) as refused:
        check(*certificates, root=root)
    return refused.value.code


def test_chip_right_under_the_root():
    chip, _ = leaf("chip", ROOT, ROOT_KEY, public=KEY)
    root, found = check(chip)
    assert root.id == "maker"
    assert found == chip


def test_chip_under_intermediates_in_any_order():
    upper, upper_key = authority("upper", ROOT, ROOT_KEY)
    lower, lower_key = authority("lower", upper, upper_key)
    chip, _ = leaf("chip", lower, lower_key, public=KEY)
    assert check(chip, upper, lower)[1] == chip
    assert check(chip, lower, upper, ROOT)[1] == chip


def test_chip_under_an_intermediate_that_is_trusted_itself():
    upper, upper_key = authority("upper", ROOT, ROOT_KEY)
    chip, _ = leaf("chip", upper, upper_key, public=KEY)
    assert check(chip, root=upper)[1] == chip


def broken_paths():
    other, other_key = authority("root")  # the same name, another key
    no_ca, no_ca_key = authority("lower", ROOT, ROOT_KEY, ca=False)
    short, short_key = authority("short", ROOT, ROOT_KEY, path=0)
    under_short, under_short_key = authority("lower", short, short_key)
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    no_sign, no_sign_key = authority("lower", ROOT, ROOT_KEY, key_usage=usage)
    narrow = x509.NameConstraints([x509.DirectoryName(ROOT.subject)], None)
    constrained, constrained_key = authority("lower", ROOT, ROOT_KEY, extra=narrow)
    return {
        "signed by a namesake of the root": ([leaf("chip", other, other_key, public=KEY)[0]], "tpm.ek_untrusted"),
        "under a leaf": ([leaf("chip", no_ca, no_ca_key, public=KEY)[0], no_ca], "tpm.ek_untrusted"),
        "deeper than an authority allows": (
            [leaf("chip", under_short, under_short_key, public=KEY)[0], under_short, short],
            "tpm.ek_untrusted",
        ),
        "under one that may not certify": (
            [leaf("chip", no_sign, no_sign_key, public=KEY)[0], no_sign],
            "tpm.ek_untrusted",
        ),
        "under constraints that are not understood": (
            [leaf("chip", constrained, constrained_key, public=KEY)[0], constrained],
            "tpm.ek_untrusted",
        ),
        "of another key": ([leaf("chip", ROOT, ROOT_KEY)[0]], "tpm.ek_certificate_key"),
        "for a web server": (
            [leaf("chip", ROOT, ROOT_KEY, public=KEY, uses=(x509.ExtendedKeyUsageOID.SERVER_AUTH,))[0]],
            "tpm.ek_certificate",
        ),
        "of an authority": ([leaf("chip", ROOT, ROOT_KEY, public=KEY, ca=True)[0]], "tpm.ek_certificate"),
        "not valid any more": ([leaf("chip", ROOT, ROOT_KEY, public=KEY, days=30)[0]], "tpm.ek_certificate_expired"),
        "not valid yet": (
            [leaf("chip", ROOT, ROOT_KEY, public=KEY, begin=datetime(2027, 1, 1, tzinfo=UTC))[0]],
            "tpm.ek_certificate_expired",
        ),
        "missing": ([], "tpm.ek_unknown"),
    }


@pytest.mark.parametrize("case", list(broken_paths()))
def test_certificate_is_refused(case):
    certificates, code = broken_paths()[case]
    assert code_of(*certificates) == code


def test_a_ring_of_authorities_ends():
    """Two authorities that certify each other lead nowhere, and nowhere is reached."""
    first, first_key = authority("first")
    second, second_key = authority("second", first, first_key)
    crossed = [
        leaf("chip", second, second_key, public=KEY)[0],
        second,
        authority("first", second, second_key)[0],
        first,
    ]
    assert code_of(*crossed) == "tpm.ek_untrusted"


def test_more_certificates_than_lead_anywhere():
    with pytest.raises(LimitExceeded) as refused:
        check(*[ROOT] * (LONGEST_PATH + 1))
    assert refused.value.code == "tpm.too_many_certificates"


@pytest.mark.parametrize("data", [b"", b"\x30\x03\x02\x01\x00", b"\xff" * 100])
def test_bytes_that_are_no_certificate(data):
    with pytest.raises(HostileData) as refused:
        check_ek_certificate(EK, [data], [trusted(ROOT)], NOW)
    assert refused.value.code == "tpm.ek_certificate"


CHIP, _ = leaf("chip", ROOT, ROOT_KEY, public=KEY)


@settings(max_examples=400)
@given(st.data())
def test_changed_certificates_are_followed_or_refused(data):
    made = bytearray(data.draw(st.sampled_from([der(CHIP), bytes.fromhex(MADE["ek_certificate"])])))
    for _ in range(data.draw(st.integers(1, 4))):
        made[data.draw(st.integers(0, len(made) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)  # of what it will refuse to read later on
        try:
            _, found = check_ek_certificate(EK, [bytes(made), der(ROOT)], [trusted(ROOT)], NOW)
        except HostileData:
            return
    # Bytes around what is signed may differ, such as the count of unused bits in the signature's last octet.
    assert found.tbs_certificate_bytes == CHIP.tbs_certificate_bytes, "a changed certificate was taken"


def test_a_certificate_with_a_name_of_a_kind_that_nobody_uses():
    """An x400Address in the certificate: cryptography has an error of its own for it."""
    made = der(leaf("chip", ROOT, ROOT_KEY, public=KEY, uses=(), alias=x509.RFC822Name("nobody@test"))[0])
    assert made.count(b"\x81\x0bnobody@test") == 1
    changed = made.replace(b"\x81\x0bnobody@test", b"\xa3\x0bnobody@test")
    with pytest.raises(HostileData) as refused:
        check_ek_certificate(EK, [changed], [trusted(ROOT)], NOW)
    assert refused.value.code in ("tpm.ek_certificate", "tpm.ek_untrusted")


def test_an_even_number_is_no_rsa_key():
    rsa = parse_public(bytes.fromhex(MADE["ek_rsa"]))
    even = msgspec.structs.replace(rsa, unique=RsaPoint(2048, 65537, b"\x80" + bytes(255)))
    with pytest.raises(HostileData) as refused:
        make_credential(even, b"name", b"secret", seed=b"s" * 32)
    assert refused.value.code == "tpm.malformed"


def test_a_digest_is_taken_as_people_write_it():
    assert ek_digest("AB" * 32) == ek_digest(" sha256:" + "ab" * 32)


def test_a_root_is_read_as_pem_and_as_der():
    assert read_root(der(ROOT)) == read_root(b"\n" + ROOT.public_bytes(Encoding.PEM)) == ROOT
