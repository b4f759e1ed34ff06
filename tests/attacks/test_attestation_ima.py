"""Attacks on the list of measured files. Each is refused or told; the same list sent honestly is taken."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attest_builders import NONCE, NOW, SoftTpm, a_ground, code_of, facts, judged, statement
from holdfast_core.attestation.model import APPROVED_RUNTIME, DeviceState, ImaState
from holdfast_core.attestation.quote import Nonce, registers_of
from holdfast_core.attestation.reference import FileValue, Standing
from holdfast_core.attestation.refusals import Effect
from holdfast_core.attestation.rules import appraise
from holdfast_core.formats.ima.signature import key_id
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.instants import MINUTE, Instant
from holdfast_core.wire.attestation import ImaSlice, pack
from ima_builders import Made, binary, many, text

TEN = tuple(range(10))
STRANGE = Made(name=b"/srv/implant", digest=b"\x66" * 32)
KEY = ec.generate_private_key(ec.SECP256R1())


class Gateway:
    """A device whose kernel measures what it runs, contact after contact, and what is remembered of it."""

    def __init__(self, *, keys=()):
        self.files = many(6)
        named = tuple(FileValue(each.name.decode(), each.digest.hex()) for each in self.files)
        self.releases = judged(statement(files=named, file_keys=tuple(keys)))
        self.tpm, self.state, self.now, self.contacts = SoftTpm(), DeviceState(), int(NOW), 0
        self.list = []
        self.boot()

    def boot(self):
        self.log = self.tpm.boot()
        self.list = []
        summed = hashlib.sha256(b"".join(self.tpm.value(register) for register in TEN)).digest()
        self.run(Made(name=b"boot_aggregate", digest=summed), *self.files)

    def run(self, *entries):
        self.list.extend(entries)
        for entry in entries:
            self.tpm.extend(10, b"\xff" * 32 if entry.violation else hashlib.sha256(entry.data).digest())

    @property
    def ground(self):
        return a_ground(*self.releases, ima=True, registers=TEN)

    def evidence(self, entries=None, start=0, *, more=False, form=binary, part=None):
        """The facts of one contact: a fresh nonce, a quote of now, and these entries."""
        self.contacts, self.now = self.contacts + 1, self.now + MINUTE
        self.tpm.clock += MINUTE
        nonce = f"{NONCE}-{self.contacts}"
        sent = part or ImaSlice(start, pack(form(*(self.list[start:] if entries is None else entries))), more=more)
        said = self.tpm.evidence(nonce, registers=registers_of(self.ground.policy), ima=sent)
        return facts(
            self.tpm, self.log, said, ground=self.ground, before=self.state, now=Instant(self.now),
            nonce=Nonce(nonce, Instant(self.now + MINUTE), ""), log_digest=digest_of(self.log),
        )  # fmt: skip

    def attests(self, *args, **more):
        outcome = appraise(self.evidence(*args, **more))
        self.state = outcome.state
        return outcome


@pytest.fixture
def gateway():
    return Gateway()


def affirmed(outcome):
    assert outcome.result is not None, outcome.reason
    assert outcome.result.tier is Tier.AFFIRMING, outcome.result.reasons
    return outcome


def against(outcome, code):
    assert (code_of(outcome), outcome.effect) == (code, Effect.AGAINST)
    assert outcome.result.tier is Tier.CONTRAINDICATED
    assert (outcome.state.boot, outcome.state.ima) == (None, ImaState())


@pytest.mark.parametrize("form", [binary, text])
def test_control_an_honest_list_is_affirmed_to_its_end(gateway, form):
    outcome = affirmed(gateway.attests(form=form))
    assert outcome.result.vector.executables == APPROVED_RUNTIME
    assert outcome.state.ima.count == len(gateway.list)


def bent():
    """Ways to bend a list that has an implant in it, so that the implant does not show."""
    calm = msgspec.structs.replace(STRANGE, name=b"/usr/bin/true")
    return {
        "entry dropped": lambda entries: [each for each in entries if each is not STRANGE],
        "entry changed": lambda entries: [each if each is not STRANGE else many(6)[2] for each in entries],
        "entry renamed": lambda entries: [each if each is not STRANGE else calm for each in entries],
        "entries reordered": lambda entries: [entries[0], entries[2], entries[1], *entries[3:]],
        "entry doubled": lambda entries: [*entries[:2], entries[1], *entries[2:]],
        "first entry left out": lambda entries: entries[1:],
        "cut before it": lambda entries: entries[: entries.index(STRANGE)],
        "made a violation": lambda entries: [
            each if each is not STRANGE else msgspec.structs.replace(each, violation=True) for each in entries
        ],
        "nothing at all": lambda _: [],
    }


@pytest.mark.parametrize("way", bent())
def test_a_list_that_was_bent_to_hide_an_implant(gateway, way):
    gateway.run(STRANGE, many(9)[1])
    told = appraise(gateway.evidence())
    assert (told.result.tier, told.result.reasons[-1].code) == (Tier.WARNING, "attestation.unknown_files")
    against(gateway.attests(bent()[way](gateway.list)), "ima_mismatch")


def test_a_bit_flipped_anywhere_in_a_list(gateway):
    whole = binary(*gateway.list)
    for place in range(0, len(whole), 7):
        data = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        outcome = appraise(gateway.evidence(part=ImaSlice(0, pack(data))))
        assert code_of(outcome) in {"ima_malformed", "ima_mismatch"}, place
        assert outcome.effect is Effect.AGAINST


def test_entries_that_came_after_the_quote_are_no_compromise(gateway):
    """The list grows while the quote is made: what the quote does not prove yet is the next slice's."""
    before = gateway.evidence()
    gateway.run(*many(9)[6:])
    late = ImaSlice(0, pack(binary(*gateway.list)))
    raced = msgspec.structs.replace(before, evidence=msgspec.structs.replace(before.evidence, ima=late))
    outcome = affirmed(appraise(raced))
    assert outcome.state.ima.count == len(gateway.list) - 3
    gateway.state = outcome.state
    assert gateway.attests(start=outcome.state.ima.count).result.tier is Tier.WARNING


