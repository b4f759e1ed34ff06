"""What is signed here has in common: the hash that goes with a key, and what a key may be used for."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

_LARGE_CURVE_BITS = 384


def hash_for(key: CertificateIssuerPrivateKeyTypes) -> hashes.SHA256 | hashes.SHA384 | None:
    """The hash to sign with; `None` for keys that hash by themselves."""
    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size >= _LARGE_CURVE_BITS:
        return hashes.SHA384()
    return hashes.SHA256()


def signing_only() -> x509.KeyUsage:
    """The key usage of a leaf: it signs, and neither certifies nor encrypts."""
    return _key_usage(signs=True)


def certifying_only() -> x509.KeyUsage:
    """The key usage of an authority: it signs certificates and revocation lists, and nothing else."""
    return _key_usage(certifies=True)


def _key_usage(*, signs: bool = False, certifies: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certifies,
        crl_sign=certifies,
        encipher_only=False,
        decipher_only=False,
    )
