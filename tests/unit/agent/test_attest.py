"""Which evidence goes into a check-in, and when: asked for, fresh, once a contact, and told plainly where it cannot."""

from __future__ import annotations

import msgspec
import pytest

from attest_agent_builders import BOOT, HANDLE, NONCE, PCR_READ, QUOTE, QuotingDevice, Sysfs, lines_of, state, verified
from holdfast_agent import means, quoting
from holdfast_agent.attest import Attester
from holdfast_agent.dry_run import dry_run
from holdfast_agent.means import Way, in_words
from holdfast_agent.state import QUOTING, Config, Folder, KeyPlace, QuotingKey, Stored
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.attestation import (
    BOOT_LOG,
    SECTION,
    Ask,
    Asking,
    BootLog,
    Evidence,
    TokenEvidence,
    TpmEvidence,
    Unable,
    binding,
    unpack,
)
from holdfast_core.wire.confirm import Moment

NOW = Moment(BOOT, 130)
ASK = Ask(registers=(0, 1, 7), nonce_s=600)


class Bench:
    """A device whose chip is a stand-in."""

    def __init__(self, folder, chip):
        self.chip = chip
        self.sysfs = Sysfs(folder)
        self.folder = Folder(folder / "state")
        self.config = Config("https://x", "cam-1", key=KeyPlace.TPM, tcti="none", sys=str(self.sysfs.path))
        self.said = []
        self.keep(QuotingKey(chip.public, b"", HANDLE))
        self.attester = Attester(self.folder, self.config, self.said.append)

    def keep(self, key):
        self.folder.write(QUOTING, msgspec.json.encode(key))

    def configure(self, **changes):
        self.config = msgspec.structs.replace(self.config, **changes)
        self.attester = Attester(self.folder, self.config, self.said.append)

    def parts(self, remembered, now=NOW, others=0, *, begin=True):
        if begin:
            self.attester.begin()
        return {part.name: part.body for part in self.attester.parts(remembered, now, others)}

    def evidence(self, remembered, now=NOW, others=0):
        return msgspec.json.decode(self.parts(remembered, now, others)[SECTION], type=Evidence)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    chip = QuotingDevice()
    monkeypatch.setattr(means, "way_here", lambda: Way.TOOLS)
    monkeypatch.setattr(quoting, "sender", lambda _way, _tcti: chip.send)
    monkeypatch.setattr(quoting, "PAUSE_S", 0)
    return Bench(tmp_path, chip)


def test_evidence_is_a_quote_bound_to_nonce_device_and_claims(bench):
    bench.sysfs.log(b"events")
    bench.sysfs.usb("1-1", "046d", "c31c")
    evidence = bench.evidence(state(ASK))
    assert isinstance(evidence, TpmEvidence)
    assert evidence.nonce == NONCE
    assert evidence.claims.components[0].place == "usb:1-1"
    verified(evidence.quote, evidence.signature, bench.chip.public, binding(NONCE, "cam-1", evidence.claims))
    assert evidence.registers == {}
    assert bench.chip.commands == [QUOTE]


def test_the_event_log_travels_with_it(bench):
    bench.sysfs.log(b"events")
    parts = bench.parts(state(ASK))
    assert unpack(msgspec.json.decode(parts[BOOT_LOG], type=BootLog).log) == b"events"


@pytest.mark.parametrize(
    ("remembered", "now"),
    [
        (state(None), NOW),
        (msgspec.structs.replace(state(ASK), nonce=None), NOW),
        (state(ASK, answered=Moment("a" * 32, 100)), NOW),
        (state(ASK), Moment(BOOT, 701)),
        (msgspec.structs.replace(state(ASK), answered=None), NOW),
        (msgspec.structs.replace(state(ASK), answers={SECTION: '{"registers": [99]}'}), NOW),
    ],
    ids=["nothing heard", "no nonce", "another boot", "too old", "never answered", "unreadable"],
)
def test_without_a_fresh_nonce_the_device_asks_and_the_chip_is_left_alone(bench, remembered, now):
    bench.sysfs.log(b"events")
    parts = bench.parts(remembered, now)
    assert msgspec.json.decode(parts[SECTION], type=Evidence) == Asking()
    assert BOOT_LOG not in parts
    assert bench.chip.commands == []


