"""The vault: what is sealed opens for its context alone, outlives changes of keys, and shows every change of a bit."""

from __future__ import annotations

import base64
import json
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.pki.passphrase import Passphrase
from holdfast.adapters.vault import LARGEST, Cost, FileVault
from holdfast_core.kernel.errors import HoldfastError, WorldError

WORDS, OTHER = Passphrase("correct horse battery staple"), Passphrase("another horse, another staple")
CHEAP = Cost(n=2)
SECRET = b"Wz9-only-for-the-pump"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "vault.json"


@pytest.fixture
def vault(path):
    return FileVault.create(path, WORDS, cost=CHEAP)


def refusal(use):
    with pytest.raises(HoldfastError) as refused:
        use()
    assert refused.value.remedy
    return refused.value.code


def test_what_is_sealed_opens_again_also_in_another_process(vault, path):
    sealed = vault.seal(SECRET, "secret pump-1")
    assert SECRET not in sealed
    assert vault.unseal(sealed, "secret pump-1") == FileVault(path, WORDS).unseal(sealed, "secret pump-1") == SECRET


def test_the_same_is_never_sealed_to_the_same(vault):
    assert len({vault.seal(SECRET, "c") for _ in range(50)}) == 50


def test_it_opens_in_no_other_place(vault):
    sealed = vault.seal(SECRET, "secret pump-1")
    for context in ("secret pump-2", "", "secret pump-1 "):
        assert refusal(lambda context=context: vault.unseal(sealed, context)) == "vault.refused"


@given(st.data())
def test_no_changed_bit_and_no_lost_byte_goes_unseen(tmp_path_factory, data):
    vault = FileVault.create(tmp_path_factory.mktemp("v") / "vault.json", WORDS, cost=CHEAP)
    sealed = vault.seal(SECRET, "c")
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    changed = bytearray(sealed)
    changed[bit // 8] ^= 1 << bit % 8
    cut = sealed[: data.draw(st.integers(0, len(sealed) - 1))]
    for bad in (bytes(changed), cut, sealed + b"\0"):
        code = refusal(lambda bad=bad: vault.unseal(bad, "c"))
        assert code in {"vault.refused", "vault.malformed", "vault.key_unknown"}


def test_another_vaults_secrets_are_not_opened(vault, tmp_path):
    other = FileVault.create(tmp_path / "other.json", WORDS, cost=CHEAP)
    assert refusal(lambda: vault.unseal(other.seal(SECRET, "c"), "c")) == "vault.key_unknown"


def test_too_much_is_not_sealed(vault):
    assert vault.unseal(vault.seal(b"x" * LARGEST, "c"), "c") == b"x" * LARGEST
    assert refusal(lambda: vault.seal(b"x" * (LARGEST + 1), "c")) == "vault.too_large"


def test_a_wrong_passphrase_opens_nothing(vault, path):
    sealed = vault.seal(SECRET, "c")
    assert refusal(lambda: FileVault(path, OTHER).unseal(sealed, "c")) == "vault.passphrase_wrong"


def test_the_file_is_its_owners_alone_and_holds_no_key_in_the_clear(vault, path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    keys = vault._open()[1]
    assert keys
    for key in keys.values():
        assert base64.b64encode(key).decode() not in text
        assert key.hex() not in text


def test_a_vault_is_never_overwritten(vault, path):
    before = path.read_bytes()
    assert refusal(lambda: FileVault.create(path, WORDS, cost=CHEAP)) == "vault.exists"
    assert path.read_bytes() == before
    assert vault.unseal(vault.seal(SECRET, "c"), "c") == SECRET


def test_a_new_key_seals_and_the_old_one_opens_until_it_is_dropped(vault, path):
    old = vault.seal(SECRET, "c")
    name = vault.rotate()
    new = vault.seal(SECRET, "c")
    assert [vault.is_current(old), vault.is_current(new)] == [False, True]
    assert new[1:9].hex() == name
    again = FileVault(path, WORDS)
    assert again.unseal(old, "c") == again.unseal(new, "c") == SECRET
    assert vault.drop_old_keys() == 1
    assert refusal(lambda: vault.unseal(old, "c")) == "vault.key_unknown"
    assert FileVault(path, WORDS).unseal(new, "c") == SECRET
    assert vault.drop_old_keys() == 0


def test_a_changed_passphrase_opens_what_was_sealed_before_and_the_old_one_nothing(vault, path):
    sealed = vault.seal(SECRET, "c")
    vault.rotate()
    FileVault(path, WORDS).change_passphrase(OTHER)
    FileVault(path, WORDS).change_passphrase(OTHER)  # an interrupted run is repeated
    assert FileVault(path, OTHER).unseal(sealed, "c") == SECRET
    assert refusal(lambda: FileVault(path, WORDS).unseal(sealed, "c")) == "vault.passphrase_wrong"
    third = Passphrase("a third that opens nothing")
    assert refusal(lambda: FileVault(path, third).change_passphrase(WORDS)) == "vault.passphrase_wrong"


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"",
        lambda _: b"{}",
        lambda _: b"[" * 100_000,
        lambda f: json.dumps({**f, "v": 2}).encode(),
        lambda f: json.dumps({**f, "keys": []}).encode(),
        lambda f: json.dumps({**f, "keys": f["keys"] * 2}).encode(),
        lambda f: json.dumps({**f, "more": 1}).encode(),
        lambda f: json.dumps({**f, "cost": {"n": 2**30}}).encode(),
        lambda f: json.dumps({**f, "cost": {"n": 3}}).encode(),
        lambda f: json.dumps({**f, "salt": "x" * 70_000}).encode(),
    ],
    ids=["empty", "bare", "deep", "newer", "no key", "twice", "unknown", "costly", "odd cost", "large"],
)
def test_a_file_that_is_no_vault_is_refused_before_anything_is_spent_on_it(vault, path, change):
    sealed = vault.seal(SECRET, "c")
    path.write_bytes(change(json.loads(path.read_text())))
    assert refusal(lambda: FileVault(path, WORDS).unseal(sealed, "c")) == "vault.damaged"


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(WorldError) as refused:
        FileVault(tmp_path / "vault.json", WORDS).seal(b"", "")
    assert refused.value.code == "vault.missing"


def test_a_real_cost_is_spent_by_default(tmp_path):
    FileVault.create(tmp_path / "vault.json", WORDS)
    assert json.loads((tmp_path / "vault.json").read_text())["cost"] == {"n": 32768, "r": 8, "p": 1}
