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


class Credential(msgspec.Struct, frozen=True):
    """A certificate that was issued to a device. `spki` is the digest of its public key."""

    fingerprint: Digest
    key: DeviceKey
    serial: str
    spki: Digest
    not_before: Instant
    not_after: Instant
    revoked_at: Instant | None = None
    revoked_why: str = ""


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
