"""Public event logs: tpm2-software/tpm2-tools (BSD-3-Clause) and keylime/keylime (Apache-2.0).

Each is parsed and replayed to the PCRs that were published with it, or refused for the reason that stands here.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
import yaml

from holdfast_core.formats.eventlog.banks import SHA1, SHA256, bank_name
from holdfast_core.formats.eventlog.contents import content_of
from holdfast_core.formats.eventlog.facts import facts_of
from holdfast_core.formats.eventlog.kinds import NO_ACTION, kind_name
from holdfast_core.formats.eventlog.log import EventLog, parse_event_log
from holdfast_core.formats.eventlog.preimage import HASHED, digest_matches
from holdfast_core.formats.eventlog.reader import Unread
from holdfast_core.formats.eventlog.replay import gaps, replay
from holdfast_core.kernel.errors import HostileData

TOOLS, KEYLIME = "attestation/tpm2-tools", "attestation/keylime"
BOOT = f"{KEYLIME}/test__data__create-mb-policy__binary_bios_measurements"
LOGS = {
    f"{TOOLS}/event-arch-linux.bin": 25,
    f"{TOOLS}/event-bootorder.bin": 104,
    f"{TOOLS}/event-gce-ubuntu-2104-log.bin": 112,
    f"{TOOLS}/event-moklisttrusted.bin": 97,
    f"{TOOLS}/event-postcode.bin": 59,
    f"{TOOLS}/event-sd-boot-fedora37.bin": 28,
    f"{TOOLS}/event-uefi-sha1-log.bin": 17,
    f"{TOOLS}/event-uefiaction.bin": 2,
    f"{TOOLS}/event-uefiservices.bin": 2,
    f"{TOOLS}/event-uefivar.bin": 2,
    f"{TOOLS}/event.bin": 2,
    f"{TOOLS}/specid-vendordata.bin": 1,
    BOOT: 121,
    f"{BOOT}-secureboot": 99,
    f"{KEYLIME}/test__data__mb_log.b64": 102,
}
"""Every public log, and how many events it has, the header counted."""
REFUSED = {f"{BOOT}-bogus": "eventlog.malformed", f"{BOOT}-empty": "eventlog.empty"}
PUBLISHED = [
    (name, form)
    for name in LOGS
    if name.startswith(TOOLS)
    for form in (["event-raw", "event-pretty", "event-pretty-39"] if "/event-" in name else [""])
]


def bytes_of(vectors: Path, name: str) -> bytes:
    data = (vectors / name).read_bytes()
    return base64.b64decode(data) if name.endswith(".b64") else data


def log_of(vectors: Path, name: str) -> EventLog:
    return parse_event_log(bytes_of(vectors, name))


def published(vectors: Path, name: str, form: str) -> str:
    path = vectors / name
    path = path.with_name(f"{form}__{path.name}.yaml" if form else f"{path.name}.yaml")
    return path.read_text()


def registers_in(text: str) -> dict[str, dict[int, str]]:
    # Digests without a quote would be read as numbers, and lose the zeros they begin with.
    quoted = re.sub(r": 0x([0-9a-f]{40,128})$", r': "\1"', text[text.index("pcrs:") :], flags=re.MULTILINE)
    found = yaml.safe_load(quoted)["pcrs"] or {}
    assert isinstance(found, dict)
    return found


def hexed(log: EventLog) -> dict[str, dict[int, str]]:
    values = {bank_name(bank): {at: each.hex() for at, each in replay(log, bank).items()} for bank in log.banks}
    return {name: registers for name, registers in values.items() if registers}


def test_no_public_log_is_forgotten(vectors: Path) -> None:
    there = {*vectors.glob(f"{TOOLS}/event*.bin"), *vectors.glob(f"{KEYLIME}/*binary_bios_measurements*")}
    assert {str(each.relative_to(vectors)) for each in there} <= {*LOGS, *REFUSED}


@pytest.mark.parametrize(("name", "form"), PUBLISHED)
def test_every_log_replays_to_its_published_registers(vectors: Path, name: str, form: str) -> None:
    assert hexed(log_of(vectors, name)) == registers_in(published(vectors, name, form))


@pytest.mark.parametrize(("name", "form"), PUBLISHED)
def test_every_event_is_the_published_one(vectors: Path, name: str, form: str) -> None:
    log, text = log_of(vectors, name), published(vectors, name, form)
    # By lines: what the tool writes of a legacy log is no valid YAML.
    assert [(each.register, kind_name(each.kind)) for each in log.events] == [
        (int(register), kind) for register, kind in re.findall(r"PCRIndex: (\d+)\n *EventType: (\S+)", text)
    ]
    assert [len(each.data) for each in log.events] == [int(size) for size in re.findall(r"EventSize: (\d+)", text)]
    digests = [digest.hex() for each in log.events for digest in each.digests.values()]
    header = ["00" * 20] if log.agile else []
    assert header + digests == re.findall(r' Digest: "([0-9a-f]+)"', text)


@pytest.mark.parametrize("name", LOGS)
def test_every_log_is_parsed_whole_and_every_content_read(vectors: Path, name: str) -> None:
    log = log_of(vectors, name)
    assert (len(log.events), log.filling) == (LOGS[name], 0)
    assert [each.number for each in log.events if isinstance(content_of(each), Unread)] == []


@pytest.mark.parametrize(("name", "code"), REFUSED.items())
def test_what_is_no_log_is_refused(vectors: Path, name: str, code: str) -> None:
    with pytest.raises(HostileData) as caught:
        log_of(vectors, name)
    assert caught.value.code == code


@pytest.mark.parametrize("name", LOGS)
def test_every_digest_that_must_be_of_its_data_is(vectors: Path, name: str) -> None:
    log = log_of(vectors, name)
    wrong = {
        (each.number, bank_name(bank))
        for each in log.events
        for bank in each.digests
        if each.kind in HASHED and digest_matches(each, bank) is False
    }
    assert wrong == set()


def test_a_startup_locality_seeds_pcr_0(vectors: Path) -> None:
    """Of the logs here only this one has the event; tools before tpm2-tools 5.6 replayed it from zeros."""
    log = log_of(vectors, BOOT)
    assert (log.events[1].kind, log.events[1].data) == (NO_ACTION, b"StartupLocality\0\3")
    for bank, hashed in ((SHA1, hashlib.sha1), (SHA256, hashlib.sha256)):
        zeros, seeded = bytes(hashed().digest_size), bytes(hashed().digest_size - 1) + b"\3"
        for event in log.events:
            if event.register == 0 and event.kind != NO_ACTION:
                zeros, seeded = (hashed(each + event.digests[bank]).digest() for each in (zeros, seeded))
        assert replay(log, bank)[0] == seeded != zeros


def test_two_fragments_lack_digests_that_their_header_names(vectors: Path) -> None:
    for name, register in (("event-uefiaction.bin", 4), ("event-uefivar.bin", 7)):
        log = log_of(vectors, f"{TOOLS}/{name}")
        assert {bank_name(bank) for bank in log.banks if gaps(log, bank) == {register}} == {"sha384", "sha512"}


@pytest.mark.parametrize(
    ("name", "secure", "entries", "authorities"),
    [
        (f"{BOOT}-secureboot", True, (1, 3, 4, 371), ("db", "vendor_db")),
        (BOOT, False, (1, 2, 4, 460), ()),
        (f"{KEYLIME}/test__data__mb_log.b64", True, (1, 2, 2, 1), ("db", "Shim")),
        (f"{TOOLS}/event-arch-linux.bin", False, (1, 2, 12, 77), ()),
        (f"{TOOLS}/event-postcode.bin", True, (1, 1, 4, 77), ("db", "Shim", "Shim")),
        (f"{TOOLS}/event-sd-boot-fedora37.bin", False, (0, 0, 0, 0), ()),
    ],
)
def test_the_facts_of_whole_boots_are_proven(
    vectors: Path, *, name: str, secure: bool, entries: tuple[int, ...], authorities: tuple[str, ...]
) -> None:
    facts = facts_of(log_of(vectors, name), SHA256)
    assert facts.secure_boot is secure
    assert tuple(len(each) for each in (facts.pk, facts.kek, facts.db, facts.dbx) if each is not None) == entries
    assert tuple(each.name for each in facts.authorities) == authorities
    assert (facts.separators, facts.failed, facts.unproven) == (tuple(range(8)), (), ())
