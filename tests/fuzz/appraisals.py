"""Targets: whole appraisals. Whatever a device with a genuine key sends, `appraise` answers and refuses nothing.

A device that was taken over holds its key: so what is fuzzed is quoted and signed as the real thing would be.
"""

from __future__ import annotations

import hashlib
from unittest import mock

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attest_builders import DEVICE, NONCE, NOW, REGISTERS, SoftTpm, a_ground, booted, judged, statement
from fuzz.keys import P256
from fuzz.measured import EVIDENCE, IMA_WORDS, JSON_WORDS, LOG_WORDS
from fuzz.target import Target, must_answer, yes
from holdfast_core.attestation import quote
from holdfast_core.attestation.boot import measured, read_boot
from holdfast_core.attestation.comparison import gaps
from holdfast_core.attestation.explaining import explain
from holdfast_core.attestation.facts import Facts, Outcome
from holdfast_core.attestation.ground import Ground
from holdfast_core.attestation.model import DeviceState, Expected, Method
from holdfast_core.attestation.quote import Nonce
from holdfast_core.attestation.reference import FileValue, Golden, Statement, TokenComponent
from holdfast_core.attestation.rules import appraise
from holdfast_core.formats.eventlog.banks import SHA256
from holdfast_core.formats.eventlog.log import EventLog, parse_event_log
from holdfast_core.formats.eventlog.replay import replay
from holdfast_core.formats.ima.replay import walk
from holdfast_core.formats.psa import instance_id_of
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import MINUTE, Instant
from holdfast_core.wire.attestation import (
    Asking,
    Claims,
    Evidence,
    ImaSlice,
    TokenEvidence,
    TpmEvidence,
    binding,
    pack,
)
from holdfast_core.wire.codec import decode_body
from psa_builders import sign1

_SPKI = P256.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
INSTANCE_ID = instance_id_of(P256.public_key())
BOUND = binding(NONCE, DEVICE, Claims())
"""What a token's nonce claim must be."""
_SIGNATURE = SoftTpm(P256).sign(b"")
EVERY = (*range(10), 11, 12, 14)
_COMPONENTS = (TokenComponent("BL", "55" * 32), TokenComponent("PRoT", "55" * 32, signer="66" * 32))


def _statement(**more: object) -> Statement:
    values = statement().measurements
    return statement(
        components=_COMPONENTS,
        files=(FileValue("/usr/bin/true", hashlib.sha256(b"true").hexdigest()),),
        file_keys=(_SPKI,),
        **{"measurements": values, **more},
    )


def _ground(**policy: object) -> Ground:
    return a_ground(*judged(_statement(), statement("0.9.0", golden=(Golden(7, "00" * 32),))), **policy)


GROUNDS = {
    "log": _ground(registers=EVERY, secure_boot=True),
    "ima": _ground(registers=REGISTERS, ima=True),
    "values": a_ground(
        *judged(statement(measurements=(), golden=(Golden(7, "00" * 32),))),
        lifecycle=("secured",),
        debug_off=True,
        tamper_proof=True,
        components=(Expected("usb:1-1", "0bda:8153"),),
    ),
    "token": _ground(method=Method.TOKEN, registers=(), lifecycle=("secured",)),
}


def facts(evidence: Evidence, ground: Ground, log: bytes | None = None) -> Facts:
    return Facts(
        device=DEVICE,
        now=NOW,
        nonce=Nonce(NONCE, Instant(NOW + 10 * MINUTE), ""),
        key=_SPKI if ground.policy.method is Method.TOKEN else SoftTpm(P256).public,
        ground=ground,
        before=DeviceState(),
        evidence=evidence,
        log=log,
        log_digest=digest_of(log) if log is not None else "",
    )


def appraised(made: Facts) -> Outcome:
    """The outcome; it also keeps (as JSON), and what was kept leads to an answer once more."""
    outcome = must_answer(appraise, made)
    assert isinstance(outcome, Outcome)
    kept = msgspec.json.decode(msgspec.json.encode(outcome.state), type=DeviceState)
    assert kept == outcome.state
    assert must_answer(appraise, made) == outcome
    if not isinstance(made.evidence, Asking):
        later = msgspec.structs.replace(made, before=kept, log=None, now=Instant(NOW + MINUTE))
        must_answer(appraise, later)
    for reason in outcome.result.reasons if outcome.result is not None else ():
        assert reason.sentence.isprintable(), reason
    assert outcome.reason is None or outcome.reason.sentence.isprintable(), outcome.reason
    return outcome


