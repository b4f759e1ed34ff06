"""The certificate of a production line's claim, and the authority that is made for it alone.

1. The authority's key signs once and is thrown away: nothing else can ever stand under it.
2. No broker and no other relying party trusts that authority; only the ports on which devices enroll do.
"""

from __future__ import annotations

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from holdfast.ports.signer import PublicKey
from holdfast_core.identity.fleet import SUBJECT_PREFIX
from holdfast_core.identity.lifetimes import BACKDATE
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant, to_datetime


class ClaimCertificate(msgspec.Struct, frozen=True):
    """DER of the authority and of the leaf, and the leaf's key as PEM if it was made here."""

    anchor: bytes
    leaf: bytes
    key: bytes


def make(scope: Scope, line: str, public: PublicKey | None, *, now: Instant, until: Instant) -> ClaimCertificate:
    """A claim certificate for the production line `line`, for its own key `public` or else for one made here."""
    authority = ec.generate_private_key(ec.SECP256R1())
    made = None
    if public is None:
        made = ec.generate_private_key(ec.SECP256R1())
        public = made.public_key()
    # TLS finds authorities by their names: this one's is like no other's.
    name = _named(scope, f"claim authority {x509.random_serial_number():x}")
    anchor = _dated(name, name, authority.public_key(), now, until).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    leaf = _dated(_named(scope, f"{SUBJECT_PREFIX}{line}"), name, public, now, until)
    leaf = leaf.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    return ClaimCertificate(
        anchor.sign(authority, hashes.SHA256()).public_bytes(Encoding.DER),
        leaf.sign(authority, hashes.SHA256()).public_bytes(Encoding.DER),
        made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) if made else b"",
    )


def _dated(
    subject: x509.Name, issuer: x509.Name, key: PublicKey, now: Instant, until: Instant
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(to_datetime(Instant(now - BACKDATE)))
        .not_valid_after(to_datetime(until))
    )


def _named(scope: Scope, common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, scope.tenant),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, scope.environment),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )
