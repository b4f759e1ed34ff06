"""PE images: the digest that firmware measures, as `pesign` and `sbsign` compute it, and what is no image."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.formats import pe
from holdfast_core.formats.pe import CERTIFICATES, SECTIONS, authenticode_digest, parse_pe, pe_signatures
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from pe_builders import BOOT_LOADER, FIRST, STUB, Pe, assembled, ran, real, signature
from tpm_builders import need

SECTIONS_MADE = ((".text", b"code" * 200), (".data", b"data"), (".osrel", b"ID=x\n"))


def code_of(data: bytes, read=parse_pe) -> str:
    with pytest.raises(HostileData) as refused:
        read(data)
    return refused.value.code


@pytest.mark.parametrize("plus", [True, False])
def test_sections_are_found(plus):
    image = parse_pe(Pe(*SECTIONS_MADE, plus=plus).bytes())
    assert [each.name for each in image.sections] == [".text", ".data", ".osrel"]
    assert [(each.offset, each.size, each.virtual_size) for each in image.sections] == [
        (0x400, 0x400, 800),
        (0x800, 0x200, 4),
        (0xA00, 0x200, 5),
    ]
    assert (image.machine, image.headers, image.certificates, image.size) == (0x8664, FIRST, 0xC00, 0xC00)


@pytest.mark.parametrize("plus", [True, False])
@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
def test_the_digest_leaves_out_checksum_and_signatures(plus, algorithm):
    options = {"plus": plus, "trailing": b"symbols!"}
    plain = Pe(*SECTIONS_MADE, **options).bytes()
    optional = 0x80 + 24
    security = optional + (112 if plus else 96) + 32
    left = plain[: optional + 64] + plain[optional + 68 : security] + plain[security + 8 :]
    digest = authenticode_digest(plain, algorithm)
    assert digest == hashlib.new(algorithm, left).digest()
    assert authenticode_digest(Pe(*SECTIONS_MADE, **options).bytes(checksum=0xDEADBEEF), algorithm) == digest
    signed = Pe(*SECTIONS_MADE, **options, signatures=signature(b"one") + signature(b"another")).bytes()
    assert authenticode_digest(signed, algorithm) == digest
    assert authenticode_digest(memoryview(signed), algorithm, image=parse_pe(signed)) == digest


def test_an_image_without_an_entry_for_signatures_has_a_digest_too():
    data = Pe(*SECTIONS_MADE, directories=4).bytes()
    at = 0x80 + 24 + 64
    assert authenticode_digest(data) == hashlib.sha256(data[:at] + data[at + 4 :]).digest()
    assert pe_signatures(data) == ()


def test_the_table_may_be_in_another_order_than_the_file():
    made = Pe(*SECTIONS_MADE)
    before = authenticode_digest(made.bytes())
    made.rows.reverse()
    assert authenticode_digest(made.bytes()) != before  # the table is hashed as well
    assert [each.name for each in parse_pe(made.bytes()).sections] == [".osrel", ".data", ".text"]


def test_a_section_of_memory_only_is_not_in_the_file():
    made = Pe(*SECTIONS_MADE, (".bss", b""))
    made.rows[-1] = [".bss", 0x5000, 0x9000, 0, 0xFFFF0000]
    assert parse_pe(made.bytes()).sections[-1].virtual_size == 0x5000


def test_signatures_are_found():
    made = Pe(*SECTIONS_MADE, signatures=signature(b"one") + signature(b"two", 0xEF1)).bytes()
    assert pe_signatures(made) == ((2, b"one"), (0xEF1, b"two"))
    assert pe_signatures(Pe(*SECTIONS_MADE).bytes()) == ()


@pytest.mark.parametrize(
    ("signatures", "code"),
    [
        (bytes(8), "pe.certificates"),
        (struct.pack("<IHH", 8, 0x200, 2), "pe.certificates"),
        (struct.pack("<IHH", 999, 0x200, 2) + bytes(8), "pe.certificates"),
        (struct.pack("<IHH", 0xFFFFFFFF, 0x200, 2) + bytes(8), "pe.certificates"),
        (signature(b"one") + b"\1" * 4, "pe.certificates"),
        (signature(b"x") * (CERTIFICATES + 1), "pe.certificates"),
        (bytes(pe.LARGEST_CERTIFICATES + 8), "pe.certificates"),
    ],
    ids=range(7),
)
def test_signatures_that_are_none_are_refused(signatures, code):
    assert code_of(Pe(*SECTIONS_MADE, signatures=signatures).bytes(), pe_signatures) == code


REFUSED = {
    "another kind of file": {"magic": 0x107},
    "too many directories": {"directories": 17},
    "an optional header too short for its directories": {"optional": 112},
    "an optional header too short for anything": {"optional": 8},
    "an optional header of nothing": {"optional": 0},
    "headers without the table of sections": {"headers": 0x180},
    "headers longer than the file": {"headers": 0x10000},
    "more sections than there are": {"count": SECTIONS},
    "too many sections": {"count": SECTIONS + 1},
    "a header behind the end": {"start": 0xFFFFFFF0},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_image_is_refused(name):
    made = Pe(*SECTIONS_MADE, directories=REFUSED[name].get("directories", 16))
    whole = made.bytes()
    if name == "a header behind the end":
        data = whole[:0x3C] + struct.pack("<I", REFUSED[name]["start"]) + whole[0x40:]
    else:
        vars(made).update(REFUSED[name])
        data = made.bytes()
    assert code_of(data) == "pe.malformed"


@pytest.mark.parametrize(
    ("row", "column", "value"),
    [
        (0, 4, 0x100),  # over the headers
        (1, 4, 0x400),  # over another section
        (2, 4, 0xC00),  # behind a gap
        (2, 3, 0x400),  # beyond the end
        (2, 3, 0xFFFFFFFF),
        (2, 4, 0xFFFFFFFF),
        (1, 3, 0x100),  # leaving a gap
    ],
)
def test_sections_that_do_not_follow_one_another_are_refused(row, column, value):
    made = Pe(*SECTIONS_MADE)
    made.rows[row][column] = value
    assert code_of(made.bytes()) == "pe.malformed"


@pytest.mark.parametrize("entry", [(0xB00, 0x100), (0x1000, 8), (0xFFFFFFF8, 8), (0xC00, 8), (0xBFF, 1), (8, 0xBF8)])
def test_signatures_elsewhere_than_at_the_end_are_refused(entry):
    made = Pe(*SECTIONS_MADE)
    made.security = entry
    assert code_of(made.bytes()) in {"pe.certificates", "pe.malformed"}


def test_a_cut_image_is_refused_or_shorter():
    """Behind the sections anything may lie, so only there a file may be cut; and then its digest is another."""
    whole = Pe(*SECTIONS_MADE, trailing=b"abcdefgh").bytes()
    for end in range(len(whole) - 8):
        assert code_of(whole[:end]) == "pe.malformed"
    digests = {authenticode_digest(whole[:end]) for end in range(len(whole) - 8, len(whole) + 1)}
    assert len(digests) == 9


def test_an_image_has_a_largest_size(monkeypatch):
    monkeypatch.setattr(pe, "LARGEST_IMAGE", 100)
    with pytest.raises(LimitExceeded) as refused:
        parse_pe(bytes(101))
    assert refused.value.code == "pe.too_large"


def test_a_hash_that_no_bank_has_is_refused():
    assert code_of(Pe(*SECTIONS_MADE).bytes(), lambda data: authenticode_digest(data, "md5")) == "pe.algorithm"


@pytest.mark.parametrize("file", [STUB, BOOT_LOADER], ids=["stub", "boot"])
def test_pesign_comes_to_the_same_digest(file):
    need("pesign")
    data = real(file)
    assert ran("pesign", "-h", "-i", file) == f"hash: {authenticode_digest(data).hex()}\n"
    assert ran("pesign", "-h", "-d", "sha1", "-i", file) == f"hash: {authenticode_digest(data, 'sha1').hex()}\n"


@pytest.fixture
def signer(tmp_path):
    need("sbsign", "openssl")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=db"]
    ran(*command, "-keyout", tmp_path / "db.key", "-out", tmp_path / "db.crt")
    return ["sbsign", "--key", tmp_path / "db.key", "--cert", tmp_path / "db.crt"]


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_signed_file_has_the_digest_of_the_unsigned_one(tmp_path, signer, rounds):
    need("sbverify", "objcopy")
    plain = assembled(tmp_path, {"osrel": b"ID=x\n", "linux": real(BOOT_LOADER)})
    data = plain.read_bytes()
    filled = data + bytes(-len(data) % 8)  # as sbsign fills up what it signs
    plain.write_bytes(filled)
    signed = plain
    for number in range(rounds):
        ran(*signer, "--output", tmp_path / f"signed{number}.efi", signed)
        signed = tmp_path / f"signed{number}.efi"
    ran("sbverify", "--cert", tmp_path / "db.crt", signed)
    made = signed.read_bytes()
    assert len(pe_signatures(made)) == rounds
    assert authenticode_digest(made) == authenticode_digest(filled)
    assert authenticode_digest(filled) in pe_signatures(made)[0][1]  # it is what the signature states
    flipped = made[:5000] + bytes([made[5000] ^ 1]) + made[5001:]
    assert authenticode_digest(flipped) != authenticode_digest(made)


@given(st.binary(max_size=700), st.integers(0, FIRST + 0x900))
def test_arbitrary_images_are_read_or_refused(data, at):
    whole = Pe(*SECTIONS_MADE, signatures=signature(b"one")).bytes()
    for each in (data, b"MZ" + data, whole[:at] + data + whole[at + len(data) :]):
        for read in (parse_pe, authenticode_digest, pe_signatures):
            assert read_or_refused(read, each)


@given(st.integers(0, FIRST), st.integers(0, 2**32 - 1))
def test_any_number_of_the_headers_may_be_changed(at, value):
    whole = Pe(*SECTIONS_MADE, signatures=signature(b"one")).bytes()
    changed = whole[:at] + struct.pack("<I", value) + whole[at + 4 :]
    assert read_or_refused(pe_signatures, changed)
    assert read_or_refused(authenticode_digest, changed)


def read_or_refused(read, data: bytes) -> bool:
    try:
        read(data)
    except HostileData as refused:
        return refused.code.startswith("pe.")
    return True
