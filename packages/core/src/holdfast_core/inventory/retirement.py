r"""The end of a device's life as a machine: from the order to erase it to what is known of that for ever.

::

    ordered --report--> reported --doubt--> by-hand --confirm--> confirmed
       |  \--fall-short, refuse--> by-hand   |                    ^
       +--lapse--> unverified <----lapse-----+                    |
       +--confirm--> confirmed      +--------------confirm--------+      not-owed

1. `TRANSITIONS` is every move there is. What nobody verified is called unverified, for as long as that is so.
2. While it is ordered the device's credential speaks for this alone; once the device has spoken it lasts `LINGER`
   longer, so that an answer that was lost can be given again.
3. A person's word counts at any time, also long after the deadline; a device's only while it is waited for, and not
   where its identity has two users by the time that it would be certified.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from holdfast_core.inventory.erasure import EraseArgs, ErasureReport, shortfall
from holdfast_core.inventory.lifecycle import Lifecycle, parse_text
from holdfast_core.inventory.model import Eraser, Sanitizing
from holdfast_core.inventory.model import Retirement as Declared
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import DAY, HOUR, Instant
from holdfast_core.kernel.kept import Kept
from holdfast_core.kernel.limits import LIMITS

DEADLINE = 7 * DAY
LONGEST_DEADLINE = 90 * DAY
LINGER = HOUR
"""How long a device that reported may repeat itself before its credential ends."""


class Step(StrEnum):
    """Where an erasure is."""

    ORDERED = "ordered"
    BY_HAND = "by-hand"
    REPORTED = "reported"
    CONFIRMED = "confirmed"
    UNVERIFIED = "unverified"
    NOT_OWED = "not-owed"

    @property
    def is_verified(self) -> bool:
        """Whether the erasure may be certified."""
        return self in (Step.REPORTED, Step.CONFIRMED)


class StepEvent(StrEnum):
    """What moves an erasure on."""

    REPORT = "report"
    FALL_SHORT = "fall-short"
    REFUSE = "refuse"
    DOUBT = "doubt"
    CONFIRM = "confirm"
    LAPSE = "lapse"


TRANSITIONS: Mapping[tuple[Step, StepEvent], Step] = MappingProxyType(
    {
        (Step.ORDERED, StepEvent.REPORT): Step.REPORTED,
        (Step.ORDERED, StepEvent.FALL_SHORT): Step.BY_HAND,
        (Step.ORDERED, StepEvent.REFUSE): Step.BY_HAND,
        (Step.ORDERED, StepEvent.CONFIRM): Step.CONFIRMED,
        (Step.ORDERED, StepEvent.LAPSE): Step.UNVERIFIED,
        (Step.REPORTED, StepEvent.DOUBT): Step.BY_HAND,
        (Step.BY_HAND, StepEvent.CONFIRM): Step.CONFIRMED,
        (Step.BY_HAND, StepEvent.LAPSE): Step.UNVERIFIED,
        (Step.UNVERIFIED, StepEvent.CONFIRM): Step.CONFIRMED,
    }
)
"""Every move there is; what is not listed is refused."""


class Confirmation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person's word that a device was erased."""

    method: Sanitizing
    technique: str
    """What was done, such as ``shredded to 2 mm``."""
    tool: str
    by: str
    """Who did it."""
    at: Instant
    evidence: Digest
    """Of the picture, receipt or report that shows it; it is kept elsewhere."""


class Retirement(Kept, frozen=True):
    """The end of one device's life; `id` is the device's."""

    step: Step
    by: str
    at: Instant
    why: str
    deadline: Instant
    due_at: Instant | None
    """When to look again; `None` when nothing is waited for."""
    wanted: EraseArgs
    media: str = ""
    report: ErasureReport | None = None
    reported_at: Instant | None = None
    shortfall: str = ""
    """Why a person is needed, where the device was asked first."""
    confirmation: Confirmation | None = None
    withdrawn: bool = False
    """Whether every place that gave the device rights has taken them back."""
    certificate: str = ""
    """The signed certificate of sanitization, once there is one."""

    @property
    def key(self) -> DeviceKey:
        """The device."""
        return DeviceKey(self.scope, DeviceId(self.id))

    @property
    def is_owed(self) -> bool:
        """Whether something is still to be done about it by itself."""
        return self.due_at is not None or not self.withdrawn


class Tombstone(Kept, frozen=True):
    """A maker's serial number whose device was retired here; it is known by `tombstone_id`."""

    device: str
    at: Instant


def tombstone_id(model: str, serial: str) -> str:
    """Under which id the serial number of a model (``name@version``; the version does not count) is kept."""
    name = model.partition("@")[0]
    return digest_of(f"{name}\n{serial}".encode())


