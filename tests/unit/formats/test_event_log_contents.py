"""What events say: read where firmware keeps to its form, unread and never raised where it does not."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_log_builders import file_path, guid, signature_list, spec_id, variable
from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.eventlog.contents import (
    Content,
    Separator,
    Specification,
    StartupLocality,
    content_of,
)
from holdfast_core.formats.eventlog.firmware import Blob, Image, PartitionTable, Table, Tables
from holdfast_core.formats.eventlog.kinds import KINDS, kind_name
from holdfast_core.formats.eventlog.log import Event
from holdfast_core.formats.eventlog.paths import parse_device_path
from holdfast_core.formats.eventlog.reader import Unread
from holdfast_core.formats.eventlog.signatures import Signature
from holdfast_core.formats.eventlog.texts import Opaque, Tagged, Text
from holdfast_core.formats.eventlog.variables import (
    GLOBAL,
    SECURITY_DATABASE,
    SHIM,
    Authority,
    BootOption,
    BootOrder,
    Signatures,
    Switch,
    Variable,
    Words,
)
from holdfast_core.kernel.errors import HostileData

OWNER = "77fa9abd-0359-4d32-bd60-28f4e78f784b"
X509 = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072"
SHA256_HASH = "c1c41626-504c-4092-aca9-41f936934328"
DER = b"\x30\x82\x01\x00" + bytes(256)
CONFIG, BOOT, AUTHORITY = kinds.EFI_VARIABLE_DRIVER_CONFIG, kinds.EFI_VARIABLE_BOOT, kinds.EFI_VARIABLE_AUTHORITY


def read(kind: int, data: bytes) -> Content:
    return content_of(Event(1, 0, kind, {}, data))


def reading(kind: int, name: str, value: bytes, owner: str = GLOBAL) -> object:
    found = read(kind, variable(name, value, owner))
    assert isinstance(found, Variable)
    assert (found.name, found.guid, found.data) == (name, owner, value)
    return found.reading


def test_kinds_have_their_names_and_unknown_ones_their_number() -> None:
    assert kind_name(kinds.EFI_GPT_EVENT) == "EV_EFI_GPT_EVENT"
    assert kind_name(0x12345678) == "0x12345678"
    assert all(name.startswith("EV_") for name in KINDS.values())


@pytest.mark.parametrize(("value", "on"), [(b"\1", True), (b"\0", False), (b"", False)], ids=["on", "off", "not there"])
def test_secure_boot_is_on_or_off(*, value: bytes, on: bool) -> None:
    assert reading(CONFIG, "SecureBoot", value) == Switch(on)


def test_signature_databases_have_certificates_and_hashes() -> None:
    lists = signature_list(X509, [(OWNER, DER)]) + signature_list(SHA256_HASH, [(OWNER, bytes(32)), (OWNER, b"h" * 32)])
    assert reading(CONFIG, "dbx", lists, SECURITY_DATABASE) == Signatures(
        (Signature("x509", OWNER, DER), Signature("sha256", OWNER, bytes(32)), Signature("sha256", OWNER, b"h" * 32))
    )
    assert reading(CONFIG, "PK", b"") == Signatures(())


def test_a_signature_of_a_type_nobody_knows_is_unknown() -> None:
    entries = signature_list("12345678-0000-0000-0000-000000000000", [(OWNER, b"x")])
    assert reading(CONFIG, "KEK", entries) == Signatures((Signature("unknown", OWNER, b"x"),))


@pytest.mark.parametrize(
    "value",
    [
        b"x",
        guid(X509) + pack("<III", 27, 0, 17),
        guid(X509) + pack("<III", 28, 1, 17),
        guid(X509) + pack("<III", 28 + 17, 0, 16) + bytes(17),
        guid(X509) + pack("<III", 28 + 17, 0, 0) + bytes(17),
        guid(X509) + pack("<III", 28 + 18, 0, 17) + bytes(18),
        guid(X509) + pack("<III", 0xFFFFFFF0, 0, 17),
        (guid(X509) + pack("<III", 28 + 17 * 1000, 0, 17) + bytes(17 * 1000)) * 17,
    ],
)
def test_a_database_that_does_not_fit_is_unread_and_stays_as_bytes(value: bytes) -> None:
    assert isinstance(reading(CONFIG, "db", value, SECURITY_DATABASE), Unread)


@pytest.mark.parametrize(
    ("name", "owner", "value", "expected"),
    [
        ("db", SECURITY_DATABASE, guid(OWNER) + DER, Signature("x509", OWNER, DER)),
        ("db", SECURITY_DATABASE, guid(OWNER) + b"h" * 32, Signature("sha256", OWNER, b"h" * 32)),
        ("db", SECURITY_DATABASE, guid(OWNER) + b"?", Signature("unknown", OWNER, b"?")),
        ("vendor_db", SECURITY_DATABASE, guid(OWNER) + DER, Signature("x509", OWNER, DER)),
        ("Shim", SHIM, DER, Signature("x509", "", DER)),
        ("MokList", SHIM, guid(OWNER) + DER, Signature("x509", OWNER, DER)),
    ],
)
def test_an_authority_is_one_entry_with_or_without_its_owner(
    name: str, owner: str, value: bytes, expected: Signature
) -> None:
    assert reading(AUTHORITY, name, value, owner) == Authority(expected)


def test_shim_says_its_sbat_level_and_whether_it_trusts_the_machine_owner() -> None:
    assert reading(AUTHORITY, "SbatLevel", b"sbat,1,2021030218\n\0", SHIM) == Words("sbat,1,2021030218\n")
    assert reading(AUTHORITY, "MokListTrusted", b"\1", SHIM) == Switch(on=True)


def test_boot_options_and_their_order_are_read() -> None:
    assert reading(BOOT, "BootOrder", b"\1\0\x1f\0") == BootOrder((1, 31))
    path = file_path("\\EFI\\a.efi")
    option = pack("<IH", 1, len(path)) + "Linux\0".encode("utf-16-le") + path + b"args"
    assert reading(BOOT, "Boot001F", option) == BootOption(True, "Linux", parse_device_path(path), b"args")  # noqa: FBT003  (as the struct has it)
    assert isinstance(reading(BOOT, "BootOrder", b"\1"), Unread)
    assert isinstance(reading(BOOT, "Boot0001", option[:9]), Unread)
    assert reading(BOOT, "BootNext1", b"\1\0") is None


@pytest.mark.parametrize("data", [b"x", variable("a", b"b")[:-1], guid(GLOBAL) + pack("<QQ", 1025, 0) + bytes(2050)])
def test_what_is_no_variable_is_unread(data: bytes) -> None:
    assert isinstance(read(CONFIG, data), Unread)


def test_bytes_behind_a_variable_are_counted() -> None:
    found = read(AUTHORITY, variable("Shim", DER, SHIM) + b"123456")
    assert isinstance(found, Variable)
    assert found.trailing == 6


@pytest.mark.parametrize(("data", "normal"), [(bytes(4), True), (b"\xff" * 4, True), (b"\1\0\0\0", False)])
def test_a_separator_is_normal_or_an_errors(*, data: bytes, normal: bool) -> None:
    assert read(kinds.SEPARATOR, data) == Separator(normal)
    assert isinstance(read(kinds.SEPARATOR, data + b"x"), Unread)


def test_what_only_informs_is_a_specification_a_locality_or_text() -> None:
    assert read(kinds.NO_ACTION, spec_id()) == Specification("Spec ID Event03", 0, "2.0.0")
    newer = bytearray(spec_id())
    newer[22] = 106
    assert read(kinds.NO_ACTION, bytes(newer)) == Specification("Spec ID Event03", 0, "2.0 revision 106")
    assert read(kinds.NO_ACTION, b"StartupLocality\0\3") == StartupLocality(3)
    assert read(kinds.NO_ACTION, b"hello\0") == Text("hello")
    assert isinstance(read(kinds.NO_ACTION, b"Spec ID Event03"), Unread)


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        (kinds.IPL, b"grub_cmd: set root=hd0\0", Text("set root=hd0", "grub_cmd")),
        (kinds.IPL, b"kernel_cmdline: quiet\0", Text("quiet", "kernel_cmdline")),
        (kinds.IPL, "root=/dev/sda\0".encode("utf-16-le"), Text("root=/dev/sda")),
        (kinds.IPL, b"\xff\xfe\x00\x01", Opaque(4)),
        (kinds.IPL, b"\x1b[31m", Opaque(5)),
        (kinds.IPL, b"", Text("")),
        (kinds.EFI_ACTION, b"Exit Boot Services Invocation", Text("Exit Boot Services Invocation")),
        (kinds.S_CRTM_VERSION, "1.2\0".encode("utf-16-le"), Text("1.2")),
        (kinds.S_CRTM_VERSION, guid(OWNER), Text(OWNER)),
        (kinds.OMIT_BOOT_DEVICE_EVENTS, b"BOOT ATTEMPTS OMITTED", Text("BOOT ATTEMPTS OMITTED")),
        (kinds.NONHOST_INFO, b"\x80\x81", Opaque(2)),
        (kinds.POST_CODE, b"ACPI DATA", Text("ACPI DATA")),
        (kinds.POST_CODE, pack("<QQ", 0xFF000000, 4096), Blob(0xFF000000, 4096)),
        (kinds.POST_CODE2, b"\4abcd" + pack("<QQ", 1, 2), Blob(1, 2, "abcd")),
        (kinds.POST_CODE2, b"text", Text("text")),
        (kinds.S_CRTM_CONTENTS, b"\1a" + pack("<QQ", 1, 2), Blob(1, 2, "a")),
        (kinds.EFI_PLATFORM_FIRMWARE_BLOB, pack("<QQ", 1, 2), Blob(1, 2)),
        (kinds.EFI_PLATFORM_FIRMWARE_BLOB2, b"\2ab" + pack("<QQ", 1, 2), Blob(1, 2, "ab")),
        (kinds.EFI_HANDOFF_TABLES, pack("<Q", 1) + guid(OWNER) + pack("<Q", 7), Tables((Table(OWNER, 7),))),
        (kinds.EFI_HANDOFF_TABLES2, b"\1a" + pack("<Q", 0), Tables((), "a")),
        (kinds.EVENT_TAG, pack("<II", 0x8F3B22EC, 2) + b"ab", Tagged(0x8F3B22EC, "initrd (Linux)", b"ab", "ab")),
        (kinds.EVENT_TAG, pack("<II", 1, 1) + b"\xff", Tagged(1, "", b"\xff")),
        (0x12345678, b"text", Text("text")),
    ],
)  # fmt: skip
def test_each_kind_is_read_as_its_form(kind: int, data: bytes, expected: object) -> None:
    assert read(kind, data) == expected


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (kinds.EFI_PLATFORM_FIRMWARE_BLOB, b"x"),
        (kinds.EFI_PLATFORM_FIRMWARE_BLOB, bytes(17)),
        (kinds.EFI_HANDOFF_TABLES, pack("<Q", 257) + bytes(257 * 24)),
        (kinds.EFI_HANDOFF_TABLES, pack("<Q", 2) + bytes(24)),
        (kinds.EVENT_TAG, pack("<II", 1, 3) + b"ab"),
        (kinds.EFI_BOOT_SERVICES_DRIVER, b"x"),
        (kinds.EFI_BOOT_SERVICES_DRIVER, pack("<QQQQ", 0, 0, 0, 1 << 60)),
        (kinds.EFI_GPT_EVENT, b"x"),
        (kinds.EFI_GPT_EVENT, bytes(100)),
    ],
)
def test_what_does_not_fit_its_form_is_unread_with_the_reason(kind: int, data: bytes) -> None:
    found = read(kind, data)
    assert isinstance(found, Unread)
    assert found.why.startswith("The event's data could not be read: ")


def test_an_image_names_its_file_in_firmware_of_64_and_of_32_bits() -> None:
    path = file_path("\\EFI\\BOOT\\BOOTX64.EFI")
    for head in ("<QQQQ", "<QIII"):
        found = read(kinds.EFI_BOOT_SERVICES_APPLICATION, pack(head, 1, 2, 0, len(path)) + path)
        assert isinstance(found, Image)
        assert (found.address, found.size, found.path.file) == (1, 2, "\\EFI\\BOOT\\BOOTX64.EFI")


def node(kind: int, sub: int, body: bytes) -> bytes:
    return pack("<BBH", kind, sub, 4 + len(body)) + body


PARTITION = node(4, 1, pack("<IQQ", 1, 0x800, 0x1000) + guid(OWNER) + b"\2\2")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (node(2, 1, pack("<II", 0x0A0341D0, 0)) + node(1, 1, b"\1\2"), "PciRoot(0x0)/Pci(0x2,0x1)"),
        (node(2, 1, pack("<II", 0x0A0841D0, 1)), "PciRoot(0x1)"),
        (node(2, 1, pack("<II", 5, 1)), "Acpi(0x00000005,0x1)"),
        (PARTITION + file_path("\\a"), f"HD(1,GPT,{OWNER},0x800,0x1000)/\\a"),
        (node(4, 1, pack("<IQQ", 1, 1, 2) + b"\1\2\3\4" + bytes(12) + b"\1\1"), "HD(1,MBR,04030201,0x1,0x2)"),
        (node(3, 5, b"\1\2") + node(3, 18, pack("<HHH", 1, 2, 3)), "USB(0x1,0x2)/Sata(0x1,0x2,0x3)"),
        (node(3, 2, pack("<HH", 1, 2)) + node(4, 2, pack("<IQQ", 1, 2, 3)), "Scsi(0x1,0x2)/CDROM(0x1)"),
        (node(3, 23, pack("<I", 1) + bytes(range(8))), "NVMe(0x1,07-06-05-04-03-02-01-00)"),
        (node(3, 11, b"\1\2\3\4\5\6" + bytes(26) + b"\1"), "MAC(010203040506,0x1)"),
        (node(3, 24, b"https://a"), "Uri(https://a)"),
        (node(3, 12, b"") + node(3, 13, b""), "IPv4/IPv6"),
        (node(1, 4, guid(OWNER)) + node(3, 10, guid(OWNER)), f"VenHw({OWNER})/VenMsg({OWNER})"),
        (node(4, 3, guid(OWNER)), f"VenMedia({OWNER})"),
        (node(4, 6, guid(OWNER)) + node(4, 7, guid(OWNER)), f"FvFile({OWNER})/Fv({OWNER})"),
        (node(4, 8, pack("<IQQ", 0, 1, 2)), "Offset(0x1,0x2)"),
        (node(5, 1, b"ab"), "Path(5,1,6162)"),
        (node(1, 1, b"\1\1") + b"\x7f\1\4\0" + node(1, 1, b"\1\1"), "Pci(0x1,0x1),Pci(0x1,0x1)"),
        (b"\x7f\xff\4\0garbage", ""),
        (b"", ""),
    ],
)  # fmt: skip
def test_device_paths_are_told_in_words(data: bytes, text: str) -> None:
    assert parse_device_path(data).text == text


@pytest.mark.parametrize(
    "data", [b"\4", b"\4\4\3\0", b"\4\4\5\0", node(1, 1, b"\1"), node(5, 1, b"") * 257], ids=range(5)
)
def test_device_paths_that_do_not_end_are_refused(data: bytes) -> None:
    with pytest.raises(HostileData):
        parse_device_path(data)


def partitions(*names: str, entry: int = 128, count: int | None = None) -> bytes:
    head = b"EFI PART" + bytes(48) + guid(OWNER) + bytes(8) + pack("<III", 128, entry, 0)
    listed = b"".join(
        guid(X509) + guid(OWNER) + pack("<QQQ", 1, 2, 0) + name.encode("utf-16-le").ljust(72, b"\0") for name in names
    )
    return head + pack("<Q", len(names) if count is None else count) + listed


def test_the_partition_table_has_its_disk_and_partitions() -> None:
    found = read(kinds.EFI_GPT_EVENT, partitions("EFI", "root"))
    assert isinstance(found, PartitionTable)
    assert found.disk == OWNER
    assert [(each.type, each.unique, each.first, each.last, each.name) for each in found.partitions] == [
        (X509, OWNER, 1, 2, "EFI"),
        (X509, OWNER, 1, 2, "root"),
    ]
    for odd in (partitions("a", entry=127), partitions("a", count=1025), partitions("a", count=2)):
        assert isinstance(read(kinds.EFI_GPT_EVENT, odd), Unread)


SAMPLES = [
    variable("db", signature_list(X509, [(OWNER, DER)]), SECURITY_DATABASE),
    variable("Boot0001", pack("<IH", 1, 4) + b"a\0\0\0" + PARTITION),
    pack("<QQQQ", 1, 2, 0, len(PARTITION)) + PARTITION,
    partitions("EFI"),
    b"\2ab" + pack("<QQ", 1, 2),
    pack("<II", 1, 2) + b"ab",
    spec_id(),
]


@given(st.sampled_from([*KINDS, 0x7777]), st.binary(max_size=300))
def test_no_bytes_of_any_kind_raise(kind: int, data: bytes) -> None:
    read(kind, data)


@settings(max_examples=300)
@given(st.sampled_from([*KINDS]), st.sampled_from(SAMPLES), st.data())
def test_no_changed_content_of_any_kind_raises(kind: int, sample: bytes, data: st.DataObject) -> None:
    changed = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, len(sample) - 1))] = data.draw(st.integers(0, 255))
    read(kind, bytes(changed[: data.draw(st.integers(0, len(sample)))]))


@pytest.mark.parametrize("sample", SAMPLES, ids=range(len(SAMPLES)))
def test_no_content_that_is_cut_raises(sample: bytes) -> None:
    for kind in KINDS:
        for size in range(len(sample)):
            read(kind, sample[:size])