def by_evidence(data: bytes) -> None:
    """The section as it comes in, before models of every kind; then with a quote that is genuine."""
    evidence = decode_body(msgspec.Raw(data), EVIDENCE, section="attestation")
    for name in ("log", "ima", "values", "token"):
        appraised(facts(evidence, GROUNDS[name]))
    if isinstance(evidence, TpmEvidence):
        tpm = SoftTpm(P256)
        made = tpm.evidence(claims=evidence.claims, registers=REGISTERS)
        zeros = {str(register): "00" * 32 for register in REGISTERS}
        for told in (evidence.registers, zeros):
            appraised(facts(msgspec.structs.replace(made, registers=told), GROUNDS["values"]))


def by_quote(data: bytes) -> None:
    """What the TPM itself says; its signature is taken for genuine."""
    with mock.patch.object(quote, "verifies", yes):
        for name in ("log", "ima", "values"):
            appraised(facts(TpmEvidence(NONCE, data[:1_024], _SIGNATURE), GROUNDS[name]))


def by_log(data: bytes) -> None:
    """An event log that leads to exactly what is quoted."""
    tpm = SoftTpm(P256)
    log = _log(data)
    if log is not None and SHA256 in log.banks:
        tpm.values = dict(replay(log, SHA256))
    ground = GROUNDS["log"]
    outcome = appraised(facts(tpm.evidence(registers=EVERY), ground, data))
    if log is None or outcome.result is None:
        return
    values = {register: tpm.value(register) for register in EVERY}
    found = gaps(must_answer(measured, log, ground.policy), values, ground.policy, ground.judged)
    explained = must_answer(explain, found, ground.judged)
    assert all(each.sentence.isprintable() for each in explained.differences)
    must_answer(read_boot, log, digest_of(data), values, ground)


def _log(data: bytes) -> EventLog | None:
    try:
        return parse_event_log(data)
    except HostileData:
        return None


def by_list(data: bytes) -> None:
    """A measurement list: the first byte says how many entries the quote proves, or (its highest bit) that it is half.

    Of half a list the quote proves nothing yet; the same entries once more are its other half.
    """
    if not data:
        return
    tpm = SoftTpm(P256)
    log = tpm.boot(booted())
    first = _chain(data[1:], bytes(32))
    second = _chain(data[1:], first[-1])
    half = data[0] >= 0x80
    tpm.values[10] = second[-1] if half else first[min(data[0], len(first) - 1)]
    made = facts(_with_list(tpm, ImaSlice(0, pack(data[1:]), more=half)), GROUNDS["ima"], log)
    outcome = appraised(made)
    if half and len(first) > 1:
        assert outcome.state.ima.count in (len(first) - 1, 0)
        rest = _with_list(tpm, ImaSlice(outcome.state.ima.count, pack(data[1:])))
        appraised(msgspec.structs.replace(made, before=outcome.state, evidence=rest))


def _chain(entries: bytes, start: bytes) -> tuple[bytes, ...]:
    try:
        return (start, *walk(entries, start, bank="sha256").values)
    except HostileData:
        return (start,)


def _with_list(tpm: SoftTpm, part: ImaSlice) -> TpmEvidence:
    return tpm.evidence(registers=tuple(sorted({*REGISTERS, 10})), ima=part)


def by_token(data: bytes) -> None:
    """Claims that the device's own key signed, and the token as it is."""
    appraised(facts(TokenEvidence(NONCE, sign1(P256, data)), GROUNDS["token"]))
    appraised(facts(TokenEvidence(NONCE, data), GROUNDS["token"]))


TARGETS = {
    "appraise-evidence": Target(by_evidence, JSON_WORDS, 8_192),
    "appraise-quote": Target(by_quote, (b"\xffTCG\x80\x18", b"\0\x0b\x03", b"\0\0\0\1\0\x0b\x03"), 1_100),
    "appraise-log": Target(by_log, LOG_WORDS, 20_000),
    "appraise-list": Target(by_list, IMA_WORDS, 8_192),
    "appraise-token": Target(by_token, (b"\x58\x20" + BOUND, b"\x0a", b"\x19\x09\x5b", b"\x30\0"), 4_096),
}
