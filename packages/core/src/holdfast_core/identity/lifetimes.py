"""How long a certificate lives, and when it is renewed.

1. A leaf lives 7 to 30 days, as its model says, or up to a quarter less; it is dated back for devices whose clock is
   slow.
2. A certificate is renewed between half and three quarters of its life. How long that is and when it is due follow
   from one lot, a hash of its key and its birth: devices that were born together spread, and every generation anew.
3. The lot stretches life and share together, so that due moments fall evenly over 3/8 of the model's life. With equal
   lives they would fall into 1/4 of it, and a fleet that was born together would renew 2.5 times as often as on the
   mean (0.625 lives a renewal, all within 0.25); so it is 1.5 times (0.5625 within 0.375).
4. Whatever the lot, at least a quarter of the model's life is left when a certificate is due.
5. Past its end a certificate may still be used for one thing, to come back, for as long as the model's grace lasts.
"""

from __future__ import annotations

import hashlib

from holdfast_core.identity.model import Credential
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.instants import DAY, SECOND, Instant

BACKDATE = DAY
"""How far before its issue a certificate begins."""
LOTS: int = 1 << 48
"""How many lots there are; whole numbers, so that both sides of a disagreement compute the same."""


def lot_of(spki: Digest, issued_at: Instant) -> int:
    """A number from 0 to below `LOTS` that only the key and the moment of its certificate decide."""
    second = issued_at // SECOND
    return int.from_bytes(hashlib.sha256(f"{spki}\n{second}".encode()).digest()[:6], "big")


def ends_at(spki: Digest, issued_at: Instant, leaf_days: int) -> Instant:
    """When a certificate that is issued now ends, to the second: three quarters of the model's days, to all of them."""
    life = leaf_days * DAY * (3 * LOTS + lot_of(spki, issued_at)) // (4 * LOTS)
    end = issued_at + life
    return Instant(end - end % SECOND)


def renewal_due(spki: Digest, issued_at: Instant, not_after: Instant) -> Instant:
    """From when on the certificate is to be renewed: between half and three quarters of its life.

    Of a life of ``(3 + lot) / 4`` model's lives, ``(3 + 3 lot) / 8`` are over then: 1/2 for the lot 0, up to 3/4.
    """
    lot = lot_of(spki, issued_at)
    return Instant(issued_at + (not_after - issued_at) * 3 * (LOTS + lot) // (2 * (3 * LOTS + lot)))


def wants_renewal(credential: Credential, now: Instant) -> bool:
    """Whether a credential that is in force should be renewed at `now`."""
    return now >= renewal_due(credential.spki, credential.issued_at, credential.not_after)


def grace_ends(credential: Credential, grace_days: int) -> Instant:
    """Until when an expired credential may still be renewed."""
    return Instant(credential.not_after + grace_days * DAY)
