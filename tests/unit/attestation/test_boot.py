"""Reading a boot: Secure Boot, stages that failed, and only what registers that were quoted say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest_builders import BOOT, a_ground, judged, log_of, policy, statement
from event_log_builders import agile_log, an_old_boot, event, header, separator, setting, spec_id, variable
from holdfast_core.attestation.boot import at_reset, is_structural, measured, parse_log, read_boot, said, values_of
from holdfast_core.attestation.model import (
    APPROVED_BOOT,
    APPROVED_CONFIG,
    CONTRAINDICATED_RUNTIME,
    REASONS_KEPT,
    UNKNOWN_CONFIG,
    UNRECOGNIZED_RUNTIME,
    UNSAFE_CONFIG,
    UNSUPPORTABLE_CONFIG,
)
from holdfast_core.attestation.reference import Golden, Measurement, Standing
from holdfast_core.attestation.refusals import Refused
from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.eventlog.banks import SHA1, SHA256

ON, OFF = b"\1", b"\0"
ERROR = event(0, kinds.SEPARATOR, b"\1\0\0\0")
DEBUGGING = event(7, kinds.EFI_ACTION, b"UEFI Debug Mode")


def read(*events: bytes, registers=(0, 7), **more):
    """What a boot of these events comes to, and its reasons' codes. Its release is another."""
    ground = a_ground(registers=registers, **more)
    log = parse_log(agile_log(*events))
    reading = read_boot(log, "sha256:x", values_of(log, ground.policy), ground)
    return reading, [reason.code.removeprefix("attestation.") for reason in reading.reasons]


@pytest.mark.parametrize(
    ("settings", "worth", "told"),
    [
        ([("SecureBoot", ON)], APPROVED_CONFIG, None),
        ([("SecureBoot", ON), ("SetupMode", OFF), ("AuditMode", OFF)], APPROVED_CONFIG, None),
        ([("SecureBoot", OFF)], UNSUPPORTABLE_CONFIG, "secure_boot_off"),
        ([("SecureBoot", b"")], UNSUPPORTABLE_CONFIG, "secure_boot_off"),
        ([("SecureBoot", ON), ("SetupMode", ON)], UNSUPPORTABLE_CONFIG, "secure_boot_off"),
        ([("SecureBoot", ON), ("AuditMode", ON)], UNSUPPORTABLE_CONFIG, "secure_boot_off"),
        ([], UNSUPPORTABLE_CONFIG, "secure_boot_off"),
        ([("SecureBoot", ON), ("SecureBoot", OFF)], UNSUPPORTABLE_CONFIG, "secure_boot_off"),
    ],
)
def test_secure_boot_is_what_the_firmware_measured(settings, worth, told):
    reading, codes = read(*(setting(*each) for each in settings), separator(7), secure_boot=True)
    assert reading.configuration == worth
    assert [code for code in codes if code.startswith("secure_boot")] == ([told] if told else [])


def test_where_a_model_does_not_ask_secure_boot_is_no_claim():
    assert read(setting("SecureBoot", OFF))[0].configuration == 0


@pytest.mark.parametrize("first", [separator(7), event(7, kinds.IPL, b"anything"), setting("SecureBoot", b"\1\0")])
def test_a_setting_measured_after_anything_else_is_somebody_elses(first):
    """Whoever runs later can extend the register and write the log as he likes: only the first is firmware's."""
    reading, codes = read(first, setting("SecureBoot", ON), separator(7), secure_boot=True)
    assert (reading.configuration, "secure_boot_off" in codes) == (UNSUPPORTABLE_CONFIG, True)


def test_what_the_firmware_only_tells_before_its_settings_is_passed_over():
    telling = event(7, kinds.EFI_ACTION, b"DMA Protection Disabled")
    reading, _ = read(telling, setting("SecureBoot", ON), separator(7), secure_boot=True)
    assert reading.configuration == APPROVED_CONFIG


def test_a_register_that_nothing_was_measured_into_does_not_tell():
    reading, codes = read(separator(0), secure_boot=True)
    assert (reading.configuration, "secure_boot_unknown" in codes) == (UNKNOWN_CONFIG, True)


@pytest.mark.parametrize("kind", [kinds.EFI_VARIABLE_DRIVER_CONFIG, kinds.IPL, kinds.SEPARATOR, 0x12345678])
@pytest.mark.parametrize("words", [variable("SecureBoot", ON), variable("SecureBooT", OFF), b"", b"\xff" * 40])
@pytest.mark.parametrize("value", [OFF, b""])
def test_words_of_the_log_changed_so_that_secure_boot_cannot_be_told_change_nothing(kind, words, value):
    """The registers are as they were: whoever switched it off cannot make it only unknown."""
    lying = event(7, kind, words, of=variable("SecureBoot", value))
    reading, codes = read(lying, separator(7), secure_boot=True)
    assert (reading.configuration, "secure_boot_off" in codes) == (UNSUPPORTABLE_CONFIG, True)


