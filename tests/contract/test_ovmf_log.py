"""Reports of real machines, kept: OVMF under QEMU with swtpm, Debian's kernel (``tests/data/ovmf/README.md``)."""

from __future__ import annotations

from pathlib import Path

import pytest

import ovmf_checks
from ovmf_reports import Report, load, report_in, save

KEPT = Path(__file__).resolve().parent.parent / "data" / "ovmf"
BOOTS = ("first", "second", "open")


@pytest.fixture(params=BOOTS)
def report(request: pytest.FixtureRequest) -> Report:
    return load(KEPT / request.param)


def test_the_log_replays_to_what_the_kernel_read_in_every_bank(report: Report) -> None:
    ovmf_checks.replays(report)


def test_the_quotes_are_of_the_key_the_nonce_and_the_registers(report: Report) -> None:
    ovmf_checks.quotes(report)


def test_the_measurement_list_leads_to_its_register_and_goes_on_where_it_ended(report: Report) -> None:
    ovmf_checks.measures(report)


@pytest.mark.parametrize("boot", ["first", "second"])
def test_where_secure_boot_is_on_the_facts_say_so_and_by_whose_key(boot: str) -> None:
    ovmf_checks.enforced(load(KEPT / boot))


def test_where_secure_boot_is_off_the_facts_say_so() -> None:
    ovmf_checks.not_enforced(load(KEPT / "open"))


def test_a_second_boot_of_the_machine_has_the_same_key_and_one_more_reset() -> None:
    ovmf_checks.same_machine(load(KEPT / "first"), load(KEPT / "second"))


def test_another_machine_has_another_key() -> None:
    assert load(KEPT / "first").ak != load(KEPT / "open").ak


def test_a_report_is_kept_as_it_was(report: Report, tmp_path: Path) -> None:
    save(report, tmp_path)
    assert load(tmp_path) == report


def test_a_report_without_its_end_says_nothing() -> None:
    assert report_in("== create\r\nAAAA\r\n== events\r\nAAA") is None