def test_with_another_key_it_speaks_anew_and_for_a_nonce_that_is_for_that_key(bench):
    bench.sysfs.log(b"events")
    assert isinstance(bench.evidence(state(ASK)), TpmEvidence)
    assert bench.parts(state(ASK), begin=False) == {}, "once a contact"
    bench.attester.rekeyed(NONCE)
    asked = bench.parts(state(ASK), begin=False)
    assert msgspec.json.decode(asked[SECTION], type=Evidence) == Asking()
    given = msgspec.structs.replace(state(ASK, wants=(SECTION,)), nonce="nonce-of-the-new-key")
    spoken = msgspec.json.decode(bench.parts(given, begin=False)[SECTION], type=Evidence)
    assert isinstance(spoken, TpmEvidence)
    assert len(bench.chip.commands) == 2


def test_a_nonce_is_taken_until_its_last_second(bench):
    assert isinstance(bench.evidence(state(ASK), Moment(BOOT, 700)), TpmEvidence)


def test_where_the_server_wants_no_quote_the_sections_are_left_out(bench):
    bench.sysfs.log(b"events")
    assert bench.parts(state(Ask())) == {}
    assert bench.parts(state(Ask(nonce_s=900))) == {}


def test_a_contact_holds_evidence_once_and_again_where_it_is_wanted(bench):
    bench.sysfs.log(b"events")
    assert bench.parts(state(ASK)).keys() == {SECTION, BOOT_LOG}
    assert bench.parts(state(ASK), begin=False) == {}
    again = msgspec.structs.replace(state(ASK, wants=(SECTION,)), nonce="nonce-000002")
    evidence = msgspec.json.decode(bench.parts(again, begin=False)[SECTION], type=Evidence)
    assert evidence.nonce == "nonce-000002"
    assert bench.parts(state(ASK, wants=(BOOT_LOG,)), begin=False).keys() == {SECTION, BOOT_LOG}
    assert bench.chip.commands == [QUOTE] * 3


def test_without_an_event_log_the_registers_travel_as_the_kernel_shows_them(bench):
    bench.sysfs.registers(bench.chip.registers)
    evidence = bench.evidence(state(ASK))
    assert evidence.registers == {str(number): bench.chip.registers[number].hex() for number in (0, 1, 7)}
    assert bench.chip.commands == [QUOTE]


def test_a_kernel_that_does_not_show_them_lets_the_chip_be_asked(bench):
    assert bench.evidence(state(ASK)).registers.keys() == {"0", "1", "7"}
    assert bench.chip.commands == [PCR_READ, QUOTE]


def test_a_register_that_changes_meanwhile_is_read_again(bench, monkeypatch):
    real, changed = bench.chip.send, []

    def send(command):
        if not changed and command[6:10] == QUOTE.to_bytes(4, "big"):
            changed.append(bench.chip.registers.update({7: bytes(32)}))
        return real(command)

    monkeypatch.setattr(quoting, "sender", lambda _way, _tcti: send)
    assert bench.evidence(state(ASK)).registers["7"] == bytes(32).hex()
    assert bench.chip.commands == [PCR_READ, QUOTE, PCR_READ, QUOTE]


def test_the_ima_list_is_read_after_the_quote(bench, monkeypatch):
    bench.sysfs.log(b"events")
    bench.sysfs.ima(0, 2)
    real = bench.chip.send
    monkeypatch.setattr(quoting, "sender", lambda _way, _tcti: lambda c: (bench.sysfs.ima(2, 1), real(c))[1])
    evidence = bench.evidence(state(msgspec.structs.replace(ASK, ima=True)))
    assert len(lines_of(evidence)) == 3


def test_the_ima_list_travels_only_where_it_is_asked_for(bench):
    bench.sysfs.ima(0, 2)
    assert bench.evidence(state(ASK)).ima is None
    assert bench.evidence(state(msgspec.structs.replace(ASK, ima=True))).ima.start == 0


@pytest.mark.parametrize("others", [0, 130 * 1024])
def test_all_of_it_fits_into_a_check_in(bench, others):
    bench.sysfs.log(bytes(range(256)) * 4000)
    bench.sysfs.ima(0, 9000)
    parts = bench.parts(state(msgspec.structs.replace(ASK, ima=True)), others=others)
    assert all(len(body) <= LIMITS.section_bytes for body in parts.values())
    assert sum(map(len, parts.values())) + others < LIMITS.check_in_bytes - 32 * 1024
    evidence = msgspec.json.decode(parts[SECTION], type=Evidence)
    assert evidence.ima.more
    assert len(lines_of(evidence)) > 200


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"key": KeyPlace.FILE}, "no-tpm"), ({"key": KeyPlace.TOKEN}, "no-tpm")],
)
def test_a_device_without_a_tpm_says_so(bench, changes, why):
    bench.configure(**changes)
    assert bench.evidence(state(ASK)) == Unable(why)
    assert bench.evidence(state(None)) == Unable(why)
    assert why in in_words(bench.folder, bench.config)


