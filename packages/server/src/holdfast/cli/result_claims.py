"""What a result (EAR) says of its one device, read out of claims whose signature held."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from holdfast_core.attestation.model import tier_of
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import LATEST, SECOND, Instant


class _Submodule(msgspec.Struct, frozen=True):
    status: int = msgspec.field(name="ear.status")
    vector: dict[str, int] = msgspec.field(name="ear.trustworthiness-vector", default_factory=dict)
    freshness: str = msgspec.field(name="holdfast.freshness", default="")
    reasons: tuple[str, ...] = msgspec.field(name="holdfast.reasons", default=())
    release: str = msgspec.field(name="holdfast.release", default="")


class _Read(msgspec.Struct, frozen=True):
    iat: int
    iss: str
    sub: str
    submods: dict[str, _Submodule]
    exp: int | None = None


class Claims(msgspec.Struct, frozen=True):
    """A result in our own words. `until` is `None` where it counts for nothing at all."""

    device: str
    subject: str
    issuer: str
    tier: str
    freshness: str
    vector: dict[str, int]
    release: str
    reasons: tuple[str, ...]
    made_at: Instant
    until: Instant | None

    def counts(self, now: Instant) -> bool:
        """Whether one may rely on the device at `now`."""
        return self.tier == Tier.AFFIRMING.value and self.until is not None and now < self.until


def read_claims(opened: Mapping[str, Any]) -> Claims:
    """The claims of a result.

    Raises:
        HostileData: ``result.claims`` where it is of no device or of several, or a claim is none.
    """
    try:
        read = msgspec.convert(opened, _Read)
    except msgspec.ValidationError as error:
        raise _unfit(str(error)) from None
    if len(read.submods) != 1:
        raise _unfit(f"it is of {len(read.submods)} devices")
    ((device, said),) = read.submods.items()
    if not all(0 <= second <= LATEST // SECOND for second in (read.iat, read.exp or 0)):
        raise _unfit("a time in it is none")
    return Claims(
        device=device,
        subject=read.sub,
        issuer=read.iss,
        tier=tier_of(said.status).value,
        freshness=said.freshness,
        vector=said.vector,
        release=said.release,
        reasons=said.reasons,
        made_at=Instant(read.iat * SECOND),
        until=None if read.exp is None else Instant(read.exp * SECOND),
    )


def _unfit(why: str) -> HostileData:
    return HostileData(
        "result.claims",
        f"The result is signed, and says nothing that can be read: {why}.",
        remedy="Read it with the Holdfast that made it.",
    )
