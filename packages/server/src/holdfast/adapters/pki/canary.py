"""Canaries: certificates of no device that are revoked the moment they are made.

1. One is like a device's certificate in everything but its name, so that a relying party has no other reason to
   refuse it than that it is revoked.
2. Its key lives in this process's memory only, and dies with it; a later process makes another canary.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from holdfast.adapters.pki.signing import hash_for, signing_only
from holdfast.ports.validity import CanaryIdentity, Issuer
from holdfast_core.identity.validity import CANARY_LIFE, Addresses
from holdfast_core.kernel.instants import SECOND, Instant, to_datetime

BACKDATE = timedelta(days=1)


class X509CanaryMaker:
    """Implements `holdfast.ports.validity.CanaryMaker`."""

    def make_canary(
        self, issuer: Issuer, name: str, addresses: Callable[[int], Addresses | None], *, now: Instant
    ) -> CanaryIdentity:
        """See the port."""
        serial, key = x509.random_serial_number(), ec.generate_private_key(ec.SECP256R1())
        moment = to_datetime(Instant(now - now % SECOND))
        common = name.partition(".")[0]
        builder = (
            x509.CertificateBuilder()
            .subject_name(
                x509.Name(
                    [
                        x509.NameAttribute(NameOID.ORGANIZATION_NAME, issuer.scope.tenant),
                        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, issuer.scope.environment),
                        x509.NameAttribute(NameOID.COMMON_NAME, common),
                    ]
                )
            )
            .issuer_name(issuer.certificate.subject)
            .public_key(key.public_key())
            .serial_number(serial)
            .not_valid_before(moment - BACKDATE)
            .not_valid_after(moment + timedelta(milliseconds=CANARY_LIFE))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(signing_only(), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.certificate.public_key()),  # type: ignore[arg-type]  # a certificate's key that signs is one of these
                critical=False,
            )
        )
        for extension in validity_extensions(addresses(serial)):
            builder = builder.add_extension(extension, critical=False)
        return CanaryIdentity(builder.sign(issuer.key, hash_for(issuer.key)), issuer.certificate, key)


def validity_extensions(addresses: Addresses | None) -> list[x509.ExtensionType]:
    """What a certificate says of where to ask for its validity: CDP and AIA, or nothing."""
    if addresses is None:
        return []
    uri = x509.UniformResourceIdentifier
    return [
        x509.CRLDistributionPoints([x509.DistributionPoint([uri(addresses.crl)], None, None, None)]),
        x509.AuthorityInformationAccess(
            [
                x509.AccessDescription(AuthorityInformationAccessOID.OCSP, uri(addresses.ocsp)),
                x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, uri(addresses.issuer)),
            ]
        ),
    ]
