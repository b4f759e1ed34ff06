"""The parts of an attestation by themselves, beside those of another verifier on the same inputs.

Method: one process, CPU time, each part over and over for some seconds. The quotes are of 50 keys (ECDSA P-256) over
eleven registers; a quote counts from its bytes to the answer, nonce and digest of the registers included, with the
key's public area parsed before, as the server has it. The event log (41 KB) is parsed and replayed; *read* is also
what it says, compared with two releases. The measurement list has 5,000 entries (``ima-ng``, SHA-256), all named by a
release; it is parsed, replayed up to the quoted register, and each file is looked up. *Whole* is quote and event log
together. The peer, `keylime` 7.14.3, runs its own functions for the same (see `benchmarks.attestation_keylime`), with
registers compared by a list of values (*with policy*) or with the log under its policy ``accept-all``.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import cycle
from pathlib import Path
from struct import pack as packed

import msgspec

from benchmarks.attestation_fleet import REGISTERS, Boot, Tpm, boots
from benchmarks.attestation_peers import Quote, keylime
from holdfast_core.attestation.boot import parse_log, read_boot, values_of
from holdfast_core.attestation.files import follow_list
from holdfast_core.attestation.ground import Ground, ground
from holdfast_core.attestation.model import DeviceState, ImaState, Method, Policy
from holdfast_core.attestation.quote import IMA_REGISTER, Nonce, Signed, check_quote
from holdfast_core.attestation.reference import FileValue, Judged, Standing, statement_bytes
from holdfast_core.attestation.rules import Facts, appraise
from holdfast_core.formats.tpm.public import Public, parse_public
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.instants import MINUTE, Instant
from holdfast_core.wire.attestation import Claims, ImaSlice, TpmEvidence, binding, pack

KEYS, QUOTES, ENTRIES = 50, 500, 5_000
SECONDS = 4.0
DEVICE, NOW = "gate-7", Instant(1_795_000_000_000)
_BOOTED, _WITH_FILES = Policy(Method.TPM, registers=REGISTERS), Policy(Method.TPM, registers=REGISTERS, ima=True)


class Entries:
    """A measurement list in both of the kernel's forms, the files in it, and the register after it."""

    def __init__(self, count: int) -> None:
        self.files: dict[str, str] = {}
        self.value = bytes(32)
        lines, records = [], []
        for number in range(count):
            path, digest = f"/usr/lib/x86_64-linux-gnu/lib{number}.so", hashlib.sha256(str(number).encode()).digest()
            self.files[path] = digest.hex()
            fields = (b"sha256:\0" + digest, path.encode() + b"\0")
            data = b"".join(packed("<I", len(field)) + field for field in fields)
            column = hashlib.sha1(data, usedforsecurity=False).digest()
            lines.append(f"{IMA_REGISTER} {column.hex()} ima-ng sha256:{digest.hex()} {path}\n")
            records.append(packed("<I20sI", IMA_REGISTER, column, 6) + b"ima-ng" + packed("<I", len(data)) + data)
            self.value = hashlib.sha256(self.value + hashlib.sha256(data).digest()).digest()
        self.text, self.binary = "".join(lines).encode(), b"".join(records)


class Quoted:
    """Quotes that answer nonces, each with the key that the server holds."""

    def __init__(self, values: Mapping[int, bytes], policy: Policy) -> None:
        self.policy, self.values = policy, values
        chips = [Tpm() for _ in range(KEYS)]
        self.sent: list[TpmEvidence] = []
        self.keys: list[Public] = []
        self.areas: list[bytes] = []
        for number in range(QUOTES):
            chip, nonce = chips[number % KEYS], f"nonce-{number:016d}"
            quote, signature = chip.quote(binding(nonce, DEVICE, Claims()), values)
            self.sent.append(TpmEvidence(nonce, quote, signature))
            self.areas.append(chip.area)
        parsed = [parse_public(chip.area) for chip in chips]
        self.keys = [parsed[number % KEYS] for number in range(QUOTES)]

    def check(self, number: int) -> Signed:
        """Verify one quote, registers included."""
        sent = self.sent[number]
        nonce = Nonce(sent.nonce, Instant(NOW + MINUTE), "")
        signed = check_quote(sent, self.keys[number], device=DEVICE, policy=self.policy, nonce=nonce, now=NOW)
        _must(signed.is_of(self.values[register] for register in sorted(self.values)))
        return signed

    def facts(self, number: int, boot: Boot, on: Ground) -> Facts:
        """The facts of a first evidence, with its event log."""
        sent = self.sent[number]
        nonce = Nonce(sent.nonce, Instant(NOW + MINUTE), "")
        return Facts(DEVICE, NOW, nonce, self.keys[number], on, DeviceState(), sent, boot.log, boot.digest)

    def told(self) -> list[Quote]:
        """The same quotes for the peer."""
        return [
            Quote(sent.quote, sent.signature, binding(sent.nonce, DEVICE, Claims()), area)
            for sent, area in zip(self.sent, self.areas, strict=True)
        ]


