"""IssuerSource as the authority makes them, for tests of what is signed with them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from builders import START
from holdfast.adapters.pki.signing import hash_for
from holdfast.ports.validity import Issuer
from holdfast_core.identity.model import Credential
from holdfast_core.identity.validity import Addresses
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import DAY, Instant, from_datetime, to_datetime

SCOPE = Scope("acme", "production")


def an_issuer(number=1, *, scope=SCOPE, key=None, now=START, root=None):
    """A self-signed issuer, what a relying party of one environment trusts (its anchor); or the same under a root."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{scope} issuer {number}")])
    public = key.public_key()
    own = x509.DNSName(f".{scope.environment}.{scope.tenant}.holdfast.internal")
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(root.certificate.subject if root else name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(to_datetime(Instant(now - DAY)))
        .not_valid_after(to_datetime(Instant(now + 365 * DAY)))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0 if number else None), critical=True)
        .add_extension(_usage(sign=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    if number:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        builder = builder.add_extension(x509.NameConstraints([own], None), critical=True)
    signing = root.key if root else key
    certificate = builder.sign(signing, hash_for(signing))
    return Issuer(digest_of(certificate.public_bytes(Encoding.DER)), scope, certificate, lambda: key)


def a_leaf(issuer, device="cam-1", *, addresses: Addresses | None = None, serial=0, now=START, days=14):
    """A device's certificate of `issuer`, its key, and the credential that the database would hold."""
    key = ec.generate_private_key(ec.SECP256R1())
    moment = to_datetime(Instant(now - now % 1000))
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(moment - timedelta(days=1))
        .not_valid_after(moment + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.certificate.public_key()), False)  # noqa: FBT003  (the library's own order)
    )
    if addresses is not None:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(addresses.crl)], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    certificate = builder.sign(issuer.key, hash_for(issuer.key))
    return certificate, key, credential_of(certificate, issuer, device)


def credential_of(certificate, issuer, device="cam-1"):
    """The credential of a certificate that `issuer` signed."""
    spki = certificate.public_key().public_bytes(Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Credential(
        fingerprint=digest_of(certificate.public_bytes(Encoding.DER)),
        key=DeviceKey(issuer.scope, DeviceId(device)),
        serial=f"{certificate.serial_number:x}",
        spki=digest_of(spki),
        not_before=from_datetime(certificate.not_valid_before_utc),
        not_after=from_datetime(certificate.not_valid_after_utc),
        issuer=issuer.id,
        issued_at=START,
    )


def pem_file(path: Path, *certificates: x509.Certificate) -> Path:
    """The certificates in a file, for openssl."""
    path.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in certificates))
    return path


class FixedIssuers:
    """Implements `holdfast.ports.validity.IssuerSource` with what it was given; `held` may change."""

    def __init__(self, *held: Issuer) -> None:
        self.held = list(held)

    def issuers(self) -> list[Issuer]:
        return self.held

    def look_again(self) -> None:
        pass


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not sign,
        crl_sign=not sign,
        encipher_only=False,
        decipher_only=False,
    )
