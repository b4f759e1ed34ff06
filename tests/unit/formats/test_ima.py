"""Measurement lists: both forms of every template, and nothing but refusals for anything else."""

from __future__ import annotations

import hashlib
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.formats.ima.entries import (
    LARGEST_BUFFER,
    LARGEST_NAME,
    LARGEST_SIGNATURE,
    SLICE_BYTES,
    SLICE_ENTRIES,
)
from holdfast_core.formats.ima.slices import parse_ima
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from ima_builders import Made, binary, many, text


def sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


SIGNATURE = bytes.fromhex("030204aabbccdd0003010203")
APPENDED = b"sha256:\0" + bytes(range(32))
ALL = {
    "ima": Made(template="ima", algorithm="sha1", digest=sha1(b"true")),
    "ima-ng": Made(),
    "ima-ng sha384": Made(algorithm="sha384", digest=bytes(range(48))),
    "ima-ngv2": Made(template="ima-ngv2", kind="ima"),
    "ima-ngv2 verity": Made(template="ima-ngv2", kind="verity"),
    "ima-sig": Made(template="ima-sig", extra=(SIGNATURE,)),
    "ima-sig without": Made(template="ima-sig", extra=(b"",)),
    "ima-sigv2": Made(template="ima-sigv2", kind="verity", extra=(SIGNATURE,)),
    "ima-buf": Made(template="ima-buf", name=b"kexec-cmdline", extra=(b"root=/dev/dm-0 ro",)),
    "ima-modsig": Made(template="ima-modsig", extra=(b"", APPENDED, b"\x30\x82pkcs7")),
    "ima-modsig without": Made(template="ima-modsig", extra=(SIGNATURE, b"", b"")),
}


def code_of(data: bytes, **options) -> str:
    with pytest.raises(HostileData) as refused:
        parse_ima(data, **options)
    return refused.value.code


def read_or_refused(data: bytes) -> bool:
    """Whether `data` is a slice or is refused; anything else is raised."""
    try:
        parse_ima(data)
    except HostileData as refused:
        return refused.code.startswith("ima.")
    return True


@pytest.mark.parametrize("name", ALL)
def test_both_forms_of_a_template_read_as_the_same_entry(name):
    made = ALL[name]
    (entry,) = parse_ima(text(made))
    assert parse_ima(binary(made)) == (entry,)
    assert (entry.template, entry.name, entry.digest, entry.data) == (made.template, made.name, made.digest, made.data)
    assert (entry.algorithm, entry.kind) == (made.algorithm, made.kind or "ima")
    assert (entry.register, entry.column, entry.violation) == (10, made.column(), False)


def test_what_a_template_adds_is_found_under_its_name():
    (entry,) = parse_ima(binary(ALL["ima-modsig"]))
    assert (entry.signature, entry.appended_digest, entry.appended) == (b"", APPENDED, b"\x30\x82pkcs7")
    assert parse_ima(text(ALL["ima-buf"]))[0].buffer == b"root=/dev/dm-0 ro"
    assert parse_ima(text(ALL["ima-sig"]))[0].signature == SIGNATURE


def test_a_list_of_one_bank_has_the_digests_of_that_bank():
    for bank in ("sha256", "sha384", "sha512"):
        assert parse_ima(text(*ALL.values(), bank=bank)) == parse_ima(binary(*ALL.values(), bank=bank), column=bank)


@pytest.mark.parametrize(
    "name", [b"/opt/a file", b"/x (deleted)", b"/\xff\xfe\x80", b"/tab\there", b"/a:b", b" /", b"/ "]
)
def test_names_survive_byte_by_byte(name):
    made = Made(name=name)
    for form in (text, binary):
        (entry,) = parse_ima(form(made))
        assert entry.name == name
    with_signature = Made(name=name, template="ima-sig", extra=(SIGNATURE,))
    assert parse_ima(text(with_signature))[0].name == name