def _must(good: object) -> None:
    if not good:
        raise SystemExit("an input was refused: a refused figure is no figure")


def _rate(work: Callable[[], object], items: int = 1) -> float:
    work()
    begun, done = time.process_time(), 0
    while time.process_time() - begun < SECONDS:
        work()
        done += items
    return done / (time.process_time() - begun)


def _ground(policy: Policy, *releases: Boot, files: Mapping[str, str]) -> Ground:
    judged = []
    for number, boot in enumerate(releases, 1):
        values = tuple(FileValue(path, digest) for path, digest in files.items())
        statement = msgspec.structs.replace(boot.release(f"{number}.0.0"), files=values)
        judged.append(Judged(statement, digest_of(statement_bytes(statement)[0]), Standing.CURRENT))
    return ground(policy, tuple(judged))


def _files(listed: Entries, quoted: Quoted, on: Ground) -> Callable[[bytes], None]:
    signed = quoted.check(0)
    values = {register: value for register, value in quoted.values.items() if register != IMA_REGISTER}

    def follow(packed_list: bytes) -> None:
        part = ImaSlice(0, packed_list)
        state = follow_list(part, ImaState(), on, values, signed, new_boot=True)
        _must(state.count == ENTRIES and not state.unknown and state.loaded)

    _must(signed.is_of((*(values[register] for register in sorted(values)), listed.value)))
    return follow


def main() -> None:
    """Print the figures."""
    boot, second = boots()
    listed = Entries(ENTRIES)
    quoted = Quoted(boot.values, _BOOTED)
    with_files = Quoted({**boot.values, IMA_REGISTER: listed.value}, _WITH_FILES)
    on = _ground(_BOOTED, boot, second, files={})
    follow = _files(listed, with_files, _ground(_WITH_FILES, boot, files=listed.files))
    text, binary, turns = pack(listed.text), pack(listed.binary), cycle(range(QUOTES))

    def whole() -> None:
        outcome = appraise(quoted.facts(next(turns), boot, on))
        _must(outcome.result is not None and outcome.result.tier is Tier.AFFIRMING)

    def read() -> None:
        log = parse_log(boot.log)
        _must(read_boot(log, boot.digest, values_of(log, _BOOTED), on).release)

    ours = {
        "quote": _rate(lambda: quoted.check(next(turns))),
        "log": _rate(lambda: values_of(parse_log(boot.log), _BOOTED)),
        "read": _rate(read),
        "whole": _rate(whole),
        "ima": _rate(lambda: follow(text), ENTRIES),
        "binary": _rate(lambda: follow(binary), ENTRIES),
    }
    with tempfile.TemporaryDirectory() as name:
        theirs = keylime(
            Path(name),
            quotes=quoted.told(),
            values=boot.values,
            log=boot.log,
            ima=listed.text,
            files=listed.files,
            ima_value=listed.value,
        )
    _told(ours, theirs)


def _told(ours: Mapping[str, float], theirs: Mapping[str, float]) -> None:
    def beside(name: str, form: Callable[[float], str]) -> str:
        return f"keylime {form(theirs[name])}" if name in theirs else ""

    def a_second(rate: float) -> str:
        return f"{rate:,.0f} /s"

    def each(rate: float) -> str:
        return f"{1000 / rate:.2f} ms"

    print(f"a quote          {a_second(ours['quote'])}  (target 3,000)  {beside('quote', a_second)}")
    print(f"  with policy                             {beside('policed', a_second)}")
    print(f"event log, 41 KB {each(ours['log'])}  (target 1.50 ms)  {beside('log', each)}")
    print(f"  and read       {each(ours['read'])}")
    print(f"quote and log    {a_second(ours['whole'])}  {beside('whole', a_second)}")
    print(f"IMA, text        {ours['ima']:,.0f} lines/s  (target 60,000)  {beside('ima', a_second)}")
    print(f"IMA, binary      {ours['binary']:,.0f} entries/s")