def test_good_entries_appended_by_hand_are_not_counted(gateway):
    """Whoever adds entries that were never measured gains nothing: they stay unproven."""
    outcome = affirmed(gateway.attests([*gateway.list, *many(9)]))
    assert outcome.state.ima.count == len(gateway.list)
    assert code_of(gateway.attests(start=len(gateway.list) + 1, entries=[])) == "ima_gap"


def test_the_list_of_another_boot(gateway):
    old = list(gateway.list)
    affirmed(gateway.attests())
    gateway.boot()
    gateway.run(STRANGE)
    against(gateway.attests(old), "ima_mismatch")
    gateway.boot()
    affirmed(gateway.attests())


def test_going_on_after_a_reboot_as_if_there_had_been_none(gateway):
    affirmed(gateway.attests())
    gateway.boot()
    gateway.run(STRANGE)
    outcome = gateway.attests(start=len(gateway.list) - 1)
    assert (code_of(outcome), outcome.effect, outcome.again) == ("ima_gap", Effect.NOTHING, True)
    assert gateway.attests().result.reasons[-1].code == "attestation.unknown_files"


def test_the_list_of_another_device(gateway):
    other = Gateway()
    affirmed(gateway.attests())
    affirmed(gateway.attests(other.list))
    gateway.run(STRANGE)
    against(gateway.attests(other.list), "ima_mismatch")


def test_slices_that_never_come_to_an_end_affirm_nothing(gateway):
    """What was known before the implant stands until it lapses; the device gains no new word by promising more."""
    affirmed(gateway.attests())
    gateway.run(STRANGE)
    known = gateway.state.vector
    for _ in range(5):
        outcome = gateway.attests(gateway.list[:2], more=True)
        assert (code_of(outcome), outcome.result) == ("ima_pending", None)
    assert gateway.state.vector == known
    assert gateway.state.refused.code == "attestation.ima_pending"


