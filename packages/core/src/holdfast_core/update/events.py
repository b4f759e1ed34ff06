"""What happens to an attempt to install, and what there is to do: the events and effects of `machine`.

1. Every effect may be repeated from its beginning, also after a power cut in the middle of it.
2. An effect that takes something outside to be done is answered by one event: the one that says so, or `Failed`.
3. A `Moment` is a boot and the seconds since it began; the wall clock decides nothing here.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast_core.update.agreement import Target
from holdfast_core.wire.confirm import Moment
from holdfast_core.wire.update import Order, UpdateArgs

# Events


class Asked(msgspec.Struct, frozen=True):
    """A release is asked for; `runs` is the one that runs, and is not on trial, and `counter` its release counter."""

    directive: int
    args: UpdateArgs
    runs: str = ""
    counter: int = 0


class CalledOff(msgspec.Struct, frozen=True):
    """The attempt is called off: by the server, or because another release is asked for."""

    code: str
    sentence: str


class Started(msgspec.Struct, frozen=True):
    """The agent started: in which boot, from which slot, and whether that slot is on trial."""

    at: Moment
    slot: str
    trial: bool


class Ticked(msgspec.Struct, frozen=True):
    """There is time to do something."""

    at: Moment


class Accepted(msgspec.Struct, frozen=True):
    """Both repositories agree, and the release is for this device."""

    target: Target


class Held(msgspec.Struct, frozen=True):
    """A guard holds the attempt back."""

    code: str
    sentence: str
    at: Moment


class Free(msgspec.Struct, frozen=True):
    """No guard holds it back."""


class Came(msgspec.Struct, frozen=True):
    """More of the payload is here: bytes that came over the network just now, and the percent that is done."""

    count: int
    percent: int


class Fetched(msgspec.Struct, frozen=True):
    """The payload is here whole, durable, and has the signed digest; `count` bytes came just now."""

    count: int = 0


class Spoiled(msgspec.Struct, frozen=True):
    """What lies here is not the payload; `resumed`: some of it was from before this process."""

    code: str
    sentence: str
    resumed: bool


class Verified(msgspec.Struct, frozen=True):
    """The payload passed its own form's checks."""


class Written(msgspec.Struct, frozen=True):
    """It is in the slot."""

    slot: str


class ReadBackDone(msgspec.Struct, frozen=True):
    """The medium holds in the slot what was to be written."""


class Armed(msgspec.Struct, frozen=True):
    """The next boot tries the release."""


class SelfTested(msgspec.Struct, frozen=True):
    """The device looked at itself; `seq` is the last check-in that was composed before."""

    ok: bool
    sentence: str
    seq: int
    at: Moment


class Answered(msgspec.Struct, frozen=True):
    """The server's word on the attempt of `directive`, in answer to check-in `seq`."""

    directive: int
    order: Order
    seq: int
    code: str = ""
    sentence: str = ""


class Confirmed(msgspec.Struct, frozen=True):
    """The running slot is the lasting one."""


class Reverted(msgspec.Struct, frozen=True):
    """The next boot is the release before."""


class Failed(msgspec.Struct, frozen=True):
    """What was to be done could not be; `passing`: it may succeed later."""

    code: str
    sentence: str
    at: Moment
    passing: bool = False


Event = (
    Asked
    | CalledOff
    | Started
    | Ticked
    | Accepted
    | Held
    | Free
    | Came
    | Fetched
    | Spoiled
    | Verified
    | Written
    | ReadBackDone
    | Armed
    | SelfTested
    | Answered
    | Confirmed
    | Reverted
    | Failed
)


# Effects


class Stage(StrEnum):
    """What a guard looks at."""

    FETCH = "fetch"
    BOOT = "boot"


class Save(msgspec.Struct, frozen=True):
    """Make the journal durable before going on."""


class Report(msgspec.Struct, frozen=True):
    """Let the server hear of it at once, if it can be reached: what comes next waits for it, or is its to know."""


class Resolve(msgspec.Struct, frozen=True):
    """Verify both repositories anew, and decide whether the release is for this device. `Accepted`, `Held`."""


class Look(msgspec.Struct, frozen=True):
    """Ask the guards. `Free`, `Held`."""

    stage: Stage


class Fetch(msgspec.Struct, frozen=True):
    """Fetch some more of the payload. `Came`, `Fetched`, `Spoiled`."""


class Discard(msgspec.Struct, frozen=True):
    """Throw away what was fetched. No event."""


class Verify(msgspec.Struct, frozen=True):
    """Check what was fetched, digest and form. `Verified`, `Spoiled`."""


class Write(msgspec.Struct, frozen=True):
    """Write it to the inactive slot. `Written`."""


class ReadBack(msgspec.Struct, frozen=True):
    """Compare the inactive slot with what was to be written. `ReadBackDone`."""


class Arm(msgspec.Struct, frozen=True):
    """Let the next boot try the inactive slot. `Armed`."""


class Reboot(msgspec.Struct, frozen=True):
    """Begin a new boot. No event but `Failed`: what follows is `Started`."""


class SelfTest(msgspec.Struct, frozen=True):
    """Look whether the device is well. `SelfTested`."""


class Confirm(msgspec.Struct, frozen=True):
    """Make the running slot the lasting one. `Confirmed`."""


class Revert(msgspec.Struct, frozen=True):
    """Make the release before the next boot. `Reverted`."""


Effect = (
    Save
    | Report
    | Resolve
    | Look
    | Fetch
    | Discard
    | Verify
    | Write
    | ReadBack
    | Arm
    | Reboot
    | SelfTest
    | Confirm
    | Revert
)
