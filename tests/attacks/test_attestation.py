"""Attacks on evidence of a boot. Each is refused with its own reason, and the same thing done honestly is taken."""

from __future__ import annotations

import msgspec
import pytest

from attest_builders import (
    BOOT,
    NONCE,
    NOW,
    SoftTpm,
    a_ground,
    booted,
    code_of,
    facts,
    judged,
    log_of,
    statement,
    taken,
)
from event_log_builders import agile_log, event, separator
from holdfast_core.attestation.model import DeviceState, Freshness, Method, Policy
from holdfast_core.attestation.quote import Nonce
from holdfast_core.attestation.reference import Standing
from holdfast_core.attestation.refusals import Effect
from holdfast_core.attestation.rules import appraise
from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.tpm.attest import Tag
from holdfast_core.formats.tpm.public import Attribute
from holdfast_core.identity.devid import check_attestation_key
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, HOUR, MINUTE, SECOND, Instant
from holdfast_core.wire.attestation import Claims, Tamper, pack, unpack


@pytest.fixture
def tpm():
    return SoftTpm()


@pytest.fixture
def log(tpm):
    return tpm.boot()


def refused(made, code, effect=Effect.NOTHING):
    """The outcome of what is refused so; where it says nothing, all that is known stays as it was."""
    outcome = appraise(made)
    assert (code_of(outcome), outcome.effect) == (code, effect)
    if effect is Effect.NOTHING:
        assert outcome.result is None
        assert msgspec.structs.replace(outcome.state, refused=None) == msgspec.structs.replace(
            made.before, refused=None
        )
    else:
        assert outcome.result is not None
        assert outcome.result.tier is Tier.CONTRAINDICATED
    return outcome


def affirmed(made):
    outcome = appraise(made)
    assert outcome.result is not None, outcome.reason
    assert outcome.result.tier is Tier.AFFIRMING, outcome.result.reasons
    return outcome


def test_control_an_honest_boot_is_affirmed(tpm, log):
    outcome = affirmed(facts(tpm, log))
    assert outcome.result.release == "gateway:1.0.0"
    assert outcome.state.freshness is Freshness.FRESH


# Nonces


def test_a_quote_replayed_with_its_used_nonce(tpm, log):
    first = facts(tpm, log)
    affirmed(first)
    affirmed(taken(first, tpm))
    refused(taken(first, tpm, evidence=first.evidence), "nonce_used")


def test_a_quote_after_its_nonce_ran_out(tpm, log):
    made = facts(tpm, log)
    late = msgspec.structs.replace(made, now=Instant(made.nonce.until + 1))
    affirmed(msgspec.structs.replace(made, now=made.nonce.until))
    assert refused(late, "nonce_expired").again


def test_a_quote_with_a_nonce_that_was_never_given(tpm, log):
    refused(facts(tpm, log, tpm.evidence("somebody-elses-nonce")), "nonce_foreign")


def test_a_quote_before_any_nonce_was_given(tpm, log):
    refused(facts(tpm, log, nonce=Nonce("", Instant(0), "")), "nonce_foreign")


def test_a_quote_over_an_empty_nonce(tpm, log):
    refused(facts(tpm, log, tpm.evidence(extra=b"")), "nonce_missing")


def test_a_quote_over_the_bare_nonce_instead_of_what_it_is_bound_to(tpm, log):
    refused(facts(tpm, log, tpm.evidence(extra=NONCE.encode())), "binding", Effect.INCIDENT)


# Keys


def test_a_quote_by_another_attestation_key(tpm, log):
    other = SoftTpm(values=tpm.values, resets=tpm.resets)
    outcome = refused(facts(tpm, log, other.evidence()), "signature", Effect.INCIDENT)
    assert outcome.result.vector.instance_identity == 97


def test_a_quote_of_a_device_whose_key_was_never_bound(tpm, log):
    refused(facts(tpm, log, key=None), "key_unknown")


@pytest.mark.parametrize("lacking", [Attribute.RESTRICTED, Attribute.FIXED_TPM, Attribute.SENSITIVE_DATA_ORIGIN])
def test_an_attestation_key_that_may_sign_anything_or_leave_the_chip(tpm, lacking):
    check_attestation_key(tpm.public)
    weak = SoftTpm(attributes=tpm.attributes & ~lacking)
    with pytest.raises(IdentityRefused) as caught:
        check_attestation_key(weak.public)
    assert caught.value.code == "tpm.ak_template"


def test_another_devices_valid_quote(tpm, log):
    """The key is the same, as with a chip that was moved: what was signed names the other device."""
    refused(facts(tpm, log, tpm.evidence(device="gate-8")), "binding", Effect.INCIDENT)


def test_claims_changed_on_the_way(tpm, log):
    told = Claims(tampers=(Tamper("case", opened=3),))
    said = tpm.evidence(claims=told)
    affirmed(facts(tpm, log, said))
    calmed = msgspec.structs.replace(said, claims=Claims(tampers=(Tamper("case"),)))
    refused(facts(tpm, log, calmed), "binding", Effect.INCIDENT)


