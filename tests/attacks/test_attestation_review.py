"""Attacks on attestation across check-ins: nonces taken twice, logs under false digests, lists under false labels."""

from __future__ import annotations

import asyncio
import hashlib

import msgspec
import pytest

from attest_builders import NONCE, NOW, SoftTpm, a_ground, booted, code_of, facts, judged, statement
from attesting_builders import Builder, added, an_attester, log_body, stated
from builders import new_plane
from holdfast.attestation.appraiser import log_in
from holdfast.ports.attested import state_of
from holdfast_core.attestation.model import DeviceState
from holdfast_core.attestation.quote import Nonce, registers_of
from holdfast_core.attestation.reference import FileValue
from holdfast_core.attestation.rules import appraise
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import MINUTE, Instant
from holdfast_core.wire.attestation import BOOT_LOG, SECTION, Claims, Component, ImaSlice, Tamper, Unable, pack
from holdfast_core.wire.frame import Level, Section
from ima_builders import Made, binary, many

pytestmark = pytest.mark.anyio
HEALTHY = {"health": Section(body=msgspec.Raw(b'{"ok":true}'))}
ODD = "\x1b]0;taken\x07\u202e[bold]\r\n"


async def proved(plane, **asked):
    """A device that attested once, and the reply."""
    await added(plane, Builder(), stated())
    device = await an_attester(plane, **asked)
    await device.audit()
    await device.tell()
    device.log = device.tpm.boot()
    reply = await device.attest(log=device.log)
    assert appraisal_of(device).tier is Tier.AFFIRMING
    return device, reply


def appraisal_of(device):
    return device.plane.store.posture(device.key).appraisal("attestation")


def state(device):
    return state_of(device.plane.store.posture(device.key))


def section(evidence):
    return Section(body=msgspec.Raw(msgspec.json.encode(evidence)))


