"""Keys that sign. A file with a key is one; PKCS#11 and a cloud KMS are others."""

from __future__ import annotations

from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from holdfast.ports.keystore import KeyAlgorithm, PrivateKey
from holdfast_core.formats.note import VerifierKey
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.ids import DeviceKey, Scope
from holdfast_core.kernel.instants import Instant

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
"""What a device may have certified."""


class LogSigner(Protocol):
    """Signs checkpoints (Ed25519). `origin` names the log for its whole life; `key` is the public half."""

    @property
    def origin(self) -> str:
        """The log's name."""
        ...

    @property
    def key(self) -> VerifierKey:
        """The public key."""
        ...

    def sign(self, data: bytes) -> bytes:
        """The 64-byte signature."""
        ...


class Authority(Protocol):
    """Certifies devices. An issuer is known by its scope and its number; how it stands is the store's to say."""

    @property
    def root(self) -> x509.Certificate:
        """The root that devices pin."""
        ...

    def has_issuer(self, scope: Scope, number: int) -> bool:
        """Whether this issuer was made."""
        ...

    def issuers(self) -> list[tuple[Scope, int]]:
        """Every issuer that was made."""
        ...

    def issuer(self, scope: Scope, number: int) -> x509.Certificate:
        """The issuer's certificate, signed by the root.

        Raises:
            WorldError: ``authority.no_issuer``.
        """
        ...

    def issuer_fingerprint(self, scope: Scope, number: int) -> Digest:
        """SHA-256 over the issuer's DER, by which credentials name it."""
        ...

    def anchor(self, scope: Scope, number: int) -> x509.Certificate:
        """The issuer's certificate signed by itself, for relying parties that serve this scope alone."""
        ...

    def signer(self, scope: Scope, number: int) -> PrivateKey:
        """The issuer's key, to sign revocation lists and answers with."""
        ...

    def issue(
        self, public: PublicKey, key: DeviceKey, number: int, *, now: Instant, not_after: Instant
    ) -> x509.Certificate:
        """A leaf for the device `key`, of the issuer `number` of its scope."""
        ...

    @property
    def services(self) -> x509.Certificate:
        """The authority of ports and brokers."""
        ...

    @property
    def root_key_is_here(self) -> bool:
        """Whether the root's key lies where the other keys do, as it should not for long."""
        ...

    def add_issuer(
        self, scope: Scope, number: int, *, now: Instant, algorithm: KeyAlgorithm = KeyAlgorithm.P256
    ) -> x509.Certificate:
        """Make an issuer; one that is there already is left alone.

        Raises:
            WorldError: ``authority.root_away``.
        """
        ...