@pytest.mark.parametrize("place", range(0, 145, 9))
def test_a_flipped_bit_in_what_was_signed(tpm, log, place):
    said = tpm.evidence()
    place %= len(said.quote)
    bent = said.quote[:place] + bytes([said.quote[place] ^ 1]) + said.quote[place + 1 :]
    refused(facts(tpm, log, msgspec.structs.replace(said, quote=bent)), "signature", Effect.INCIDENT)


# Structures


def test_a_structure_with_a_wrong_magic(tpm, log):
    refused(facts(tpm, log, tpm.evidence(magic=0x12345678)), "not_generated", Effect.INCIDENT)


def test_a_certify_structure_posing_as_a_quote(tpm, log):
    refused(facts(tpm, log, tpm.evidence(tag=Tag.CERTIFY)), "not_a_quote", Effect.INCIDENT)


def test_a_type_that_nobody_knows(tpm, log):
    refused(facts(tpm, log, tpm.evidence(tag=0x8014)), "not_a_quote", Effect.INCIDENT)


def test_a_relabelled_selection(tpm, log):
    """Register 16, which anybody may reset, quoted for register 0: the signed selection tells."""
    tpm.values[16] = tpm.value(0)
    refused(facts(tpm, log, tpm.evidence(registers=(16, *tpm_registers()[1:]))), "selection")


def tpm_registers():
    return a_ground().policy.registers


def test_a_selection_that_claims_other_registers_than_were_hashed(tpm, log):
    """Only a broken chip signs so; the digest then is of other values than the log leads to."""
    said = tpm.evidence(registers=(1, 2, 3, 5, 6), told=tpm_registers())
    refused(facts(tpm, log, said), "log_mismatch", Effect.AGAINST)


def test_a_subset_of_the_registers(tpm, log):
    refused(facts(tpm, log, tpm.evidence(registers=tpm_registers()[:-1])), "selection")


def test_a_quote_of_the_sha1_bank(tpm, log):
    refused(facts(tpm, log, tpm.evidence(bank=0x0004)), "bank")


# Event logs


def bent_logs():
    """Ways to bend a log, each with what is left of it."""
    first, *rest = BOOT
    events = [event(register, kind, data, of=data) for register, kind, data in BOOT]
    separators = [separator(register) for register in range(8)]
    other = event(9, kinds.IPL, b"kernel 1.0.0", of=b"another kernel")
    return {
        "flipped": log_of()[:-4] + bytes([log_of()[-4] ^ 1]) + log_of()[-3:],
        "digest_flipped": log_of((*BOOT[:2], (9, kinds.IPL, b"kernel 1.0.1"), *BOOT[3:])),
        "dropped": log_of((first, *rest[:-1])),
        "reordered": log_of((first, rest[0], rest[2], rest[1], rest[3])),
        "re-digested": agile_log(events[0], *separators, events[1], other, *events[3:]),
        "appended": log_of((*BOOT, (9, kinds.IPL, b"one more"))),
        "doubled": log_of((*BOOT, BOOT[-1])),
    }


@pytest.mark.parametrize("way", [way for way in bent_logs() if way != "flipped"])
def test_a_bent_event_log_does_not_lead_to_what_was_signed(tpm, log, way):
    affirmed(facts(tpm, log))
    outcome = refused(facts(tpm, bent_logs()[way]), "log_mismatch", Effect.AGAINST)
    assert outcome.result.vector.executables == 99


def test_words_of_an_event_changed_while_its_digest_stays(tpm, log):
    """The words prove nothing, and nothing is decided on them: the release is told by the digests."""
    lying = log.replace(b"kernel 1.0.0", b"kernel 9.9.9")
    assert affirmed(facts(tpm, lying)).result.release == "gateway:1.0.0"


def test_an_event_log_truncated_at_every_byte(tpm, log):
    affirmed(facts(tpm, log))
    for end in range(len(log)):
        outcome = appraise(facts(tpm, log[:end]))
        assert code_of(outcome) in {"log_malformed", "log_mismatch"}, end
        assert outcome.result.tier is Tier.CONTRAINDICATED


def test_a_log_of_another_device_with_the_same_release(tpm):
    """Both boots are of the release; the log of one proves nothing of the other's registers."""
    affirmed(facts(tpm, tpm.boot()))
    other = log_of((*BOOT[:-1], (8, kinds.IPL, b"console=ttyS1")))
    refused(facts(tpm, other), "log_mismatch", Effect.AGAINST)


def test_a_packed_log_that_would_fill_the_memory():
    assert unpack(pack(b"log")) == b"log"
    with pytest.raises(HostileData) as caught:
        unpack(pack(bytes(64 * 1024 * 1024)))
    assert caught.value.code == "attestation.log_too_large"


# Boot stages and releases


def test_an_unsigned_stage_that_was_booted_all_the_same(tpm):
    log = tpm.boot((*BOOT[:2], (9, kinds.IPL, b"somebody's kernel"), *BOOT[3:]))
    outcome = appraise(facts(tpm, log))
    assert code_of(outcome) == "unrecognized_boot"
    assert outcome.result.tier is Tier.CONTRAINDICATED
    assert "kernel" in outcome.result.reasons[0].sentence


