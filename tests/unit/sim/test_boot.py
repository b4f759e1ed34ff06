"""Parts of the boot chain that need no TPM: keys, manifests, hardware, events, floors."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from boot_builders import boot_keys
from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.eventlog.banks import SHA256
from holdfast_core.formats.eventlog.facts import facts_of
from holdfast_core.formats.eventlog.log import parse_event_log
from holdfast_core.formats.eventlog.replay import replay
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_sim.boot import artefacts
from holdfast_sim.boot.events import Measuring, authority, secure_boot_variables, version_text
from holdfast_sim.boot.hardware import Component, differences, table
from holdfast_sim.boot.keys import KeyTable, key_digest, open_table, public_key, signed_table
from holdfast_sim.boot.machine import Nv
from holdfast_sim.boot.manifest import Manifest, check_digest, open_manifest, signed_manifest
from holdfast_sim.boot.stages import Boot
from holdfast_sim.boot.swtpm import Swtpm

ROOT = boot_keys().root
MANIFEST = Manifest("spl", "1.0.0", 3, hashlib.sha256(b"spl").digest(), "key", "conf")
TABLE = KeyTable(tuple(boot_keys().certificate(name) for name in boot_keys().all()), (b"r" * 32,))
SIGNED, SIGNED_TABLE = signed_manifest(MANIFEST, ROOT), signed_table(TABLE, ROOT)


class Registers:
    """A TPM's registers, and nothing else of it."""

    def __init__(self) -> None:
        self.values: dict[int, bytes] = {}

    def extend(self, register: int, digest: bytes) -> None:
        self.values[register] = hashlib.sha256(self.values.get(register, bytes(32)) + digest).digest()


def refusal(call, *arguments) -> str:
    with pytest.raises(HostileData) as caught:
        call(*arguments)
    assert caught.value.remedy
    return caught.value.code


def test_what_is_measured_is_what_is_logged():
    registers = Registers()
    measuring = Measuring(registers)
    measuring.telling(0, kinds.S_CRTM_VERSION, version_text("1.0"))
    for data in secure_boot_variables(TABLE.certificates, TABLE.revoked):
        measuring.telling(7, kinds.EFI_VARIABLE_DRIVER_CONFIG, data)
    measuring.separators()
    measuring.telling(7, kinds.EFI_VARIABLE_AUTHORITY, authority(TABLE.certificates[1]))
    measuring.thing(9, kinds.IPL, b"kernel", b"k" * 32)
    log = parse_event_log(measuring.log)
    assert replay(log, SHA256) == registers.values
    facts = facts_of(log, SHA256)
    assert facts.secure_boot is True
    assert [each.data for each in facts.pk] == [TABLE.certificates[0]]
    assert facts.kek == ()
    assert [each.data for each in facts.db] == list(TABLE.certificates)
    assert [each.data for each in facts.dbx] == [b"r" * 32]
    assert [each.entry.data for each in facts.authorities] == [TABLE.certificates[1]]
    assert facts.separators == tuple(range(8))
    assert facts.unproven == ()


def test_manifest_is_opened_by_its_key_only():
    data = signed_manifest(MANIFEST, ROOT)
    assert open_manifest("spl", data, ROOT.public_key()) == MANIFEST
    assert refusal(open_manifest, "spl", data, boot_keys("thief").root.public_key()) == "boot.signature"
    assert refusal(open_manifest, "spl", data, boot_keys().fit.public_key()) == "boot.signature"
    assert refusal(open_manifest, "u-boot", data, ROOT.public_key()) == "boot.manifest"
    assert check_digest(MANIFEST, b"spl") == MANIFEST.digest
    assert refusal(check_digest, MANIFEST, b"other") == "boot.digest"


def test_key_table_is_opened_by_the_roots_digest_only():
    data = signed_table(TABLE, ROOT)
    root = key_digest(ROOT.public_key())
    assert open_table(data, root) == TABLE
    assert TABLE.certificate_of(root) == TABLE.certificates[0]
    assert TABLE.certificate_of("00") is None
    assert refusal(open_table, data, "00" * 32) == "boot.keys"
    assert refusal(open_table, signed_table(TABLE, boot_keys("thief").root), root) == "boot.keys"
    assert refusal(open_table, signed_table(KeyTable(()), ROOT), root) == "boot.keys"
    assert refusal(open_table, signed_table(KeyTable((TABLE.certificates[0], b"none")), ROOT), root) == "boot.keys"


