"""The authorities of an installation: certificates in files, keys in a key store.

::

    root.pem                               the root; its key may lie elsewhere
    services.pem                           certifies ports and brokers
    issuers/<tenant>/<environment>/<n>.pem         certifies the devices of one scope
    issuers/<tenant>/<environment>/<n>.anchor.pem  the same key, signed by itself
    device-port.pem, operator-port.pem     the ports' own, with their chains

1. Certificates of authorities are made once and never change; how an issuer stands is recorded in the store.
2. An issuer's certificate is written after its key and its anchor: where it is, all three are.
3. Only making an authority needs the root's key. It may be brought for that one act and taken away again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from holdfast.adapters.pki import certificates
from holdfast.adapters.pki.files import read, write_private
from holdfast.adapters.pki.keyfiles import FileKeyStore
from holdfast.ports.keystore import KeyAlgorithm, KeyStore, PrivateKey
from holdfast.ports.signer import PublicKey
from holdfast_core.identity.issuers import FIRST
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.ids import DeviceKey, Scope
from holdfast_core.kernel.instants import Instant

ROOT, SERVICES = "root", "services"
ISSUERS = "issuers"

Extensions = Callable[[Digest, int], Sequence[x509.ExtensionType]]
"""Of the issuer's fingerprint and a serial number: where the certificate's validity can be asked."""


class FileAuthority:
    """Implements `holdfast.ports.signer.Authority`.

    Args:
        folder: where the certificates lie.
        keys: holds the private keys.
        extensions: what else goes into a device's certificate.

    Raises:
        WorldError: ``files.missing``.
    """

    def __init__(self, folder: Path, keys: KeyStore, *, extensions: Extensions | None = None) -> None:
        self._folder, self._keys = folder, keys
        self.extensions = extensions
        self.root = _certificate(folder / "root.pem")
        self.services = _certificate(folder / "services.pem")
        self._issuers: dict[tuple[Scope, int], x509.Certificate] = {}
        self._signers: dict[tuple[Scope, int], PrivateKey] = {}
        self._fingerprints: dict[tuple[Scope, int], Digest] = {}
        self._made: list[tuple[Scope, int]] | None = None
        """Which issuers there are; asked for by callers that nobody knows yet, who must not cost a look at the disk."""

    @classmethod
    def create(
        cls,
        folder: Path,
        keys: KeyStore,
        *,
        organization: str,
        scope: Scope,
        now: Instant,
        algorithm: KeyAlgorithm = KeyAlgorithm.P256,
    ) -> FileAuthority:
        """Make the root, the services' authority and the first issuer of a scope."""
        root_key, key = keys.create(ROOT, algorithm), keys.create(SERVICES, algorithm)
        root = certificates.root(organization, root_key, now=now)
        services = certificates.services(organization, key, root, root_key, now=now)
        write_private(folder / "root.pem", root.public_bytes(Encoding.PEM))
        write_private(folder / "services.pem", services.public_bytes(Encoding.PEM))
        authority = cls(folder, keys)
        authority.add_issuer(scope, FIRST, now=now, algorithm=algorithm)
        return authority

    def add_issuer(
        self,
        scope: Scope,
        number: int,
        *,
        now: Instant,
        algorithm: KeyAlgorithm = KeyAlgorithm.P256,
        root_key: PrivateKey | None = None,
    ) -> x509.Certificate:
        """Make the issuer `number` of a scope; one that is there already is left alone.

        Raises:
            HostileData: ``authority.scope_name``.
            WorldError: ``authority.root_away``, ``keystore.*``, ``files.*``.
        """
        self._made = None  # also one that another process made is known from here on
        if self.has_issuer(scope, number):
            return self.issuer(scope, number)
        signer = root_key or self._root_key()
        if signer.public_key() != self.root.public_key():
            raise WorldError(
                "authority.other_root",
                "The key that was brought is not this root's.",
                remedy="Bring the key that belongs to keys/root.pem.",
            )
        reference, path = _reference(scope, number), self._path(scope, number)
        self._keys.delete(reference)  # of an interrupted run; without its certificate nobody trusts it
        path.with_suffix(".anchor.pem").unlink(missing_ok=True)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = self._keys.create(reference, algorithm)
        certificate = certificates.issuer(scope, number, key, self.root, signer, now=now)
        anchor = certificates.anchor(scope, number, key, now=now)
        write_private(path.with_suffix(".anchor.pem"), anchor.public_bytes(Encoding.PEM))
        write_private(path, certificate.public_bytes(Encoding.PEM))
        self._made = None
        return certificate

    def _root_key(self) -> PrivateKey:
        if not self._keys.holds(ROOT):
            raise WorldError(
                "authority.root_away",
                "The root's key is not on this machine, as it should be, and a new authority needs it once.",
                remedy="Bring it for this one command: holdfast ca rotate --begin --root-key FILE (or ca init).",
            )
        return self._keys.load(ROOT)

    @property
    def root_key_is_here(self) -> bool:
        """See the port."""
        return self._keys.holds(ROOT)

    @property
    def root_fingerprint(self) -> Digest:
        """SHA-256 over the root's DER: what a device is told so that it trusts nothing else."""
        return fingerprint(self.root)

    def has_issuer(self, scope: Scope, number: int) -> bool:
        """See the port."""
        return self._path(scope, number).exists()

    def issuer(self, scope: Scope, number: int) -> x509.Certificate:
        """See the port."""
        key = (scope, number)
        if key not in self._issuers:
            self._issuers[key] = self._read(scope, number, ".pem")
        return self._issuers[key]

    def issuer_fingerprint(self, scope: Scope, number: int) -> Digest:
        """See the port."""
        key = (scope, number)
        if key not in self._fingerprints:
            self._fingerprints[key] = fingerprint(self.issuer(scope, number))
        return self._fingerprints[key]

    def anchor(self, scope: Scope, number: int) -> x509.Certificate:
        """See the port."""
        return self._read(scope, number, ".anchor.pem")

    def signer(self, scope: Scope, number: int) -> PrivateKey:
        """See the port."""
        key = (scope, number)
        if key not in self._signers:
            self._signers[key] = self._keys.load(_reference(scope, number))
        return self._signers[key]

    def issuers(self) -> list[tuple[Scope, int]]:
        """See the port."""
        if self._made is None:
            self._made = self._looked()
        return list(self._made)

    def _looked(self) -> list[tuple[Scope, int]]:
        found: list[tuple[Scope, int]] = []
        for path in sorted((self._folder / ISSUERS).glob("*/*/*.anchor.pem")):
            scope = Scope(path.parent.parent.name, path.parent.name)
            number = int(path.name.removesuffix(".anchor.pem"))
            if self.has_issuer(scope, number):
                found.append((scope, number))
        return sorted(found)

    def issue(
        self, public: PublicKey, key: DeviceKey, number: int, *, now: Instant, not_after: Instant
    ) -> x509.Certificate:
        """See the port."""
        serial = x509.random_serial_number()
        more = self.extensions(self.issuer_fingerprint(key.scope, number), serial) if self.extensions else ()
        return certificates.device(
            public,
            key,
            self.issuer(key.scope, number),
            self.signer(key.scope, number),
            now=now,
            not_after=not_after,
            serial=serial,
            extensions=more,
        )

    def certify_server(self, names: list[str], keys: FileKeyStore, *, stem: str, now: Instant) -> None:
        """Write ``<stem>.pem`` (with chain) and ``<stem>.key`` for a port of this server reachable under `names`.

        `keys` must be a store of files, for the TLS library reads the key from one.
        """
        certificate = self.server_certificate(names, keys.create(stem, KeyAlgorithm.P256).public_key(), now=now)
        chain = b"".join(c.public_bytes(Encoding.PEM) for c in (certificate, self.services))
        write_private(self._folder / f"{stem}.pem", chain)

    def server_certificate(
        self, names: Sequence[str], public: PublicKey, *, now: Instant, client_too: bool = False
    ) -> x509.Certificate:
        """A certificate for a port or broker; its chain is `services`."""
        signer = self._keys.load(SERVICES)
        return certificates.server(names, public, self.services, signer, now=now, client_too=client_too)

    def _read(self, scope: Scope, number: int, suffix: str) -> x509.Certificate:
        path = self._path(scope, number)
        if not path.exists():
            raise WorldError(
                "authority.no_issuer",
                f"There is no issuer {number} for the devices of {scope}.",
                remedy=f"Make it: holdfast ca init --tenant {scope.tenant} --environment {scope.environment}.",
            )
        return _certificate(path.with_suffix(suffix))

    def _path(self, scope: Scope, number: int) -> Path:
        return self._folder.joinpath(*_reference(scope, number).split("/")).with_suffix(".pem")


def fingerprint(certificate: x509.Certificate) -> Digest:
    """SHA-256 over the DER."""
    return digest_of(certificate.public_bytes(Encoding.DER))


def _reference(scope: Scope, number: int) -> str:
    return f"{ISSUERS}/{scope.tenant}/{scope.environment}/{number}"


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(read(path))
    except ValueError as error:
        raise WorldError(
            "files.no_certificate", f"{path} holds no certificate that can be read.", remedy="Restore it from a backup."
        ) from error
