"""How long a certificate lives, and when it is renewed.

1. A leaf lives 7 to 30 days, as its model says; it is dated back for devices whose clock is slow.
2. A certificate is renewed at a moment of the third quarter of its life that is a hash of its fingerprint: devices
   that were born together spread, and every generation spreads anew.
3. Past its end a certificate may still be used for one thing, to come back, for as long as the model's grace lasts.
"""

from __future__ import annotations

from holdfast_core.identity.model import Credential
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.instants import DAY, Instant

BACKDATE = DAY
"""How far before its issue a certificate begins."""
RENEWAL_FROM = 0.50
RENEWAL_UNTIL = 0.75
_HEX_DIGITS = 12
_STEPS: int = 16**_HEX_DIGITS


def spread(fingerprint: Digest) -> float:
    """A number of 0 to below 1 that only the certificate decides."""
    share: float = int(fingerprint.removeprefix("sha256:")[:_HEX_DIGITS], 16) / _STEPS
    return share


def renewal_due(fingerprint: Digest, issued_at: Instant, not_after: Instant) -> Instant:
    """From when on the certificate is to be renewed: between half and three quarters of its life."""
    share = RENEWAL_FROM + (RENEWAL_UNTIL - RENEWAL_FROM) * spread(fingerprint)
    return Instant(issued_at + int((not_after - issued_at) * share))


def wants_renewal(credential: Credential, now: Instant) -> bool:
    """Whether a credential that is in force should be renewed at `now`."""
    return now >= renewal_due(credential.fingerprint, credential.issued_at, credential.not_after)


def grace_ends(credential: Credential, grace_days: int) -> Instant:
    """Until when an expired credential may still be renewed."""
    return Instant(credential.not_after + grace_days * DAY)
