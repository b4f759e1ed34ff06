"""Private keys by name, wherever they lie. Files are one way, a PKCS#11 token another, a cloud's KMS would be a third.

1. What a store hands out signs; whether its bits can be read is the store's business, and nobody else asks for them.
2. It has the interface of `cryptography`'s own keys, so that certificates, revocation lists and OCSP answers are signed
   with it as with any key.
3. A reference is a path of names, ``issuers/acme/production/1``: never a secret, never longer than `LONGEST_REFERENCE`.
4. A key is never overwritten: a reference that is taken stays taken until its key is deleted.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.ids import parse_name

LONGEST_REFERENCE = 255
"""Characters; what a token's label holds for certain."""

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
"""What a key store hands out."""


class KeyAlgorithm(StrEnum):
    """What a key is. Every store makes the first; one that cannot make another says so."""

    P256 = "p256"
    P384 = "p384"
    ED25519 = "ed25519"
    RSA3072 = "rsa3072"


class KeyStore(Protocol):
    """Makes keys and finds them again."""

    def create(self, reference: str, algorithm: KeyAlgorithm) -> PrivateKey:
        """A new key, durable before it is handed out.

        Raises:
            HostileData: ``keystore.reference``.
            WorldError: ``keystore.exists``, ``keystore.algorithm``, ``keystore.*``.
        """
        ...

    def load(self, reference: str) -> PrivateKey:
        """The key of this reference.

        Raises:
            HostileData: ``keystore.reference``.
            WorldError: ``keystore.missing``, ``keystore.passphrase_wrong``, ``keystore.*``.
        """
        ...

    def holds(self, reference: str) -> bool:
        """Whether there is a key of this reference; it may lie elsewhere for a while, as a root's should.

        Raises:
            HostileData: ``keystore.reference``.
            WorldError: ``keystore.*``.
        """
        ...

    def delete(self, reference: str) -> None:
        """Destroy the key, as far as the store can; one that is not there is no error.

        Raises:
            HostileData: ``keystore.reference``.
            WorldError: ``keystore.*``.
        """
        ...


def parse_reference(text: str) -> tuple[str, ...]:
    """The names that a reference is made of.

    Raises:
        HostileData: ``keystore.reference``.
    """
    names = tuple(text.split("/"))
    try:
        if len(text) > LONGEST_REFERENCE:
            raise _no_reference(text)
        return tuple(parse_name(name, what="part of a key's reference") for name in names)
    except HostileData:
        raise _no_reference(text) from None


def _no_reference(text: str) -> HostileData:
    return HostileData(
        "keystore.reference",
        f"{text[:80]!r} cannot name a key.",
        remedy="Write names of a-z, 0-9, '.', '_' and '-', joined by '/'.",
    )


def missing(reference: str, where: str) -> WorldError:
    """The error of a key that is not where it should be."""
    return WorldError(
        "keystore.missing",
        f"There is no key {reference!r} in {where}.",
        remedy="Bring it back from where it was taken to, or restore it from a backup.",
    )


def exists(reference: str, where: str) -> WorldError:
    """The error of a reference that is taken."""
    return WorldError(
        "keystore.exists",
        f"There is a key {reference!r} in {where} already.",
        remedy="Keys are never overwritten: use the one that is there, or move it away first.",
        http_status=409,
    )