async def test_one_quote_sent_in_two_check_ins_at_once(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, reply = await proved(plane)
        number = state(device).number
        evidence = device.tpm.evidence(reply.nonce, device=device.key.device)
        logged = {**HEALTHY, SECTION: section(evidence), BOOT_LOG: Section(digest=digest_of(log_body(device.log)))}
        first, second = device.message(sections=logged), device.message(sections=logged)
        await asyncio.gather(device.send(first), device.send(second))
        kept = await plane.attesting.service.evidences(device.key, before=None, limit=10)
        assert [(each.number, each.taken) for each in kept[:2]] == [(number + 2, False), (number + 1, True)]
        assert kept[0].result.reasons[0].code == "attestation.nonce_used"


async def test_a_check_in_sent_again_brings_no_second_nonce_and_no_second_appraisal(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, _ = await proved(plane)
        reply = await device.attest()
        number = state(device).number
        assert await device.send(device.last) == reply  # the same bytes: the same answer
        assert state(device).number == number
        await device.attest()
        assert (state(device).number, state(device).refused) == (number + 1, None)  # honestly gone on


async def test_the_nonce_of_a_reply_kept_for_later_while_other_check_ins_go_on(tmp_path):
    """Whoever keeps a good quote back for after an attack finds that its nonce went with the next reply."""
    async with new_plane(tmp_path) as plane:
        device, reply = await proved(plane)
        good = device.tpm.evidence(reply.nonce, device=device.key.device)
        await device.audit()
        before = appraisal_of(device)
        await device.tell(good)
        assert state(device).refused.code == "attestation.nonce_foreign"
        assert appraisal_of(device) == before
        await device.attest()
        assert state(device).refused is None


async def test_an_event_log_put_under_a_digest_of_the_devices_choice(tmp_path):
    """What only says what changed is not hashed by the check-in; a log is never taken so."""
    async with new_plane(tmp_path) as plane:
        device, _ = await proved(plane)
        scope, known, chosen = device.key.scope, digest_of(log_body(device.log)), Digest("sha256:" + "ab" * 32)
        body = msgspec.Raw(log_body(SoftTpm().boot(booted("6.6.6"))))
        reply = await device.check_in(sections={**HEALTHY, BOOT_LOG: Section(base=known, digest=chosen, body=body)})
        assert reply.wants == (BOOT_LOG,)
        assert await plane.store.blob(scope, chosen) is None
        with pytest.raises(HostileData, match="digest"):
            await device.check_in(sections={**HEALTHY, BOOT_LOG: Section(digest=chosen, body=body)})
        assert await plane.store.blob(scope, chosen) is None
        assert log_in(await plane.store.blob(scope, known)) == device.log  # sent honestly, it is kept under its own


async def test_the_log_of_the_last_good_boot_named_for_another_boot(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, _ = await proved(plane)
        device.tpm.boot(booted("6.6.6"))  # another kernel runs, and the log is named that was read before
        reply = await device.attest()
        assert (reply.verdict.level, appraisal_of(device).reasons[0].code) == (
            Level.QUARANTINED,
            "attestation.log_mismatch",
        )
        device.log = device.tpm.boot()
        await device.attest(log=device.log)
        assert appraisal_of(device).tier is Tier.AFFIRMING  # the honest boot, told honestly


async def test_a_releases_statement_named_as_the_event_log(tmp_path):
    """Statements and logs lie side by side by digest: naming one as the other proves nothing and breaks nothing."""
    async with new_plane(tmp_path) as plane:
        device, _ = await proved(plane)
        digest = plane.attesting.references.listed(device.key.scope)[0][0].digest
        evidence = device.tpm.evidence(device.nonce, device=device.key.device)
        await device.tell(evidence, sections={BOOT_LOG: Section(digest=digest)})
        assert state(device).refused.code == "attestation.log_missing"
        assert await plane.attesting.references.statement(device.key.scope, f"{stated().id}")
        replayed = await plane.attesting.service.replay(device.key)
        assert (replayed.same, replayed.chained) == (True, True)
        await device.attest()
        await device.attest(log=device.log)
        assert appraisal_of(device).tier is Tier.AFFIRMING


async def test_words_of_a_device_that_would_speak_to_a_terminal(tmp_path):
    async with new_plane(tmp_path) as plane:
        asked = {"components": [{"place": "usb:1", "identity": "a"}], "tamper_proof": True, "lifecycle": ["secured"]}
        await added(plane, Builder(), stated())
        device = await an_attester(plane, **asked)
        await device.tell(Unable(ODD))
        assert state(device).refused.sentence.isprintable()
        device.log = device.tpm.boot()
        calm = Claims(tampers=(Tamper("case"),), components=(Component("usb:1", "a"),), lifecycle="secured")
        await device.attest(log=device.log, claims=calm)
        assert appraisal_of(device).tier is Tier.AFFIRMING
        odd = Claims(tampers=(Tamper(ODD, open=True),), components=(Component(ODD, ODD),), lifecycle=ODD)
        await device.attest(claims=odd)
        told = appraisal_of(device).reasons
        assert {each.code for each in told} >= {"attestation.tamper", "attestation.hardware_unexpected"}
        assert all(each.sentence.isprintable() for each in told)


TEN = tuple(range(10))
IMPLANT = Made(name=b"/srv/implant", digest=b"\x66" * 32, template="ima-sig", extra=(b"",))


class Gateway:
    """A device whose kernel measures what it runs, and what is remembered of it."""

    def __init__(self):
        named = tuple(FileValue(each.name.decode(), each.digest.hex()) for each in many(9))
        self.ground = a_ground(*judged(statement(files=named)), ima=True, registers=TEN)
        self.tpm, self.state, self.contacts = SoftTpm(), DeviceState(), 0
        self.log, self.list = self.tpm.boot(), []
        summed = hashlib.sha256(b"".join(self.tpm.value(register) for register in TEN)).digest()
        self.run(Made(name=b"boot_aggregate", digest=summed), *many(6))

    def run(self, *entries):
        self.list.extend(entries)
        for entry in entries:
            self.tpm.extend(10, hashlib.sha256(entry.data).digest())

    def attests(self, data, *, start=0, more=False):
        """One contact with a fresh nonce, a quote of now, and this much of the list."""
        self.contacts += 1
        self.tpm.clock += MINUTE
        nonce, now = f"{NONCE}-{self.contacts}", Instant(NOW + self.contacts * MINUTE)
        said = self.tpm.evidence(
            nonce, registers=registers_of(self.ground.policy), ima=ImaSlice(start, pack(data), more=more)
        )
        outcome = appraise(
            facts(
                self.tpm,
                self.log,
                said,
                ground=self.ground,
                before=self.state,
                now=now,
                nonce=Nonce(nonce, Instant(now + MINUTE), ""),
                log_digest=digest_of(self.log),
            )
        )
        self.state = outcome.state
        return outcome


@pytest.fixture
def gateway():
    made = Gateway()
    assert made.attests(binary(*made.list)).result.tier is Tier.AFFIRMING
    return made


def assert_told(gateway):
    """Sent honestly, the list shows the implant."""
    assert gateway.attests(binary(*gateway.list)).result.reasons[-1].code == "attestation.unknown_files"


async def test_a_forged_beginning_of_a_list_followed_by_its_honest_end(gateway):
    """A beginning that is not proven yet is followed, but what comes after must lead from it to what was signed."""
    gateway.run(IMPLANT, *many(9)[6:])
    cut = gateway.list.index(IMPLANT)
    pending = gateway.attests(binary(*gateway.list[:cut], many(9)[7]), more=True)
    assert (pending.result, pending.state.ima.count) == (None, cut + 1)
    bent = gateway.attests(binary(*gateway.list[cut + 1 :]), start=cut + 1)
    assert (code_of(bent), bent.result.tier) == ("ima_mismatch", Tier.CONTRAINDICATED)
    assert_told(gateway)


@pytest.mark.parametrize("label", ["ima", "ima-ng", "ima-ngv2", "ima-buf", "ima-modsig", "ima-sigv2"])
async def test_an_entry_under_the_name_of_another_template(gateway, label):
    """The register does not hold a template's name: under no other name does an implant read as something known."""
    gateway.run(IMPLANT)
    whole, name = binary(*gateway.list), (7).to_bytes(4, "little") + b"ima-sig"
    assert whole.count(name) == 1
    bent = whole.replace(name, len(label).to_bytes(4, "little") + label.encode())
    assert gateway.attests(bent).result.tier is not Tier.AFFIRMING
    assert_told(gateway)
