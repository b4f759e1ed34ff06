"""Saying what still counts to those who ask elsewhere: who issues, and who signs lists and answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from holdfast.ports.issuers import IssuerBook
from holdfast.ports.signer import Authority
from holdfast_core.identity.validity import Addresses, Ended, ListStamp, Status
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import Reason


@dataclass(frozen=True)
class Issuer:
    """One issuing authority of a scope, as long as certificates of it may be in use.

    Args:
        id: the SHA-256 of its certificate's DER.
        scope: whose devices it certifies.
        certificate: as the root signed it.
        signer: gives the key, which may lie in a chip that is away just now.
        ended_at: since when nothing that it certified is good.
    """

    id: Digest
    scope: Scope
    certificate: x509.Certificate
    signer: Callable[[], CertificateIssuerPrivateKeyTypes]
    ended_at: Instant | None = None

    @property
    def key(self) -> CertificateIssuerPrivateKeyTypes:
        """What signs for it.

        Raises:
            WorldError: ``keystore.*``.
        """
        return self.signer()


class IssuerSource(Protocol):
    """The issuers whose lists and answers are signed here."""

    def issuers(self) -> Sequence[Issuer]:
        """Every issuer of every scope whose certificates may still be in use, also one that signs no new ones."""
        ...

    def look_again(self) -> None:
        """Read anew which there are, and how they stand."""
        ...


class AuthorityIssuers:
    """Implements `IssuerSource` on the authority and the issuers' states; asked for every answer, so it remembers."""

    def __init__(self, authority: Authority, book: IssuerBook) -> None:
        self._authority, self._book = authority, book
        self._known: tuple[Issuer, ...] | None = None

    def issuers(self) -> Sequence[Issuer]:
        """See the port."""
        if self._known is None:
            self._known = self._read()
        return self._known

    def look_again(self) -> None:
        """See the port."""
        self._known = self._read()

    def _read(self) -> tuple[Issuer, ...]:
        return tuple(self._issuer(scope, number) for scope, number in self._authority.issuers())

    def _issuer(self, scope: Scope, number: int) -> Issuer:
        states = self._book.of(scope).states
        ended = (one.since for one in states if one.number == number and not one.standing.is_trusted)
        return Issuer(
            id=self._authority.issuer_fingerprint(scope, number),
            scope=scope,
            certificate=self._authority.issuer(scope, number),
            signer=partial(self._authority.signer, scope, number),
            ended_at=next(ended, None),
        )


class ListMaker(Protocol):
    """Signs certificate revocation lists (RFC 5280, section 5)."""

    def make(self, issuer: Issuer, revocations: Sequence[Ended], made: ListStamp, *, address: str = "") -> bytes:
        """The DER of a list.

        Args:
            issuer: who signs.
            revocations: what it holds, in the order of serial numbers.
            made: its number and times.
            address: where this shard is; empty for the whole list, which then binds itself to no address.
        """
        ...

    def forget(self, issuer: Digest, serials: Sequence[int]) -> None:
        """Let go of what was kept for entries that no list of `issuer` holds any more."""
        ...


class Question(msgspec.Struct, frozen=True):
    """An OCSP request that can be answered: one serial number of one issuer, known by two hashes (RFC 6960, 4.1.1)."""

    serial: int
    algorithm: str
    """The name of the hash: ``sha1`` or ``sha256``."""
    name_hash: bytes
    key_hash: bytes
    nonce: bytes | None


class Responder(Protocol):
    """Answers for issuers (RFC 6960)."""

    def read(self, der: bytes) -> Question:
        """The question in a request.

        Raises:
            LimitExceeded: ``ocsp.too_large``.
            HostileData: ``ocsp.malformed``, ``ocsp.many``, ``ocsp.nonce``, ``ocsp.algorithm``.
        """
        ...

    def is_about(self, question: Question, issuer: Issuer) -> bool:
        """Whether the question is about a certificate of `issuer`."""
        ...

    def answer(self, issuer: Issuer, question: Question, status: Status, now: Instant) -> bytes:
        """The signed answer (DER), good from `now` for `ANSWER_LIFE`."""
        ...

    def malformed(self) -> bytes:
        """The unsigned answer to what is no request."""
        ...

    def unauthorized(self) -> bytes:
        """The unsigned answer to who asks about an issuer that is not ours (RFC 5019, section 2.2.3)."""
        ...


@dataclass(frozen=True)
class CanaryIdentity:
    """A certificate that is revoked, its chain and its key: what is shown to a relying party to see it refused."""

    certificate: x509.Certificate
    issuer: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes


class CanaryMaker(Protocol):
    """Makes canaries."""

    def make_canary(
        self, issuer: Issuer, name: str, addresses: Callable[[int], Addresses | None], *, now: Instant
    ) -> CanaryIdentity:
        """A fresh key and its certificate, like a device's but for its name.

        Args:
            issuer: who signs.
            name: a DNS name that no device can have.
            addresses: what a certificate with a serial number says of where to ask for its validity.
            now: when it is made.
        """
        ...


class RelyingPartyProbe(Protocol):
    """One relying party that can be tried: a broker, a proxy, whatever lets devices in by their certificates."""

    @property
    def party(self) -> str:
        """Its name."""
        ...

    @property
    def scope(self) -> Scope:
        """The environment it serves."""
        ...

    async def look(self, canary: CanaryIdentity, now: Instant) -> tuple[Reason, ...]:
        """Try to get in with `canary`, which is revoked and has been published; what is wrong, empty when all is well.

        A party that cannot be reached lets nobody in and is no finding of this.
        """
        ...


class Fetcher(Protocol):
    """Reads what is published."""

    async def fetch(self, address: str) -> bytes:
        """The bytes at an ``http(s)://`` address or in a file.

        Raises:
            WorldError: ``crl.unreachable``.
            LimitExceeded: ``crl.too_large``.
        """
        ...
