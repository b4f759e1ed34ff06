"""Appraising one evidence: the order of the checks, what stays and what falls, and boots without a log."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from attest_builders import NONCE, NOW, REGISTERS, SoftTpm, a_ground, code_of, facts, judged, policy, statement, taken
from holdfast_core.attestation.ground import ground
from holdfast_core.attestation.model import (
    APPROVED_BOOT,
    APPROVED_RUNTIME,
    RECOGNIZED,
    UNSAFE_HARDWARE,
    DeviceState,
    Freshness,
    ImaState,
    Method,
    Policy,
)
from holdfast_core.attestation.quote import Nonce, registers_of
from holdfast_core.attestation.reference import FileValue, Golden, Measurement
from holdfast_core.attestation.refusals import Effect
from holdfast_core.attestation.rules import appraise
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.instants import HOUR, MINUTE, SECOND, Instant
from holdfast_core.wire.attestation import Asking, Claims, ImaSlice, Tamper, Unable, pack
from ima_builders import Made, binary, many


@pytest.fixture
def tpm():
    return SoftTpm()


def golden_of(tpm, registers=REGISTERS):
    return tuple(Golden(register, tpm.value(register).hex()) for register in registers)


def told(tpm, registers=REGISTERS, **values):
    """Evidence with the registers told, `values` in place of the true ones."""
    said = {str(register): values.get(f"r{register}", tpm.value(register).hex()) for register in registers}
    return msgspec.structs.replace(tpm.evidence(registers=registers), registers=said)


def without_log(tpm, evidence, *releases, **asked):
    on = ground(policy(**asked), releases or judged(statement(measurements=(), golden=golden_of(tpm))))
    return appraise(facts(tpm, None, evidence, ground=on))


# Asking, unable, method


def test_a_device_that_asks_is_told_to_send_and_nothing_changes(tpm):
    made = facts(tpm, None, Asking())
    outcome = appraise(made)
    assert (outcome.again, outcome.result, outcome.state) == (True, None, made.before)


@pytest.mark.parametrize(("why", "words"), [("no-tpm", "no-tpm"), ("", "it does not say why"), ("\x1b[2J", "\\x1b[2J")])
def test_a_device_that_cannot_attest_says_why_and_what_was_known_stands(tpm, why, words):
    outcome = appraise(facts(tpm, None, Unable(why)))
    assert (code_of(outcome), outcome.effect, outcome.again) == ("unable", Effect.NOTHING, False)
    assert words in outcome.reason.sentence
    assert outcome.state.refused == outcome.reason


def test_a_model_without_evidence_takes_none(tpm):
    outcome = appraise(facts(tpm, tpm.boot(), tpm.evidence(), ground=ground(Policy(Method.NONE), ())))
    assert code_of(outcome) == "method"


# A boot without a log


def test_registers_that_are_told_count_where_the_quote_is_of_them(tpm):
    tpm.boot()
    outcome = without_log(tpm, told(tpm))
    assert (outcome.result.tier, outcome.result.release) == (Tier.AFFIRMING, "gateway:1.0.0")
    assert outcome.state.boot.log == ""


def test_registers_that_are_told_otherwise_than_signed_are_a_mismatch(tpm):
    tpm.boot()
    outcome = without_log(tpm, told(tpm, r9="00" * 32))
    assert (code_of(outcome), outcome.effect) == ("log_mismatch", Effect.AGAINST)


def test_registers_that_are_of_no_release(tpm):
    tpm.boot()
    release = judged(statement(measurements=(), golden=(Golden(9, "00" * 32),)))
    outcome = without_log(tpm, told(tpm), *release)
    assert (code_of(outcome), outcome.result.tier) == ("unrecognized_boot", Tier.CONTRAINDICATED)
    assert "register 9" in outcome.result.reasons[0].sentence


@pytest.mark.parametrize("registers", [{}, {"0": "zz"}, {"0": "00" * 32}])
def test_without_a_log_and_without_all_registers_the_log_is_asked_for(tpm, registers):
    tpm.boot()
    evidence = msgspec.structs.replace(tpm.evidence(), registers=registers)
    outcome = without_log(tpm, evidence)
    assert (code_of(outcome), outcome.wants_log, outcome.again) == ("log_missing", True, True)


def test_registers_told_in_other_lengths_than_they_have_are_refused(tpm):
    """All are signed in one piece; cut elsewhere, one could pass for another that is also quoted."""
    tpm.boot()
    wanted = tpm.value(8)
    tpm.values[9] = wanted  # as of another boot, or of a register that anybody extends
    release = judged(statement(measurements=(), golden=(Golden(8, wanted.hex()),)))
    tpm.values[8] = b"\x66" * 32
    cut = told(tpm, r7=(tpm.value(7) + tpm.value(8)).hex(), r8=wanted.hex(), r9="")
    outcome = without_log(tpm, cut, *release)
    assert (code_of(outcome), outcome.effect) == ("malformed", Effect.AGAINST)
    assert without_log(tpm, told(tpm), *release).result.tier is Tier.CONTRAINDICATED


def test_a_device_that_keeps_its_log_back_is_asked_for_it_where_releases_name_events(tpm):
    """By registers alone it would be of the release by half, or its Secure Boot would be unknown rather than off."""
    log = tpm.boot()
    first = facts(tpm, log)
    back = taken(first, tpm, evidence=told_again(tpm), log=None, log_digest="")
    outcome = appraise(back)
    assert (code_of(outcome), outcome.effect, outcome.result) == ("log_missing", Effect.NOTHING, None)
    assert outcome.state.boot == back.before.boot


def told_again(tpm):
    said = tpm.evidence("the-second-nonce")
    return msgspec.structs.replace(said, registers={str(each): tpm.value(each).hex() for each in REGISTERS})


def test_half_of_a_release_is_no_release(tpm):
    tpm.boot()
    named = Measurement(9, "ab" * 32, "kernel")
    half = judged(statement(measurements=(named,), golden=golden_of(tpm, (0,))))
    assert code_of(without_log(tpm, told(tpm), *half)) == "log_missing"


def test_without_releases_nothing_is_known_of_a_genuine_boot(tpm):
    tpm.boot()
    made = facts(tpm, None, told(tpm), ground=ground(policy(), ()))
    outcome = appraise(made)
    assert (outcome.result.tier, code_of(outcome)) == (Tier.NONE, "no_reference")
    assert outcome.result.vector.instance_identity == RECOGNIZED


# The log


def test_a_log_that_is_known_here_need_not_come_and_one_that_is_not_is_asked_for(tpm):
    log = tpm.boot()
    missing = appraise(facts(tpm, None, log_digest=digest_of(log)))
    assert (code_of(missing), missing.wants_log) == ("log_missing", True)
    first = facts(tpm, log)
    again = taken(first, tpm, log=None)
    assert appraise(again).result.tier is Tier.AFFIRMING


def test_a_reading_that_was_kept_holds_for_no_other_registers(tpm):
    log = tpm.boot()
    first = facts(tpm, log)
    tpm.extend(9, b"\1" * 32)
    outcome = appraise(taken(first, tpm))
    assert (code_of(outcome), outcome.effect) == ("log_mismatch", Effect.AGAINST)


def test_a_reading_that_was_kept_holds_for_no_other_ground(tpm):
    log = tpm.boot()
    first = facts(tpm, log)
    other = a_ground(*judged(statement("2.0.0")))
    assert code_of(appraise(taken(first, tpm, ground=other))) == "unrecognized_boot"
    assert code_of(appraise(taken(first, tpm, ground=other, log=None))) == "log_missing"


def test_which_registers_differ_is_told_where_the_device_tells_them(tpm):
    log = tpm.boot()
    tpm.extend(9, b"\1" * 32)
    outcome = appraise(facts(tpm, log, told(tpm)))
    assert outcome.reason.sentence.endswith("it was changed (register 9).")
    assert appraise(facts(tpm, log)).reason.sentence.endswith("it was changed.")


# What falls and what stays


def test_what_is_held_against_a_device_makes_it_forget_what_it_ran(tpm):
    log = tpm.boot()
    first = facts(tpm, log)
    tpm.extend(9, b"\1" * 32)
    state = appraise(taken(first, tpm)).state
    assert (state.boot, state.release, state.svn, state.ima) == (None, "", -1, ImaState())
    assert (state.vector.executables, state.freshness) == (99, Freshness.FRESH)
    assert state.counters == appraise(first).state.counters


def test_the_next_good_evidence_sets_it_right_again(tpm):
    log = tpm.boot()
    bad = appraise(facts(tpm, log[:-1]))
    assert bad.effect is Effect.AGAINST
    good = appraise(facts(tpm, log, before=bad.state))
    assert (good.result.tier, good.state.refused) == (Tier.AFFIRMING, None)


def test_a_warning_of_the_counters_is_one_of_the_hardware(tpm):
    log = tpm.boot()
    first = facts(tpm, log)
    tpm.clock -= SECOND
    outcome = appraise(taken(first, tpm))
    assert outcome.result.vector.hardware == UNSAFE_HARDWARE
    assert outcome.state.backs


def test_a_clone_is_known_and_not_to_be_trusted_until_a_person_decides(tpm):
    log = tpm.boot()
    first = facts(tpm, log)
    outcome = appraise(msgspec.structs.replace(first, before=DeviceState(cloned=True)))
    assert (code_of(outcome), outcome.effect) == ("cloned", Effect.INCIDENT)
    assert (outcome.result.vector.instance_identity, outcome.state.cloned) == (96, True)


def test_a_worse_word_of_the_hardware_counts_more(tpm):
    log = tpm.boot()
    on = a_ground(tamper_proof=True)
    said = tpm.evidence(claims=Claims(tampers=(Tamper("case", opened=1),)))
    assert appraise(facts(tpm, log, said, ground=on)).result.tier is Tier.CONTRAINDICATED


def test_an_affirmed_device_is_told_so_with_its_release(tpm):
    outcome = appraise(facts(tpm, tpm.boot()))
    assert outcome.result.reasons[0].sentence == "The device proved that it booted gateway:1.0.0."
    assert outcome.result.vector.executables == APPROVED_BOOT


# IMA

FILES = [Made(name=b"boot_aggregate", digest=bytes(32)), *many(7)]


class Measuring:
    """A device whose kernel measures files, contact after contact."""

    def __init__(self, tpm):
        files = tuple(FileValue(each.name.decode(), each.digest.hex()) for each in FILES)
        self.ground, self.tpm = a_ground(*judged(statement(files=files)), ima=True), tpm
        self.log, self.state, self.now, self.count = tpm.boot(), DeviceState(), int(NOW), 0
        self.list = []
        self.run(*FILES)

    def run(self, *entries):
        self.list.extend(entries)
        for entry in entries:
            self.tpm.extend(10, hashlib.sha256(entry.data).digest())

    def facts(self, start=0, end=None, *, evidence=None, **more):
        self.count, self.now = self.count + 1, self.now + MINUTE
        self.tpm.clock += MINUTE
        nonce = f"{NONCE}-{self.count}"
        entries = self.list[start:end]
        part = ImaSlice(start, pack(binary(*entries)), more=end is not None and end < len(self.list))
        said = evidence or self.tpm.evidence(nonce, registers=registers_of(self.ground.policy), ima=part)
        given = Nonce(nonce, Instant(self.now + MINUTE), "")
        known = {"ground": self.ground, "before": self.state, "now": Instant(self.now), "nonce": given}
        return facts(self.tpm, self.log, said, **known | more)

    def sends(self, *args, **more):
        outcome = appraise(self.facts(*args, **more))
        self.state = outcome.state
        return outcome


def test_a_list_that_is_proven_to_its_end_affirms_that_the_device_runs_its_release(tpm):
    outcome = Measuring(tpm).sends()
    assert (outcome.result.tier, outcome.result.vector.executables) == (Tier.AFFIRMING, APPROVED_RUNTIME)
    assert "booted and runs gateway:1.0.0" in outcome.result.reasons[0].sentence


def test_slices_affirm_nothing_until_the_last_and_count_the_boot_once(tpm):
    device = Measuring(tpm)
    for start, end in ((0, 3), (3, 6)):
        outcome = device.sends(start, end)
        assert (code_of(outcome), outcome.result, outcome.again) == ("ima_pending", None, True)
        assert device.state.ima.count == end
        assert device.state.boot is None
    assert device.sends(6).result.tier is Tier.AFFIRMING
    assert device.state.refused is None


def test_while_a_list_is_followed_what_was_known_stands(tpm):
    device = Measuring(tpm)
    before = device.sends().state
    device.log = tpm.boot()
    device.list = []
    device.run(*FILES)
    outcome = device.sends(0, 3)
    kept = msgspec.structs.replace(outcome.state, ima=before.ima, counters=before.counters, refused=None)
    assert kept == before
    assert device.sends(3).result.tier is Tier.AFFIRMING


def test_a_gap_makes_the_list_begin_again_and_is_mended_by_that(tpm):
    device = Measuring(tpm)
    device.sends()
    tpm.restarts += 1  # suspended and woken: registers and list stay, yet it may as well have been another boot
    outcome = device.sends(len(FILES))
    assert (code_of(outcome), outcome.again, outcome.state.ima) == ("ima_gap", True, ImaState())
    assert device.sends(0).result.tier is Tier.AFFIRMING


def test_a_list_that_is_bent_is_held_against_the_device(tpm):
    device = Measuring(tpm)
    device.list[3] = many(9)[8]
    outcome = device.sends()
    assert (code_of(outcome), outcome.result.vector.file_system) == ("ima_mismatch", 99)
    assert device.state.ima == ImaState()


def test_an_event_log_that_is_bent_shows_through_the_list(tpm):
    device = Measuring(tpm)
    tpm.extend(9, b"\1" * 32)
    assert code_of(device.sends()) == "ima_mismatch"


def test_evidence_without_a_list_is_asked_again(tpm):
    device = Measuring(tpm)
    made = device.facts()
    bare = msgspec.structs.replace(made, evidence=msgspec.structs.replace(made.evidence, ima=None))
    assert code_of(appraise(bare)) == "ima_gap"


def test_unknown_files_are_a_warning_with_the_release_named(tpm):
    device = Measuring(tpm)
    device.run(Made(name=b"/srv/strange", digest=b"\1" * 32))
    outcome = device.sends()
    assert (outcome.result.tier, outcome.result.release) == (Tier.WARNING, "gateway:1.0.0")
    assert "/srv/strange" in outcome.result.reasons[-1].sentence


def test_a_kernel_that_measures_nothing_is_a_warning(tpm):
    device = Measuring(tpm)
    device.log, device.list = tpm.boot(), []
    outcome = device.sends()
    assert (outcome.result.tier, outcome.result.reasons[-1].code) == (Tier.WARNING, "attestation.ima_empty")


def test_a_signed_list_says_nothing_after_the_nonce_ran_out(tpm):
    device = Measuring(tpm)
    late = device.facts()
    late = msgspec.structs.replace(late, now=Instant(late.now + HOUR))
    assert code_of(appraise(late)) == "nonce_expired"
