"""The device's sense of time for updates: floors, the server's signed word, and the two clocks it has.

1. The rules are the core's (`update.time`); here is what they are fed with.
2. Each repository has a floor of its own, bound to its timestamp keys. The higher one counts.
3. A signed time counts from when it was asked for, not from when it came: whoever delays the answer cannot make the
   device believe that it is earlier. It counts only if it came within `ANSWER_MS`.
4. It lives in memory only. A device that booted, or an agent that started, asks anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import MINUTE, Instant, parse_rfc3339
from holdfast_core.update.time import Floor, Sense, Signed, sense
from holdfast_core.wire.update_metadata import LARGEST_TIME, TIME_TYPE, Time

if TYPE_CHECKING:
    from holdfast_core.formats.dsse import VerifyingKey

BUILT = parse_rfc3339("2026-11-01T00:00:00Z")
"""No device that runs this code lives before it; raised with every release."""
ANSWER_MS = 10 * MINUTE
"""How long after its nonce a signed time may come."""

Wall = Callable[[], Instant]
Uptime = Callable[[], int]
"""Milliseconds since boot, suspend included."""


class Question(msgspec.Struct, frozen=True):
    """A nonce that was sent, and the uptime then (milliseconds)."""

    nonce: str
    up: int


class Timepiece:
    """What time it is for updates.

    Args:
        built: when the agent was built.
        wall: the device's clock, right or wrong.
        up: its uptime.
        floors: what it remembers, by repository.
    """

    def __init__(self, built: Instant, wall: Wall, up: Uptime, floors: Mapping[str, Floor]) -> None:
        self._built = built
        self._wall = wall
        self._up = up
        self.floors = dict(floors)
        self._signed: Signed | None = None

    def ask(self, nonce: str) -> Question:
        """The question that `nonce` is of, asked now."""
        return Question(nonce, self._up())

    def follow(self, repository: str, keys: str) -> None:
        """A root of `repository` names these timestamp keys: the floor that others made is dropped."""
        if self.floors.get(repository, Floor()).key != keys:
            self.floors[repository] = Floor(Instant(0), keys)

    def reach(self, repository: str, issued: Instant, keys: str) -> None:
        """Verified metadata of `repository` was issued then. Raises HostileData ``update.time_impossible``."""
        floor = self.floors.get(repository, Floor())
        self.floors[repository] = floor.raised(issued, keys, built=self._built)

    def hear(self, envelope: bytes, keys: Mapping[str, VerifyingKey], device: str, asked: Question | None) -> None:
        """Take the server's word for the time, signed over the nonce that was asked with.

        Raises:
            HostileData: ``update.time_malformed``, ``update.time_signature``, ``update.time_replayed``,
                ``update.time_other_device``, ``update.time_late``.
        """
        said = _opened(envelope, keys)
        if asked is None or said.nonce != asked.nonce:
            raise _refused("replayed", "The signed time is the answer to another question.")
        if said.device != device:
            raise _refused("other_device", f"The signed time is for {said.device!r}, and this is {device}.")
        if not 0 <= self._up() - asked.up <= ANSWER_MS:
            raise _refused("late", "The signed time came long after it was asked for.")
        self._signed = Signed(said.now, asked.up)

    def aside(self, repository: str, floor: Floor) -> Timepiece:
        """A sense of time that knows all that this one does and one floor more, which this one is not to hear of."""
        other = Timepiece(self._built, self._wall, self._up, {**self.floors, repository: floor})
        other._signed = self._signed
        return other

    def sense(self) -> Sense:
        """What time it is, and whose word that is."""
        highest = max(self.floors.values(), key=lambda floor: floor.issued, default=Floor())
        return sense(self._wall(), self._up(), built=self._built, floor=highest, signed=self._signed)


def _opened(envelope: bytes, keys: Mapping[str, VerifyingKey]) -> Time:
    from holdfast_core.formats.dsse import open_envelope  # noqa: PLC0415  (imports cryptography; only for a signed time)

    if len(envelope) > LARGEST_TIME:
        raise _refused("malformed", f"The signed time has {len(envelope)} bytes.")
    try:
        payload = open_envelope(envelope, TIME_TYPE, keys).payload
        return msgspec.json.decode(payload, type=Time)
    except HostileData as error:
        name = "signature" if error.code == "dsse.signature" else "malformed"
        raise _refused(name, f"The signed time was refused: {error.sentence}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise _refused("malformed", f"The signed time is not what it should be: {error}.") from None


def _refused(name: str, sentence: str) -> HostileData:
    return HostileData(
        f"update.time_{name}",
        sentence,
        remedy="Let the device ask again; if it lasts, somebody stands between the device and its server.",
    )
