"""Devices with a client of hawkBit's DDI API in the same rollouts as all others.

1. What a client says is heard by the same `Desk` as an agent's check-in, under the device's lock, in one commit.
2. A device is updated in one way: one whose agent reports its own updates is refused here.
3. A device that is on hold is offered nothing, and is not begun with.
4. Who is called off is told so (`Standing.called_off`), and is offered nothing; others of a halted rollout are offered
   nothing either.
5. A model's maintenance window says when a client may begin. One that has begun goes on: clients report a download
   that the server interrupts as a failure.
6. A poll that changes nothing writes nothing, but for the time of the last contact, once in a contact interval.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from holdfast.ports.clock import Clock
from holdfast.ports.lookup import require_living
from holdfast.ports.store import Change, Store, StoredModel
from holdfast.update.desk import Desk, Heard, Word
from holdfast.update.ledger import Ledger
from holdfast.update.proof import proof_of
from holdfast_core.attestation.model import Method
from holdfast_core.attestation.policy import policy_of
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey, parse_device_id
from holdfast_core.kernel.instants import SECOND, Instant
from holdfast_core.supply.model import Release
from holdfast_core.trust.posture import Posture
from holdfast_core.trust.rules import MISSED_CONTACTS
from holdfast_core.update.assignment import Proof
from holdfast_core.update.ddi import (
    HARDWARE,
    DdiClient,
    answered,
    board,
    described,
    numbered,
    over,
    polled,
    report_of,
    running_release,
    stopped,
)
from holdfast_core.update.ddi_parsing import parse_config, parse_feedback
from holdfast_core.update.ddi_standing import Standing, asks, is_called_off, is_directed, is_offered, waiting
from holdfast_core.update.model import Assignment, Rollout
from holdfast_core.wire.update import SECTION, Step

CALLS_PER_CONTACT = 256
"""Of one client within its model's contact interval: an installation takes some dozens, most of them lines of a log."""
Pace = Callable[[DeviceKey, int, Instant], None]
"""Refuses a device that calls too often: the device, its contact interval in milliseconds, now."""


class _Case(msgspec.Struct, frozen=True):
    """A device that calls, as it stood before."""

    device: Device
    model: StoredModel
    posture: Posture | None
    client: DdiClient
    now: Instant

    @property
    def name(self) -> str:
        """Its model's name."""
        return self.model.model.name