def test_a_device_without_tools_or_without_its_key_says_so(bench, monkeypatch):
    monkeypatch.setattr(means, "way_here", lambda: None)
    assert bench.evidence(state(ASK)) == Unable("no-tools")
    monkeypatch.setattr(means, "way_here", lambda: Way.PYTSS)
    assert isinstance(bench.evidence(state(ASK)), TpmEvidence)
    bench.keep(QuotingKey(b"", b"", why="no room"))
    assert bench.evidence(state(ASK)) == Unable("no-tools")
    bench.folder.remove(QUOTING)
    assert bench.evidence(state(ASK)) == Unable("no-key")
    assert "enroll it again" in in_words(bench.folder, bench.config)


@pytest.mark.parametrize(("response", "word"), [(0x18B, "key-gone"), (0x101, "tpm-failed")])
def test_a_chip_that_fails_is_told_to_the_server_in_a_word_and_to_a_person_once(bench, response, word):
    bench.sysfs.log(b"events")
    bench.chip.response = response
    for _ in range(3):
        parts = bench.parts(state(ASK))
        assert msgspec.json.decode(parts[SECTION], type=Evidence) == Unable(word)
        assert BOOT_LOG not in parts
    assert len(bench.said) == 1
    bench.chip.response = 0
    assert isinstance(bench.evidence(state(ASK)), TpmEvidence)


def test_a_bank_that_nobody_knows_is_told(bench):
    assert bench.evidence(state(msgspec.structs.replace(ASK, bank="md5"))) == Unable("unknown-bank")


def test_a_token_stands_in_where_there_is_no_tpm(bench, tmp_path):
    program = tmp_path / "token"
    program.write_text('#!/bin/sh\nprintf "token:%s" "$2"\n')
    program.chmod(0o755)
    token = (str(program), "--psa")
    bench.configure(attest_token=token)
    assert isinstance(bench.evidence(state(ASK)), TpmEvidence)
    assert isinstance(bench.evidence(state(Ask(token=True, nonce_s=600))), TokenEvidence)
    bench.configure(key=KeyPlace.FILE)
    assert bench.evidence(state(ASK)) == Unable("no-tpm")
    evidence = bench.evidence(state(Ask(token=True, nonce_s=600)))
    assert isinstance(evidence, TokenEvidence)
    assert evidence.token == b"token:" + binding(NONCE, "cam-1", evidence.claims).hex().encode()
    assert str(program) in in_words(bench.folder, bench.config)
    assert bench.parts(state(Ask())) == {}
    program.write_text("#!/bin/sh\nexit 1\n")
    assert bench.evidence(state(Ask(token=True, nonce_s=600))) == Unable("token-failed")
    bench.configure(attest_token=())
    assert bench.evidence(state(Ask(token=True, nonce_s=600))) == Unable("no-token")


def test_a_person_sees_what_the_device_attests_with(bench):
    assert in_words(bench.folder, bench.config) == "tpm2-tools, the key stays in the chip at 0x81010100"
    bench.keep(QuotingKey(b"", b"", why="all handles are taken"))
    assert "loaded anew by each process: all handles are taken" in in_words(bench.folder, bench.config)


class Clock:
    def now(self):
        return NOW


def test_a_dry_run_shows_what_would_be_sent_and_keeps_nothing(bench):
    bench.sysfs.log(b"events")
    bench.sysfs.ima(0, 3)
    bench.folder.save(Stored())
    before = {path.name: path.read_bytes() for path in bench.folder.path.iterdir()}
    shown = dry_run(bench.folder, bench.config, Clock(), "aabbccdd")
    assert (shown[SECTION]["type"], shown[SECTION]["nonce"]) == ("tpm", "aabbccdd")
    assert shown[BOOT_LOG]["bytes"] > 0
    assert shown[SECTION]["ima"]["start"] == 0
    assert before == {path.name: path.read_bytes() for path in bench.folder.path.iterdir()}
    bench.chip.response = 0x101
    assert "0x101" in dry_run(bench.folder, bench.config, Clock(), "aabbccdd")["trouble"][0]
    with pytest.raises(HostileData) as raised:
        dry_run(bench.folder, bench.config, Clock(), "short")
    assert raised.value.code == "agent.nonce"
