"""What a builder names and what a result claims, read where nothing is believed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import typer
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from holdfast.cli.attest_state_text import ranges
from holdfast.cli.reference_signing import read_signing_key, signed_envelope
from holdfast.cli.reference_sources import file_values, parse_artefact
from holdfast.cli.result_claims import read_claims
from holdfast_core.attestation.reference import FILES, STATEMENT_TYPE
from holdfast_core.formats.dsse import open_envelope
from holdfast_core.kernel.errors import HoldfastError, HostileData, WorldError
from holdfast_core.kernel.instants import Instant

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=8), each, max_size=3),
    max_leaves=8,
)
CLAIMS = {"iat": 10, "exp": 20, "iss": "log", "sub": "a/b/gate-1", "submods": {"gate-1": {"ear.status": 2}}}


@given(st.text(max_size=40))
def test_a_named_artefact_is_one_or_ends_in_usage(text):
    try:
        parse_artefact(text)
    except typer.BadParameter:
        return
    assert ":" in text


def test_names_kinds_and_registers_are_told_apart():
    for text, told in {
        "file:a/b@9": ("b", "file", "a/b", 9),
        "kernel=file:/x": ("kernel", "file", "/x", None),
        "uki:a@b.efi": ("a@b.efi", "uki", "a@b.efi", None),
        "file:a=b:c@0": ("a=b:c", "file", "a=b:c", 0),
    }.items():
        found = parse_artefact(text)
        assert (found.name, found.kind.value, str(found.file), found.register) == told


@given(st.binary(max_size=200))
def test_a_list_of_files_is_read_or_refused(data):
    place = Path(TMP[0])
    place.write_bytes(data)
    try:
        file_values(place, lambda _count: None)
    except HoldfastError as error:
        assert error.code == "reference.files_list"  # noqa: PT017  (most lists are refused, some are empty)


TMP: list[str] = []


@pytest.fixture(autouse=True, scope="module")
def _place(tmp_path_factory):
    TMP[:] = [str(tmp_path_factory.mktemp("lists") / "list")]


def test_too_many_files_are_refused(tmp_path):
    (tmp_path / "list").write_text("".join(f"{number:064x}  /file-{number}\n" for number in range(FILES + 1)))
    with pytest.raises(HostileData) as refused:
        file_values(tmp_path / "list", lambda _count: None)
    assert refused.value.code == "reference.files_many"


@given(st.dictionaries(st.sampled_from([*CLAIMS, "other"]), JSON), st.sampled_from([*CLAIMS, "other"]), JSON)
def test_claims_are_read_or_refused(some, name, value):
    for claims in (some, {**CLAIMS, name: value}):
        try:
            read_claims(claims)
        except HostileData as error:
            assert error.code == "result.claims"  # noqa: PT017  (some are read)


def test_a_result_counts_while_it_affirms_and_is_in_time():
    claims = read_claims(CLAIMS)
    assert [claims.counts(Instant(second * 1000)) for second in (10, 19, 20)] == [True, True, False]
    assert not read_claims({name: value for name, value in CLAIMS.items() if name != "exp"}).counts(Instant(0))
    for status in (0, 1, 32, 96, -96):
        assert not read_claims({**CLAIMS, "submods": {"gate-1": {"ear.status": status}}}).counts(Instant(10_000))
    for submods in ({}, {"a": {"ear.status": 2}, "b": {"ear.status": 2}}):
        with pytest.raises(HostileData, match="devices"):
            read_claims({**CLAIMS, "submods": submods})


def test_a_locked_key_is_opened_with_the_passphrase_that_is_typed(tmp_path, monkeypatch):
    key = ec.generate_private_key(ec.SECP384R1())
    lock = BestAvailableEncryption(b"open sesame")
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(typer, "prompt", lambda *_asked, **_how: "open sesame")
    envelope = signed_envelope(b"{}", read_signing_key(tmp_path / "key.pem"))
    assert open_envelope(envelope, STATEMENT_TYPE, {"own": key.public_key()}).payload == b"{}"
    monkeypatch.setattr(typer, "prompt", lambda *_asked, **_how: "wrong")
    with pytest.raises(WorldError) as refused:
        read_signing_key(tmp_path / "key.pem")
    assert refused.value.code == "reference.key_passphrase"


def test_registers_are_told_in_ranges():
    assert ranges([9, 0, 1, 2, 4]) == "0-2, 4, 9"
    assert ranges([]) == ""