def begin(
    key: DeviceKey,
    declared: Declared,
    *,
    asked: bool,
    held_data: bool,
    by: str,
    why: str,
    now: Instant,
    lifetime: int = DEADLINE,
) -> Retirement:
    """The retirement of a device at `now`.

    Args:
        key: the device.
        declared: what its model says of erasing it.
        asked: whether the device itself can be asked: it has a credential, and nobody wants it ended at once.
        held_data: whether it was ever in use.
        by: who retires it.
        why: in a sentence.
        now: when.
        lifetime: how long to wait for the erasure, milliseconds.

    Raises:
        HostileData: ``retirement.deadline``.
    """
    if not 0 < lifetime <= LONGEST_DEADLINE:
        raise HostileData(
            "retirement.deadline",
            "An erasure is waited for at most 90 days.",
            remedy="Name fewer days, or end the device's life at once with --now.",
        )
    step = Step.BY_HAND
    if declared.erase is Eraser.NONE or not held_data:
        step = Step.NOT_OWED
    elif declared.erase is Eraser.AGENT and asked:
        step = Step.ORDERED
    deadline = Instant(now + lifetime)
    wanted = EraseArgs(declared.method, declared.paths)
    due_at = None if step is Step.NOT_OWED else deadline
    return Retirement(key.scope, key.device, step, by, now, why, deadline, due_at, wanted, declared.media)


def advance(step: Step, event: StepEvent) -> Step:
    """The step after `event`.

    Raises:
        HostileData: ``retirement.not_allowed`` where `TRANSITIONS` has no such move.
    """
    after = TRANSITIONS.get((step, event))
    if after is None:
        raise HostileData(
            "retirement.not_allowed",
            f"An erasure that is {step.value} cannot {event.value}.",
            remedy="Look at it first: holdfast device show DEVICE.",
            http_status=409,
        )
    return after


def heard(retirement: Retirement, report: ErasureReport, now: Instant) -> Retirement:
    """After the device's report; one that nobody waits for changes nothing."""
    if retirement.step is not Step.ORDERED:
        return retirement
    lacking = shortfall(retirement.wanted, report)
    event = StepEvent.FALL_SHORT if lacking else StepEvent.REPORT
    return msgspec.structs.replace(_spoken(retirement, event, lacking, now), report=report, reported_at=now)


def refused(retirement: Retirement, why: str, now: Instant) -> Retirement:
    """After the device said that it cannot; from then on a person must."""
    if retirement.step is not Step.ORDERED:
        return retirement
    return _spoken(retirement, StepEvent.REFUSE, why, now)


def _spoken(retirement: Retirement, event: StepEvent, lacking: str, now: Instant) -> Retirement:
    step = advance(retirement.step, event)
    due_at = Instant(min(now + LINGER, retirement.deadline))
    return msgspec.structs.replace(retirement, step=step, due_at=due_at, shortfall=lacking)


def confirmed(retirement: Retirement, word: Confirmation) -> Retirement:
    """After a person's word.

    Raises:
        HostileData: ``retirement.not_allowed``, ``retirement.text``; ``retirement.less`` for a method that is less than
            what was ordered.
    """
    for what in ("technique", "tool", "by"):
        if len(parse_text(getattr(word, what), what=what)) > LIMITS.erased_path:
            raise HostileData(
                "retirement.text",
                f"The {what} is too long for a certificate.",
                remedy=f"Use at most {LIMITS.erased_path} characters; the evidence holds the rest.",
            )
    step = advance(retirement.step, StepEvent.CONFIRM)
    if not word.method.reaches(retirement.wanted.method):
        raise HostileData(
            "retirement.less",
            f"To {word.method.value} is less than to {retirement.wanted.method.value}, which its model asks for.",
            remedy="Erase it as its model asks for, and confirm that.",
            http_status=409,
        )
    return msgspec.structs.replace(retirement, step=step, confirmation=word, due_at=None)


def lapsed(retirement: Retirement, lifecycle: Lifecycle, now: Instant) -> Retirement:
    """What a retirement that is due becomes at `now`; the device's credential has ended by then, or ends with this."""
    if retirement.due_at is None or now < retirement.due_at:
        return retirement
    if retirement.step is Step.BY_HAND and lifecycle is Lifecycle.RETIRING and now < retirement.deadline:
        return msgspec.structs.replace(retirement, due_at=retirement.deadline)
    if (retirement.step, StepEvent.LAPSE) in TRANSITIONS:
        step = advance(retirement.step, StepEvent.LAPSE)
        return msgspec.structs.replace(retirement, step=step, due_at=None)
    return msgspec.structs.replace(retirement, due_at=None)


def doubted(retirement: Retirement, why: str) -> Retirement:
    """After it came out that somebody else may have spoken for the device: its report is worth nothing any more."""
    if retirement.step is not Step.REPORTED or retirement.certificate:
        return retirement
    step = advance(retirement.step, StepEvent.DOUBT)
    return msgspec.structs.replace(retirement, step=step, due_at=retirement.deadline, shortfall=why)


def hurried(retirement: Retirement) -> Retirement:
    """After somebody ended the wait: the device is asked no more, and a person has until the deadline."""
    if retirement.step is Step.ORDERED:
        step = advance(retirement.step, StepEvent.REFUSE)
        why = "It was not waited for."
        return msgspec.structs.replace(retirement, step=step, due_at=retirement.deadline, shortfall=why)
    return retirement
