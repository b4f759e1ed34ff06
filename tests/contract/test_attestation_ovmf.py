"""Boots of real machines, appraised: OVMF under QEMU with a TPM, as they are kept in ``tests/data/ovmf``.

The guests quoted with a fixed nonce, so a whole appraisal, which binds the nonce to a device, refuses them at that step
and no earlier. The steps behind it are taken one by one with the digest that the TPM signed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from attest_builders import DEVICE, NOW, judged
from holdfast_core.attestation.boot import measured, parse_log, read_boot, values_of
from holdfast_core.attestation.building import Source, build_statement
from holdfast_core.attestation.comparison import gaps
from holdfast_core.attestation.counters import follow
from holdfast_core.attestation.explaining import explain
from holdfast_core.attestation.files import follow_list, judge_files
from holdfast_core.attestation.ground import Ground, ground
from holdfast_core.attestation.model import (
    APPROVED_BOOT,
    APPROVED_CONFIG,
    APPROVED_FILES,
    CONTRAINDICATED_RUNTIME,
    UNRECOGNIZED_FILES,
    UNSUPPORTABLE_CONFIG,
    DeviceState,
    ImaState,
    Method,
    Policy,
    Vector,
)
from holdfast_core.attestation.quote import Nonce, Signed, check_quote, registers_of
from holdfast_core.attestation.reference import FileValue, Learned, parse_statement, statement_bytes
from holdfast_core.attestation.refusals import Effect, Refused
from holdfast_core.formats.ima.slices import parse_ima
from holdfast_core.formats.tpm.attest import Quoted, parse_attestation
from holdfast_core.formats.tpm.public import parse_public
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.instants import MINUTE, Instant
from holdfast_core.supply.model import ArtefactKind
from holdfast_core.wire.attestation import ImaSlice, TpmEvidence, pack
from ovmf_reports import REGISTERS, Report, load

KEPT = Path(__file__).resolve().parent.parent / "data" / "ovmf"
FIRST, SECOND, OPEN = (load(KEPT / name) for name in ("first", "second", "open"))
BOOTS = pytest.mark.parametrize("report", [FIRST, SECOND, OPEN], ids=["first", "second", "open"])
POLICY = Policy(Method.TPM, registers=tuple(n for n in REGISTERS if n != 10), ima=True, secure_boot=True)
"""All that the guests quoted; register 10 is IMA's."""


def learned(report: Report, *, files: bool = True) -> Ground:
    """The ground of a release whose values are those of one boot."""
    source = Source("boot", ArtefactKind.EVENT_LOG, report.events)
    ran = parse_ima(report.moments[-1].ima)[1:] if files else ()
    made = build_statement(
        [source], model="ovmf", version="1", svn=1, made_at=NOW, learned=Learned("first", "a test"),
        files=tuple(FileValue(each.text, each.digest.hex()) for each in ran),
    )  # fmt: skip
    assert parse_statement(statement_bytes(made)[0]) == made
    return ground(POLICY, judged(made))


def signed(report: Report, moment: int = 0) -> Signed:
    attestation = parse_attestation(report.moments[moment].attested)
    assert isinstance(attestation.attested, Quoted)
    return Signed(attestation, attestation.attested, "sha256")


def read(report: Report, on: Ground):
    """The boot as an appraisal reads it, once its registers and the list were found to be what the TPM signed."""
    log = parse_log(report.events)
    values = values_of(log, on.policy)
    part = ImaSlice(0, pack(report.moments[0].ima))
    ima = follow_list(part, ImaState(), on, values, signed(report), new_boot=True)
    assert ima.loaded
    return read_boot(log, digest_of(report.events), values, on), ima


@BOOTS
@pytest.mark.parametrize("moment", [0, 1])
def test_a_real_quote_passes_every_check_up_to_its_fixed_nonce(report, moment):
    kept, nonce = report.moments[moment], Nonce("nonce-given", Instant(NOW + MINUTE), "")
    evidence = TpmEvidence("nonce-given", kept.attested, kept.signature)
    assert registers_of(POLICY) == REGISTERS
    with pytest.raises(Refused) as caught:
        check_quote(evidence, parse_public(report.ak), device=DEVICE, policy=POLICY, nonce=nonce, now=NOW)
    assert (caught.value.reason.code, caught.value.effect) == ("attestation.binding", Effect.INCIDENT)


def test_a_real_quote_of_another_machine_or_of_other_registers_than_asked_is_refused():
    kept, nonce = FIRST.moments[0], Nonce("nonce-given", Instant(NOW + MINUTE), "")
    evidence = TpmEvidence("nonce-given", kept.attested, kept.signature)
    fewer = Policy(Method.TPM, registers=(0, 7))
    for public, asked, code in ((OPEN.ak, POLICY, "signature"), (FIRST.ak, fewer, "selection")):
        with pytest.raises(Refused) as caught:
            check_quote(evidence, parse_public(public), device=DEVICE, policy=asked, nonce=nonce, now=NOW)
        assert caught.value.reason.code == f"attestation.{code}"


