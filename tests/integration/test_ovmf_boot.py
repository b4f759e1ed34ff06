"""Real machines: OVMF with Secure Boot and a TPM under QEMU boots unified kernel images, or refuses to.

What a kernel then reports is judged by the same checks as the reports that are kept (``contract/test_ovmf_log.py``).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import ovmf_checks
from holdfast_core.formats.pe import authenticode_digest
from holdfast_core.formats.uki import uki_measurements, uki_register, uki_sections
from ovmf_builders import OPEN, Boot, machine, need_machine
from ovmf_images import COMMAND_LINE, signed, signed_by_nobody, unified_image

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_machine()
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def unsigned(workshop: Path) -> Path:
    return unified_image(workshop)


@pytest.fixture(scope="module")
def trusted(unsigned: Path, workshop: Path) -> Path:
    return signed(unsigned, workshop / "signed.efi")


@pytest.fixture(scope="module")
def boots(trusted: Path) -> tuple[Boot, Boot]:
    """One machine that enforces, booted twice."""
    with machine() as enforcing:
        return enforcing.boot(trusted), enforcing.boot(trusted)


@pytest.fixture(scope="module")
def open_boot(unsigned: Path) -> Boot:
    """A machine that does not enforce: the unsigned image is a good one."""
    with machine(OPEN) as trusting:
        return trusting.boot(unsigned)


def test_the_logs_replay_to_what_the_kernel_read(boots: tuple[Boot, Boot], open_boot: Boot) -> None:
    for boot in (*boots, open_boot):
        ovmf_checks.replays(boot.reported())


def test_the_quotes_are_of_the_key_the_nonce_and_the_registers(boots: tuple[Boot, Boot], open_boot: Boot) -> None:
    for boot in (*boots, open_boot):
        ovmf_checks.quotes(boot.reported())


def test_the_measurement_lists_lead_to_their_register(boots: tuple[Boot, Boot], open_boot: Boot) -> None:
    for boot in (*boots, open_boot):
        ovmf_checks.measures(boot.reported())


def test_the_facts_say_whether_secure_boot_is_on(boots: tuple[Boot, Boot], open_boot: Boot) -> None:
    for boot in boots:
        ovmf_checks.enforced(boot.reported())
    ovmf_checks.not_enforced(open_boot.reported())


def test_a_second_boot_has_the_same_key_and_one_more_reset(boots: tuple[Boot, Boot]) -> None:
    first, second = boots
    ovmf_checks.same_machine(first.reported(), second.reported())


def test_the_firmware_measured_the_digest_that_was_signed(boots: tuple[Boot, Boot], trusted: Path) -> None:
    (image,) = ovmf_checks.facts(boots[0].reported()).images
    assert trusted.read_bytes().count(image.digest) == 1  # in the signature, as sbsign worked it out
    assert authenticode_digest(trusted.read_bytes()) == image.digest


def test_where_nothing_is_enforced_image_and_kernel_are_measured_each(open_boot: Boot, unsigned: Path) -> None:
    image, kernel = ovmf_checks.facts(open_boot.reported()).images
    data = unsigned.read_bytes()
    assert authenticode_digest(data) == image.digest
    assert authenticode_digest(uki_sections(data)[".linux"]) == kernel.digest


def test_what_stub_and_kernel_will_measure_is_known_before_the_image_is_booted(
    boots: tuple[Boot, Boot], trusted: Path
) -> None:
    data = trusted.read_bytes()
    initial = uki_sections(data)[".initrd"]
    for bank, registers in boots[0].reported().moments[0].registers.items():
        assert uki_register(uki_measurements(data, bank), bank) == registers[11]
        value = bytes(len(registers[9]))
        for measured in (f"{COMMAND_LINE}\0".encode("utf-16-le"), initial):
            value = hashlib.new(bank, value + hashlib.new(bank, measured).digest()).digest()
        assert value == registers[9]


def test_an_unsigned_image_is_not_started(unsigned: Path, open_boot: Boot) -> None:
    assert open_boot.report is not None  # where nobody asks for a signature, it is
    with machine() as enforcing:
        assert enforcing.boot(unsigned).refused


def test_an_image_signed_with_a_key_that_is_not_in_db_is_not_started(
    unsigned: Path, workshop: Path, boots: tuple[Boot, Boot]
) -> None:
    assert boots[0].report is not None  # signed with the one that is
    with machine() as enforcing:
        assert enforcing.boot(signed_by_nobody(unsigned, workshop / "nobody.efi")).refused


def test_an_image_whose_command_line_was_changed_after_signing_is_not_started(
    trusted: Path, workshop: Path, boots: tuple[Boot, Boot]
) -> None:
    assert boots[0].report is not None  # unchanged, it is
    line = COMMAND_LINE.encode()
    changed = line.replace(b"ima_hash=sha256", b"ima_hash=md5   ")
    image = trusted.read_bytes()
    assert (image.count(line), len(changed)) == (1, len(line))
    tampered = workshop / "tampered.efi"
    tampered.write_bytes(image.replace(line, changed))
    with machine() as enforcing:
        assert enforcing.boot(tampered).refused
