"""Certificates read without a library say what a library says of them, and hostile ones say nothing."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.credentials import CertificateCheck, Certificates, ServerKeys, TrustStore
from holdfast_core.kernel.instants import from_datetime, parse_rfc3339
from holdfast_probe.credentials.certificates import certificate, certificates_in, ssh_key
from holdfast_probe.credentials.der import elements, oid
from holdfast_probe.roots import LiveRoot
from probe_builders import ask, der_ec_key, grow, pem

NOW = parse_rfc3339("2026-11-21T10:00:00Z")
KEYS: dict[str, tuple[Any, str, int]] = {
    "RSA 1024": (rsa.generate_private_key(65537, 1024), "RSA", 1024),
    "RSA 2048": (rsa.generate_private_key(65537, 2048), "RSA", 2048),
    "DSA 1024": (dsa.generate_private_key(1024), "DSA", 1024),
    "P-256": (ec.generate_private_key(ec.SECP256R1()), "EC", 256),
    "P-192": (ec.generate_private_key(ec.SECP192R1()), "EC", 192),
    "P-521": (ec.generate_private_key(ec.SECP521R1()), "EC", 521),
    "Ed25519": (ed25519.Ed25519PrivateKey.generate(), "Ed25519", 256),
    "Ed448": (ed448.Ed448PrivateKey.generate(), "Ed448", 448),
}


def made(
    name: str = "P-256", *, cn: str = "Café ☕", since: int = 2026, until: int = 2036, ca: bool | None = False
) -> bytes:
    key = KEYS[name][0]
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Maker"), x509.NameAttribute(NameOID.COMMON_NAME, cn)]
    )
    builder = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 4711)
        .not_valid_before(datetime(since, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(until, 12, 1, tzinfo=UTC))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    return builder.sign(key, None if name.startswith("Ed") else SHA256()).public_bytes(Encoding.DER)


def in_pem(*ders: bytes) -> str:
    return "".join(pem("CERTIFICATE", der) for der in ders)


@pytest.mark.parametrize("name", KEYS)
def test_it_says_what_a_library_says(name: str) -> None:
    found = certificate(made(name, until=2055, ca=True))
    assert found is not None
    assert (found.key.kind, found.key.bits) == KEYS[name][1:]
    assert found.subject == found.issuer == "O=Maker, CN=Café ☕"
    assert found.not_before == from_datetime(datetime(2026, 1, 1, tzinfo=UTC))
    assert found.not_after == from_datetime(datetime(2055, 12, 1, tzinfo=UTC))
    assert found.authority
    assert not found.md_signed


@pytest.mark.parametrize("ca", [False, None])
def test_who_is_no_authority_does_not_say_so(*, ca: bool | None) -> None:
    found = certificate(made(ca=ca))
    assert found is not None
    assert not found.authority


def test_several_in_one_file_and_one_cut_short() -> None:
    whole = in_pem(made(), made("RSA 2048")).encode()
    assert [one.key.kind for one in certificates_in(b"text\n" + whole)] == ["EC", "RSA"]
    cut = whole.replace(b"-----END CERTIFICATE-----\n", b"", 1)
    assert [one.key.kind for one in certificates_in(cut)] == ["RSA"]


DER = made()


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(DER) - 1), st.integers(0, 255)), max_size=6), st.integers(0, len(DER)))
def test_a_damaged_one_never_raises(changes: list[tuple[int, int]], keep: int) -> None:
    data = bytearray(DER)
    for place, byte in changes:
        data[place] = byte
    for each in (bytes(data), bytes(data[:keep])):
        found = certificate(each)
        assert found is None or found.subject
    assert len(list(certificates_in(in_pem(bytes(data)).encode()))) <= 1


@given(st.binary(max_size=200))
def test_any_bytes_are_elements_or_none(data: bytes) -> None:
    found = elements(data)
    assert found is None or sum(2 + len(content) for _, content in found) <= len(data)
    assert isinstance(oid(data), str)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120))
def test_any_line_is_an_ssh_key_or_none(blob: bytes) -> None:
    for line in (blob, b"ssh-rsa " + base64.b64encode(blob), b"opts ssh-dss " + blob):
        found = ssh_key(line)
        assert found is None or found.kind in ("RSA", "DSA")


def test_small_keys_are_found_and_stores_left_out(tmp_path: Path) -> None:
    weak = in_pem(made("RSA 1024"))
    ssh = KEYS["RSA 1024"][0].public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    grow(tmp_path, {
        "etc/ok.crt": made("P-256"),
        "etc/ssl/certs/old.pem": weak,
        "usr/lib/test/weak.pem": weak,
        "usr/lib/self-test.so": b"\x7fELF" + weak.encode(),
        "etc/notes": "-----BEGIN CERTIFICATE-----\nnot one\n-----END CERTIFICATE-----\n" * 3,
    })  # fmt: skip
    assert ask(tmp_path, Certificates(check=CertificateCheck.KEY_SIZE)).outcome is Outcome.PASS
    grow(tmp_path, {"etc/a.pem": weak, "etc/b.crt": made("P-192"), "root/.ssh/authorized_keys": b'from="*" ' + ssh})
    assert [item.split(" ")[0] for item in ask(tmp_path, Certificates(check=CertificateCheck.KEY_SIZE)).proof] == [
        "/etc/a.pem", "/etc/b.crt", "/root/.ssh/authorized_keys",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("since", "until", "now", "outcome"),
    [
        (2026, 2036, NOW, Outcome.PASS),
        (2020, 2025, NOW, Outcome.FAIL),
        (2020, 2026, NOW, Outcome.FAIL),
        (2027, 2036, NOW, Outcome.UNKNOWN),
        (2026, 2036, None, Outcome.UNKNOWN),
    ],
)
def test_days(tmp_path: Path, since: int, until: int, now: Any, outcome: Outcome) -> None:
    grow(tmp_path, {"etc/device.pem": in_pem(made(since=since, until=until))})
    finding = ask(tmp_path, Certificates(check=CertificateCheck.DATES), now=now)
    assert finding.outcome is outcome, finding


def test_without_a_certificate_nothing_is_asked(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/x": "x" * 100})
    for check in CertificateCheck:
        assert ask(tmp_path, Certificates(check=check), now=NOW).outcome is Outcome.NOT_APPLICABLE


def test_a_trust_store_is_counted_and_its_bad_names_told(tmp_path: Path) -> None:
    store = "etc/ssl/certs/ca-certificates.crt"
    one, two = made(ca=True), made("RSA 2048", ca=True)
    grow(tmp_path, {store: in_pem(one, two, one), "etc/ssl/certs/java/": ("", 0o755)})
    assert ask(tmp_path, TrustStore(maximum=2)).outcome is Outcome.PASS
    assert ask(tmp_path, TrustStore(maximum=1)).proof == ("2 authorities are trusted, wanted at most 1",)
    grow(tmp_path, {store: in_pem(one, made(cn="DigiNotar Root CA"), made("RSA 1024"))})
    finding = ask(tmp_path, TrustStore())
    assert ["DigiNotar" in item or "1024" in item for item in finding.proof] == [True, True]


def test_a_servers_key_is_the_images_or_its_own(tmp_path: Path) -> None:
    key = "etc/ssh/ssh_host_ecdsa_key"
    assert ask(grow(tmp_path, {"etc/x": ""}), ServerKeys()).outcome is Outcome.PASS
    assert ask(LiveRoot(tmp_path), ServerKeys()).outcome is Outcome.NOT_APPLICABLE
    grow(tmp_path, {key: pem("EC PRIVATE KEY", der_ec_key()), "etc/ssl/private/README": "no key\n"})
    assert ask(tmp_path, ServerKeys()).outcome is Outcome.FAIL
    assert ask(LiveRoot(tmp_path), ServerKeys()).outcome is Outcome.UNKNOWN
    grow(tmp_path, {"rom/etc/passwd": "root:x:0:0::/:/bin/sh\n"})
    assert ask(LiveRoot(tmp_path), ServerKeys()).outcome is Outcome.PASS
    grow(tmp_path, {f"rom/{key}": pem("EC PRIVATE KEY", der_ec_key())})
    assert ask(LiveRoot(tmp_path), ServerKeys()).outcome is Outcome.FAIL
