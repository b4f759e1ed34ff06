"""Issuers: the authorities that certify the devices of one tenant and environment, and how one follows another.

::

    (none) --begin--> next --switch--> active --switch of the following--> retiring --end--> distrusted
                        |
                        +--end--> distrusted

1. Of one scope at most one issuer is active and at most one is next: A, then A and B, then B.
2. What the next one certifies is trusted before the first certificate of it exists, so that relying parties have the
   time that a rollover needs; what the retiring one certified stays good until it is ended.
3. Ending an issuer ends what it certified, at once. Its devices come back by renewing within their grace.
4. A scope's first issuer is active without a record of its state.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.kept import Kept

FIRST = 1


class Standing(StrEnum):
    """What an issuer may do."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRING = "retiring"
    DISTRUSTED = "distrusted"

    @property
    def is_trusted(self) -> bool:
        """Whether what it certified is good."""
        return self is not Standing.DISTRUSTED


class Rollover(StrEnum):
    """What moves a rollover on."""

    BEGIN = "begin"
    SWITCH = "switch"
    END = "end"


class IssuerState(Kept, frozen=True, kw_only=True):
    """Where the issuer with the number `id` of a scope stands, and since when."""

    standing: Standing
    since: Instant

    @property
    def number(self) -> int:
        """1 for a scope's first issuer."""
        return int(self.id)


_REMEDIES: Mapping[Rollover, str] = MappingProxyType(
    {
        Rollover.BEGIN: "Finish the rollover that is under way first: holdfast ca rotate --switch, then --end.",
        Rollover.SWITCH: "Begin one first: holdfast ca rotate --begin makes the next issuer.",
        Rollover.END: "Only a retiring issuer or the next one can be ended; the active one certifies your devices.",
    }
)


class Issuers(msgspec.Struct, frozen=True):
    """The issuers of one scope by number."""

    scope: Scope
    states: tuple[IssuerState, ...]

    @classmethod
    def of(cls, scope: Scope, stored: tuple[IssuerState, ...]) -> Issuers:
        """The issuers with these recorded states."""
        first = IssuerState(scope=scope, id=str(FIRST), standing=Standing.ACTIVE, since=Instant(0))
        known = {state.number: state for state in (first, *stored)}
        return cls(scope, tuple(known[number] for number in sorted(known)))

    def standing(self, number: int) -> Standing:
        """Where an issuer stands; one that nobody knows is not trusted."""
        found = (state.standing for state in self.states if state.number == number)
        return next(found, Standing.DISTRUSTED)

    def with_standing(self, standing: Standing) -> IssuerState | None:
        """The issuer that stands there: of active, next and retiring there is one at most."""
        return next((state for state in self.states if state.standing is standing), None)

    @property
    def active(self) -> int:
        """The number of the issuer that certifies now."""
        active = self.with_standing(Standing.ACTIVE)
        assert active is not None  # noqa: S101  (a rollover hands the standing over; nothing takes it away)
        return active.number

    @property
    def trusted(self) -> tuple[int, ...]:
        """The numbers of the issuers whose certificates are good."""
        return tuple(state.number for state in self.states if state.standing.is_trusted)

    def begin(self, now: Instant) -> IssuerState:
        """The next issuer's state.

        Raises:
            HostileData: ``authority.rollover``.
        """
        if self.with_standing(Standing.NEXT) or self.with_standing(Standing.RETIRING):
            raise self._refused(Rollover.BEGIN)
        return self._state(self.states[-1].number + 1, Standing.NEXT, now)

    def switch(self, now: Instant) -> tuple[IssuerState, IssuerState]:
        """The active issuer retiring, and the next one active.

        Raises:
            HostileData: ``authority.rollover``.
        """
        following = self.with_standing(Standing.NEXT)
        if following is None:
            raise self._refused(Rollover.SWITCH)
        retiring = self._state(self.active, Standing.RETIRING, now)
        return retiring, self._state(following.number, Standing.ACTIVE, now)

    def end(self, now: Instant) -> IssuerState:
        """The retiring issuer (or, to give a rollover up, the next one) distrusted.

        Raises:
            HostileData: ``authority.rollover``.
        """
        ending = self.with_standing(Standing.RETIRING) or self.with_standing(Standing.NEXT)
        if ending is None:
            raise self._refused(Rollover.END)
        return self._state(ending.number, Standing.DISTRUSTED, now)

    def _state(self, number: int, standing: Standing, now: Instant) -> IssuerState:
        return IssuerState(scope=self.scope, id=str(number), standing=standing, since=now)

    def _refused(self, step: Rollover) -> HostileData:
        now = ", ".join(f"{state.number} is {state.standing.value}" for state in self.states)
        return HostileData(
            "authority.rollover",
            f"The rollover of {self.scope} cannot {step.value} now: issuer {now}.",
            remedy=_REMEDIES[step],
            http_status=409,
        )
