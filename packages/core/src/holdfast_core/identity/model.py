"""Claims and credentials as values.

1. A secret is never stored: a claim or token is known by the SHA-256 of its text.
2. A credential is known by the SHA-256 of its certificate's DER (its fingerprint), the same thing TLS shows.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.ids import DeviceKey, Scope
from holdfast_core.kernel.instants import Instant

CLAIM_PREFIX = "hfc_"
TOKEN_PREFIX = "hft_"  # noqa: S105  (a prefix that secret scanners can match, no secret)


class Claim(msgspec.Struct, frozen=True):
    """A single-use right to enroll one device; `digest` is of the claim's text, which only its holder has."""

    digest: Digest
    key: DeviceKey
    created_at: Instant
    expires_at: Instant
    used_at: Instant | None = None
    withdrawn_at: Instant | None = None

    def is_open(self, now: Instant) -> bool:
        """Whether it could still be used."""
        return self.used_at is None and self.withdrawn_at is None and now < self.expires_at


class Method(StrEnum):
    """How a device came by a certificate; the record keeps it, for not all ways prove as much."""

    CLAIM = "claim"
    FLEET_CLAIM = "fleet-claim"
    MANUFACTURER = "manufacturer"
    TPM = "tpm"
    APPROVAL = "approval"
    RENEWAL = "renewal"
    GRACE = "grace"


class Revocation(StrEnum):
    """Why a certificate ended, in the words of RFC 5280, section 5.3.1."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION = "cessationOfOperation"
    WITHDRAWN = "privilegeWithdrawn"


class Credential(msgspec.Struct, frozen=True):
    """A certificate that was issued to a device. `spki` is the digest of its public key.

    A renewal gives `successor` to the one and `predecessor` to the other; the predecessor ends when its successor
    first speaks, which `confirmed_at` tells.
    """

    fingerprint: Digest
    key: DeviceKey
    serial: str
    """Lower-case hexadecimal, without leading zeros."""
    spki: Digest
    not_before: Instant
    not_after: Instant
    issuer: Digest
    """SHA-256 of the DER of the issuing certificate."""
    issued_at: Instant
    method: Method = Method.CLAIM
    predecessor: Digest | None = None
    successor: Digest | None = None
    confirmed_at: Instant | None = None
    certificate: bytes = b""
    """Its DER until it is confirmed, so that an answer that was lost can be given again."""
    revoked_at: Instant | None = None
    revoked_why: str = ""
    revoked_code: Revocation = Revocation.UNSPECIFIED


class Permission(StrEnum):
    """What an operator token may do; each includes the ones before it."""

    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


class Token(msgspec.Struct, frozen=True):
    """A program's right to call the operator API."""

    digest: Digest
    name: str
    scope: Scope
    permission: Permission
    created_at: Instant
    expires_at: Instant
    revoked_at: Instant | None = None

    def allows(self, wanted: Permission) -> bool:
        """Whether this token's permission includes `wanted`."""
        order = list(Permission)
        return order.index(self.permission) >= order.index(wanted)
