"""Following the IMA list: what a quote proves of it, in how many slices, and whose files are in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from attest_builders import DEVICE, NONCE, REGISTERS, SoftTpm, a_ground, judged, statement
from attest_builders import NOW as AT
from holdfast_core.attestation.files import LEAST_LIST, follow_list, judge_files, start_of
from holdfast_core.attestation.model import APPROVED_FILES, UNRECOGNIZED_FILES, ImaState
from holdfast_core.attestation.quote import Nonce, check_quote, registers_of
from holdfast_core.attestation.reference import FileValue, Standing
from holdfast_core.attestation.refusals import Refused
from holdfast_core.formats.ima.signature import key_id
from holdfast_core.kernel.instants import Instant
from holdfast_core.wire.attestation import ImaSlice, pack
from ima_builders import Made, binary, many, text

AGGREGATE = Made(name=b"boot_aggregate", digest=bytes(32))
LIST = [AGGREGATE, *many(9)]
KEY = ec.generate_private_key(ec.SECP256R1())
SPKI = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def vouching(*entries: Made, **more):
    """A ground whose release runs these files."""
    files = tuple(FileValue(entry.name.decode(), entry.digest.hex()) for entry in entries)
    return a_ground(*judged(statement(files=files, **more)), ima=True)


@dataclass
class Machine:
    """A kernel that measures files into a TPM, and what its verifier remembers."""

    ground: object = field(default_factory=lambda: vouching(*LIST))
    tpm: SoftTpm = field(default_factory=SoftTpm)
    list: list[Made] = field(default_factory=list)
    state: ImaState = field(default_factory=ImaState)

    def run(self, *entries: Made) -> None:
        self.list.extend(entries)
        for entry in entries:
            self.tpm.extend(10, b"\xff" * 32 if entry.violation else hashlib.sha256(entry.data).digest())

    def reboot(self) -> None:
        self.tpm.values, self.list = {}, []

    def quoted(self):
        asked = self.ground.policy
        said = self.tpm.evidence(registers=registers_of(asked))
        nonce = Nonce(NONCE, Instant(AT), "")
        return check_quote(said, self.tpm.public, device=DEVICE, policy=asked, nonce=nonce, now=AT)

    def sends(self, part: ImaSlice | None, *, new_boot: bool = False, signed=None) -> ImaState:
        values = {register: self.tpm.value(register) for register in self.ground.policy.registers}
        self.state = follow_list(
            part, self.state, self.ground, values, signed or self.quoted(), new_boot=new_boot or not self.state.value
        )
        return self.state

    def judged(self) -> tuple[int, list[str]]:
        claim, reasons = judge_files(self.ground, self.state)
        return claim, [reason.code.removeprefix("attestation.") for reason in reasons]


def part_of(entries, start: int = 0, *, more: bool = False, form=binary) -> ImaSlice:
    return ImaSlice(start, pack(form(*entries)), more=more)


def refusal(machine: Machine, part, **more) -> str:
    before = machine.state
    with pytest.raises(Refused) as caught:
        machine.sends(part, **more)
    assert machine.state == before
    return caught.value.reason.code.removeprefix("attestation.")


@pytest.fixture
def machine() -> Machine:
    made = Machine()
    made.run(*LIST)
    return made


@pytest.mark.parametrize("form", [binary, text])
def test_a_whole_list_in_either_form_is_proven_to_its_end(machine, form):
    state = machine.sends(part_of(LIST, form=form))
    assert (state.count, state.unknown, state.loaded) == (len(LIST), 0, True)
    assert state.value == machine.tpm.value(10)
    assert machine.judged() == (APPROVED_FILES, [])


def test_a_list_that_grew_after_the_quote_is_proven_up_to_the_quote(machine):
    signed = machine.quoted()
    grown = many(12)[9:]
    machine.run(*grown)
    state = machine.sends(part_of(machine.list), signed=signed)
    assert (state.count, state.loaded, state.unknown) == (len(LIST), True, 0)
    state = machine.sends(part_of(grown, len(LIST)))
    assert (state.count, state.unknown) == (len(machine.list), 3)
    assert state.first_unknown == grown[0].name.decode()


def test_the_longest_beginning_counts_where_the_register_did_not_change(machine):
    assert machine.sends(part_of(LIST)).count == len(LIST)
    assert machine.sends(part_of([], len(LIST))).count == len(LIST)
    assert machine.sends(None).loaded


def test_a_long_list_comes_in_slices_and_affirms_nothing_before_its_end(machine):
    assert not machine.sends(part_of(LIST[:4], more=True)).loaded
    state = machine.sends(part_of(LIST[4:7], 4, more=True))
    assert (state.count, state.loaded) == (7, False)
    state = machine.sends(part_of(LIST[7:], 7))
    assert (state.count, state.loaded, state.value) == (len(LIST), True, machine.tpm.value(10))


def test_a_slice_that_says_that_more_comes_though_nothing_does_is_proven_all_the_same(machine):
    assert machine.sends(part_of(LIST, more=True)).loaded


def test_nothing_new_after_slices_that_were_not_proven_is_a_gap(machine):
    machine.sends(part_of(LIST[:4], more=True))
    assert refusal(machine, None) == "ima_gap"


def test_what_was_followed_is_proven_by_a_later_quote_without_a_list():
    """Only who lies about `more` comes here; the register proves it all the same."""
    machine = Machine()
    machine.run(*LIST[:4])
    early = machine.quoted()
    machine.run(*LIST[4:])
    walked = machine.sends(part_of(LIST[:3], more=True), signed=machine.quoted())
    machine.state = msgspec.structs.replace(walked, count=4, value=early_value())
    assert machine.sends(None, signed=early).loaded


def early_value() -> bytes:
    machine = Machine()
    machine.run(*LIST[:4])
    return machine.tpm.value(10)


def test_a_slice_that_does_not_reach_the_quote_and_is_the_last_is_a_mismatch(machine):
    assert refusal(machine, part_of(LIST[:-1])) == "ima_mismatch"


@pytest.mark.parametrize("start", [1, len(LIST) - 1, len(LIST) + 1])
def test_a_slice_that_does_not_go_on_from_where_the_list_was_known_is_a_gap(machine, start):
    machine.sends(part_of(LIST))
    assert refusal(machine, part_of(LIST[start:], start)) == "ima_gap"


def test_a_list_may_always_begin_again(machine):
    machine.sends(part_of(LIST))
    assert machine.sends(part_of(LIST)).count == len(LIST)


@pytest.mark.parametrize("part", [None, part_of(LIST[3:], 3)])
def test_after_a_reboot_a_list_begins_anew_and_nothing_else_is_taken(machine, part):
    machine.sends(part_of(LIST))
    machine.reboot()
    machine.run(*LIST[:2])
    assert refusal(machine, part, new_boot=True) == "ima_gap"
    assert machine.sends(part_of(LIST[:2]), new_boot=True).count == 2


def test_unknown_files_of_the_boot_before_are_forgotten_with_it(machine):
    machine.run(*many(10)[9:])
    assert machine.sends(part_of(machine.list)).unknown == 1
    machine.reboot()
    machine.run(*LIST)
    assert machine.sends(part_of(LIST), new_boot=True).unknown == 0


def test_unknown_files_are_counted_over_all_slices_and_the_first_is_named(machine):
    strange = Made(name=b"/srv/strange\x1b[31m", digest=b"\1" * 32)
    machine.run(strange, strange)
    machine.sends(part_of(machine.list[:-1], more=True))
    state = machine.sends(part_of(machine.list[-1:], len(machine.list) - 1))
    assert state.unknown == 2
    claim, reasons = judge_files(machine.ground, state)
    assert claim == UNRECOGNIZED_FILES
    assert reasons[0].sentence.endswith("/srv/strange\\x1b[31m and 1 more.")


def test_a_name_that_could_fill_the_page_is_cut(machine):
    machine.run(Made(name=b"/" + b"x" * 3000, digest=b"\1" * 32))
    assert len(machine.sends(part_of(machine.list)).first_unknown) < 130


def test_files_are_judged_anew_when_releases_change(machine):
    machine.sends(part_of(LIST))
    machine.ground = vouching(*LIST[:-1])
    assert refusal(machine, part_of([], len(LIST))) == "ima_gap"
    assert machine.sends(part_of(LIST)).unknown == 1
    machine.ground = vouching(*LIST)
    assert machine.sends(part_of(LIST)).unknown == 0


def test_a_change_of_releases_that_leaves_the_files_alone_leaves_the_list_where_it_is(machine):
    machine.sends(part_of(LIST))
    files = tuple(FileValue(entry.name.decode(), entry.digest.hex()) for entry in LIST)
    both = (*judged(statement(files=files)), *judged(statement("0.9.0"), standing=Standing.REVOKED))
    machine.ground = a_ground(*both, ima=True)
    assert machine.sends(part_of([], len(LIST))).count == len(LIST)


# The first entry

TEN = tuple(range(10))


def aggregate_of(tpm: SoftTpm, registers=TEN) -> bytes:
    return hashlib.sha256(b"".join(tpm.value(register) for register in registers)).digest()


@pytest.mark.parametrize(("right", "unknown"), [(True, 0), (False, 1)])
def test_the_boots_sum_is_of_this_boot_where_its_registers_were_quoted(right, unknown):
    files = tuple(FileValue(entry.name.decode(), entry.digest.hex()) for entry in LIST)
    machine = Machine(a_ground(*judged(statement(files=files)), ima=True, registers=TEN))
    machine.tpm.boot()
    first = Made(name=b"boot_aggregate", digest=aggregate_of(machine.tpm) if right else b"\7" * 32)
    machine.run(first, *LIST[1:])
    assert machine.sends(part_of(machine.list)).unknown == unknown


def test_the_boots_sum_cannot_be_told_by_some_of_its_registers_and_then_passes(machine):
    assert set(REGISTERS) < set(TEN)
    assert machine.sends(part_of(LIST)).unknown == 0


@pytest.mark.parametrize("algorithm", ["md5", "sha1"])
def test_a_sum_by_another_hash_than_the_banks_cannot_be_told(algorithm):
    machine = Machine(a_ground(*judged(statement()), ima=True, registers=TEN))
    size = {"md5": 16, "sha1": 20}[algorithm]
    machine.run(Made(name=b"boot_aggregate", algorithm=algorithm, digest=bytes(size)), *LIST[1:])
    assert machine.sends(part_of(machine.list)).unknown == 0


def test_a_second_sum_in_the_middle_is_of_no_boot(machine):
    """A kernel that was started by another one without the firmware goes on with its list."""
    machine.run(AGGREGATE)
    assert machine.sends(part_of(machine.list)).first_unknown == "boot_aggregate"


@pytest.mark.parametrize("entries", [[], [AGGREGATE]])
def test_a_list_of_a_kernel_that_measures_nothing_affirms_nothing(entries):
    machine = Machine()
    machine.run(*entries)
    assert len(entries) < LEAST_LIST
    machine.sends(part_of(entries))
    assert machine.judged() == (UNRECOGNIZED_FILES, ["ima_empty"])


# Whose files


def signed_file(entry: Made, key=KEY) -> Made:
    """As the kernel measures a file with a ``security.ima`` attribute of version 2."""
    signature = key.sign(entry.digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    header = bytes([3, 2, 4]) + key_id(key.public_key()) + len(signature).to_bytes(2, "big")
    return msgspec.structs.replace(entry, template="ima-sig", extra=(header + signature,))


def test_a_file_that_the_releases_key_signed_is_known():
    mine = Made(name=b"/opt/app", digest=b"\5" * 32)
    others = signed_file(mine, ec.generate_private_key(ec.SECP256R1()))
    machine = Machine(a_ground(*judged(statement(file_keys=(SPKI,))), ima=True))
    machine.run(AGGREGATE, signed_file(mine))
    machine.sends(part_of(machine.list))
    assert machine.judged() == (APPROVED_FILES, [])
    unsigned = msgspec.structs.replace(mine, template="ima-sig", extra=(b"",))
    moved = msgspec.structs.replace(signed_file(mine), digest=b"\6" * 32)
    machine.run(others, unsigned, moved)
    assert machine.sends(part_of(machine.list)).unknown == 3


def test_a_signature_counts_for_nothing_where_a_release_names_no_keys(machine):
    machine.run(signed_file(Made(name=b"/opt/app", digest=b"\5" * 32)))
    assert machine.sends(part_of(machine.list)).unknown == 1


def test_a_violation_is_never_known_whatever_it_says_of_itself(machine):
    machine.run(msgspec.structs.replace(LIST[1], violation=True))
    assert machine.sends(part_of(machine.list)).unknown == 1


def test_where_a_release_says_nothing_of_files_none_is_judged():
    machine = Machine(a_ground(*judged(statement()), ima=True))
    machine.run(*LIST, Made(name=b"/srv/strange", violation=True))
    assert machine.sends(part_of(machine.list)).unknown == 0
    assert machine.judged() == (0, [])


def test_files_of_a_release_that_is_over_are_not_known(machine):
    files = tuple(FileValue(entry.name.decode(), entry.digest.hex()) for entry in LIST[1:3])
    over = judged(statement("0.9.0", files=files), standing=Standing.REVOKED)
    machine.ground = a_ground(*judged(statement(files=(FileValue("/x", "00" * 32),))), *over, ima=True)
    assert machine.sends(part_of(LIST)).unknown == len(LIST) - 1


def test_a_model_that_demands_no_list_judges_none():
    assert judge_files(a_ground(*judged(statement())), ImaState()) == (0, ())


# Lists that cannot be read


@pytest.mark.parametrize(
    "data",
    [b"", b"no zlib", pack(b"no list"), pack(binary(*LIST)[:-1]), pack(text(*LIST)[:-1]), pack(binary(*LIST)) + b"\0"],
)
def test_a_list_that_cannot_be_read_is_malformed(machine, data):
    assert refusal(machine, ImaSlice(0, data)) == "ima_malformed"


def test_entries_of_another_register_are_malformed(machine):
    assert refusal(machine, part_of([*LIST, Made(register=11)])) == "ima_malformed"


def test_a_name_with_a_line_break_reads_in_the_binary_form_only(machine):
    machine.run(Made(name=b"/srv/two\nlines", digest=b"\1" * 32))
    assert refusal(machine, part_of(machine.list, form=text)) == "ima_malformed"
    assert machine.sends(part_of(machine.list)).first_unknown == "/srv/two\\nlines"


@given(st.binary(max_size=300), st.integers(0, 20), st.booleans(), st.booleans(), st.booleans())
def test_arbitrary_slices_are_refused_or_followed(data, start, packed, more, new_boot):
    machine = Machine()
    machine.run(*LIST)
    machine.sends(part_of(LIST[:5], more=True))
    part = ImaSlice(start, pack(data) if packed else data, more=more)
    try:
        loaded = machine.sends(part, new_boot=new_boot).loaded
    except Refused as refused:
        loaded = not refused.reason.code.startswith("attestation.ima_")
    assert not loaded


@given(st.data())
def test_a_list_that_is_changed_anywhere_is_never_proven_to_its_end(data):
    whole = binary(*LIST)
    place = data.draw(st.integers(0, len(whole) - 1))
    bent = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    machine = Machine()
    machine.run(*LIST)
    assert refusal(machine, ImaSlice(0, pack(bent))) in {"ima_malformed", "ima_mismatch"}


@given(st.lists(st.integers(0, len(LIST)), max_size=4), st.integers(0, len(LIST)))
def test_however_a_list_is_sliced_and_wherever_the_quote_was_it_is_proven(cuts, quoted):
    machine = Machine()
    machine.run(*LIST[:quoted])
    early = machine.quoted()
    machine.run(*LIST[quoted:])
    late = machine.quoted()
    bounds = [0, *sorted(cut for cut in cuts if cut >= quoted), len(LIST)]
    for number, end in enumerate(bounds[1:]):
        signed = early if not number else late
        state = machine.sends(
            part_of(LIST[machine.state.count : end], machine.state.count, more=end < len(LIST)),
            signed=signed,
        )
    machine.sends(part_of(LIST[state.count :], state.count), signed=late)
    assert (machine.state.count, machine.state.loaded) == (len(LIST), True)
    assert machine.state.value == machine.tpm.value(10)


def test_the_register_begins_as_wide_as_its_bank():
    assert (start_of("sha256"), start_of("sha384")) == (bytes(32), bytes(48))
