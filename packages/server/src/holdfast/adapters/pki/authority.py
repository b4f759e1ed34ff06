"""The authority that certifies devices: an offline-able root, and the intermediate that signs.

1. The root signs only intermediates; once they exist, ``root.key`` may leave the machine (`holdfast doctor` reminds).
2. The intermediate may sign only leaves (path length 0). Times are back-dated for slow clocks.
3. A leaf is for one device, for TLS client use only; nothing of a request is copied but its public key.
4. The server's own certificate for the device port comes from the intermediate too, so that devices pin one root.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from holdfast.adapters.pki.files import read, write_private
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.ids import DeviceId, Scope
from holdfast_core.kernel.instants import Instant, to_datetime

ROOT_DAYS = 365 * 20
INTERMEDIATE_DAYS = 365 * 5
LEAF_DAYS = 365
"""Until renewal exists a leaf must outlive its device's first year; see docs/adr."""
SERVER_DAYS = 397
BACKDATE = timedelta(days=1)


class FileAuthority:
    """Implements `holdfast.ports.signer.Authority` with keys in the data folder.

    Files: ``root.pem``, ``root.key`` (may be taken away), ``intermediate.pem``, ``intermediate.key``,
    ``device-port.pem`` (certificate chain of the device port), ``device-port.key``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.root = x509.load_pem_x509_certificate(read(folder / "root.pem"))
        self.intermediate = x509.load_pem_x509_certificate(read(folder / "intermediate.pem"))
        self._key = _load_key(folder / "intermediate.key")

    @classmethod
    def create(cls, folder: Path, *, organization: str, now: Instant) -> FileAuthority:
        """Make root and intermediate in an empty folder."""
        root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        root_name = _name(f"{organization} Holdfast root")
        root = _ca(root_name, root_key.public_key(), root_name, root_key, days=ROOT_DAYS, path=1, now=now)
        name = _name(f"{organization} Holdfast device authority 1")
        intermediate = _ca(name, key.public_key(), root_name, root_key, days=INTERMEDIATE_DAYS, path=0, now=now)
        write_private(folder / "root.key", _key_pem(root_key))
        write_private(folder / "root.pem", root.public_bytes(serialization.Encoding.PEM))
        write_private(folder / "intermediate.key", _key_pem(key))
        write_private(folder / "intermediate.pem", intermediate.public_bytes(serialization.Encoding.PEM))
        return cls(folder)

    @property
    def root_fingerprint(self) -> Digest:
        """SHA-256 over the root's DER: what a device is told so that it trusts nothing else."""
        return digest_of(self.root.public_bytes(serialization.Encoding.DER))

    def chain(self) -> list[x509.Certificate]:
        """See the port."""
        return [self.intermediate, self.root]

    def issue(
        self, request: x509.CertificateSigningRequest, device: DeviceId, scope: Scope, *, now: Instant
    ) -> x509.Certificate:
        """See the port."""
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, scope.tenant),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, scope.environment),
                x509.NameAttribute(NameOID.COMMON_NAME, device),
            ]
        )
        moment = to_datetime(now)
        builder = _leaf(subject, request.public_key(), self.intermediate, now=now, days=LEAF_DAYS)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(device)]), critical=False)
        return builder.not_valid_before(moment - BACKDATE).sign(self._key, hashes.SHA256())

    def certify_server(self, names: list[str], *, stem: str, now: Instant) -> None:
        """Write ``<stem>.pem`` (with chain) and ``<stem>.key`` for a port of this server reachable under `names`."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _leaf(_name("holdfast"), key.public_key(), self.intermediate, now=now, days=SERVER_DAYS)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        certificate = builder.not_valid_before(to_datetime(now) - BACKDATE).sign(self._key, hashes.SHA256())
        chain = b"".join(c.public_bytes(serialization.Encoding.PEM) for c in (certificate, self.intermediate))
        write_private(self._folder / f"{stem}.key", _key_pem(key))
        write_private(self._folder / f"{stem}.pem", chain)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(read(path), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101  (this class wrote the file)
    return key


def _leaf(
    subject: x509.Name, public: object, issuer: x509.Certificate, *, now: Instant, days: int
) -> x509.CertificateBuilder:
    """What every leaf has; use and names differ."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject)
        .public_key(public)  # type: ignore[arg-type]  # any key that passed identity.rules or was made here
        .serial_number(x509.random_serial_number())
        .not_valid_after(to_datetime(now) + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
    )


def _ca(
    subject: x509.Name,
    public: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    *,
    days: int,
    path: int,
    now: Instant,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(to_datetime(now) - BACKDATE)
        .not_valid_after(to_datetime(now) + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path), critical=True)
        .add_extension(_key_usage(certificate_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _key_usage(*, digital_signature: bool = False, certificate_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificate_sign,
        crl_sign=certificate_sign,
        encipher_only=False,
        decipher_only=False,
    )