@pytest.mark.parametrize(
    ("register", "words", "told"), [(0, b"\1\0\0\0", "stage_failed"), (7, b"UEFI Debug Mode", "firmware_debug")]
)
def test_no_other_word_for_it_hides_a_failure_or_a_debugger(register, words, told):
    reading, codes = read(event(register, kinds.IPL, b"a calm word", of=words))
    assert (reading.configuration, told in codes) == (UNSAFE_CONFIG, True)


def test_other_words_that_are_not_proven_say_nothing_against_secure_boot_that_is():
    odd = event(7, kinds.EFI_VARIABLE_AUTHORITY, variable("db", b"x"), of=b"something else")
    assert read(setting("SecureBoot", ON), odd, separator(7), secure_boot=True)[0].configuration == APPROVED_CONFIG


def test_where_register_7_is_not_quoted_its_events_prove_nothing():
    reading, codes = read(setting("SecureBoot", ON), DEBUGGING, registers=(0, 4), secure_boot=True)
    assert reading.configuration == UNKNOWN_CONFIG
    assert "secure_boot_unknown" in codes
    assert "firmware_debug" not in codes
    assert read(setting("SecureBoot", ON), DEBUGGING, registers=(0, 4))[0].configuration == 0


def test_without_a_log_nothing_is_known_of_secure_boot():
    ground = a_ground(*judged(statement(measurements=(), golden=(Golden(0, "00" * 32),))), secure_boot=True)
    reading = read_boot(None, "", dict.fromkeys(ground.policy.registers, bytes(32)), ground)
    assert (reading.configuration, reading.executables, reading.log) == (UNKNOWN_CONFIG, APPROVED_BOOT, "")
    without = a_ground(*judged(statement(measurements=(), golden=(Golden(0, "00" * 32),))))
    assert read_boot(None, "", dict.fromkeys(without.policy.registers, bytes(32)), without).configuration == 0


def test_a_stage_that_failed_is_told_where_its_register_was_quoted():
    reading, codes = read(ERROR)
    assert (reading.configuration, codes[-1]) == (UNSAFE_CONFIG, "stage_failed")
    assert "register 0" in reading.reasons[-1].sentence
    assert "stage_failed" not in read(ERROR, registers=(4, 7))[1]


def test_a_separator_that_is_none_tells_of_a_failure_too():
    assert "stage_failed" in read(event(0, kinds.SEPARATOR, bytes(4), of=b"something else"))[1]


def test_a_debugger_that_was_allowed_is_told():
    reading, codes = read(DEBUGGING)
    assert (reading.configuration, codes[-1]) == (UNSAFE_CONFIG, "firmware_debug")


@pytest.mark.parametrize("lesser", [ERROR, DEBUGGING])
def test_a_lesser_fault_never_hides_that_secure_boot_is_off(lesser):
    reading, codes = read(setting("SecureBoot", OFF), lesser, secure_boot=True)
    assert reading.configuration == UNSUPPORTABLE_CONFIG
    assert "secure_boot_off" in codes
    assert {"stage_failed", "firmware_debug"} & set(codes)


@pytest.mark.parametrize(
    ("standing", "worth"),
    [
        (Standing.CURRENT, APPROVED_BOOT),
        (Standing.RETIRED, UNRECOGNIZED_RUNTIME),
        (Standing.SUPERSEDED, CONTRAINDICATED_RUNTIME),
        (Standing.REVOKED, CONTRAINDICATED_RUNTIME),
    ],
)
def test_a_boot_is_worth_what_its_release_is_worth(standing, worth):
    ground = a_ground(*judged(statement(svn=4), standing=standing))
    log = parse_log(log_of())
    reading = read_boot(log, "sha256:x", values_of(log, ground.policy), ground)
    assert (reading.executables, reading.release, reading.svn) == (worth, "gateway:1.0.0", 4)
    assert bool(reading.reasons) == (standing is not Standing.CURRENT)
    assert reading.basis == ground.basis


def test_of_two_releases_that_fit_the_better_one_counts():
    twins = (
        *judged(statement("1.0.0"), standing=Standing.REVOKED),
        *judged(statement("1.0.0-same", measurements=statement("1.0.0").measurements)),
    )
    ground = a_ground(*twins)
    log = parse_log(log_of())
    reading = read_boot(log, "sha256:x", values_of(log, ground.policy), ground)
    assert (reading.release, reading.executables) == ("gateway:1.0.0-same", APPROVED_BOOT)


def test_a_boot_of_no_release_is_contraindicated_and_one_that_no_release_speaks_of_is_nothing():
    assert read(event(0, kinds.POST_CODE, b"strange"))[0].executables == CONTRAINDICATED_RUNTIME
    reading, codes = read(event(0, kinds.POST_CODE, b"strange"), registers=(14,))
    assert (reading.executables, codes) == (0, ["no_reference"])


def test_reasons_are_bounded():
    assert len(read(setting("SecureBoot", OFF), ERROR, DEBUGGING, secure_boot=True)[0].reasons) <= REASONS_KEPT