class DdiService:
    """What clients of the DDI API ask for and say.

    Args:
        store: what the server holds.
        clock: its time.
        ledger: where every device is.
        desk: takes devices' words.
        pace: bounds how often a device may call.
    """

    def __init__(self, *, store: Store, clock: Clock, ledger: Ledger, desk: Desk, pace: Pace) -> None:
        self._store = store
        self._clock = clock
        self._ledger = ledger
        self._desk = desk
        self._pace = pace
        for client in store.all_kept(DdiClient):
            key = DeviceKey(client.scope, parse_device_id(client.id))
            ledger.heard(key, Instant(max(client.seen_at, ledger.last_seen(key) or 0)))

    async def poll(self, key: DeviceKey) -> Standing:
        """Where a device stands; a poll is what begins with it.

        Raises:
            HostileData: ``device.unknown`` (404), ``device.retired`` (409), ``ddi.no_model`` (409),
                ``ddi.agent`` (409).
            LimitExceeded: too many calls (429).
        """
        async with self._store.exclusive(key):
            case = self._case(key)
            return await self._take(case, polled(case.client, case.name, case.now))

    async def describe(self, key: DeviceKey, body: bytes) -> Standing:
        """Take a client's attributes. Raises as `poll`, and ``ddi.*`` as `parse_config`."""
        config = parse_config(body)
        async with self._store.exclusive(key):
            case = self._case(key)
            return await self._take(case, described(case.client, config, case.name, case.now))

    async def deployment(self, key: DeviceKey, action: int) -> Standing:
        """What an action is about, and whether to go on with it; remembers where the client is told to skip it.

        Raises:
            HostileData: as `poll`, ``ddi.unknown_action`` (404), ``ddi.action_over`` (410).
        """
        async with self._store.exclusive(key):
            case = self._case(key)
            standing = await self._take(case, case.client)
            self._expect(standing, action)
            if standing.called_off or not is_directed(standing):
                raise over(action)
            skip = not standing.offered
            if skip != standing.client.skipped:
                told = msgspec.structs.replace(standing.client, skipped=skip)
                await self._store.commit([told])
                standing = msgspec.structs.replace(standing, client=told)
            return standing

    async def feedback(self, key: DeviceKey, action: int, body: bytes) -> Standing:
        """Take a client's word on its action.

        Raises:
            HostileData: as `poll`, ``ddi.malformed``, ``ddi.unknown_action`` (404), ``ddi.action_over`` (410).
        """
        feedback = parse_feedback(body)
        async with self._store.exclusive(key):
            case = self._case(key)
            standing = self._standing(case, case.client)
            release = self._expect(standing, action)
            after = answered(case.client, feedback, release.id, case.name, called_off=standing.called_off, now=case.now)
            return await self._take(case, after)

    async def cancellation(self, key: DeviceKey, action: int) -> Standing:
        """That an action is called off. Raises as `poll`, and ``ddi.unknown_action`` (404)."""
        async with self._store.exclusive(key):
            case = self._case(key)
            standing = await self._take(case, case.client)
            self._expect(standing, action)
            if not standing.called_off:
                raise _unknown(action)
            return standing

    async def cancel_feedback(self, key: DeviceKey, action: int, body: bytes) -> Standing:
        """Take a client's word on a cancellation. Raises as `feedback`."""
        feedback = parse_feedback(body)
        async with self._store.exclusive(key):
            case = self._case(key)
            standing = self._standing(case, case.client)
            release = self._expect(standing, action)
            attempt = case.client.attempt
            if not standing.called_off and (attempt is None or attempt.step is not Step.STOPPED):
                raise _unknown(action)
            return await self._take(case, stopped(case.client, feedback, release.id))

    def installed(self, key: DeviceKey, action: int) -> Release:
        """The release that the last good action was about.

        Raises:
            HostileData: ``ddi.unknown_action`` (404).
        """
        client = self._store.kept(DdiClient, key.scope, key.device)
        release = self._store.kept(Release, key.scope, client.installed_release) if client is not None else None
        if client is None or release is None or client.installed != action:
            raise _unknown(action)
        return release

    def module(self, key: DeviceKey, number: int) -> Release:
        """The release of a software module's number (its counter), if the device is directed to it or runs it.

        Raises:
            HostileData: ``ddi.unknown_module`` (404).
        """
        client = self._store.kept(DdiClient, key.scope, key.device)
        assignment = self._store.kept(Assignment, key.scope, key.device)
        names = [client.installed_release] if client is not None else []
        if assignment is not None and assignment.stage.is_exposed:
            names.append(assignment.release)
        for name in names:
            release = self._store.kept(Release, key.scope, name)
            if release is not None and release.offer is not None and release.offer.counter == number:
                return release
        raise HostileData(
            "ddi.unknown_module",
            f"This device is directed to no software module {number}.",
            remedy="Take the link from deploymentBase, and poll again when it is refused.",
            http_status=404,
        )

    def _case(self, key: DeviceKey) -> _Case:
        now = self._clock.now()
        device = require_living(self._store, key)
        model = self._store.model(key.scope, device.model)
        if model is None:
            raise HostileData(
                "ddi.no_model",
                f"Nobody said of which model {key.device} is.",
                remedy="Say so: holdfast device model DEVICE NAME@VERSION.",
                http_status=409,
            )
        interval = model.model.constraints.contact_interval_s * SECOND
        self._pace(key, interval, now)
        posture = self._store.posture(key)
        section = posture.sections.get(SECTION) if posture is not None else None
        if section is not None and now - section.gathered_at < MISSED_CONTACTS * interval:
            raise HostileData(
                "ddi.agent",
                f"The agent of {key.device} updates it; two hands would write to one slot.",
                remedy="Run the agent without an installer, or stop this client.",
                http_status=409,
            )
        client = self._store.kept(DdiClient, key.scope, key.device) or DdiClient(key.scope, key.device)
        return _Case(device, model, posture, client, now)

    async def _take(self, case: _Case, client: DdiClient) -> Standing:
        """Hear the client, and make durable what follows."""
        standing = self._standing(case, client)
        held = waiting(standing)
        client, heard = self._hear(case, held)
        interval = case.model.model.constraints.contact_interval_s * SECOND
        if case.now - case.client.seen_at >= interval or client != case.client:
            client = msgspec.structs.replace(client, seen_at=case.now)
        changes: list[Change] = list(heard.changes)
        if client != case.client:
            changes.append(client)
        if changes:
            await self._store.commit(changes)
        self._ledger.heard(case.device.key, case.now)
        return self._standing(case, client)

    def _hear(self, case: _Case, client: DdiClient) -> tuple[DdiClient, Heard]:
        key, model = case.device.key, case.model.model
        before = self._store.kept(Assignment, key.scope, key.device)
        ours = before is not None and client.is_for(before)
        runs = self._store.kept(Release, key.scope, running_release(client, case.name))
        counter = runs.offer.counter if runs is not None and runs.offer is not None else 0
        is_held = case.posture is not None and case.posture.hold is not None
        hardware = () if is_held else board(client, dict(case.device.labels).get(HARDWARE, ""))
        report = report_of(client, case.name, hardware=hardware, counter=counter, ours=ours)
        if case.posture is not None:
            proof = proof_of(model, case.posture, case.now)
        else:
            proof = Proof(policy_of(model).method is not Method.NONE)
        word = Word(report, proof, client.action if ours else 0)
        heard = self._desk.hear(case.device, case.model, word, case.now)
        return (numbered(client, heard.assignment, case.now) if heard.assignment is not None else client), heard

    def _standing(self, case: _Case, client: DdiClient) -> Standing:
        """Where the client stands by what is durable."""
        key = case.device.key
        assignment = self._store.kept(Assignment, key.scope, key.device)
        rollout = self._store.kept(Rollout, key.scope, assignment.rollout) if assignment is not None else None
        release = self._store.kept(Release, key.scope, assignment.release) if assignment is not None else None
        standing = Standing(
            client=client,
            model=case.model.model,
            labels=case.device.labels,
            now=case.now,
            held=case.posture is not None and case.posture.hold is not None,
            assignment=assignment,
            rollout=rollout,
            release=release,
        )
        offered, called_off = is_offered(standing), is_called_off(standing)
        standing = msgspec.structs.replace(standing, offered=offered, called_off=called_off)
        return msgspec.structs.replace(standing, asks=asks(standing))

    def _expect(self, standing: Standing, action: int) -> Release:
        """The release of the device's current action, if that is `action`."""
        current = standing.is_open and action == standing.client.action
        if current and standing.release is not None:
            return standing.release
        raise over(action) if 0 < action <= standing.client.action else _unknown(action)


def _unknown(action: int) -> HostileData:
    return HostileData(
        "ddi.unknown_action",
        f"There is no action {action} for this device.",
        remedy="Poll again, and take the links from the answer.",
        http_status=404,
    )
