"""What Holdfast's certificates look like (RFC 5280): the authorities', the ports', the devices'.

1. The root signs intermediates only. Under it stand the services' authority, which certifies ports and brokers and no
   device, and one issuer for each tenant and environment, which certifies devices of its own names and nothing else
   (name constraints; client use only).
2. An issuer has an anchor too: the same key and name, signed by itself. Who serves one environment trusts its anchors
   and not the root, so that a certificate of another environment fails in its TLS already.
3. A leaf takes nothing of a request but its public key. Times are dated back for slow clocks.
4. Names in constraints are DNS names and addresses only: Go's verifier, which NATS uses, refuses a certificate with a
   critical constraint of any other kind.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from holdfast.adapters.pki.signing import certifying_only, signing_only
from holdfast.ports.keystore import PrivateKey
from holdfast.ports.signer import PublicKey
from holdfast_core.identity.lifetimes import BACKDATE
from holdfast_core.identity.names import DOMAIN, ISSUER_NAME, certified_name, scope_name
from holdfast_core.identity.requests import subject_of
from holdfast_core.kernel.ids import DeviceKey, Scope
from holdfast_core.kernel.instants import DAY, Instant, to_datetime

ROOT_DAYS = 365 * 20
INTERMEDIATE_DAYS = 365 * 5
SERVER_DAYS = 397
_EVERY_ADDRESS = [
    x509.IPAddress(ipaddress.ip_network("0.0.0.0/0")),
    x509.IPAddress(ipaddress.ip_network("::/0")),
]


def root(organization: str, key: PrivateKey, *, now: Instant) -> x509.Certificate:
    """The root of an installation."""
    name = named(f"{organization} Holdfast root")
    return signed(_authority(name, key.public_key(), name, key, days=ROOT_DAYS, path=1, now=now), key)


def services(
    organization: str, key: PrivateKey, above: x509.Certificate, signer: PrivateKey, *, now: Instant
) -> x509.Certificate:
    """The authority of ports and brokers: it can certify no device's name."""
    name = named(f"{organization} Holdfast services")
    builder = _authority(name, key.public_key(), above.subject, signer, days=INTERMEDIATE_DAYS, path=0, now=now)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    names = x509.NameConstraints(permitted_subtrees=None, excluded_subtrees=[x509.DNSName(DOMAIN)])
    return signed(builder.add_extension(usage, critical=False).add_extension(names, critical=True), signer)


def issuer(
    scope: Scope, number: int, key: PrivateKey, above: x509.Certificate, signer: PrivateKey, *, now: Instant
) -> x509.Certificate:
    """The authority of the devices of one scope."""
    name = _issuer_name(scope, number)
    days = INTERMEDIATE_DAYS
    return signed(
        _confined(_authority(name, key.public_key(), above.subject, signer, days=days, path=0, now=now), scope), signer
    )


def anchor(scope: Scope, number: int, key: PrivateKey, *, now: Instant) -> x509.Certificate:
    """The issuer's own word for itself, for relying parties of this one scope."""
    name = _issuer_name(scope, number)
    return signed(
        _confined(_authority(name, key.public_key(), name, key, days=INTERMEDIATE_DAYS, path=0, now=now), scope), key
    )


def device(
    public: PublicKey,
    key: DeviceKey,
    above: x509.Certificate,
    signer: PrivateKey,
    *,
    now: Instant,
    not_after: Instant,
    serial: int,
    extensions: Sequence[x509.ExtensionType] = (),
) -> x509.Certificate:
    """A device's leaf: its certified name, for TLS client use. `extensions` tell where its validity can be asked."""
    builder = _leaf(subject_of(key), public, above, now=now, not_after=not_after, serial=serial)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    names = x509.SubjectAlternativeName([x509.DNSName(certified_name(key))])
    builder = builder.add_extension(names, critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return signed(builder, signer)


def server(
    names: Sequence[str],
    public: PublicKey,
    above: x509.Certificate,
    signer: PrivateKey,
    *,
    now: Instant,
    client_too: bool = False,
) -> x509.Certificate:
    """The leaf of a port or broker that is reached under `names`; `client_too` for one that also calls others."""
    not_after, serial = Instant(now + SERVER_DAYS * DAY), x509.random_serial_number()
    builder = _leaf(named("holdfast"), public, above, now=now, not_after=not_after, serial=serial)
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if client_too else [])]
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    names_of_it = x509.SubjectAlternativeName([_general(name) for name in names])
    return signed(builder.add_extension(names_of_it, critical=False), signer)


def signed(builder: x509.CertificateBuilder, key: PrivateKey) -> x509.Certificate:
    """The certificate, signed; Ed25519 has its own digest (RFC 8410), the others SHA-256."""
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def named(common: str) -> x509.Name:
    """A name that is a common name and nothing else."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _issuer_name(scope: Scope, number: int) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, scope.tenant),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, scope.environment),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{ISSUER_NAME} {number}"),
        ]
    )


def _confined(builder: x509.CertificateBuilder, scope: Scope) -> x509.CertificateBuilder:
    names = x509.NameConstraints([x509.DNSName(scope_name(scope))], _EVERY_ADDRESS)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.OCSP_SIGNING])
    return builder.add_extension(names, critical=True).add_extension(usage, critical=False)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _leaf(
    subject: x509.Name, public: PublicKey, above: x509.Certificate, *, now: Instant, not_after: Instant, serial: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above.subject)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(to_datetime(Instant(now - BACKDATE)))
        .not_valid_after(to_datetime(not_after))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(signing_only(), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(_public(above)), critical=False)
    )


def _authority(
    subject: x509.Name,
    public: PublicKey,
    above: x509.Name,
    signer: PrivateKey,
    *,
    days: int,
    path: int,
    now: Instant,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(to_datetime(Instant(now - BACKDATE)))
        .not_valid_after(to_datetime(now) + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path), critical=True)
        .add_extension(certifying_only(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )


def _public(certificate: x509.Certificate) -> PublicKey:
    public = certificate.public_key()
    assert isinstance(public, PublicKey)  # noqa: S101  (an authority's own; a key store makes no other kind)
    return public
