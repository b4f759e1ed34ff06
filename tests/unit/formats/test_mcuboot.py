"""MCUboot images: signed by imgtool, verified and refused as imgtool does."""

from __future__ import annotations

import hashlib
import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boot_builders import imgtool_verifies, mcu_image, mcu_key
from holdfast_core.formats.mcuboot import LARGEST, MOST_DEPENDENCIES, MOST_RECORDS, Dependency, Version, parse_mcuboot
from holdfast_core.formats.mcuboot_verify import key_hash_of, verify_mcuboot
from holdfast_core.kernel.errors import HostileData

KINDS = ("ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "ed25519")
FULL = ("--security-counter", "7", "--boot-record", "APP", "-d", "(1, 2.0.1+5)")
KEYS = [mcu_key("ecdsa-p256").public_key()]
HEADER = struct.Struct("<IIHHIIBBHII")


def refusal(data: bytes, keys=KEYS) -> str:
    with pytest.raises(HostileData) as caught:
        verify_mcuboot(data, keys)
    assert caught.value.remedy
    return caught.value.code


def record(kind: int, value: bytes) -> bytes:
    return struct.pack("<HH", kind, len(value)) + value


def area(magic: int, *records: bytes) -> bytes:
    return struct.pack("<HH", magic, 4 + len(b"".join(records))) + b"".join(records)


def image(*records: bytes, protected: tuple[bytes, ...] = (), flags: int = 0, hashed: bool = True) -> bytes:
    """An image with the records as given, and its right hash."""
    signed_area = area(0x6908, *protected) if protected else b""
    body = HEADER.pack(0x96F3B83D, 0, 32, len(signed_area), 8, flags, 1, 2, 3, 0, 0) + b"firmware" + signed_area
    digest = [record(0x10, hashlib.sha256(body).digest())] if hashed else []
    return body + area(0x6907, *digest, *records)


@pytest.mark.parametrize("kind", KINDS)
def test_what_imgtool_signed_verifies(kind):
    data = mcu_image(*FULL, kind=kind)
    key = mcu_key(kind).public_key()
    verified = verify_mcuboot(data, [key])
    assert imgtool_verifies(data, kind)
    assert verified.version == Version(1, 2, 3)
    assert verified.security_counter == 7
    assert verified.key_hash == key_hash_of(key)
    assert verified.boot_record.type == "APP"
    assert verified.boot_record.version == "1.2.3"
    assert verified.boot_record.signer == key_hash_of(key, verified.algorithm)
    assert parse_mcuboot(data).dependencies == (Dependency(1, Version(2, 0, 1, 5)),)
    assert hashlib.new(verified.algorithm, data[: parse_mcuboot(data).signed]).digest() == verified.digest


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("--pad",), "ecdsa-p256"),
        (("--pad", "--confirm"), "rsa-2048"),
        (("--public-key-format", "full"), "ecdsa-p256"),
        (("--public-key-format", "full"), "rsa-2048"),
        (("--pad-sig",), "ecdsa-p256"),
        (("--sha", "512"), "ed25519"),
        (("--pure",), "ed25519"),
    ],
)
def test_other_ways_of_imgtool_verify(arguments, kind):
    data = mcu_image(*arguments, kind=kind)
    verified = verify_mcuboot(data, [mcu_key(other).public_key() for other in KINDS])
    assert verified.key_hash == key_hash_of(mcu_key(kind).public_key())
    assert verified.security_counter is None
    assert verified.boot_record is None


def test_padding_of_the_slot_is_no_part_of_the_image():
    bare, slot = mcu_image(*FULL, "--pad"), mcu_image(*FULL, "--pad", "--confirm")
    assert len(slot) == 0x8000
    assert parse_mcuboot(slot).size < len(slot)
    assert verify_mcuboot(bare, KEYS).digest == verify_mcuboot(slot, KEYS).digest
    assert verify_mcuboot(slot[: parse_mcuboot(slot).size], KEYS)


