"""Where a client of the DDI API stands: what it is offered, whether it is called off, when it should poll again.

1. A deployment is offered to who is directed, has not said that it succeeded, and may begin now or has begun.
2. The window is the device's model's, by the device's local time: UTC, shifted by the label ``utc-offset`` where the
   inventory has one. A client that waits for it is woken when it opens.
3. Attributes are asked for once, and again while it is to be seen whether a release is there to stay; never beside a
   deployment, for SWUpdate sends them first and installs nothing as long as they are asked for.
"""

from __future__ import annotations

import re

import msgspec

from holdfast_core.inventory.lifecycle import Labels
from holdfast_core.inventory.model import DeviceModel
from holdfast_core.kernel.instants import SECOND, Instant
from holdfast_core.supply.model import Nature, Release
from holdfast_core.update.assignment import INSTALLS
from holdfast_core.update.ddi import RELEASE, DdiClient
from holdfast_core.update.ddi_shapes import Handling
from holdfast_core.update.model import Assignment, Rollout, RolloutState, Stage
from holdfast_core.update.windows import second_of_day, until_open, window_of
from holdfast_core.wire.schedule import next_contact
from holdfast_core.wire.update import Attempt, Step

OFFSET = "utc-offset"
"""The label of the inventory that says how far local time is from UTC: ``+02:00``."""
SPREAD_S = 120
"""Devices that wait for one window come within some two minutes of its opening."""
WINDOW_CLOSED = "update.window"
_OFFSET = re.compile(r"([+-])(0[0-9]|1[0-4]):([0-5][0-9])", re.ASCII)
_OFFERED = frozenset({Stage.DIRECTED, Stage.INSTALLING})
_WATCHED = frozenset({Stage.INSTALLING, Stage.TRIED, Stage.SOAKING})
_SAID = frozenset({Step.ARMED, Step.BOOTED, Step.CONFIRMED})
_STOPPED = (RolloutState.HALTED, RolloutState.ABORTED)


class Standing(msgspec.Struct, frozen=True):
    """A client, what it is directed to, and what follows."""

    client: DdiClient
    model: DeviceModel
    labels: Labels
    now: Instant
    held: bool
    """Whether the device is on hold."""
    assignment: Assignment | None
    rollout: Rollout | None
    release: Release | None
    offered: bool = False
    called_off: bool = False
    asks: bool = False
    """Whether its attributes are asked for."""

    @property
    def is_open(self) -> bool:
        """Whether its action is the current trial of what it is assigned to."""
        return self.assignment is not None and self.client.is_for(self.assignment)

    @property
    def handling(self) -> Handling:
        """What it should do with its deployment."""
        if not self.offered:
            return Handling.SKIP
        offer = self.release.offer if self.release is not None else None
        return Handling.FORCED if offer is not None and offer.nature is Nature.SECURITY else Handling.ATTEMPT

    @property
    def sleep_s(self) -> int:
        """Seconds until it should poll again."""
        interval, device = self.model.constraints.contact_interval_s, self.client.id
        turn = 2 + self.now // (interval * SECOND)  # the first one of a device that calls rarely may come at once
        usual = next_contact(interval, device, turn)
        left = window_opens_in(self)
        if left and is_directed(self):
            return min(usual, left + next_contact(SPREAD_S, device, turn))
        return usual


def offset_of(labels: Labels) -> int:
    """Minutes east of UTC, by the label `OFFSET`; 0 where there is none, or none that can be read."""
    found = _OFFSET.fullmatch(dict(labels).get(OFFSET, ""))
    if found is None:
        return 0
    minutes = 60 * int(found[2]) + int(found[3])
    return minutes if found[1] == "+" else -minutes


def window_opens_in(standing: Standing) -> int:
    """Seconds until the device may be disturbed; 0 where it may be now."""
    window = window_of(standing.model.constraints.maintenance_window)
    return until_open(window, second_of_day(standing.now, offset_of(standing.labels)))


def is_directed(standing: Standing) -> bool:
    """Whether it has a deployment that it has not said to have installed."""
    assignment = standing.assignment
    if assignment is None or assignment.stage not in _OFFERED or standing.client.succeeded_at is not None:
        return False
    attempt = standing.client.attempt
    return standing.is_open and (attempt is None or not attempt.step.is_end)


def _is_stopped(standing: Standing) -> bool:
    return standing.rollout is None or standing.rollout.state in _STOPPED


def is_called_off(standing: Standing) -> bool:
    """Whether it should stop what it was directed to."""
    return is_directed(standing) and _is_stopped(standing)


def is_offered(standing: Standing) -> bool:
    """Whether it is offered a deployment now."""
    if not is_directed(standing) or _is_stopped(standing) or standing.held or standing.release is None:
        return False
    attempt = standing.client.attempt
    has_begun = attempt is not None and attempt.step in INSTALLS
    return has_begun or not window_opens_in(standing)


def asks(standing: Standing) -> bool:
    """Whether its attributes are asked for."""
    client, assignment = standing.client, standing.assignment
    if client.described_at is None:
        return True
    if standing.offered or standing.called_off or assignment is None or not standing.is_open:
        return False
    said = client.attempt is not None and client.attempt.step in _SAID and assignment.stage in _WATCHED
    since = client.succeeded_at or Instant(0)
    return said and (bool(client.attribute(RELEASE)) or client.described_at < since)


def waiting(standing: Standing) -> DdiClient:
    """The client, with what holds it back: the window, or nothing any more."""
    client, release = standing.client, standing.release
    if not is_directed(standing) or _is_stopped(standing) or release is None:
        return client
    if client.attempt is not None and client.attempt.step is not Step.WAITING:
        return client
    attempt = Attempt(client.action, release.id, Step.WAITING)
    if window_opens_in(standing):
        sentence = f"Its maintenance window {standing.model.constraints.maintenance_window} is closed."
        attempt = msgspec.structs.replace(attempt, code=WINDOW_CLOSED, sentence=sentence)
    return msgspec.structs.replace(client, attempt=attempt)
