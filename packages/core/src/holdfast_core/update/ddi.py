"""What clients of hawkBit's DDI API say, and what it means for a device's part in a rollout: values and rules.

1. A client's feedback becomes the same `UpdateReport` that an agent sends, and is judged by the same rules: its own
   word moves it to `TRIED` at most, and where its model attests no further.
2. ``closed``/``success`` is often said before the reboot. It counts as a release on trial (`Step.BOOTED`) until the
   client is heard of after it could have restarted: it sends its attributes anew, or polls `RESTART_S` later.
3. A client whose attributes name its release (`RELEASE`) is taken at that word, also against its own ``success``.
4. What a client was told to skip it did not install, whatever it says: SWUpdate reports a skipped action as a success.
5. An action's number belongs to one trial of one device, rises, and fits 31 bits. It is never small: clients that
   served another server remember numbers, and take an action of a known number for done.
6. A client that falls back says ``closed``/``failure`` after it said ``success``.

Source: Eclipse hawkBit, Direct Device Integration API v1; the clients' own sources (SWUpdate, rauc-hawkbit-updater,
Zephyr).
"""

from __future__ import annotations

import msgspec

from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import SECOND, Instant
from holdfast_core.kernel.kept import Kept
from holdfast_core.kernel.printable import printable
from holdfast_core.update.ddi_parsing import (
    ATTRIBUTE_NAME,
    ATTRIBUTE_VALUE,
    ATTRIBUTES,
    bad_attributes,
    percent_of,
    said,
)
from holdfast_core.update.ddi_shapes import ConfigData, Execution, Feedback, Finished, Mode
from holdfast_core.update.model import Assignment, Stage
from holdfast_core.wire.update import Attempt, Running, Step, UpdateReport

RELEASE = "release"
"""The attribute by which a client names the release that it runs: ``VERSION`` or ``MODEL:VERSION``."""
HARDWARE = "hardware"
"""The attribute, and the label of the inventory, that name the board; several are separated by commas."""
RESTART_S = 60
"""How long after ``success`` a poll counts as one after the restart."""
EPOCH = 1_577_836_800
"""2020-01-01: actions are numbered by the seconds since then, which fit 31 bits until 2088."""
_NAMES = 32
_GIVEN_UP = frozenset({Step.FAILED, Step.FELL_BACK, Step.STOPPED})
_STEPS = {
    Execution.DOWNLOAD: Step.FETCHING,
    Execution.DOWNLOADED: Step.FETCHED,
    Execution.SCHEDULED: Step.FETCHING,
    Execution.RESUMED: Step.FETCHING,
    Execution.PROCEEDING: Step.WRITING,
}


class UpdateToken(Kept, frozen=True, kw_only=True):
    """A device's right to ask for its updates, for clients without a certificate; `id` is the digest of its text."""

    device: str
    created_at: Instant
    expires_at: Instant
    by: str
    revoked_at: Instant | None = None
    used_at: Instant | None = None
    """When it was used last, to the hour."""

    def is_good(self, now: Instant) -> bool:
        """Whether it counts at `now`."""
        return self.revoked_at is None and now < self.expires_at


class OldHashes(Kept, frozen=True, kw_only=True):
    """The digests of a payload that old clients compare; `id` is its SHA-256. They protect nothing: signatures do."""

    sha1: str
    md5: str


class DdiClient(Kept, frozen=True, kw_only=True):
    """A device that is updated by a client of this API: what it said, and its current action; `id` is the device's."""

    seen_at: Instant = Instant(0)
    """When it was last heard of, give or take part of its contact interval."""
    action: int = 0
    rollout: str = ""
    trial: int = 0
    attempt: Attempt | None = None
    """How far the action is."""
    succeeded_at: Instant | None = None
    """When it said that the action succeeded."""
    skipped: bool = False
    """Whether it was last told to skip the action."""
    runs: str = ""
    """The release that it is taken to run, where its attributes name none."""
    installed: int = 0
    """The last action that came to a good end."""
    installed_release: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    described_at: Instant | None = None

    def attribute(self, name: str) -> str:
        """The value of an attribute; empty where it has none."""
        return next((value for key, value in self.attributes if key == name), "")

    def is_for(self, assignment: Assignment) -> bool:
        """Whether its action is the current trial of `assignment`."""
        return bool(self.action) and (self.rollout, self.trial) == (assignment.rollout, assignment.trial)


