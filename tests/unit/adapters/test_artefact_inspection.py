"""What real tools say of real payloads, and what is refused: other keys, damage, archives made to hurt."""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.adapters.artefacts.cpio import MOST_MEMBERS, members
from holdfast.adapters.artefacts.inspector import Keys, ToolInspector
from holdfast.adapters.artefacts.libconfig import parse
from holdfast.adapters.artefacts.tool import Bounds, ask
from holdfast_core.kernel.errors import HoldfastError, HostileData
from holdfast_core.supply.model import PayloadKind
from update_tools import (
    DESCRIPTION,
    MIB,
    MORE,
    archive,
    authority,
    bundle,
    content,
    mcu_image,
    mcu_key,
    need,
    packed,
    sh,
    signer,
)

RAUC, SWU, MCU = PayloadKind.RAUC, PayloadKind.SWUPDATE, PayloadKind.MCUBOOT


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Keys, and one honest payload of each kind."""
    need("rauc", "openssl", "cpio", "mksquashfs")
    folder = tmp_path_factory.mktemp("payloads")
    authority(folder)
    authority(folder, "other")
    signer(folder)
    signer(folder, "stranger")
    mcu_key(folder)
    mcu_key(folder, "foreign")
    bundle(folder, "2.0")
    archive(folder, "2.0")
    mcu_image(folder, "1.4.0", svn=7)
    return folder


def keyed(lab, **keys):
    return ToolInspector(Keys(**{kind: str(lab / name) for kind, name in keys.items()}))


def code(inspector, path, kind):
    with pytest.raises(HoldfastError) as error:
        inspector.inspect(path, kind, name=path.name)
    assert error.value.sentence
    assert error.value.remedy
    return error.value.code


def changed(path, place, name="changed"):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    made = path.with_name(name)
    made.write_bytes(data)
    return made


def cut(path, size):
    made = path.with_name("cut")
    made.write_bytes(path.read_bytes()[:size])
    return made


def test_a_bundle_says_what_it_is_for_and_who_signed_it(lab):
    made = lab / "bundle-2.0-ca-lab-board.raucb"
    found = keyed(lab, rauc="ca.pem").inspect(made, RAUC, name="x")
    assert (found.version, found.compatible, found.svn, found.verified) == ("2.0", ("lab-board",), None, True)
    digest = hashlib.sha256(content("2.0")).hexdigest()
    assert ("image rootfs", f"{2 * MIB} bytes, sha256:{digest}") in found.details
    unchecked = ToolInspector().inspect(made, RAUC, name="x")
    assert (unchecked.version, unchecked.verified) == ("2.0", False)
    assert unchecked.details[0] == ("signature", "not checked: no keyring configured")


def test_a_bundle_of_another_signer_or_a_damaged_one_is_refused(lab):
    made = lab / "bundle-2.0-ca-lab-board.raucb"
    assert code(keyed(lab, rauc="other.pem"), made, RAUC) == "artefact.signature"
    assert code(keyed(lab, rauc="ca.pem"), changed(made, MIB), RAUC) == "artefact.signature"
    assert code(keyed(lab, rauc="ca.pem"), cut(made, MIB), RAUC) == "artefact.malformed"
    assert code(ToolInspector(), cut(made, MIB), RAUC) == "artefact.malformed"
    empty = lab / "empty"
    empty.write_bytes(b"")
    assert code(ToolInspector(), empty, RAUC) == "artefact.empty"


def test_an_archive_says_what_it_is_for_and_who_signed_it(lab):
    made = lab / "swu-2.0-cert.swu"
    found = keyed(lab, swupdate="cert.pem").inspect(made, SWU, name="x")
    assert (found.version, found.compatible, found.verified) == ("2.0", ("1.0", "1.1"), True)
    assert ToolInspector().inspect(made, SWU, name="x").verified is False


def test_an_archive_of_another_signer_or_a_damaged_one_is_refused(lab):
    made = lab / "swu-2.0-cert.swu"
    ours = keyed(lab, swupdate="cert.pem")
    assert code(keyed(lab, swupdate="stranger.pem"), made, SWU) == "artefact.signature"
    assert code(ours, changed(made, 200), SWU) == "artefact.signature"
    assert code(ours, changed(made, MIB), SWU) == "artefact.malformed"
    assert code(ours, cut(made, MIB), SWU) == "artefact.malformed"
    assert code(keyed(lab, swupdate="nowhere.pem"), made, SWU) == "artefact.key"


def unsigned(lab, description, *names, images=("rootfs.img",)):
    """An archive without a signature."""
    work = lab / "unsigned"
    work.mkdir(exist_ok=True)
    (work / "sw-description").write_bytes(description if isinstance(description, bytes) else description.encode())
    for each in images:
        (work / each).write_bytes(MORE)
    made = lab / "unsigned.swu"
    made.write_bytes(packed(work, *(names or ("sw-description", *images))))
    return made


def test_an_archive_without_signature_is_read_but_refused_where_a_key_is_configured(lab):
    made = unsigned(lab, 'software = { version = "1"; images: ( { filename = "rootfs.img"; } ); };')
    assert ToolInspector().inspect(made, SWU, name="x").version == "1"
    assert code(keyed(lab, swupdate="cert.pem"), made, SWU) == "artefact.signature"


def test_an_image_that_the_signed_description_has_no_hash_of_is_refused(lab):
    text = 'software = { version = "3"; images: ( { filename = "rootfs.img"; } ); };'
    made = archive(lab, "3.0", description=text)
    assert ToolInspector().inspect(made, SWU, name="x").version == "3"
    assert code(keyed(lab, swupdate="cert.pem"), made, SWU) == "artefact.signature"


def test_descriptions_in_json_and_for_named_boards_are_read(lab):
    made = unsigned(lab, '{"software": {"version": "1", "b1": {"hardware-compatibility": ["1.0", "#RE:^2"]}}}')
    found = ToolInspector().inspect(made, SWU, name="x")
    assert (found.version, found.compatible) == ("1", ("b1:1.0", "b1:#RE:^2"))


@pytest.mark.parametrize(
    "description",
    [
        "", "software", "software = 1;", "software = { version = 2; };", '@include "/etc/passwd"',
        'software = { images: ( { filename = "none"; } ); };', 'software = { images: ( { filename = "../x"; } ); };',
        'software = { images: ( { filename = "rootfs.img"; sha256 = "00"; } ); };',
        "software = " + "{ a = " * 400, "{" + '"a":[' * 5000, "[" * 100_000, '{"software": ' + "[" * 100_000,
        'software = { version = "' + "x" * 300 + '"; };', b'software = { version = "\xff"; };',
        "software = { " + "".join(f"a{n} = 1; " for n in range(20_000)) + "};",
        "software = { " + "a = 1; " * 2 + "};", "x" * 300_000, '"' * 200_001, "/*" * 100_000, "1" * 200_000,
    ],
)  # fmt: skip
def test_descriptions_that_are_none_are_refused(lab, description):
    assert code(ToolInspector(), unsigned(lab, description), SWU) == "artefact.malformed"


def member(name, data=b"", *, mode=0o100644, size=None, magic=b"070702"):
    raw = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(data) if size is None else size, 0, 0, 0, 0, len(raw), 0)
    head = magic + b"".join(b"%08X" % each for each in fields) + raw
    head += bytes(-len(head) % 4)
    return head + data + bytes(-len(data) % 4)


TEXT = b'software = { version = "1"; };'
END = member("TRAILER!!!")
HOSTILE = {
    "path": member("sw-description", TEXT) + member("../../etc/cron.d/x", b"x") + END,
    "absolute": member("sw-description", TEXT) + member("/etc/passwd", b"x") + END,
    "link": member("sw-description", TEXT) + member("x", b"/etc/passwd", mode=0o120777) + END,
    "device": member("sw-description", TEXT) + member("x", mode=0o060644) + END,
    "folder": member("sw-description", TEXT) + member("x", mode=0o040755) + END,
    "hidden": member("sw-description", TEXT) + member(".x") + END,
    "twice": member("sw-description", TEXT) * 2 + END,
    "many": member("sw-description", TEXT) + b"".join(member(f"m{n}") for n in range(MOST_MEMBERS)) + END,
    "endless": member("sw-description", TEXT) + member("x", size=0xFFFFFFFF) + END,
    "long name": member("sw-description", TEXT) + member("x" * 5000) + END,
    "no end": member("sw-description", TEXT),
    "more after the end": member("sw-description", TEXT) + END + b"\x7fELF",
    "zeros without end": member("sw-description", TEXT) + END + bytes(MIB),
    "other first": member("x", b"x") + member("sw-description", TEXT) + END,
    "no description": END,
    "old form": member("sw-description", TEXT, magic=b"070707") + END,
    "large description": member("sw-description", TEXT + b" " * MIB) + END,
}


def test_control_the_archive_that_the_hostile_ones_are_made_of_is_read(lab):
    path = lab / "made.swu"
    path.write_bytes(member("sw-description", TEXT) + member("x", b"x") + END + bytes(388))
    assert ToolInspector().inspect(path, SWU, name="x").version == "1"


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_archives_are_refused(lab, what):
    path = lab / "hostile.swu"
    path.write_bytes(HOSTILE[what])
    assert code(ToolInspector(), path, SWU) == "artefact.malformed"


def test_an_archive_cut_at_every_byte_is_refused(lab):
    whole = member("sw-description", TEXT) + member("x", b"xyz") + END
    path = lab / "cut.swu"
    # What pads the last name to four bytes carries nothing.
    for size in range(1, len(whole.rstrip(b"\0")) + 1):
        path.write_bytes(whole[:size])
        assert code(ToolInspector(), path, SWU) == "artefact.malformed"


def test_an_image_says_its_version_and_security_counter(lab):
    made = lab / "mcu-1.4.0-mcu.bin"
    found = keyed(lab, mcuboot="mcu.pub.pem").inspect(made, MCU, name="x")
    assert (found.version, found.svn, found.compatible, found.verified) == ("1.4.0", 7, (), True)
    assert ToolInspector().inspect(made, MCU, name="x").verified is False
    assert ToolInspector().inspect(mcu_image(lab, "1.0.0+5"), MCU, name="x").svn is None


def test_an_image_of_another_key_or_a_damaged_one_is_refused(lab):
    made = lab / "mcu-1.4.0-mcu.bin"
    ours = keyed(lab, mcuboot="mcu.pub.pem")
    assert code(keyed(lab, mcuboot="foreign.pub.pem"), made, MCU) == "artefact.signature"
    assert code(ours, changed(made, 2000), MCU) == "artefact.signature"
    assert code(ours, cut(made, 2000), MCU) == "artefact.malformed"
    assert code(ToolInspector(), changed(made, 0), MCU) == "artefact.malformed"
    large = lab / "large"
    large.touch()
    os.truncate(large, 65 * MIB)
    assert code(ours, large, MCU) == "artefact.too_large"


def test_a_plain_file_says_nothing_but_its_size(lab):
    found = ToolInspector().inspect(lab / "ca.pem", PayloadKind.FILE, name="x")
    assert (found.version, found.compatible, found.svn, found.verified) == ("", (), None, False)
    assert code(ToolInspector(), lab / "nowhere", PayloadKind.FILE) == "artefact.store"


def test_a_tool_has_bounds_on_time_output_memory_and_files(tmp_path):
    def failing(*argv, **bounds):
        with pytest.raises(HoldfastError) as error:
            ask(argv, Bounds(**bounds))
        return error.value.code

    assert failing("sleep", "60", seconds=0.3) == "artefact.tool"
    assert failing("sh", "-c", "exec >&- 2>&-; sleep 60", seconds=0.3) == "artefact.tool"
    assert failing("sh", "-c", "sleep 60 & exit 0", seconds=0.3) == "artefact.tool"
    assert failing("yes") == "artefact.tool"
    assert failing("/nowhere/tool") == "artefact.no_tool"
    assert ask(("sh", "-c", "echo $HOME $SECRET; pwd"), Bounds()).out.split()[0].startswith("/")
    memory = "sleep 0.2; exec dd if=/dev/zero of=/dev/null bs=600M count=1"
    assert ask(("sh", "-c", memory), Bounds(memory=200 * MIB)).code
    assert ask(("sh", "-c", memory), Bounds()).code == 0  # control
    writes = f"sleep 0.2; exec dd if=/dev/zero of={tmp_path}/file bs=1M count=40"
    ask(("sh", "-c", writes), Bounds())
    assert (tmp_path / "file").stat().st_size == 16 * MIB


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        ('a = 1; b : "x" "y"; c = [ 1, 2 ]; d = ( 1, "x", { e = true; } );', {
            "a": 1, "b": "xy", "c": (1, 2), "d": (1, "x", {"e": True})}),
        ("a = 0x1F, b = 1.5; c = -3L; d = 1e3", {"a": 31, "b": 1.5, "c": -3, "d": 1000.0}),
        (r'a = "q\"\\\n\x41"', {"a": 'q"\\\nA'}),
        ("# one\n// two\n/* three * */ a = FALSE;", {"a": False}),
        ("a = { }; b = (); c = [];", {"a": {}, "b": (), "c": ()}),
    ],
)  # fmt: skip
def test_libconfig_is_read(text, value):
    assert parse(text) == value


def test_a_description_as_swupdate_documents_it_is_read():
    found = parse(DESCRIPTION.format(version="2.0", a="/dev/a", b="/dev/b", digest="00", more=""))
    assert found["software"]["stable"]["copy-2"]["images"][0]["device"] == "/dev/b"


@given(st.text(alphabet='ab={}()[];:,"\\/*# \n01.xLe-+', max_size=60) | st.text(max_size=60))
def test_no_text_makes_the_reader_of_libconfig_fail_otherwise(text):
    with contextlib.suppress(ValueError):
        assert isinstance(parse(text), dict)


@given(data=st.binary(max_size=300), at=st.integers(0, 400), byte=st.integers(0, 255))
@settings(max_examples=150)
def test_no_bytes_make_the_reader_of_archives_fail_otherwise(tmp_path_factory, data, at, byte):
    whole = bytearray(member("sw-description", TEXT) + member("x", b"xyz") + END)
    whole[at % len(whole)] = byte
    path = tmp_path_factory.getbasetemp() / "any.swu"
    for each in (data, bytes(whole)):
        path.write_bytes(each)
        try:
            with path.open("rb") as file:
                members(file, "x")
        except HostileData as error:
            assert error.code == "artefact.malformed"  # noqa: PT017  (it may also be read)


@pytest.mark.parametrize("padding", ["pkcs1", "pss"])
def test_a_bare_rsa_key_checks_archives_too(lab, padding):
    folder = lab / f"rsa-{padding}"
    folder.mkdir()
    sh("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "k.pem", cwd=folder)
    sh("openssl", "pkey", "-in", "k.pem", "-pubout", "-out", "pub.pem", cwd=folder)
    (folder / "sw-description").write_bytes(TEXT)
    more = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:-2") if padding == "pss" else ()
    sh(
        "openssl",
        "dgst",
        "-sha256",
        "-sign",
        "k.pem",
        *more,
        "-out",
        "sw-description.sig",
        "sw-description",
        cwd=folder,
    )
    path = folder / "made.swu"
    path.write_bytes(packed(folder, "sw-description", "sw-description.sig"))
    ours = ToolInspector(Keys(swupdate=str(folder / "pub.pem")))
    assert ours.inspect(path, SWU, name="x").verified
    path.write_bytes(path.read_bytes().replace(b'version = "1"', b'version = "2"'))
    assert code(ours, path, SWU) == "artefact.signature"


def test_a_bundle_whose_name_would_be_an_option_or_a_message_is_only_shown(lab):
    path = lab / "none"
    path.write_bytes(struct.pack("<Q", 1))
    with pytest.raises(HostileData) as error:
        ToolInspector().inspect(path, RAUC, name="--help\x1b[2J")
    assert "\x1b" not in error.value.sentence
