"""Unified kernel images: what the stub measures, as `systemd-measure` expects it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.formats.pe import authenticode_digest
from holdfast_core.formats.uki import PHASES, stub_version, uki_measurements, uki_register, uki_sections
from holdfast_core.kernel.errors import HostileData
from pe_builders import BOOT_LOADER, SDMAGIC, STUB, Pe, assembled, extended, kernel_image, ran, real

MEASURE = Path("/lib/systemd/systemd-measure")
PARTS = {
    "osrel": b"ID=holdfast\n",
    "cmdline": b"ro quiet roothash=" + b"ab" * 32,
    "dtb": b"\xd0\x0d\xfe\xed" + bytes(700),
    "splash": b"BM" + bytes(99),
    "initrd": b"070701" * 900,
    "pcrsig": b"{}",
    "pcrpkey": b"-----BEGIN PUBLIC KEY-----\n",
}
ORDER = [".linux", ".osrel", ".cmdline", ".initrd", ".splash", ".dtb", ".pcrpkey"]


def code_of(data: bytes, read=uki_measurements, **options) -> str:
    with pytest.raises(HostileData) as refused:
        read(data, **options)
    return refused.value.code


def names(data: bytes, **options) -> list[str]:
    return [each.name for each in uki_measurements(data, **options) if not each.of_name]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
def test_systemd_measure_expects_the_same_values(tmp_path, algorithm):
    if not MEASURE.is_file():
        pytest.skip(f"{MEASURE} is not there; the Debian package is systemd")
    parts = PARTS | {"linux": real(BOOT_LOADER)}
    image = assembled(tmp_path, parts).read_bytes()
    options = [f"--{name}={tmp_path / name}" for name in parts if name != "pcrsig"]
    shown = ran(MEASURE, "calculate", f"--bank={algorithm}", *options)
    expected = re.findall(rf"^11:{algorithm}=([0-9a-f]+)$", shown, re.MULTILINE)
    measured = uki_measurements(image, algorithm)
    assert stub_version(image) == 252
    assert expected == [
        uki_register(measured, algorithm, phases=PHASES[: count + 1]).hex() for count in range(len(PHASES))
    ]


def test_sections_of_a_real_image_are_found_whole(tmp_path):
    parts = PARTS | {"linux": real(BOOT_LOADER)}
    sections = uki_sections(assembled(tmp_path, parts).read_bytes())
    assert {name: bytes(sections[f".{name}"]) for name in parts} == parts
    assert authenticode_digest(sections[".linux"]) == authenticode_digest(real(BOOT_LOADER))


def test_the_order_is_the_stubs():
    image = kernel_image(252, **PARTS, linux=b"kernel")
    assert names(image) == ORDER
    assert [each.register for each in uki_measurements(image)] == [11] * 14
    digests = []
    for name in ORDER:
        content = b"kernel" if name == ".linux" else PARTS[name[1:]]
        digests += [hashlib.sha256(name.encode() + b"\0").digest(), hashlib.sha256(content).digest()]
    assert [each.digest for each in uki_measurements(image)] == digests
    assert uki_register(uki_measurements(image)) == extended(digests)


@pytest.mark.parametrize(
    ("version", "more"),
    [
        (252, []),
        (253, []),
        (254, [".uname", ".sbat"]),
        (255, [".uname", ".sbat"]),
        (256, [".ucode", ".uname", ".sbat"]),
        (260, [".ucode", ".uname", ".sbat"]),
    ],
)
def test_later_stubs_measure_more(version, more):
    image = kernel_image(version, linux=b"k", sbat=b"sbat,1", uname=b"6.1", ucode=b"u")
    assert names(image) == [".linux", *more]
    assert names(kernel_image(252, linux=b"k", sbat=b"s", uname=b"6", ucode=b"u"), version=version) == [".linux", *more]


def test_an_empty_section_is_not_measured():
    assert names(kernel_image(linux=b"k", cmdline=b"")) == [".linux"]


def test_phases_come_after_what_the_stub_measured():
    measured = uki_measurements(kernel_image(linux=b"k"))
    digests = [*(each.digest for each in measured), *(hashlib.sha256(each.encode()).digest() for each in PHASES)]
    assert uki_register(measured, phases=PHASES) == extended(digests)


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (kernel_image(linux=b"k", profile=b"ID=a"), "uki.chosen"),
        (kernel_image(linux=b"k", dtbauto=b"x"), "uki.chosen"),
        (kernel_image(cmdline=b"ro"), "uki.kernel"),
        (kernel_image(251, linux=b"k"), "uki.version"),
        (kernel_image(261, linux=b"k"), "uki.version"),
        (Pe((".linux", b"k")).bytes(), "uki.version"),
        (Pe((".sdmagic", b"#### LoaderInfo: systemd-boot 252 ####"), (".linux", b"k")).bytes(), "uki.version"),
        (Pe((".sdmagic", SDMAGIC % 252), (".linux", b"k"), (".linux", b"e")).bytes(), "uki.section"),
        (b"MZ", "pe.malformed"),
    ],
    ids=range(9),
)
def test_an_image_without_an_expected_value_is_refused(image, code):
    assert code_of(image) == code


def test_a_section_longer_in_memory_than_in_the_file_is_refused():
    made = Pe((".sdmagic", SDMAGIC % 252), (".linux", b"k"))
    made.rows[1][1] = 0xFFFFFFFF
    assert code_of(made.bytes()) == "uki.section"


def test_a_hash_that_no_bank_has_is_refused():
    assert code_of(kernel_image(linux=b"k"), algorithm="md5") == "uki.algorithm"
    assert code_of((), uki_register, algorithm="md5") == "uki.algorithm"


def test_the_real_stub_says_its_version():
    assert stub_version(real(STUB)) == 252
    assert stub_version(real(BOOT_LOADER)) is None
    assert code_of(real(STUB)) == "uki.kernel"


@given(st.binary(max_size=300), st.integers(0, 0x800))
def test_arbitrary_images_are_measured_or_refused(data, at):
    whole = kernel_image(254, linux=b"k", cmdline=b"ro", sbat=b"s")
    for each in (data, whole[:at] + data + whole[at + len(data) :]):
        try:
            uki_register(uki_measurements(each))
        except HostileData as refused:
            assert_ours(refused)


def assert_ours(refused: HostileData) -> None:
    assert refused.code.startswith(("pe.", "uki."))