@pytest.mark.parametrize("kind", KINDS)
def test_changed_image_is_refused_as_imgtool_refuses_it(kind):
    data = bytearray(mcu_image(*FULL, kind=kind))
    data[0x180] ^= 1
    assert refusal(bytes(data), [mcu_key(kind).public_key()]) == "mcuboot.hash"
    assert not imgtool_verifies(bytes(data), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_other_key_is_refused(kind):
    data = mcu_image(*FULL, kind=kind)
    assert refusal(data, [mcu_key(kind, "other").public_key()]) == "mcuboot.wrong_key"
    assert refusal(data, []) == "mcuboot.wrong_key"


def test_unsigned_is_refused():
    assert refusal(mcu_image(kind="")) == "mcuboot.unsigned"


@pytest.mark.parametrize("kind", KINDS)
def test_signature_over_another_image_is_refused(kind):
    """The hash is right and the key is named; only the signature is another's."""
    parsed = parse_mcuboot(mcu_image(*FULL, kind=kind))
    moved = image(*(record(number, value) for number, value in parsed.records if number not in (0x10, 0x11)))
    key = mcu_key(kind).public_key()
    assert refusal(moved, [key]) == "mcuboot.signature"


def test_signature_record_of_another_kind_than_the_key_is_refused():
    """The record says RSA and names a key of an elliptic curve, and the other way round."""
    for key, kind in (("ecdsa-p256", 0x20), ("rsa-2048", 0x22), ("rsa-2048", 0x23), ("ed25519", 0x22)):
        public = mcu_key(key).public_key()
        assert refusal(image(record(0x01, key_hash_of(public)), record(kind, bytes(64))), [public]) == (
            "mcuboot.signature"
        )


def test_image_that_says_it_is_signed_without_a_hash_is_refused_unless_its_key_signs_so():
    public = mcu_key("ecdsa-p256").public_key()
    records = record(0x25, b""), record(0x01, key_hash_of(public)), record(0x22, bytes(64))
    assert refusal(image(*records), [public]) == "mcuboot.signature"


@pytest.mark.parametrize("signature", [b"", b"0", b"\x30\x06\x02\x01\x01\x02\x01\x01x", b"\x30\x81\x06" + bytes(6)])
def test_signature_that_is_no_number_is_refused(signature):
    public = mcu_key("ecdsa-p256").public_key()
    assert refusal(image(record(0x01, key_hash_of(public)), record(0x22, signature)), [public]) == "mcuboot.signature"


def test_changed_security_counter_is_refused():
    data = mcu_image(*FULL)
    at = data.index(struct.pack("<HHI", 0x50, 4, 7)) + 4
    assert refusal(data[:at] + b"\x08" + data[at + 1 :]) == "mcuboot.hash"


@pytest.mark.parametrize("kind", [0x40, 0x50, 0x60])
def test_what_counts_only_when_signed_is_refused_elsewhere(kind):
    assert refusal(image(record(kind, bytes(12)))) == "mcuboot.malformed"


@pytest.mark.parametrize(
    "data",
    [
        image(record(0x10, bytes(32))),
        image(protected=(record(0x50, bytes(4)), record(0x50, bytes(4)))),
        image(protected=(record(0x50, bytes(5)),)),
        image(protected=(record(0x40, bytes(11)),)),
        image(protected=(record(0x40, bytes(12)),) * (MOST_DEPENDENCIES + 1)),
        image(*(record(0xA0, b""),) * (MOST_RECORDS + 1)),
        image(hashed=False),
        image(record(0x11, bytes(48))),
        HEADER.pack(0x96F3B83D, 0, 31, 0, 8, 0, 1, 2, 3, 0, 0) + bytes(100),
        HEADER.pack(0x96F3B83D, 0, 32, 8, 8, 0, 1, 2, 3, 0, 0) + bytes(8) + area(0x6908) + area(0x6907),
        HEADER.pack(0x96F3B83D, 0, 32, 0, 2**32 - 1, 0, 1, 2, 3, 0, 0) + bytes(100),
        HEADER.pack(0x96F3B83D, 0, 32, 0, 8, 0, 1, 2, 3, 0, 0) + bytes(8) + struct.pack("<HH", 0x6907, 3),
        HEADER.pack(0x96F3B83D, 0, 32, 0, 8, 0, 1, 2, 3, 0, 0) + bytes(8) + struct.pack("<HHH", 0x6907, 6, 1),
        HEADER.pack(0x96F3B83D, 0, 32, 0, 8, 0, 1, 2, 3, 0, 0) + bytes(8) + struct.pack("<HHHH", 0x6907, 8, 1, 1),
    ],
)
def test_image_that_makes_no_sense_is_refused(data):
    assert refusal(data) == "mcuboot.malformed"


@pytest.mark.parametrize("flag", [0x4, 0x8, 0x200, 0x400])
def test_encrypted_or_compressed_image_is_refused(flag):
    assert refusal(image(flags=flag)) == "mcuboot.unsupported"


@pytest.mark.parametrize("raw", [b"\xff", b"\x01", b"\xa1\x01\x02", b"\xa1\x05\x01", b"\xa1\x01\x61\x0a", bytes(257)])
def test_signed_boot_record_that_is_none_is_refused(raw):
    """Signed nonsense is nonsense."""
    key = mcu_key("ed25519")
    body = image(protected=(record(0x60, raw),))
    body = body[: parse_mcuboot(body).signed]
    digest = hashlib.sha256(body).digest()
    records = (record(0x10, digest), record(0x01, key_hash_of(key.public_key())), record(0x24, key.sign(digest)))
    assert refusal(body + area(0x6907, *records), [key.public_key()]).split(".")[0] in ("mcuboot", "cbor")


def test_too_long_a_file_is_refused():
    assert refusal(bytes(LARGEST + 1)) == "mcuboot.too_large"


def test_versions_are_ordered():
    assert Version(1, 2, 3) < Version(1, 2, 3, 1) < Version(1, 10, 0)
    assert str(Version(1, 2, 3, 4)) == "1.2.3+4"
    assert str(Version(1, 2, 3)) == "1.2.3"


def test_cut_anywhere_it_is_refused():
    data = mcu_image(*FULL)
    for size in range(len(data)):
        assert refusal(data[:size]) == "mcuboot.malformed"


@settings(max_examples=300)
@given(st.data())
def test_changed_anywhere_nothing_but_a_refusal_comes(data):
    whole = mcu_image(*FULL, size=64)
    at = data.draw(st.integers(0, len(whole) - 1))
    change = data.draw(st.binary(min_size=1, max_size=12))
    with suppress(HostileData):
        verify_mcuboot(whole[:at] + change + whole[at + len(change) :], KEYS)


@given(st.binary(max_size=100))
def test_any_bytes_are_refused(data):
    assert refusal(data) == "mcuboot.malformed"
    assert refusal(b"\x3d\xb8\xf3\x96" + data)
