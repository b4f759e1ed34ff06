"""Which certificates still count, said in the forms that others check: CRLs (RFC 5280) and OCSP answers (RFC 6960).

1. The database is the one truth. A list or an answer is an export of it, and can be made again at any time.
2. A serial number that an issuer never gave is unknown, never good. One that was revoked stays so whatever the clock
   says: a clock that was set back must not bring a certificate back.
3. Every serial number belongs to one shard of its issuer for ever: how many shards there are is fixed at the issuer's
   birth. The whole list, for brokers, is the union of the shards.
4. All lists of an issuer take their numbers from one that only rises. It rises past the time in seconds too, so that a
   database restored from a backup does not number lists lower than what relying parties hold already.
5. A revoked certificate stays listed until it has long expired, for clocks of relying parties are slow (RFC 5280,
   section 3.3 asks for one list beyond expiry).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import Enum

import msgspec

from holdfast_core.identity.model import Credential, Revocation
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import DAY, MINUTE, SECOND, Instant
from holdfast_core.kernel.kept import Kept

SHARDS = 64
"""How many shards a new issuer gets: with 100,000 certificates, all of them revoked, a shard has about 80 KB."""
SERIAL_BYTES = 20
"""RFC 5280, section 4.1.2.2."""
LIST_LIFE = 3 * DAY
"""From a list's making until its `next_update`, after which relying parties refuse everybody: a long weekend without
the authority must not stop a site."""
LIST_REFRESH = LIST_LIFE // 6
"""A list nobody changed is made anew when it is so old: most of a list's life is left when making it fails."""
LIST_BACKDATE = 5 * MINUTE
"""How far a broker's clock may be behind ours before a new list is of the future to it, and it refuses everybody."""
KEPT_PAST_EXPIRY = 7 * DAY
ANSWER_LIFE = 5 * MINUTE
"""How long a good answer can be replayed after the revocation."""
CANARY = "_canary"
"""What canaries are called where devices have their id; no device id begins so."""
CANARY_LIFE = 14 * DAY
ISSUER_CHARACTERS = 16
"""How much of an issuer's digest names it in addresses: certificates carry these, and radios carry certificates."""


class Unrevoked(Enum):
    """The status of a serial number that is not revoked."""

    GOOD = "good"
    UNKNOWN = "unknown"


class Ended(msgspec.Struct, frozen=True):
    """The end of one certificate; what a list says of it. `not_after` is the certificate's own."""

    serial: int
    at: Instant
    reason: Revocation
    not_after: Instant

    def __post_init__(self) -> None:
        """Refuse what no certificate can have as a serial number."""
        check_serial(self.serial)


Status = Unrevoked | Ended
"""What there is to say of a serial number."""


class ListStamp(msgspec.Struct, frozen=True):
    """One list as it was made: its number, and the times between which relying parties take it."""

    number: int
    this_update: Instant
    next_update: Instant


class IssuerLists(Kept, frozen=True, omit_defaults=True):
    """What of an issuer's lists must outlive a restart; `id` is the issuer's digest."""

    shards: int = SHARDS
    number: int = 0
    """The last one given, committed before the list that has it is signed."""


class Canary(Kept, frozen=True, omit_defaults=True, kw_only=True):
    """A certificate of no device that was revoked the moment it was made; `id` is its serial number (hexadecimal).

    It is shown to relying parties: one that takes it would take every revoked certificate.
    """

    issuer: Digest
    fingerprint: Digest
    not_after: Instant
    revoked_at: Instant


class Addresses(msgspec.Struct, frozen=True):
    """Where a certificate's validity can be asked for: what its extensions hold (RFC 5280, 4.2.1.13 and 4.2.2.1)."""

    crl: str
    ocsp: str
    issuer: str


def revocation_of(credential: Credential) -> Ended | None:
    """What a list says of a credential; `None` while it is in force."""
    if credential.revoked_at is None:
        return None
    return Ended(int(credential.serial, 16), credential.revoked_at, credential.revoked_code, credential.not_after)


def ended_with_issuer(credential: Credential, at: Instant) -> Ended:
    """What is said of a credential that ended because its issuer did."""
    return Ended(int(credential.serial, 16), at, Revocation.CESSATION, credential.not_after)