def test_a_name_is_shown_whatever_its_bytes():
    assert parse_ima(binary(Made(name=b"/\xff\xc3\xa4")))[0].text == "/\\xff\xe4"


def test_a_name_with_a_line_break_is_read_in_the_binary_form_only():
    made = Made(name=b"/tmp/a\nb")
    assert parse_ima(binary(made))[0].name == b"/tmp/a\nb"
    assert code_of(text(made)) == "ima.template_digest"


def test_a_blank_cut_from_the_end_of_a_line_is_no_signature():
    made = ALL["ima-sig without"]
    assert made.line().endswith(b" \n")
    assert parse_ima(made.line()[:-2] + b"\n") == parse_ima(made.line())


def test_a_register_below_ten_is_written_with_a_blank():
    assert [entry.register for entry in parse_ima(text(Made(register=9), Made(register=11)))] == [9, 11]


def test_violations_have_no_digests():
    for made in (
        Made(violation=True, digest=bytes(32)),
        Made(violation=True, digest=bytes(20)),  # kernels that left room for SHA-1 only
        Made(violation=True, digest=bytes(20), template="ima", algorithm="sha1"),
    ):
        for form in (text, binary):
            (entry,) = parse_ima(form(made))
            assert entry.violation
            assert not any(entry.digest)


def test_nothing_is_an_empty_slice():
    assert parse_ima(b"") == ()


def test_a_slice_may_begin_at_any_entry():
    made = many(5)
    for form in (text, binary):
        assert parse_ima(form(*made))[2:] == parse_ima(form(*made[2:]))


@pytest.mark.parametrize("form", [text, binary])
@pytest.mark.parametrize("name", ALL)
def test_a_cut_slice_is_refused_wherever_it_is_cut(form, name):
    data = form(Made(), ALL[name])
    whole = len(form(Made()))
    for end in range(1, len(data)):
        if end != whole:
            assert code_of(data[:end]) == "ima.incomplete"


REFUSED_LINES = {
    b"10\n": "ima.malformed",
    b"10 \n": "ima.malformed",
    b"24 " + text(Made())[3:]: "ima.malformed",
    b"010 " + text(Made())[3:]: "ima.malformed",
    b"1\n0 " + text(Made())[3:]: "ima.malformed",
    text(Made()).replace(b"ima-ng", b"ima-xy"): "ima.template",
    text(Made()).replace(b"ima-ng", b"evm-sig"): "ima.template",
    text(Made()).replace(b"sha256:", b"sha257:"): "ima.template_digest",
    text(Made(algorithm="sha257")): "ima.file_hash",
    text(Made(algorithm="verity:sha256")): "ima.file_hash",
    text(Made(template="ima-ngv2")): "ima.file_hash",
    text(Made(digest=bytes(31))): "ima.malformed",
    text(Made(violation=True, digest=bytes(19))): "ima.malformed",
    b"10 xx" + text(Made())[5:]: "ima.malformed",
    b"10 " + text(Made())[5:]: "ima.malformed",
    b"10 00" + text(Made())[3:]: "ima.malformed",
    text(Made(name=b"/a\0b")): "ima.malformed",
    text(Made(name=b"/" + b"a" * LARGEST_NAME)): "ima.malformed",
    text(Made(template="ima-sig", extra=(bytes(LARGEST_SIGNATURE + 1),))): "ima.malformed",
    text(Made(template="ima-buf", extra=(bytes(LARGEST_BUFFER + 1),))): "ima.malformed",
    text(Made(template="ima", algorithm="sha1", digest=bytes(32))): "ima.malformed",
}


@pytest.mark.parametrize(("line", "code"), REFUSED_LINES.items(), ids=range(len(REFUSED_LINES)))
def test_a_line_that_no_kernel_writes_is_refused(line, code):
    assert code_of(line) == code


def packed(made: Made, data: bytes) -> bytes:
    """The binary form with other template data, and the digest of that."""
    name = made.template.encode()
    column = sha1(data)
    return struct.pack("<I", 10) + column + struct.pack("<I", len(name)) + name + struct.pack("<I", len(data)) + data