def numbered(client: DdiClient, assignment: Assignment, now: Instant) -> DdiClient:
    """The client with an action for what it is directed to; unchanged where it has that already."""
    if assignment.stage in (Stage.WAITING, Stage.WITHDRAWN) or client.is_for(assignment):
        return client
    action = max(client.action + 1, now // SECOND - EPOCH)
    return msgspec.structs.replace(
        client,
        action=action,
        rollout=assignment.rollout,
        trial=assignment.trial,
        attempt=None,
        succeeded_at=None,
        skipped=False,
    )


def named_release(client: DdiClient, model: str) -> str:
    """The release that its attributes name; empty where they name none."""
    said = client.attribute(RELEASE)
    return said if not said or ":" in said else f"{model}:{said}"


def running_release(client: DdiClient, model: str) -> str:
    """The release that a client says it runs."""
    if named := named_release(client, model):
        return named
    attempt = client.attempt
    if attempt is not None and attempt.step in (Step.BOOTED, Step.CONFIRMED):
        return attempt.release
    return client.runs


def report_of(client: DdiClient, model: str, *, hardware: tuple[str, ...], counter: int, ours: bool) -> UpdateReport:
    """What a client said, as an agent would report it.

    Args:
        client: the client.
        model: its device's model, without the version.
        hardware: the names of its board; none keeps it from being begun with.
        counter: the counter of the release that it runs; 0 where there is no such release.
        ours: whether its action is the current trial of its assignment.
    """
    running = Running("", running_release(client, model)[:127], counter)
    return UpdateReport(running, hardware[:_NAMES], "ddi", attempt=client.attempt if ours else None)


def board(client: DdiClient, label: str) -> tuple[str, ...]:
    """The names of a client's board: what people said of it counts before what it says."""
    names = (name.strip() for name in (label or client.attribute(HARDWARE)).split(",")[:_NAMES])
    return tuple(name for name in names if 0 < len(name) <= ATTRIBUTE_NAME)


def described(client: DdiClient, config: ConfigData, model: str, now: Instant) -> DdiClient:
    """The client after it sent its attributes; it does so when it starts, which makes it a word after the restart.

    Raises:
        HostileData: ``ddi.attributes``: with those it sent before there are too many.
    """
    before = {} if config.mode is Mode.REPLACE else dict(client.attributes)
    for name, value in config.data.items():
        if config.mode is Mode.REMOVE:
            before.pop(name, None)
        else:
            before[name] = printable(value)[:ATTRIBUTE_VALUE]
    if len(before) > ATTRIBUTES:
        raise bad_attributes(f"With those it sent before, there are {len(before)} attributes.")
    after = msgspec.structs.replace(client, attributes=tuple(sorted(before.items())), described_at=now)
    attempt = after.attempt
    if attempt is None or attempt.step in _GIVEN_UP:
        return after
    if named := named_release(after, model):
        return _confirmed(after) if named == attempt.release else _not_there(after, named)
    return _confirmed(after) if attempt.step is Step.BOOTED else after


def polled(client: DdiClient, model: str, now: Instant) -> DdiClient:
    """The client after a poll, which may be the first after its restart (rule 2)."""
    attempt, said = client.attempt, client.succeeded_at
    if attempt is None or said is None or attempt.step is not Step.BOOTED or named_release(client, model):
        return client
    return _confirmed(client) if now - said >= RESTART_S * SECOND else client


def _confirmed(client: DdiClient) -> DdiClient:
    attempt = client.attempt
    if attempt is None or attempt.step is Step.CONFIRMED:
        return client
    return msgspec.structs.replace(
        client,
        attempt=msgspec.structs.replace(attempt, step=Step.CONFIRMED, percent=100, code="", sentence=""),
        runs=attempt.release,
        installed=client.action,
        installed_release=attempt.release,
    )


def _not_there(client: DdiClient, named: str) -> DdiClient:
    """The client after it named another release than the one that it said it had installed."""
    attempt = client.attempt
    if attempt is None or client.succeeded_at is None or attempt.step is Step.CONFIRMED:
        return client
    sentence = f"It says that it installed {attempt.release}, and that it runs {printable(named)[:127]}."
    armed = msgspec.structs.replace(attempt, step=Step.ARMED, percent=100, code="ddi.not_booted", sentence=sentence)
    return msgspec.structs.replace(client, attempt=armed)


def answered(
    client: DdiClient, feedback: Feedback, release: str, model: str, *, called_off: bool, now: Instant
) -> DdiClient:
    """The client after its feedback on its current action.

    Args:
        client: before.
        feedback: what it says.
        release: what it is directed to.
        model: its device's model, without the version.
        called_off: whether its rollout wants it to stop.
        now: the moment.

    Raises:
        HostileData: ``ddi.action_over`` (410).
    """
    status, before = feedback.status, client.attempt or Attempt(client.action, release, Step.WAITING)
    end = _end_of(feedback, before, called_off=called_off)
    if before.step in _GIVEN_UP:
        if end is not None and end.step is before.step:
            return client  # it repeats itself: the answer to its first word was lost
        raise over(client.action)
    if end is not None:
        runs = "" if end.step is Step.FELL_BACK else client.runs
        return msgspec.structs.replace(client, attempt=end, runs=runs)
    if status.execution is Execution.CLOSED:
        return _succeeded(client, before, model, now)
    if client.succeeded_at is not None:
        return client  # a line of its log that came late
    step, percent = _STEPS.get(status.execution, Step.WRITING), percent_of(feedback, before.percent)
    attempt = msgspec.structs.replace(before, step=step, percent=percent, code="", sentence="")
    return msgspec.structs.replace(client, attempt=attempt)


def _succeeded(client: DdiClient, before: Attempt, model: str, now: Instant) -> DdiClient:
    if client.skipped or client.succeeded_at is not None:
        return client
    booted = msgspec.structs.replace(before, step=Step.BOOTED, percent=100, code="", sentence="")
    after = msgspec.structs.replace(client, attempt=booted, succeeded_at=now)
    named = named_release(client, model)
    return _not_there(after, named) if named and named != booted.release else after


def _end_of(feedback: Feedback, before: Attempt, *, called_off: bool) -> Attempt | None:
    """The attempt that a feedback ends without success; `None` where it does not."""
    execution, finished = feedback.status.execution, feedback.status.result.finished
    if execution is Execution.CANCELED and called_off:
        return _ended(before, Step.STOPPED, "ddi.canceled", feedback)
    if execution in (Execution.CANCELED, Execution.REJECTED):
        return _ended(before, Step.FAILED, f"ddi.{execution.value}", feedback)
    if execution is Execution.CLOSED and finished is not Finished.SUCCESS:
        was_there = before.step in (Step.BOOTED, Step.CONFIRMED, Step.ARMED)
        step, code = (Step.FELL_BACK, "ddi.fell_back") if was_there else (Step.FAILED, "ddi.failure")
        return _ended(before, step, code, feedback)
    return None


def _ended(before: Attempt, step: Step, code: str, feedback: Feedback) -> Attempt:
    return msgspec.structs.replace(before, step=step, code=code, sentence=said(feedback))


def stopped(client: DdiClient, feedback: Feedback, release: str) -> DdiClient:
    """The client after its feedback on a cancellation: it stopped, or it goes on.

    Raises:
        HostileData: ``ddi.action_over`` (410).
    """
    before = client.attempt or Attempt(client.action, release, Step.WAITING)
    if before.step is Step.STOPPED:
        return client
    if before.step in _GIVEN_UP:
        raise over(client.action)
    status = feedback.status
    agreed = status.execution is Execution.CLOSED and status.result.finished is not Finished.FAILURE
    if not agreed and status.execution is not Execution.CANCELED:
        return client
    return msgspec.structs.replace(client, attempt=_ended(before, Step.STOPPED, "ddi.canceled", feedback))


def over(action: int) -> HostileData:
    """The refusal of feedback on an action that has ended."""
    return HostileData(
        "ddi.action_over",
        f"Action {action} has ended.",
        remedy="Poll again: there may be another action.",
        http_status=410,
    )
