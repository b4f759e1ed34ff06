"""What holds of every report of a real machine, whether it was booted just now or kept in ``tests/data/ovmf``."""

from __future__ import annotations

import hashlib

from holdfast_core.formats.eventlog.banks import BANKS, bank_name
from holdfast_core.formats.eventlog.facts import BootFacts, facts_of
from holdfast_core.formats.eventlog.log import parse_event_log
from holdfast_core.formats.eventlog.replay import gaps, replay
from holdfast_core.formats.ima.replay import REGISTER, boot_aggregate, walk
from holdfast_core.formats.tpm.attest import Quoted, Selection, parse_attestation, parse_signature
from holdfast_core.formats.tpm.keys import verifies
from holdfast_core.formats.tpm.public import Algorithm, Attribute, parse_public
from ovmf_reports import NONCE, REGISTERS, Report

LOGGED = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 9, 11})
"""The registers that firmware, stub and kernel of these machines log: all but those that nothing went into."""
WEAK_IN_IMA = frozenset({"sha384", "sha512"})
"""Debian's kernel has these hashes as modules, so IMA extends their banks by its SHA-1 digest, filled up with zeros."""


def replays(report: Report) -> None:
    """The log gives, in every bank, the registers that the kernel read; and no other register was ever extended."""
    log = parse_event_log(report.events)
    assert {bank_name(bank) for bank in log.banks} == set(report.moments[0].registers)
    for bank in log.banks:
        assert not gaps(log, bank)
        replayed = replay(log, bank)
        assert set(replayed) == LOGGED
        for moment in report.moments:
            read = moment.registers[bank_name(bank)]
            assert replayed == {number: read[number] for number in LOGGED}
            others = set(REGISTERS) - LOGGED - {REGISTER}
            assert {read[number] for number in others} == {bytes(BANKS[bank].size)}


def quotes(report: Report) -> None:
    """Both quotes are of the attestation key, over the nonce, and of the registers that the kernel read."""
    public = parse_public(report.ak)
    assert public.has(Attribute.FIXED_TPM, Attribute.FIXED_PARENT, Attribute.RESTRICTED, Attribute.SIGN)
    for moment in report.moments:
        assert verifies(public, parse_signature(moment.signature), moment.attested)
        attestation = parse_attestation(moment.attested)
        values = b"".join(moment.registers["sha256"][number] for number in REGISTERS)
        assert attestation.nonce == NONCE
        assert attestation.attested == Quoted(
            (Selection(Algorithm.SHA256, REGISTERS),), hashlib.sha256(values).digest()
        )


def measures(report: Report) -> None:
    """Both forms of the IMA list lead to PCR 10 in every bank, and begin with the firmware's boot_aggregate.

    The second moment's list goes on where the first one ended: what is new can be appraised alone.
    """
    first, second = report.moments
    for moment in report.moments:
        for bank, registers in moment.registers.items():
            zeros = bytes(len(registers[REGISTER]))
            for form in (moment.ima, moment.ima_text):
                walked = walk(form, zeros, bank=bank, padded=bank in WEAK_IN_IMA)
                assert walked.values[-1] == registers[REGISTER]
        entry = walked.entries[0]
        assert entry.name == b"boot_aggregate"
        assert entry.digest == boot_aggregate(moment.registers["sha256"], bank="sha256")
    before, after = (moment.registers["sha256"][REGISTER] for moment in report.moments)
    assert second.ima.startswith(first.ima)
    new = walk(second.ima[len(first.ima) :], before, bank="sha256")
    assert [each.name for each in new.entries] == [b"/etc/later", b"/etc/settings"]
    assert new.proven(after) == len(new.entries)


def facts(report: Report) -> BootFacts:
    """What the boot was; the data of every event is proven, and every stage of the firmware came to its end."""
    told = facts_of(parse_event_log(report.events), Algorithm.SHA256)
    assert (told.unproven, told.failed, told.debug) == ((), (), False)
    assert told.separators == tuple(range(8))
    return told


def enforced(report: Report) -> BootFacts:
    """Secure Boot is on, with the test key everywhere; one image ran, because that key is in db."""
    told = facts(report)
    assert told.secure_boot is True
    (authority,) = told.authorities
    assert [each.data for each in (told.pk or ()) + (told.kek or ()) + (told.db or ())] == [authority.entry.data] * 3
    assert (authority.name, authority.entry.type) == ("db", "x509")
    (image,) = told.images
    assert image.register == 4
    assert image.path.endswith("\\EFI\\BOOT\\BOOTX64.EFI")
    return told


def not_enforced(report: Report) -> BootFacts:
    """Secure Boot is off and has no keys; the kernel within the image was loaded, and measured, as one of its own."""
    told = facts(report)
    assert told.secure_boot is False
    assert (told.pk, told.kek, told.db, told.dbx, told.authorities) == ((), (), (), (), ())
    assert [each.register for each in told.images] == [4, 4]
    return told


def same_machine(earlier: Report, later: Report) -> None:
    """Two boots one after the other: the same key, one more reset, and nothing but that in any register."""
    assert earlier.ak == later.ak
    before, after = (parse_attestation(each.moments[-1].attested).clock for each in (earlier, later))
    assert (after.resets, after.restarts) == (before.resets + 1, 0)
    assert (before.safe, after.safe) == (True, True)
    assert earlier.moments[-1].registers == later.moments[-1].registers
