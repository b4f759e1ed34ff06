"""Where the passphrase comes from, and what is no passphrase."""

from __future__ import annotations

import stat

import pytest

from holdfast.adapters.pki.passphrase import LONGEST, SHORTEST, Passphrase, Source, find_passphrase, make_passphrase
from holdfast.adapters.system import SystemRandomness
from holdfast_core.kernel.errors import WorldError

GOOD = "correct horse battery staple"


def said(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_file_that_is_named_goes_first_then_systemds_then_the_one_beside(tmp_path):
    keys, credentials = tmp_path / "keys", tmp_path / "credentials"
    said(keys / "passphrase", "beside " + GOOD)
    named = {"HOLDFAST_PASSPHRASE_FILE": str(said(tmp_path / "named", "named " + GOOD))}
    systemd = {"CREDENTIALS_DIRECTORY": str(credentials)}
    found = find_passphrase(keys, systemd)
    assert (found.reveal(), found.source) == (f"beside {GOOD}".encode(), Source.BESIDE)
    said(credentials / "holdfast-passphrase", "systemd " + GOOD + "\n")
    found = find_passphrase(keys, systemd)
    assert (found.reveal(), found.source) == (f"systemd {GOOD}".encode(), Source.SYSTEMD)
    found = find_passphrase(keys, systemd | named)
    assert (found.reveal(), found.source) == (f"named {GOOD}".encode(), Source.NAMED)


def test_one_that_is_named_but_missing_is_an_error_although_another_lies_beside(tmp_path):
    said(tmp_path / "passphrase", GOOD)
    with pytest.raises(WorldError) as refused:
        find_passphrase(tmp_path, {"HOLDFAST_PASSPHRASE_FILE": str(tmp_path / "nowhere")})
    assert refused.value.code == "passphrase.unreadable"


def test_none_at_all_is_an_error(tmp_path):
    with pytest.raises(WorldError) as refused:
        find_passphrase(tmp_path, {})
    assert refused.value.code == "passphrase.missing"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n" + GOOD.encode(),
        b"x" * (SHORTEST - 1),
        b"x" * (LONGEST + 1),
        b"\xff" * 40,
        b"with a\0nul, long enough",
    ],
    ids=["empty", "empty first line", "short", "long", "not UTF-8", "NUL"],
)
def test_what_is_no_passphrase_is_refused(tmp_path, data):
    (tmp_path / "passphrase").write_bytes(data)
    with pytest.raises(WorldError) as refused:
        find_passphrase(tmp_path, {})
    assert refused.value.code == "passphrase.unfit"


def test_the_end_of_the_line_is_no_part_of_it(tmp_path):
    said(tmp_path / "passphrase", GOOD + "\r\nanother line\n")
    assert find_passphrase(tmp_path, {}).reveal() == GOOD.encode()


def test_one_that_is_made_is_its_owners_alone_and_made_once(tmp_path):
    made = make_passphrase(tmp_path, {}, SystemRandomness())
    assert len(made.reveal()) == 43  # 32 bytes in base64
    assert stat.S_IMODE((tmp_path / "passphrase").stat().st_mode) == 0o600
    assert make_passphrase(tmp_path, {}, SystemRandomness()).reveal() == made.reveal()


def test_none_is_made_where_one_is_named(tmp_path):
    named = said(tmp_path / "elsewhere" / "words", GOOD)
    make_passphrase(tmp_path, {"HOLDFAST_PASSPHRASE_FILE": str(named)}, SystemRandomness())
    assert not (tmp_path / "passphrase").exists()


def test_it_shows_in_no_representation():
    passphrase = Passphrase(GOOD)
    assert GOOD not in f"{passphrase!r} {passphrase} {[passphrase]}"
