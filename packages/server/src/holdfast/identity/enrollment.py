"""Enrollment as a device meets it (EST, RFC 7030): who calls, and by which of the ways it gets a certificate.

1. Name and claim: the claim admits. A name without a claim: a person is asked (`approvals`).
2. A certificate of ours: its holder renews it, whichever of the two operations it calls.
3. Any other certificate that TLS verified: one of `ways` knows it (a manufacturer's, a production line's), or nobody.
4. Nothing of these: the caller is told what would admit it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
from cryptography import x509

from holdfast.identity.renewal import RenewalService
from holdfast.identity.service import IdentityService
from holdfast.ports.issuers import IssuerBook
from holdfast.ports.signer import Authority
from holdfast.ports.store import Store
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.digests import Digest, digest_of

MAX_AUTHORITIES = 32
"""Issuers told at once; a device that shows a certificate is told those of its own scope alone."""


class Shown(msgspec.Struct, frozen=True):
    """What a connection proves: the verified chain as DER, leaf first (empty: none), and its ``tls-unique``."""

    chain: tuple[bytes, ...] = ()
    channel: bytes | None = None
    address: str = ""
    """Where it comes from, for people to read; nothing is decided by it."""

    @property
    def fingerprint(self) -> Digest | None:
        """The fingerprint of the certificate that was shown."""
        return digest_of(self.chain[0]) if self.chain else None


class Pending(msgspec.Struct, frozen=True):
    """A request that waits for a person; ask again after `retry_after_s` with the same request."""

    retry_after_s: int


class Way(Protocol):
    """A way to enroll by a certificate that is not ours."""

    def knows(self, shown: Shown) -> bool:
        """Whether this way is about the certificate that was shown."""
        ...

    async def enroll(self, shown: Shown, request_der: bytes) -> x509.Certificate:
        """The device's certificate.

        Raises:
            IdentityRefused: the certificate does not admit the device.
            HostileData: the request is refused.
        """
        ...


class Approvals(Protocol):
    """Enrollment that a person approves."""

    async def ask(self, name: str, request_der: bytes, shown: Shown) -> x509.Certificate | Pending:
        """The certificate, once a person approved this very request; until then that it waits."""
        ...


class EnrollmentService:
    """What stands behind the EST routes."""

    def __init__(
        self,
        *,
        store: Store,
        authority: Authority,
        services: x509.Certificate,
        book: IssuerBook,
        identity: IdentityService,
        renewal: RenewalService,
        ways: Sequence[Way] = (),
        approvals: Approvals | None = None,
    ) -> None:
        self._store = store
        self._authority = authority
        self._services = services
        self._book = book
        self._identity = identity
        self._renewal = renewal
        self._ways = tuple(ways)
        self._approvals = approvals

    def authorities(self, shown: Shown) -> list[x509.Certificate]:
        """The certificates that lead from any of ours to the root (RFC 7030, section 4.1.3)."""
        own = self._store.credential(shown.fingerprint) if shown.fingerprint else None
        found = self._book.trusted(own.key.scope if own else None)
        return [*found[:MAX_AUTHORITIES], self._services, self._authority.root]

    async def enroll(
        self, shown: Shown, name: tuple[str, str] | None, request_der: bytes
    ) -> x509.Certificate | Pending:
        """The device's certificate, or that it must wait.

        Args:
            shown: what the connection proves.
            name: name and claim, where the caller gave them; the claim may be empty.
            request_der: the PKCS#10 request.

        Raises:
            IdentityRefused: ``claim.*``, ``identity.*``, ``device.*``.
            HostileData: ``csr.*``.
        """
        if name is not None and name[1]:
            return (await self._identity.enroll(*name, request_der, channel=shown.channel))[0]
        if shown.chain:
            for way in self._ways:
                if way.knows(shown):
                    return await way.enroll(shown, request_der)
            return await self.renew(shown, request_der)
        if name is not None and name[0] and self._approvals is not None:
            return await self._approvals.ask(name[0], request_der, shown)
        raise IdentityRefused(
            "claim.required",
            "Enrollment needs the device's name and its claim, or a certificate that admits it.",
            remedy="Send HTTP Basic: the device id as user, the claim as password (RFC 7030, section 3.2.3).",
            http_status=401,
        )

    async def renew(self, shown: Shown, request_der: bytes) -> x509.Certificate:
        """The next certificate of whoever holds the one that was shown.

        Raises:
            IdentityRefused: ``identity.*``, ``device.*``.
            HostileData: ``csr.*``.
        """
        if shown.fingerprint is None:
            raise IdentityRefused(
                "identity.certificate_required",
                "Renewing needs the certificate that is to be renewed.",
                remedy="Call with the device's certificate and key; one that has none enrolls with a claim.",
                http_status=401,
            )
        return (await self._renewal.renew(shown.fingerprint, request_der, channel=shown.channel))[0]
