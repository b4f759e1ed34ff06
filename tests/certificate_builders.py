"""Certificates as a test needs them, also wrong ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BEGIN, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2060, 1, 1, tzinfo=UTC)
EK_USE = x509.ObjectIdentifier("2.23.133.8.1")


def _named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def authority(name, issuer=None, signer=None, *, path=None, ca=True, key_usage=None, extra=None):
    """A certificate of an authority, self-signed unless `issuer` and `signer` are given; and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(issuer.subject if issuer is not None else _named(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(END)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path), critical=True)
    )
    for extension in (key_usage, extra):
        if extension is not None:
            builder = builder.add_extension(extension, critical=True)
    return builder.sign(signer or key, hashes.SHA256()), key


def leaf(name, issuer, signer, *, public=None, uses=(EK_USE,), begin=BEGIN, days=None, ca=False, alias=None):
    """A certificate for an endorsement key; and its key, unless `public` is given."""
    key = None if public is not None else ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(issuer.subject)
        .public_key(public if key is None else key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(END if days is None else begin + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if alias is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([alias]), critical=True)
    if uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(uses)), critical=False)
    return builder.sign(signer, hashes.SHA256()), key
