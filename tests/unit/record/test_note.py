from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.formats import note
from holdfast_core.kernel.errors import Bug, HostileData, LimitExceeded
from holdfast_core.record import checkpoint
from holdfast_core.record.merkle import root_of
from record_builders import KEY, LogKey, leaves, sealed

TEXT = sealed(leaves(3))
WITNESS = LogKey("a witness", "witness.example")


def test_a_checkpoint_is_read_back_as_issued() -> None:
    read = checkpoint.read(TEXT, [KEY.verifier])
    assert (read.size, read.root) == (3, root_of(leaves(3)))
    assert checkpoint.unsigned_read(TEXT) == read


def test_a_second_signature_of_an_unknown_key_is_passed_over() -> None:
    first = note.parse_note(TEXT)
    second = note.sign_note(first.text, WITNESS.verifier, WITNESS.sign)
    both = note.serialise(note.Note(first.text, first.signatures + second.signatures))
    assert note.open_note(both, [KEY.verifier]).verified == (KEY.verifier,)
    assert note.open_note(both, [WITNESS.verifier, KEY.verifier]).verified == (KEY.verifier, WITNESS.verifier)


def test_a_note_of_nobody_known_is_refused() -> None:
    for known in ([], [WITNESS.verifier], [LogKey("another", KEY.verifier.name).verifier]):
        with pytest.raises(HostileData) as caught:
            note.open_note(TEXT, known)
        assert caught.value.code == "note.unverified"


@given(st.integers(0, len(TEXT) - 1), st.characters())
def test_a_note_with_one_character_changed_is_refused(at: int, other: str) -> None:
    changed = TEXT[:at] + other + TEXT[at + 1 :]
    if changed == TEXT:
        assert note.open_note(changed, [KEY.verifier]).verified
        return
    with pytest.raises(HostileData):
        note.open_note(changed, [KEY.verifier])


@given(st.text(max_size=300) | st.text(alphabet="\u2014 ab=+/\n", max_size=60))
def test_whatever_the_text_is_the_answer_is_a_note_or_hostile_data(text: str) -> None:
    try:
        parsed = note.parse_note(text)
    except HostileData:
        return
    assert note.serialise(parsed) == text


@given(
    st.text(max_size=120) | st.integers(0, len(KEY.text) - 1).map(lambda at: KEY.text[:at] + "x" + KEY.text[at + 1 :])
)
def test_a_verifier_key_is_itself_or_refused(text: str) -> None:
    try:
        key = note.parse_verifier_key(text)
    except HostileData:
        return
    assert str(key) == text == KEY.text


def test_a_verifier_key_is_read_back() -> None:
    assert note.parse_verifier_key(KEY.text) == KEY.verifier


def test_an_oversized_note_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(LimitExceeded):
        note.parse_note("x" * 20_000 + TEXT)
    crowd = TEXT + TEXT.split("\n\n")[1] * 64
    with pytest.raises(LimitExceeded):
        note.parse_note(crowd)


@pytest.mark.parametrize("text", ["", "no newline", "a\tb\n"])
def test_a_text_that_no_note_can_hold_is_not_signed(text: str) -> None:
    with pytest.raises((Bug, HostileData)):
        note.sign_note(text, KEY.verifier, KEY.sign)


@pytest.mark.parametrize(
    "body",
    ["origin\n1\n", "origin\n01\n{root}\n", "origin\n-1\n{root}\n", "origin\n1\nAAAA\n", "origin\n1\n{root}\n\n"],
    ids=["no-root", "leading-zero", "negative", "short-root", "empty-extension"],
)
def test_a_signed_note_that_is_no_checkpoint_is_refused(body: str) -> None:
    text = body.format(root="47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
    signed = note.serialise(note.sign_note(text, KEY.verifier, KEY.sign))
    with pytest.raises(HostileData) as caught:
        checkpoint.read(signed, [KEY.verifier])
    assert caught.value.code == "checkpoint.malformed"


def test_record_rules_are_imported_without_cryptography() -> None:
    """An agent reads checkpoints within 32 MB; the library alone costs 12."""
    program = (
        "import sys; import holdfast_core.record.checkpoint, holdfast_core.record.verify, holdfast_core.record.model; "
        "sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