FIELD = struct.pack("<I", 40) + b"sha256:\0" + bytes(32)
REFUSED_DATA = {
    "empty": (b"", "ima.malformed"),
    "one field": (FIELD, "ima.malformed"),
    "a field that is longer than all": (FIELD + struct.pack("<I", 9) + b"/a\0", "ima.malformed"),
    "a field of four gigabytes": (FIELD + b"\xff\xff\xff\xff/a\0", "ima.malformed"),
    "three fields": (FIELD + struct.pack("<I", 3) + b"/a\0" + bytes(4), "ima.malformed"),
    "a name without an end": (FIELD + struct.pack("<I", 2) + b"/a", "ima.malformed"),
    "no name": (FIELD + bytes(4), "ima.malformed"),
    "a digest without a name": (struct.pack("<I", 32) + bytes(32) + struct.pack("<I", 1) + b"\0", "ima.file_hash"),
    "a digest of nothing": (bytes(4) + struct.pack("<I", 1) + b"\0", "ima.file_hash"),
}


@pytest.mark.parametrize("name", REFUSED_DATA)
def test_template_data_that_no_kernel_writes_is_refused(name):
    data, code = REFUSED_DATA[name]
    assert code_of(packed(Made(), data)) == code


def test_lengths_of_the_binary_form_are_bounded_before_they_are_followed():
    head = struct.pack("<I", 10) + bytes(20)
    assert code_of(head + struct.pack("<I", 17) + b"a" * 17) == "ima.malformed"
    assert code_of(head + b"\xff\xff\xff\xff") == "ima.malformed"
    assert code_of(head + struct.pack("<I", 6) + b"ima-ng" + b"\xff\xff\xff\xff") == "ima.malformed"
    assert code_of(struct.pack("<I", 24) + binary(Made())[4:]) == "ima.malformed"
    legacy = binary(ALL["ima"])
    name = legacy.index(b"/usr")
    assert code_of(legacy[: name - 4] + struct.pack("<I", 256) + b"a" * 256) == "ima.malformed"


def test_a_slice_has_an_end():
    with pytest.raises(LimitExceeded) as refused:
        parse_ima(bytes(SLICE_BYTES + 1))
    assert refused.value.code == "ima.too_large"
    with pytest.raises(LimitExceeded):
        parse_ima(b"1" + b"\n" * (SLICE_ENTRIES + 1))
    short = binary(Made(name=b"", digest=bytes(20), template="ima"))
    assert len(parse_ima(short * SLICE_ENTRIES)) == SLICE_ENTRIES
    with pytest.raises(LimitExceeded):
        parse_ima(short * (SLICE_ENTRIES + 1))


def test_a_bank_that_there_is_not_is_refused():
    assert code_of(binary(Made()), column="md5") == "ima.bank"
    assert code_of(binary(Made(), bank="sha256")) != ""


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_read_or_refused(data):
    for start in (b"", b"10 ", b"\x0a\0\0\0"):
        assert read_or_refused(start + data)


@given(st.sampled_from(sorted(ALL)), st.sampled_from([text, binary]), st.integers(0, 10_000), st.binary(max_size=6))
def test_changed_bytes_are_read_or_refused(name, form, place, other):
    data = form(ALL[name])
    at = place % len(data)
    for end in (at, at + len(other)):
        assert read_or_refused(data[:at] + other + data[end:])


@given(
    st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name and b"\n" not in name),
    st.sampled_from(["ima-ng", "ima-buf"]),
    st.binary(max_size=60),
)
def test_what_is_written_is_read(name, template, buffer):
    made = Made(name=name, template=template, extra=(buffer,) if template == "ima-buf" else ())
    (entry,) = parse_ima(text(made))
    assert (entry.name, entry.buffer) == (name, buffer if made.extra else b"")
    assert parse_ima(binary(made)) == (entry,)
    assert entry == msgspec.structs.replace(entry)