def test_registers_that_nothing_extended_hold_what_they_hold_at_reset():
    values = values_of(parse_log(log_of(BOOT[:1])), policy(registers=(0, 9, 16, 17, 22, 23)))
    assert (values[9], values[16], values[17], values[22], values[23]) == (
        bytes(32), bytes(32), b"\xff" * 32, b"\xff" * 32, bytes(32),
    )  # fmt: skip
    assert at_reset(17, 48) == b"\xff" * 48


def test_a_register_with_an_event_that_has_no_digest_in_the_bank_reads_as_never_extended():
    """Such a log only leads to what was quoted where the register was in truth never extended."""
    log = parse_log(agile_log(event(9, kinds.IPL, b"kernel", banks=(SHA1,))))
    assert values_of(log, policy(registers=(9,)))[9] == bytes(32)
    assert [each.digest for each in measured(log, policy(registers=(9,)))] == [""]


@pytest.mark.parametrize("log", [an_old_boot(), header(spec_id([(SHA1, 20)]))])
def test_a_log_without_the_policys_bank_is_refused(log):
    with pytest.raises(Refused, match="log_malformed"):
        values_of(parse_log(log), policy())


def test_events_that_only_inform_and_those_of_other_registers_are_not_compared():
    told = measured(parse_log(log_of()), policy(registers=(9,)))
    assert [(each.register, each.said) for each in told] == [(9, "kernel 1.0.0"), (9, "initrd 1.0.0")]
    assert not [each for each in measured(parse_log(agile_log()), policy()) if each.said]


@pytest.mark.parametrize(
    ("made", "structural"),
    [
        (separator(4), True),
        (event(4, kinds.SEPARATOR, b"\xff" * 4), True),
        (event(4, kinds.SEPARATOR, bytes(4), of=b"a kernel"), False),
        (event(4, kinds.SEPARATOR, b"\1\0\0\0"), False),
        (event(4, kinds.EFI_ACTION, b"Calling EFI Application from Boot Option"), True),
        (event(4, kinds.EFI_ACTION, b"Calling EFI Application from Boot Option", of=b"a kernel"), False),
        (event(4, kinds.EFI_ACTION, b"Something else"), False),
        (event(4, kinds.IPL, bytes(4)), False),
    ],
)
def test_only_what_every_boot_writes_is_of_no_release(made, structural):
    assert is_structural(parse_log(agile_log(made)).events[1], SHA256) is structural


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (event(9, kinds.IPL, b"kernel_cmdline: quiet\0"), "kernel_cmdline: quiet"),
        (event(9, kinds.IPL, b"/vmlinuz\0"), "/vmlinuz"),
        (event(9, kinds.IPL, "b\u202ea".encode()), "EV_IPL"),
        (event(9, kinds.IPL, b""), "EV_IPL"),
        (setting("SecureBoot", ON), "variable SecureBoot"),
        (event(9, 0x12345678, bytes([0, 1, 2])), "0x12345678"),
    ],
)
def test_what_a_log_says_of_an_event_is_told_in_a_few_printable_words(made, words):
    assert said(parse_log(agile_log(made)).events[1]) == words


def test_long_words_are_cut():
    assert len(said(parse_log(agile_log(event(9, kinds.IPL, b"x" * 500))).events[1])) == 80


@given(st.binary(max_size=400))
def test_arbitrary_logs_are_refused_or_read(data):
    ground = a_ground(secure_boot=True)
    try:
        log = parse_log(agile_log() + data)
        reading = read_boot(log, "sha256:x", values_of(log, ground.policy), ground)
    except Refused as refused:
        assert refused.reason.code == "attestation.log_malformed"  # noqa: PT017 (most are refused, some are not)
    else:
        assert reading.executables == CONTRAINDICATED_RUNTIME


@given(
    st.lists(st.tuples(st.integers(0, 23), st.sampled_from(sorted(kinds.KINDS)), st.binary(max_size=60)), max_size=8)
)
def test_whatever_events_a_log_holds_only_the_releases_own_boot_is_affirmed(extra):
    ground = a_ground(*judged(statement()), secure_boot=True, registers=tuple(range(24)))
    log = parse_log(log_of() + b"".join(event(*each) for each in extra))
    reading = read_boot(log, "sha256:x", values_of(log, ground.policy), ground)
    named = {measurement.register for measurement in statement().measurements}
    added = [each for each in measured(log, ground.policy) if each.number > 13 and not each.structural]
    known = {(m.register, m.digest) for m in statement().measurements}
    strange = [each for each in added if each.register in named and (each.register, each.digest) not in known]
    assert (reading.executables == APPROVED_BOOT) == (not strange)


def test_an_optional_measurement_may_be_missing_or_there():
    extra = Measurement(9, "ab" * 32, "splash", optional=True)
    ground = a_ground(*judged(statement(measurements=(*statement().measurements, extra))))
    log = parse_log(log_of())
    assert read_boot(log, "d", values_of(log, ground.policy), ground).executables == APPROVED_BOOT
