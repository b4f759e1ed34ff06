"""Ways to hide from the measurement list what was run: entries changed, left out, moved, forged, split."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from holdfast_core.formats.ima.entries import SLICE_BYTES
from holdfast_core.formats.ima.replay import walk
from holdfast_core.formats.ima.signature import verify_ima_signature
from holdfast_core.kernel.errors import HostileData
from ima_builders import Made, binary, extended, many, text

EVIL = Made(name=b"/tmp/evil", digest=hashlib.sha256(b"evil").digest())
RUN = [Made(name=b"boot_aggregate"), *many(3), EVIL, *many(2)]
QUOTED = extended(RUN)
BOTH = pytest.mark.parametrize("form", [text, binary])


def proven(data: bytes, quoted: bytes = QUOTED) -> int | None:
    return walk(data, bytes(32), bank="sha256").proven(quoted)


def code_of(data: bytes) -> str:
    with pytest.raises(HostileData) as refused:
        proven(data)
    return refused.value.code


@BOTH
def test_control_the_list_as_it_is_is_proven(form):
    assert proven(form(*RUN)) == len(RUN)


@BOTH
def test_an_entry_left_out(form):
    assert proven(form(*(each for each in RUN if each is not EVIL))) is None


@BOTH
def test_two_entries_exchanged(form):
    assert proven(form(*RUN[:3], RUN[4], RUN[3], *RUN[5:])) is None


@BOTH
def test_a_digest_replaced_and_the_template_digest_made_to_fit(form):
    good = msgspec.structs.replace(EVIL, digest=Made().digest, name=b"/usr/bin/true")
    assert proven(form(*(good if each is EVIL else each for each in RUN))) is None


@BOTH
def test_a_digest_replaced_under_the_old_template_digest(form):
    honest = form(EVIL)
    wrong = honest.replace(EVIL.digest, Made().digest).replace(EVIL.digest.hex().encode(), Made().digest.hex().encode())
    assert wrong != honest
    assert code_of(form(*RUN[:4]) + wrong) == "ima.template_digest"


@BOTH
def test_an_entry_passed_off_as_a_violation(form):
    """What a violation says is not hashed, so it could say anything; the register is then extended otherwise."""
    hidden = msgspec.structs.replace(EVIL, violation=True, name=b"/usr/bin/true", digest=bytes(32))
    assert proven(form(*(hidden if each is EVIL else each for each in RUN))) is None


@BOTH
def test_a_true_violation_vouches_for_nothing(form):
    liar = Made(name=b"/usr/bin/true", violation=True, template="ima-sig", extra=(b"\x03\x02\x04",))
    walked = walk(form(liar), bytes(32), bank="sha256")
    assert walked.proven(extended([liar])) == 1
    with pytest.raises(HostileData) as refused:
        verify_ima_signature(walked.entries[0], {})
    assert refused.value.code == "ima.signature_wrong"


@BOTH
def test_an_entry_moved_to_a_register_that_nobody_compares(form):
    aside = msgspec.structs.replace(EVIL, register=11)
    rest = [each for each in RUN if each is not EVIL]
    assert proven(form(*rest), extended(rest)) == len(rest)
    assert code_of(form(*rest, aside)) == "ima.register"


@BOTH
def test_entries_added_behind_the_quote_are_not_proven(form):
    """The list may have grown since the quote; what was added counts for nothing until a later quote covers it."""
    assert proven(form(*RUN, *many(5))) == len(RUN)


def test_a_name_that_looks_like_a_line_of_its_own():
    """Whoever names a file so must not make one measurement look like two, the second of a good file."""
    good = Made(name=b"/usr/bin/true")
    forged = Made(name=b"/tmp/x\n" + good.line()[:-1], digest=EVIL.digest)
    assert code_of(text(*RUN[:2], forged)) == "ima.template_digest"
    walked = walk(binary(*RUN[:2], forged), bytes(32), bank="sha256")
    assert walked.proven(extended([*RUN[:2], forged])) == 3
    assert walked.entries[2].name == forged.name


def test_a_name_that_ends_like_a_signature():
    """In text, name and signature are parted by the last blank; the template digest says which reading is right."""
    forged = Made(template="ima-sig", name=b"/tmp/x", extra=(bytes.fromhex("030204aabbccdd"),))
    honest = Made(template="ima-sig", name=b"/tmp/x 030204aabbccdd", extra=(b"",))
    assert walk(text(forged), bytes(32), bank="sha256").entries[0].signature
    assert not walk(text(honest), bytes(32), bank="sha256").entries[0].signature
    assert code_of(text(honest).rstrip() + b"\n") == "ima.template_digest"


@BOTH
def test_the_weaker_bank_of_old_kernels_is_not_taken_unasked(form):
    """Under `padded`, two lists with one SHA-1 would reach one value, so only a policy may allow it."""
    data = form(*RUN)
    old = walk(data, bytes(32), bank="sha256", padded=True).values[-1]
    assert proven(data, old) is None


def test_a_list_without_end():
    with pytest.raises(HostileData) as refused:
        proven(binary(*many(10)) * 4096)
    assert refused.value.code == "ima.too_large"
    assert len(binary(*many(10)) * 4096) > SLICE_BYTES