def test_parts_of_two_releases_in_one_boot(tpm):
    both = a_ground(*judged(statement("1.0.0"), statement("2.0.0", made_at=Instant(NOW + 1))))
    for version in ("1.0.0", "2.0.0"):
        affirmed(facts(tpm, tpm.boot(booted(version)), ground=both))
    mixture = (*booted("1.0.0")[:2], *booted("2.0.0")[2:])
    assert code_of(appraise(facts(tpm, tpm.boot(mixture), ground=both))) == "unrecognized_boot"


@pytest.mark.parametrize(
    ("standing", "code", "tier"),
    [
        (Standing.RETIRED, "release_retired", Tier.WARNING),
        (Standing.SUPERSEDED, "release_superseded", Tier.CONTRAINDICATED),
        (Standing.REVOKED, "release_revoked", Tier.CONTRAINDICATED),
    ],
)
def test_validly_signed_old_firmware(tpm, standing, code, tier):
    new = judged(statement("2.0.0", svn=2, made_at=Instant(NOW + 1)))
    affirmed(facts(tpm, tpm.boot(booted("2.0.0")), ground=a_ground(*new)))
    old = judged(statement("1.0.0"), standing=standing)
    outcome = appraise(facts(tpm, tpm.boot(), ground=a_ground(*new, *old)))
    assert (code_of(outcome), outcome.result.tier) == (code, tier)


def test_a_release_revoked_while_the_device_was_away(tpm, log):
    """The device comes back with the same log; what was read of it before is of another ground, and counts no more."""
    first = facts(tpm, log)
    affirmed(first)
    back = taken(first, tpm, ground=a_ground(*judged(statement(), standing=Standing.REVOKED)), later=30 * DAY)
    outcome = appraise(back)
    assert code_of(outcome) == "release_revoked"
    assert outcome.result.tier is Tier.CONTRAINDICATED


# Clones and counters


def quoted(made, tpm, nonce, later):
    return taken(made, tpm, nonce, later=later)


def test_a_cloned_tpm_that_takes_turns_with_the_first(tpm, log):
    clone = SoftTpm(tpm.key, values=dict(tpm.values), resets=tpm.resets, clock=tpm.clock)
    first = facts(tpm, log)
    tpm.clock += HOUR
    second = quoted(first, tpm, "nonce-number-two", HOUR)
    affirmed(second)
    clone.clock += 2 * MINUTE
    third = quoted(second, clone, "nonce-number-three", MINUTE)
    assert "counters_back" in {reason.code.split(".")[1] for reason in appraise(third).result.reasons}
    tpm.clock += 2 * MINUTE
    fourth = quoted(third, tpm, "nonce-number-four", MINUTE)
    outcome = refused(fourth, "cloned", Effect.INCIDENT)
    assert outcome.state.cloned
    tpm.clock += MINUTE
    fifth = taken_after(fourth, outcome, tpm)
    refused(fifth, "cloned", Effect.INCIDENT)


def taken_after(made, outcome, tpm):
    nonce = "nonce-number-five"
    return msgspec.structs.replace(
        made,
        now=Instant(made.now + MINUTE),
        nonce=Nonce(nonce, Instant(made.now + HOUR), ""),
        before=outcome.state,
        evidence=tpm.evidence(nonce),
    )


def test_counters_that_go_back_once_are_no_compromise(tpm, log):
    """A virtual TPM restored from a snapshot: a warning that a person ends, never a quarantine."""
    tpm.resets = 9
    first = facts(tpm, log)
    affirmed(first)
    tpm.resets, tpm.clock = 5, tpm.clock - 30 * SECOND
    outcome = appraise(taken(first, tpm))
    assert outcome.result.tier is Tier.WARNING
    assert outcome.result.release == "gateway:1.0.0"


def test_an_abrupt_reboot_is_no_compromise(tpm, log):
    first = facts(tpm, log)
    affirmed(first)
    clock = tpm.clock
    again = tpm.boot(safe=False)
    assert tpm.clock < clock
    second = taken(first, tpm, log=again, log_digest=digest_of(again))
    outcome = affirmed(second)
    assert outcome.state.freshness is Freshness.PENDING
    assert outcome.again
    tpm.clock += 10
    third = taken(second, tpm, "nonce-number-three", later=SECOND)
    assert affirmed(third).state.freshness is Freshness.FRESH


def test_a_server_restart_in_mid_conversation_is_no_compromise(tpm, log):
    """All that a server remembers of a device goes through its byte form between two check-ins."""
    first = facts(tpm, log)
    state = affirmed(first).state
    back = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=DeviceState)
    tpm.clock += HOUR
    second = msgspec.structs.replace(taken(first, tpm), before=back, log=None)
    affirmed(second)


def test_a_model_that_asks_for_nothing_takes_nothing(tpm, log):
    refused(facts(tpm, log, ground=a_ground(method=Method.NONE)), "method")
    assert Policy(Method.NONE).registers == ()
