"""Retiring and replacing devices: what ends when, what is waited for, and what is said of it in the end."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from builders import ACTOR, DeviceInTest, FakeClock, enrolled, new_plane, plane_on, request_for
from holdfast.inventory.model_file import example_bytes
from holdfast_core.formats.note import parse_verifier_key
from holdfast_core.identity.model import Revocation
from holdfast_core.inventory.erasure import Erased, ErasureReport, Technique
from holdfast_core.inventory.lifecycle import Lifecycle
from holdfast_core.inventory.model import Sanitizing
from holdfast_core.inventory.retirement import DEADLINE, LINGER, Confirmation, Step
from holdfast_core.inventory.rows import Row
from holdfast_core.inventory.sanitization import Verification, read_certificate
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import HOUR
from holdfast_core.record.model import parse_entry
from holdfast_core.wire.frame import DirectiveReport, DirectiveState, Level, Section

pytestmark = pytest.mark.anyio

ERASING = b"\nretirement: {erase: agent, method: clear, paths: [/data/clips], media: 'eMMC, soldered'}\n"
GOOD = ErasureReport((Erased("/data/clips", Technique.DISCARD),))


class Broker:
    """A place that gives rights; it can be away."""

    name = "broker"

    def __init__(self) -> None:
        self.away = False
        self.withdrawn: list[str] = []

    async def withdraw(self, key: DeviceKey) -> None:
        if self.away:
            raise WorldError("broker.away", "The broker is away.", remedy="Wait.")
        self.withdrawn.append(key.device)


async def erasing(plane, name: str = "cam-1", serial: str = "SN-7") -> DeviceInTest:
    """A device in use whose model lets its agent erase it."""
    scope = plane.config.scope
    model = await plane.inventory.add_model(scope, example_bytes("door-camera") + ERASING, actor=ACTOR)
    row = Row(1, DeviceId(name), model.reference, owner="ada", site="north", zone="z1", serial=serial)
    device = await plane.inventory.add_device(scope, row, actor=ACTOR)
    claim, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
    chain = await plane.identity.enroll(name, claim, request_for(name))
    made = DeviceInTest(plane, device, digest_of(chain[0].public_bytes(Encoding.DER)))
    await made.check_in()
    return made


def saying(device: DeviceInTest, report: ErasureReport | None, *reports: DirectiveReport) -> bytes:
    sections = {"erasure": Section(body=msgspec.Raw(msgspec.json.encode(report)))} if report else {}
    return device.message(sections=sections, reports=reports)


def word(**changes) -> Confirmation:
    given = {"method": Sanitizing.CLEAR, "technique": "shredded", "tool": "", "by": "M. Weber", "at": 1}
    return Confirmation(**{**given, "evidence": digest_of(b"receipt"), **changes})


def lifecycle(plane, device: DeviceInTest) -> Lifecycle:
    return plane.store.device(device.key).lifecycle


async def kinds(plane, key: DeviceKey) -> list[str]:
    leaves = await plane.record.history(key, kinds=(), limit=50)
    return [parse_entry(leaf.data).kind.value for leaf in reversed(leaves)]


async def test_a_device_that_can_erase_itself_is_asked_and_waited_for(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await erasing(plane)
        asked = await plane.retirement.retire(device.key, why="scrapped", actor=ACTOR)
        assert (asked.step, lifecycle(plane, device)) == (Step.ORDERED, Lifecycle.RETIRING)
        reply = await device.check_in()
        assert reply.verdict.level is Level.RETIRED
        assert [(d.kind, msgspec.json.decode(d.args)) for d in reply.directives] == [
            ("erase", {"method": "clear", "paths": ["/data/clips"]})
        ]
        await device.send(saying(device, GOOD, DirectiveReport(reply.directives[0].id, DirectiveState.DONE)))
        assert plane.retirement.require(device.key).step is Step.REPORTED
        assert await plane.retirement.sweep() == 0
        clock.forward(LINGER)
        assert await plane.retirement.sweep() == 1
        assert lifecycle(plane, device) is Lifecycle.RETIRED
        (credential,) = plane.store.credentials_of(device.key)
        assert credential.revoked_code is Revocation.CESSATION
        told = (await kinds(plane, device.key))[-6:]
        assert told == [
            "directive.settled", "device.erased", "credential.revoked", "verdict.changed", "device.retired",
            "sanitization.certified",
        ]  # fmt: skip


async def test_the_certificate_verifies_with_the_logs_key_and_stands_in_the_record(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await erasing(plane)
        await plane.retirement.retire(device.key, why="scrapped", actor=ACTOR)
        await device.send(saying(device, GOOD))
        clock.forward(LINGER)
        await plane.retirement.sweep()
        note = plane.retirement.require(device.key).certificate
        said = read_certificate(note, [parse_verifier_key(plane.record.verifier_key())])
        assert (said.device, said.serial, said.why, said.media) == ("cam-1", "SN-7", "scrapped", "eMMC, soldered")
        assert said.verification is Verification.DEVICE_REPORT
        (leaf,) = await plane.record.history(device.key, kinds=["sanitization.certified"], limit=5)
        assert msgspec.json.decode(parse_entry(leaf.data).data)["certificate"] == digest_of(note.encode())


async def test_an_answer_that_was_lost_is_given_again(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await erasing(plane)
        await plane.retirement.retire(device.key, why="scrapped", actor=ACTOR)
        message = saying(device, GOOD)
        assert await device.send(message) == await device.send(message)
        assert plane.store.open_incidents(device.key.scope) == []


async def test_a_retiring_device_gets_no_certificate_and_no_other_order(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await erasing(plane)
        claim, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
        await plane.retirement.retire(device.key, why="scrapped", actor=ACTOR)
        for work in (
            lambda: plane.identity.enroll("cam-1", claim, request_for("cam-1")),
            lambda: plane.renewal.renew(device.fingerprint, request_for("cam-1")),
            lambda: plane.baseline.audit_now(device.key, actor=ACTOR),
            lambda: plane.response.quarantine(device.key, why="odd", actor=ACTOR),
            lambda: plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR),
            lambda: plane.inventory.assign_model(device.key, device.device.model, actor=ACTOR),
            lambda: plane.retirement.retire(device.key, why="again", actor=ACTOR),
        ):
            with pytest.raises(HostileData, match=r"device\.retired|device\.inactive|lifecycle\.not_allowed"):
                await work()
        assert [d.kind for d in (await device.check_in()).directives] == ["erase"]


async def test_what_a_silent_device_holds_is_called_unverified_at_the_deadline(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await erasing(plane)
        await plane.retirement.retire(device.key, why="stolen", actor=ACTOR)
        clock.forward(DEADLINE - 1)
        assert await plane.retirement.sweep() == 0
        clock.forward(1)
        assert await plane.retirement.sweep() == 1
        ended = plane.retirement.require(device.key)
        assert (ended.step, ended.certificate, lifecycle(plane, device)) == (Step.UNVERIFIED, "", Lifecycle.RETIRED)
        assert (await kinds(plane, device.key))[-2:] == ["sanitization.unverified", "incident.opened"]
        assert [incident.cause for incident in plane.store.open_incidents(device.key.scope)] == ["erasure"]
        assert await plane.retirement.sweep() == 0
        late = await plane.retirement.confirm(device.key, word(), actor=ACTOR)
        assert late.step is Step.CONFIRMED
        assert late.certificate
        assert plane.store.open_incidents(device.key.scope) == []


async def test_a_client_that_does_not_know_how_leaves_it_to_a_person(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await erasing(plane)
        await plane.retirement.retire(device.key, why="scrapped", actor=ACTOR)
        reply = await device.check_in()
        refusal = DirectiveReport(reply.directives[0].id, DirectiveState.REFUSED, "directive.unknown")
        await device.send(saying(device, None, refusal))
        waiting = plane.retirement.require(device.key)
        assert waiting.step is Step.BY_HAND
        assert "directive.unknown" in waiting.shortfall
        clock.forward(LINGER)
        await plane.retirement.sweep()
        assert lifecycle(plane, device) is Lifecycle.RETIRED
        assert plane.retirement.require(device.key).step is Step.BY_HAND
        clock.forward(DEADLINE)
        await plane.retirement.sweep()
        assert plane.retirement.require(device.key).step is Step.UNVERIFIED


async def test_a_model_that_is_erased_by_hand_retires_at_once_and_waits_for_a_persons_word(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        asked = await plane.retirement.retire(device.key, why="scrapped", actor=ACTOR)
        assert (asked.step, lifecycle(plane, device)) == (Step.BY_HAND, Lifecycle.RETIRED)
        done = await plane.retirement.confirm(device.key, word(), actor=ACTOR)
        said = read_certificate(done.certificate, [parse_verifier_key(plane.record.verifier_key())])
        assert (said.verification, said.verified_by, said.evidence) == (
            Verification.PERSON,
            "M. Weber",
            digest_of(b"receipt"),
        )


async def test_nobody_has_to_wait(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await erasing(plane)
        await plane.retirement.retire(device.key, why="scrapped", actor=ACTOR)
        hurried = await plane.retirement.retire(device.key, why="stolen", actor=ACTOR, at_once=True)
        assert (hurried.step, lifecycle(plane, device)) == (Step.BY_HAND, Lifecycle.RETIRED)
        other = await erasing(plane, "cam-2", "SN-8")
        at_once = await plane.retirement.retire(other.key, why="stolen", actor=ACTOR, at_once=True)
        assert (at_once.step, lifecycle(plane, other)) == (Step.BY_HAND, Lifecycle.RETIRED)


async def test_a_device_that_never_enrolled_holds_nothing(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await plane.inventory.add_device(plane.config.scope, Row(1, DeviceId("cam-9"), ""), actor=ACTOR)
        ended = await plane.retirement.retire(device.key, why="never came", actor=ACTOR)
        assert (ended.step, ended.due_at) == (Step.NOT_OWED, None)
        with pytest.raises(HostileData, match=r"retirement\.not_allowed"):
            await plane.retirement.confirm(device.key, word(), actor=ACTOR)


async def test_rights_elsewhere_end_at_once_or_as_soon_as_the_place_is_back(tmp_path):
    async with new_plane(tmp_path) as plane:
        broker = Broker()
        plane.retirement._withdrawals = (broker,)
        device, other = await erasing(plane), await erasing(plane, "cam-2", "SN-8")
        await plane.retirement.retire(device.key, why="scrapped", actor=ACTOR)
        assert broker.withdrawn == ["cam-1"]
        broker.away = True
        await plane.retirement.retire(other.key, why="scrapped", actor=ACTOR)
        assert not plane.retirement.require(other.key).withdrawn
        await plane.retirement.sweep()
        broker.away = False
        await plane.retirement.sweep()
        await plane.retirement.sweep()
        assert broker.withdrawn == ["cam-1", "cam-2"]


async def test_what_is_owed_survives_a_restart(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await erasing(plane)
        await plane.retirement.retire(device.key, why="scrapped", actor=ACTOR)
    clock.forward(DEADLINE)
    async with plane_on(tmp_path, clock=clock) as plane:
        assert await plane.retirement.sweep() == 1
        assert plane.retirement.require(device.key).step is Step.UNVERIFIED


async def test_one_retirement_that_cannot_end_does_not_hold_up_the_others(tmp_path, monkeypatch, caplog):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        first, second = await erasing(plane), await erasing(plane, "cam-2", "SN-8")
        for device in (first, second):
            await plane.retirement.retire(device.key, why="scrapped", actor=ACTOR)
        clock.forward(DEADLINE)
        broken = plane.retirement._lapse

        async def lapse(key):
            if key == first.key:
                raise RuntimeError("unforeseen")
            return await broken(key)

        monkeypatch.setattr(plane.retirement, "_lapse", lapse)
        assert await plane.retirement.sweep() == 1
        assert lifecycle(plane, second) is Lifecycle.RETIRED
        assert "cam-1" in caplog.text


# Replacing


async def test_a_role_moves_and_what_proves_an_identity_does_not(tmp_path):
    async with new_plane(tmp_path) as plane:
        old = await erasing(plane)
        new = await plane.replacement.replace(old.key, "cam-2", why="broken lens", actor=ACTOR)
        assert (new.owner, new.site, new.zone, new.model) == ("ada", "north", "z1", old.device.model)
        assert (new.lifecycle, new.serial, new.replaces) == (Lifecycle.EXPECTED, "", "cam-1")
        left = plane.store.device(old.key)
        assert (left.replaced_by, left.lifecycle, left.serial) == ("cam-2", Lifecycle.RETIRING, "SN-7")
        assert plane.store.posture(new.key) is None
        assert plane.store.credentials_of(new.key) == []
        assert "device.replaced" in await kinds(plane, old.key)
        claim, _ = await plane.identity.create_claim(new.key, lifetime=HOUR, actor=ACTOR)
        await plane.identity.enroll("cam-2", claim, request_for("cam-2"))


async def test_a_new_device_keeps_the_model_that_its_own_record_names(tmp_path):
    async with new_plane(tmp_path) as plane:
        old = await erasing(plane)
        model = await plane.inventory.add_model(plane.config.scope, example_bytes("site-gateway"), actor=ACTOR)
        row = Row(1, DeviceId("cam-2"), model.reference, serial="SN-9")
        await plane.inventory.add_device(plane.config.scope, row, actor=ACTOR)
        new = await plane.replacement.replace(old.key, "cam-2", why="a better one", actor=ACTOR)
        assert (new.model, new.serial, new.site) == (model.reference, "SN-9", "north")


async def test_a_device_in_use_takes_over_nothing_and_the_old_one_goes_on(tmp_path):
    async with new_plane(tmp_path) as plane:
        old, used = await erasing(plane), await erasing(plane, "cam-2", "SN-8")
        with pytest.raises(HostileData, match=r"replace\.not_new"):
            await plane.replacement.replace(old.key, "cam-2", why="broken", actor=ACTOR)
        with pytest.raises(HostileData, match=r"replace\.itself"):
            await plane.replacement.replace(old.key, "cam-1", why="broken", actor=ACTOR)
        assert lifecycle(plane, old) is lifecycle(plane, used) is Lifecycle.ACTIVE
        await plane.retirement.retire(old.key, why="scrapped", actor=ACTOR)
        with pytest.raises(HostileData, match=r"device\.retired"):
            await plane.replacement.replace(old.key, "cam-3", why="broken", actor=ACTOR)