@given(st.binary(max_size=120))
def test_any_bytes_are_refused(data):
    assert refusal(open_manifest, "spl", data, ROOT.public_key()) == "boot.manifest"
    assert refusal(open_table, data, "00") == "boot.keys"


@given(st.data())
def test_changed_anywhere_it_is_refused_or_says_the_same(data):
    at = data.draw(st.integers(0, len(SIGNED) - 1))
    changed = SIGNED[:at] + data.draw(st.binary(min_size=1, max_size=4)) + SIGNED[at:]
    with suppress(HostileData):
        assert open_manifest("spl", changed, ROOT.public_key()) == MANIFEST


@given(st.data())
def test_key_table_changed_anywhere_is_refused_or_says_the_same(data):
    at = data.draw(st.integers(0, len(SIGNED_TABLE) - 1))
    changed = SIGNED_TABLE[:at] + data.draw(st.binary(min_size=1, max_size=4)) + SIGNED_TABLE[at:]
    with suppress(HostileData):
        assert open_table(changed, key_digest(ROOT.public_key())) == TABLE


def test_key_of_another_kind_is_refused():
    key, name = ed25519.Ed25519PrivateKey.generate(), x509.Name([])
    days = datetime(2026, 1, 1, tzinfo=UTC), datetime(2046, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, *days).sign(key, None)
    assert refusal(public_key, made.public_bytes(Encoding.DER)) == "boot.keys"


def test_hardware_is_told_by_its_places():
    bus, part, sensor = Component("a", "x", "1"), Component("b", "y", "2"), Component("c", "z", "3", essential=False)
    assert table([part, bus]) == b"a x 1\nb y 2\n"
    assert differences([bus, part], [part, bus]) == ()
    found = differences([bus, part, sensor], [msgspec.structs.replace(bus, identity="9"), Component("d", "w", "4")])
    assert [(each.what, each.place, each.fatal) for each in found] == [
        ("changed", "a", True),
        ("missing", "b", True),
        ("missing", "c", False),
        ("unexpected", "d", True),
    ]


def test_floors_never_sink():
    nv = Nv({"spl": 3})
    nv.raise_to({"spl": 2, "fit": 5})
    assert nv.floors == {"spl": 3, "fit": 5}


def rootfs_of(line: str) -> str:
    boot = Boot({"rootfs.verity": bytes(600)}, {}, Measuring(Registers()))
    boot.command_line = line
    return refusal(boot._rootfs)


def test_root_file_system_needs_one_root_hash_and_no_leave_to_ignore_it():
    good = "roothash=" + "00" * 32
    assert rootfs_of("") == "boot.verity"
    assert rootfs_of(f"{good} {good[:-1]}1") == "boot.verity"
    assert rootfs_of(f"{good} systemd.verity_root_options=ignore-corruption") == "boot.verity"
    assert rootfs_of(good) == "verity.superblock"


def test_boot_without_a_key_table_has_no_root_key():
    assert refusal(Boot({}, {}, Measuring(Registers())).root_key) == "boot.keys"


def test_missing_tool_is_named(tmp_path):
    with pytest.raises(WorldError) as caught:
        artefacts._run("no-such-tool", folder=tmp_path)
    assert caught.value.code == "boot.no_tool"


def test_failing_tool_is_quoted(tmp_path):
    with pytest.raises(WorldError) as caught:
        artefacts._run("ls", "--no-such-option", folder=tmp_path)
    assert caught.value.code == "boot.tool"
    assert "no-such-option" in caught.value.sentence


def test_missing_swtpm_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(WorldError) as caught:
        Swtpm()
    assert caught.value.code == "boot.no_swtpm"


def test_generated_keys_are_of_the_kinds_that_the_tools_take():
    keys = boot_keys()
    assert isinstance(keys.root.curve, ec.SECP256R1)
    assert keys.fit.key_size == 2048
    assert len({keys.certificate(name) for name in keys.all()}) == 4
