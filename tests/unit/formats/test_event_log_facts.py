"""The facts of a boot: what digests prove, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_log_builders import (
    a_boot,
    agile_log,
    an_old_boot,
    event,
    guid,
    image,
    separator,
    setting,
    signature_list,
    variable,
)
from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.eventlog.banks import SHA1, SHA256
from holdfast_core.formats.eventlog.facts import BootFacts, facts_of
from holdfast_core.formats.eventlog.log import Event, EventLog, parse_event_log
from holdfast_core.formats.eventlog.signatures import Signature
from holdfast_core.formats.eventlog.variables import SECURITY_DATABASE, SHIM

OWNER = "77fa9abd-0359-4d32-bd60-28f4e78f784b"
HASHES = "c1c41626-504c-4092-aca9-41f936934328"
HASH = b"h" * 32
DER = b"\x30\x82\x01\x00" + bytes(256)


def facts(*events: bytes, bank: int = SHA256) -> BootFacts:
    return facts_of(parse_event_log(agile_log(*events)), bank)


def authority(name: str, value: bytes, owner: str) -> bytes:
    return event(7, kinds.EFI_VARIABLE_AUTHORITY, variable(name, value, owner))


def test_a_whole_boot_has_its_facts() -> None:
    found = facts_of(parse_event_log(a_boot()), SHA256)
    assert (found.secure_boot, found.pk, found.db, found.debug) == (True, (), None, False)
    assert (found.separators, found.failed, found.unproven) == (tuple(range(8)), (), ())
    assert found.command_lines == ("quiet",)
    assert [(each.number, each.register, each.path) for each in found.images] == [(12, 4, "\\EFI\\BOOT\\BOOTX64.EFI")]
    assert len(found.images[0].digest) == 32


def test_a_legacy_log_has_facts_in_sha1() -> None:
    assert facts_of(parse_event_log(an_old_boot()), SHA1).secure_boot is True


def test_a_bank_that_is_not_in_the_log_proves_nothing() -> None:
    found = facts_of(parse_event_log(an_old_boot()), SHA256)
    assert (found.secure_boot, found.separators, found.images) == (None, (), ())
    assert found.unproven


def test_databases_and_modes_are_facts() -> None:
    entries = signature_list(HASHES, [(OWNER, HASH)])
    found = facts(
        setting("KEK", entries),
        setting("db", entries, SECURITY_DATABASE),
        setting("dbx", b"", SECURITY_DATABASE),
        setting("AuditMode", b"\0"),
        setting("DeployedMode", b"\1"),
        setting("SetupMode", b"\1"),
    )
    held = (Signature("sha256", OWNER, HASH),)
    assert (found.pk, found.kek, found.db, found.dbx) == (None, held, held, ())
    assert (found.audit_mode, found.deployed_mode, found.setup_mode) == (False, True, True)


def test_authorities_and_the_sbat_level_are_facts() -> None:
    found = facts(
        separator(7),
        authority("db", guid(OWNER) + DER, SECURITY_DATABASE),
        authority("SbatLevel", b"sbat,1,2\n", SHIM),
    )
    assert [(each.name, each.entry) for each in found.authorities] == [("db", Signature("x509", OWNER, DER))]
    assert found.sbat_level == "sbat,1,2\n"


def test_a_debug_mode_is_told() -> None:
    assert facts(event(7, kinds.EFI_ACTION, b"UEFI Debug Mode")).debug
    assert not facts(event(5, kinds.EFI_ACTION, b"UEFI Debug Mode")).debug


def test_data_whose_digest_is_of_something_else_gives_no_fact() -> None:
    forged = event(7, kinds.EFI_VARIABLE_DRIVER_CONFIG, variable("SecureBoot", b"\1"), of=variable("SecureBoot", b"\0"))
    found = facts(forged)
    assert (found.secure_boot, found.unproven) == (None, (1,))


def test_two_values_of_one_variable_are_none() -> None:
    found = facts(setting("SecureBoot", b"\1"), setting("SecureBoot", b"\0"), setting("SecureBoot", b"\1"))
    assert (found.secure_boot, found.unproven) == (None, (2, 3))
    assert facts(setting("SecureBoot", b"\1"), setting("SecureBoot", b"\1")).secure_boot is True


def test_a_setting_behind_the_separator_is_none() -> None:
    found = facts(separator(7), setting("SecureBoot", b"\1"))
    assert (found.secure_boot, found.unproven) == (None, (2,))


def test_a_setting_said_to_be_an_authority_is_none() -> None:
    assert facts(authority("SecureBoot", b"\1", "8be4df61-93ca-11d2-aa0d-00e098032b8c")).secure_boot is None


def test_a_setting_in_another_register_is_none() -> None:
    other = event(1, kinds.EFI_VARIABLE_DRIVER_CONFIG, variable("SecureBoot", b"\1"))
    assert facts(other).secure_boot is None


def test_a_database_that_cannot_be_read_is_none() -> None:
    assert facts(setting("db", b"odd", SECURITY_DATABASE)).db is None


@pytest.mark.parametrize("of", [b"\1\0\0\0", b"anything"])
def test_an_errors_separator_is_no_separator(of: bytes) -> None:
    found = facts(separator(0), event(0, kinds.SEPARATOR, b"why", of=of), separator(1))
    assert (found.separators, found.failed) == ((1,), (0,))


def test_an_image_without_a_digest_in_the_bank_is_unproven() -> None:
    found = facts(
        event(4, kinds.EFI_BOOT_SERVICES_APPLICATION, b"", banks=(SHA1,)),
        image("\\a", b"a"),
        event(4, kinds.EFI_BOOT_SERVICES_APPLICATION, b"odd"),
    )
    assert (found.unproven, [each.path for each in found.images]) == ((1,), ["\\a", ""])


@given(st.lists(st.tuples(st.integers(0, 23), st.sampled_from([*kinds.KINDS]), st.binary(max_size=80)), max_size=8))
def test_no_events_raise(events: list[tuple[int, int, bytes]]) -> None:
    made = [Event(number, *each[:2], {SHA256: bytes(32)}, each[2]) for number, each in enumerate(events)]
    facts_of(EventLog((SHA256,), tuple(made), agile=True), SHA256)
