"""What brokers trust, from the authority: anchors, revocation lists, identities of ours, certificates of brokers.

1. A broker of one environment gets that environment's anchors, never the root: another environment's devices fail in
   its TLS already.
2. Every anchor has its list, also an empty one: mosquitto refuses whom it has no list for. The lists are whole, with no
   distribution point in them, and hold every ended certificate until a day after it would have lapsed by itself.
3. An entry is made once and kept: of a list of 100,000 the making of entries is most of the time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from holdfast.ports.broker import Broker, ClientIdentity
from holdfast.ports.issuers import IssuerBook
from holdfast.ports.signer import Authority, PublicKey
from holdfast.ports.store import Store
from holdfast_core.identity.names import certified_name
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import DAY, HOUR, Instant, to_datetime

LIST_LIFE = 7 * DAY
"""Made anew every six hours, so that a server that is away for days still locks nobody out."""
PROBE_LIFE = 2 * DAY
BACKDATE = HOUR
_CLEAR = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class ServiceAuthority(Authority, Protocol):
    """An authority that certifies brokers too."""

    services: x509.Certificate

    def server_certificate(
        self, names: Sequence[str], public: PublicKey, *, now: Instant, client_too: bool = False
    ) -> x509.Certificate:
        """A certificate for a port or broker; its chain is `services`."""
        ...


class AuthorityTrust:
    """Implements `holdfast.ports.broker.BrokerTrust`."""

    def __init__(self, authority: ServiceAuthority, book: IssuerBook, store: Store) -> None:
        self._authority = authority
        self._book = book
        self._store = store
        self._entries: dict[tuple[str, Instant], x509.RevokedCertificate] = {}

    def anchors(self, scope: Scope) -> bytes:
        """See the port."""
        certificates = (self._authority.anchor(scope, number) for number in self._numbers(scope))
        return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)

    def _numbers(self, scope: Scope) -> list[int]:
        return [number for number in self._book.of(scope).trusted if self._authority.has_issuer(scope, number)]

    def revocations(self, scope: Scope, serials: tuple[str, ...], now: Instant) -> tuple[bytes, Instant]:
        """See the port."""
        ended: defaultdict[Digest, list[tuple[str, Instant]]] = defaultdict(list)
        for credential in self._store.credentials():
            if credential.key.scope == scope and credential.revoked_at is not None and credential.not_after > now - DAY:
                ended[credential.issuer].append((credential.serial, credential.revoked_at))
        self._entries = {key: self._entries[key] for found in ended.values() for key in found if key in self._entries}
        lapses = Instant(now + LIST_LIFE)
        lists = []
        for number in self._numbers(scope):
            found = ended[self._authority.issuer_fingerprint(scope, number)]
            entries = [self._entry(*one) for one in found] + [_entry(serial, now) for serial in serials]
            lists.append(self._signed(scope, number, entries, now, lapses))
        return b"".join(lists), lapses

    def _entry(self, serial: str, at: Instant) -> x509.RevokedCertificate:
        key = (serial, at)
        if key not in self._entries:
            self._entries[key] = _entry(serial, at)
        return self._entries[key]

    def _signed(
        self, scope: Scope, number: int, entries: list[x509.RevokedCertificate], now: Instant, lapses: Instant
    ) -> bytes:
        issuer, key = self._authority.issuer(scope, number), self._authority.signer(scope, number)
        builder = x509.CertificateRevocationListBuilder(
            issuer.subject, to_datetime(Instant(now - BACKDATE)), to_datetime(lapses), [], entries
        )
        hashed = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        return builder.sign(key, hashed).public_bytes(Encoding.PEM)

    def probe(self, scope: Scope, number: str, now: Instant) -> ClientIdentity:
        """See the port. No device id begins with an underscore."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = DeviceKey(scope, DeviceId(f"_probe-{number}"))
        active, lapses = self._book.active(scope), Instant(now + PROBE_LIFE)
        certificate = self._authority.issue(key.public_key(), name, active, now=now, not_after=lapses)
        return _identity(name.device, certified_name(name), certificate, key, ())

    def certify(self, broker: Broker, now: Instant) -> ClientIdentity:
        """See the port."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._authority.server_certificate(broker.names, key.public_key(), now=now)
        return _identity(broker.id, broker.names[0], certificate, key, (self._authority.services,))

    def root(self) -> bytes:
        """See the port."""
        return self._authority.root.public_bytes(Encoding.PEM)


def _entry(serial: str, at: Instant) -> x509.RevokedCertificate:
    return x509.RevokedCertificateBuilder(int(serial, 16), to_datetime(at)).build()


def _identity(
    name: str,
    certified: str,
    certificate: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    above: tuple[x509.Certificate, ...],
) -> ClientIdentity:
    chain = b"".join(one.public_bytes(Encoding.PEM) for one in (certificate, *above))
    return ClientIdentity(name, certified, f"{certificate.serial_number:x}", chain, key.private_bytes(*_CLEAR))
