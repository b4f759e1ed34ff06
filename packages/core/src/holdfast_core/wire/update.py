"""Updates as they travel: section ``update`` of a check-in, its answer, and the directive ``update``.

1. The section says what the device runs, what its slots hold and how far the attempt under way has come. It is small
   and travels whole whenever it changed.
2. The directive says which release the device should run. The device takes it only where both repositories, verified
   under TUF, say the same: the directive alone installs nothing.
3. A device that booted a release on trial confirms it once the answer says so (`Order.CONFIRM`), and falls back where
   it says `REVERT`, or where no answer came in time.
4. Times are seconds of the device's own uptime or durations, never its wall clock.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from holdfast_core.kernel.digests import Digest
from holdfast_core.wire.frame import DigestText, Text, Whole

SECTION = "update"
DIRECTIVE = "update"
SLOTS = 8
Short = Annotated[str, msgspec.Meta(max_length=127)]


class Step(StrEnum):
    """How far an attempt has come. `CONFIRMED`, `FAILED`, `FELL_BACK` and `STOPPED` are ends."""

    WAITING = "waiting"
    """Not yet begun: a guard holds it back (`Attempt.code` says which)."""
    FETCHING = "fetching"
    FETCHED = "fetched"
    """The payload is here whole, and is what both repositories say."""
    WRITING = "writing"
    WRITTEN = "written"
    """The inactive slot was read back and holds the release."""
    ARMED = "armed"
    """The next boot tries the release."""
    BOOTED = "booted"
    """It runs on trial, and the self-test passed."""
    CONFIRMED = "confirmed"
    FAILED = "failed"
    """Given up before it booted: the slot that runs was never touched."""
    FELL_BACK = "fell-back"
    """It was tried, and the device runs the release before again."""
    STOPPED = "stopped"
    """Called off by the server before it booted."""

    @property
    def is_end(self) -> bool:
        """Whether nothing follows."""
        return self in _ENDS


_ENDS = frozenset({Step.CONFIRMED, Step.FAILED, Step.FELL_BACK, Step.STOPPED})


class Running(msgspec.Struct, frozen=True, omit_defaults=True):
    """What runs: the slot, the release in it as the device knows it, and its counter; 0 where it knows none."""

    slot: Short
    release: Short = ""
    counter: Whole = 0


class Slot(msgspec.Struct, frozen=True, omit_defaults=True):
    """One slot: its name, the release that was last written whole, and whether it may be booted."""

    name: Short
    release: Short = ""
    counter: Whole = 0
    good: bool = False


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt to run a release; the current one, or the last.

    `directive` is the number of the directive that asked for it, 0 for a bundle that a person carried to the device.
    """

    directive: Whole
    release: Short
    step: Step
    counter: Whole = 0
    percent: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    """Of the step that takes long: fetching or writing."""
    code: Text = ""
    sentence: Text = ""
    slot: Short = ""
    """The slot that it writes to."""
    fetched: Whole = 0
    """Bytes that came over the network for it, all tries together."""


class Power(msgspec.Struct, frozen=True, omit_defaults=True):
    """The energy there is: `percent` of a battery, or `None` without one; whether it runs from the mains."""

    mains: bool = True
    percent: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None


class UpdateReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of section ``update``."""

    running: Running
    hardware: Annotated[tuple[Short, ...], msgspec.Meta(max_length=32)]
    """The names of this board."""
    installer: Short
    """What writes its slots: ``file``, ``rauc``, ``swupdate``, ``mcuboot``."""
    floor: Whole = 0
    """The highest release counter that it confirmed; it takes nothing below."""
    slots: Annotated[tuple[Slot, ...], msgspec.Meta(max_length=SLOTS)] = ()
    attempt: Attempt | None = None
    power: Power | None = None
    director: Whole = 0
    """Version of the newest director timestamp that it verified; 0 before the first."""
    frozen: bool = False
    """Whether the newest verified metadata has expired by the device's own sense of time."""


class Window(msgspec.Struct, frozen=True):
    """A span of the day, minutes since midnight in the device's local time; it may pass midnight."""

    start: Annotated[int, msgspec.Meta(ge=0, lt=1_440)]
    end: Annotated[int, msgspec.Meta(ge=0, lt=1_440)]


class UpdateArgs(msgspec.Struct, frozen=True, omit_defaults=True):
    """Arguments of the directive ``update``: which release to run, and under what guards.

    `stop` calls an attempt off that has not booted; one that is on trial hears `Order.REVERT`. `trial` counts the
    attempts that were asked for, so that a repeated one is another directive.
    """

    release: Short
    path: Annotated[str, msgspec.Meta(max_length=300)] = ""
    """The target's path in both repositories."""
    digest: DigestText = Digest("sha256:" + "0" * 64)
    """SHA-256 of the payload; what counts is what the repositories say."""
    trial: Whole = 1
    stop: bool = False
    window: Window | None = None
    battery: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    """Percent that a battery must have, without mains."""
    kbit_s: Whole = 0
    """The most that its download may take of the line; 0: no bound."""
    confirm_s: Whole = 900
    """How long a release may run on trial without being confirmed."""


class Order(StrEnum):
    """What a device should make of the release that it runs on trial."""

    WAIT = "wait"
    CONFIRM = "confirm"
    REVERT = "revert"


class UpdateAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of section ``update``: about the attempt of `directive`."""

    directive: Whole = 0
    order: Order = Order.WAIT
    code: Text = ""
    sentence: Text = ""
    director: Whole = 0
    """Version of the newest director timestamp for this device: a higher one is worth fetching."""
