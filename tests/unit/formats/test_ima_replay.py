"""What a list does to the register, and which of its entries a quote proves; `evmctl` computes it too."""

from __future__ import annotations

import hashlib
import subprocess

import pytest

from holdfast_core.formats.ima.replay import boot_aggregate, replay, walk
from holdfast_core.formats.ima.slices import parse_ima
from holdfast_core.kernel.errors import HostileData
from ima_builders import Made, binary, extended, many, text
from tpm_builders import need


def sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


MADE = [
    Made(name=b"boot_aggregate"),
    *many(4),
    Made(violation=True, digest=bytes(32)),
    Made(template="ima-sig", extra=(b"",)),
]
BANKS = ("sha1", "sha256", "sha384", "sha512")


@pytest.mark.parametrize("form", [text, binary])
@pytest.mark.parametrize("bank", BANKS)
def test_the_register_is_extended_entry_by_entry(form, bank):
    size = hashlib.new(bank).digest_size
    walked = walk(form(*MADE), bytes(size), bank=bank)
    assert walked.entries == parse_ima(form(*MADE))
    assert walked.values == tuple(extended(MADE[: at + 1], bank) for at in range(len(MADE)))


def test_a_slice_goes_on_where_the_last_one_ended():
    first = walk(binary(*MADE[:3]), bytes(32), bank="sha256")
    second = walk(binary(*MADE[3:]), first.values[-1], bank="sha256")
    assert second.values[-1] == extended(MADE)


def test_a_quote_proves_the_entries_up_to_its_value():
    walked = walk(binary(*MADE), bytes(32), bank="sha256")
    assert [walked.proven(extended(MADE[:at])) for at in range(len(MADE) + 1)] == list(range(len(MADE) + 1))
    assert walked.proven(b"\1" * 32) is None
    assert walk(b"", bytes(32), bank="sha256").proven(bytes(32)) == 0
    assert walk(b"", bytes(32), bank="sha256").proven(b"\1" * 32) is None


def test_old_kernels_fill_the_sha1_digest_up_with_zeros():
    value = bytes(32)
    for made in MADE:
        by = b"\xff" * 20 if made.violation else sha1(made.data)
        value = hashlib.sha256(value + by + bytes(12)).digest()
    assert walk(binary(*MADE), bytes(32), bank="sha256", padded=True).values[-1] == value
    assert walk(binary(*MADE), bytes(32), bank="sha256").proven(value) is None


@pytest.mark.parametrize(
    ("start", "bank", "code"), [(bytes(20), "sha256", "ima.start"), (bytes(32), "sm3", "ima.bank")]
)
def test_what_does_not_fit_the_bank_is_refused(start, bank, code):
    with pytest.raises(HostileData) as refused:
        list(replay(start, parse_ima(binary(*MADE)), bank=bank))
    assert refused.value.code == code


def test_boot_aggregate_is_over_the_registers_of_the_boot():
    values = {number: bytes([number]) * 32 for number in range(24)}
    assert boot_aggregate(values, bank="sha256") == hashlib.sha256(b"".join(values[n] for n in range(10))).digest()
    assert (
        boot_aggregate(values, bank="sha256", registers=range(8))
        == hashlib.sha256(b"".join(values[n] for n in range(8))).digest()
    )
    short = {number: bytes([number]) * 20 for number in range(8)}
    assert boot_aggregate(short, bank="sha1") == sha1(b"".join(short.values()))


@pytest.mark.parametrize(
    ("values", "bank", "code"),
    [
        ({}, "sha256", "ima.boot_aggregate"),
        ({number: bytes(20) for number in range(10)}, "sha256", "ima.boot_aggregate"),
        ({number: bytes(32) for number in range(9)}, "sha256", "ima.boot_aggregate"),
        ({number: bytes(32) for number in range(10)}, "md5", "ima.bank"),
    ],
)
def test_boot_aggregate_needs_all_of_them(values, bank, code):
    with pytest.raises(HostileData) as refused:
        boot_aggregate(values, bank=bank)
    assert refused.value.code == code


def registers_file(values: dict[int, bytes], size: int) -> str:
    rows = ((number, values.get(number, bytes(size))) for number in range(24))
    return "".join(f"PCR-{number:02d}: {value.hex(' ').upper()}\n" for number, value in rows)


def judged(folder, bank: str, value: bytes) -> int:
    """What evmctl says of the list in `folder` and a register's value."""
    (folder / "pcrs").write_text(registers_file({10: value}, len(value)))
    command = ["evmctl", "ima_measurement", "--ignore-violations", "--pcrs", f"{bank},{folder}/pcrs", folder / "list"]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode


@pytest.mark.parametrize("bank", ["sha1", "sha256"])
def test_evmctl_comes_to_the_same_value(tmp_path, bank):
    need("evmctl")
    (tmp_path / "list").write_bytes(binary(*MADE))
    value = walk(binary(*MADE), bytes(hashlib.new(bank).digest_size), bank=bank).values[-1]
    assert judged(tmp_path, bank, value) == 0
    assert judged(tmp_path, bank, value[:-1] + bytes([value[-1] ^ 1])) != 0


def test_evmctl_reads_the_same_entries(tmp_path):
    need("evmctl")
    made = [each for each in MADE if not each.violation]
    (tmp_path / "list").write_bytes(binary(*made))
    (tmp_path / "pcrs").write_text(registers_file({10: extended(made)}, 32))
    command = ["evmctl", "-v", "ima_measurement", "--pcrs", f"sha256,{tmp_path}/pcrs", tmp_path / "list"]
    shown = subprocess.run(command, check=True, capture_output=True, timeout=60)
    lines = [line.rstrip() for line in (shown.stdout + shown.stderr).splitlines() if line.startswith(b"10 ")]
    assert lines == [each.line().rstrip() for each in made]