def test_an_implant_that_was_seen_once_cannot_be_got_rid_of_by_beginning_again(gateway):
    gateway.run(STRANGE)
    assert gateway.attests().result.tier is Tier.WARNING
    assert gateway.attests(start=len(gateway.list)).result.tier is Tier.WARNING
    assert gateway.attests().result.tier is Tier.WARNING
    against(gateway.attests(gateway.list[:-1]), "ima_mismatch")


def test_a_file_of_a_release_that_was_revoked_after_it_ran(gateway):
    """The device need not send its list again by itself; it is asked to, and the file is unknown from then on."""
    extra = Made(name=b"/opt/tool", digest=b"\5" * 32)
    other = statement("2.0.0", files=(FileValue("/opt/tool", extra.digest.hex()),))
    base = gateway.releases
    gateway.releases = (*base, *judged(other))
    gateway.run(extra)
    affirmed(gateway.attests())
    affirmed(gateway.attests(start=len(gateway.list)))
    gateway.releases = (*base, *judged(other, standing=Standing.REVOKED))
    outcome = gateway.attests(start=len(gateway.list))
    assert (code_of(outcome), outcome.again, outcome.state.ima.count) == ("ima_gap", True, 0)
    assert gateway.attests().result.reasons[-1].code == "attestation.unknown_files"


def test_a_boot_with_measuring_switched_off(gateway):
    affirmed(gateway.attests())
    gateway.log, gateway.list = gateway.tpm.boot(), []
    outcome = gateway.attests()
    assert (outcome.result.tier, outcome.result.reasons[-1].code) == (Tier.WARNING, "attestation.ima_empty")
    invented = gateway.attests(start=0, entries=[Made(name=b"boot_aggregate", digest=bytes(32)), *gateway.files])
    assert invented.result.reasons[-1].code == "attestation.ima_empty"


def test_the_first_entry_of_another_boot(gateway):
    """The kernel's sum of the boot is another one than that of the registers: it was started in another way."""
    affirmed(gateway.attests())
    gateway.log, gateway.list = gateway.tpm.boot(), []
    gateway.run(Made(name=b"boot_aggregate", digest=b"\1" * 32), *gateway.files)
    outcome = gateway.attests()
    assert outcome.result.tier is Tier.WARNING
    assert "boot_aggregate" in outcome.result.reasons[-1].sentence


def test_a_second_sum_that_hides_a_kernel_started_by_the_first(gateway):
    affirmed(gateway.attests())
    gateway.run(gateway.list[0])
    assert gateway.attests().result.tier is Tier.WARNING


def signed_file(entry, key=KEY, **changed):
    signature = key.sign(entry.digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    header = bytes([3, 2, 4]) + key_id(KEY.public_key()) + len(signature).to_bytes(2, "big")
    return msgspec.structs.replace(entry, template="ima-sig", extra=(header + signature,), **changed)


@pytest.mark.parametrize("way", ["by another key", "of another file", "of a violation", "none"])
def test_a_file_signature_that_is_not_the_releases(way):
    spki = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    gateway = Gateway(keys=(spki,))
    gateway.run(signed_file(STRANGE))
    affirmed(gateway.attests())
    forged = {
        "by another key": signed_file(STRANGE, ec.generate_private_key(ec.SECP256R1())),
        "of another file": signed_file(many(8)[7], digest=STRANGE.digest),
        "of a violation": signed_file(STRANGE, violation=True),
        "none": msgspec.structs.replace(STRANGE, template="ima-sig", extra=(b"",)),
    }
    gateway.run(forged[way])
    assert gateway.attests().result.reasons[-1].code == "attestation.unknown_files"


def test_a_list_that_would_fill_the_memory(gateway):
    against(gateway.attests(part=ImaSlice(0, pack(bytes(8 * 1024 * 1024)))), "ima_malformed")


def test_names_that_would_speak_to_a_terminal(gateway):
    gateway.run(Made(name="/srv/\x1b[2J\u202eevil".encode(), digest=b"\1" * 32))
    assert "\\x1b[2J\\u202eevil" in gateway.attests().result.reasons[-1].sentence