def revocation_of_canary(canary: Canary) -> Ended:
    """What a list says of a canary."""
    return Ended(int(canary.id, 16), canary.revoked_at, Revocation.CESSATION, canary.not_after)


def canary_name(scope: Scope) -> str:
    """The DNS name of a scope's canaries, within what its issuers may certify."""
    return f"{CANARY}.{scope.environment}.{scope.tenant}.holdfast.internal"


def status_of(credential: Credential | None, issuer: Digest) -> Status:
    """The status of the serial number under which `credential` was found, asked of `issuer`.

    A good one that expired stays good: whoever asks has the certificate and reads its end there.
    """
    if credential is None or credential.issuer != issuer:
        return Unrevoked.UNKNOWN
    return revocation_of(credential) or Unrevoked.GOOD


def check_serial(serial: int) -> int:
    """Return `serial` if a certificate can have it.

    Raises:
        ValueError: it is not positive, or longer than 20 octets.
    """
    if not 0 < serial < 1 << (8 * SERIAL_BYTES):
        raise ValueError("a serial number is positive and has at most 20 octets")
    return serial


def shard_of(serial: int, shards: int) -> int:
    """Which of `shards` shards a serial number belongs to, from 0. Hashed: other issuers' numbers may not be random."""
    data = hashlib.sha256(serial.to_bytes(SERIAL_BYTES, "big")).digest()
    return int.from_bytes(data[:8], "big") % shards


def next_number(last: int, now: Instant) -> int:
    """The number of the next list after `last`; 0 where there was none."""
    return max(last + 1, now // SECOND)


def stamp(number: int, now: Instant) -> ListStamp:
    """The stamp of a list made at `now`; X.509 knows whole seconds only."""
    second = now - now % SECOND
    return ListStamp(number, Instant(second - LIST_BACKDATE), Instant(second + LIST_LIFE))


def is_due(made: ListStamp | None, now: Instant, *, changed: bool) -> bool:
    """Whether a list has to be made: there is none, it says too little, its time has come, or it is of the future."""
    if made is None or changed:
        return True
    return not made.this_update <= now < made.this_update + LIST_BACKDATE + LIST_REFRESH


def listed(revocations: Iterable[Ended], now: Instant) -> list[Ended]:
    """What a list made at `now` holds, in the order of serial numbers: all that ended and is not long expired."""
    return sorted((one for one in revocations if is_listed(one, now)), key=lambda one: one.serial)


def is_listed(revocation: Ended, now: Instant) -> bool:
    """Whether a list made at `now` still holds it."""
    return now < revocation.not_after + KEPT_PAST_EXPIRY


def issuer_name(issuer: Digest) -> str:
    """The part of an issuer's digest by which addresses name it."""
    return issuer.removeprefix("sha256:")[:ISSUER_CHARACTERS]


def shard_address(base_url: str, issuer: Digest, shard: int) -> str:
    """Where one shard of an issuer's list is; the same text stands in the certificates and in the list itself."""
    return f"{base_url.rstrip('/')}/crl/{issuer_name(issuer)}/{shard}.crl"


def whole_address(base_url: str, issuer: Digest) -> str:
    """Where the whole list of an issuer is."""
    return f"{base_url.rstrip('/')}/crl/{issuer_name(issuer)}/all.crl"


def addresses(base_url: str, issuer: Digest, serial: int, shards: int) -> Addresses:
    """What a certificate with this serial number says of where to ask.

    Args:
        base_url: where the validation port answers, ``http://host[:port]``; plain HTTP, for what is served is signed
            and a TLS connection would have to ask for its own validity first (RFC 5280, section 8).
        issuer: the issuer's digest.
        serial: the certificate's serial number.
        shards: how many shards the issuer has.
    """
    name, base = issuer_name(issuer), base_url.rstrip("/")
    return Addresses(
        crl=shard_address(base, issuer, shard_of(serial, shards)),
        ocsp=f"{base}/ocsp/{name}",
        issuer=f"{base}/issuers/{name}.cer",
    )