def test_a_boot_is_of_the_release_that_was_learned_from_it():
    reading, ima = read(FIRST, learned(FIRST))
    assert (reading.executables, reading.configuration, reading.reasons) == (APPROVED_BOOT, APPROVED_CONFIG, ())
    assert reading.release == "ovmf:1"
    assert (ima.unknown, ima.count) == (0, len(parse_ima(FIRST.moments[0].ima)))


def test_the_next_boot_of_the_machine_is_of_it_too_and_affirming():
    on = learned(FIRST)
    reading, ima = read(SECOND, on)
    files, reasons = judge_files(on, ima)
    vector = Vector(
        instance_identity=2, configuration=reading.configuration, executables=reading.executables, file_system=files
    )
    assert (vector.tier, files, reasons) == (Tier.AFFIRMING, APPROVED_FILES, ())


def test_a_machine_with_secure_boot_off_is_contraindicated_and_told_why():
    on = learned(FIRST)
    reading, _ = read(OPEN, on)
    assert (reading.executables, reading.configuration) == (CONTRAINDICATED_RUNTIME, UNSUPPORTABLE_CONFIG)
    codes = [reason.code for reason in reading.reasons]
    assert codes == ["attestation.unrecognized_boot", "attestation.secure_boot_off"]


def test_secure_boot_off_is_contraindicated_also_where_its_boot_was_learned():
    reading, _ = read(OPEN, learned(OPEN))
    assert (reading.executables, reading.configuration) == (APPROVED_BOOT, UNSUPPORTABLE_CONFIG)


def test_how_the_open_machine_differs_is_explained_event_by_event():
    on = learned(FIRST)
    log = parse_log(OPEN.events)
    told = explain(gaps(measured(log, on.policy), values_of(log, on.policy), on.policy, on.judged), on.judged)
    assert {4, 7} <= {difference.register for difference in told.differences}
    assert any("variable SecureBoot" in difference.sentence for difference in told.differences)


@BOOTS
def test_the_list_goes_on_from_one_quote_to_the_next(report):
    on = learned(report, files=True)
    log = parse_log(report.events)
    values = values_of(log, on.policy)
    first, second = report.moments
    begun = follow_list(ImaSlice(0, pack(first.ima)), ImaState(), on, values, signed(report), new_boot=True)
    new = ImaSlice(begun.count, pack(second.ima[len(first.ima) :]))
    after = follow_list(new, begun, on, values, signed(report, 1), new_boot=False)
    assert (after.unknown, after.value) == (0, second.registers["sha256"][10])
    raced = follow_list(ImaSlice(0, pack(second.ima)), ImaState(), on, values, signed(report), new_boot=True)
    assert raced == begun, "the longer list with the earlier quote proves what the shorter did"


@BOOTS
def test_the_kernels_sum_of_the_boot_is_that_of_the_registers_quoted(report):
    on = learned(report)
    log = parse_log(report.events)
    good = values_of(log, on.policy)
    assert read(report, on)[1].unknown == 0
    bent = good | {7: bytes(32)}
    with pytest.raises(Refused, match="ima_mismatch"):
        follow_list(ImaSlice(0, pack(report.moments[0].ima)), ImaState(), on, bent, signed(report), new_boot=True)


def test_files_that_the_release_does_not_name_are_told():
    on = learned(FIRST)
    only = on.judged[0].statement.files[:1]
    named = judged(build_statement(
        [Source("boot", ArtefactKind.EVENT_LOG, FIRST.events)], model="ovmf", version="1", svn=1, made_at=NOW,
        files=only,
    ))  # fmt: skip
    fewer = ground(POLICY, named)
    _, ima = read(FIRST, fewer)
    claim, reasons = judge_files(fewer, ima)
    assert (claim, reasons[0].code) == (UNRECOGNIZED_FILES, "attestation.unknown_files")


@BOOTS
def test_a_bit_flipped_anywhere_in_a_real_log_never_reads_as_the_same_boot(report):
    """Either it cannot be read, or it does not lead to what was signed, or only words were changed."""
    on = learned(report, files=False)
    part = ImaSlice(0, pack(report.moments[0].ima))
    right = read(report, on)[0]
    for place in range(0, len(report.events), 97):
        data = report.events[:place] + bytes([report.events[place] ^ 4]) + report.events[place + 1 :]
        try:
            log = parse_log(data)
            values = values_of(log, on.policy)
            follow_list(part, ImaState(), on, values, signed(report), new_boot=True)
        except Refused as refused:
            assert refused.effect is Effect.AGAINST  # noqa: PT017 (most are refused, words are not)
        else:
            reading = read_boot(log, "x", values, on)
            assert reading.values == right.values
            assert reading.configuration >= right.configuration


def test_two_boots_of_the_machine_are_one_life_and_their_quotes_in_the_other_order_are_not():
    def clock(report, moment):
        return parse_attestation(report.moments[moment].attested).clock

    state = DeviceState()
    for number, (report, moment) in enumerate([(FIRST, 0), (FIRST, 1), (SECOND, 0), (SECOND, 1)]):
        life = follow(state, clock(report, moment), Instant(NOW + number * MINUTE))
        assert (life.new_boot, life.reasons) == (moment == 0, ())
        state = DeviceState(counters=life.counters, left=life.left, backs=life.backs)
    assert follow(state, clock(FIRST, 0), Instant(NOW + 5 * MINUTE)).reasons
