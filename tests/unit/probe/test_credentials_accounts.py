"""Accounts: which passwords open them, whose they are, and how they are closed without locking anybody out."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path

import pytest

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes import AccountCheck, Accounts
from holdfast_core.baseline.probes.credentials import PasswordFiles, RootRights
from holdfast_probe.budget import Purse
from holdfast_probe.case import Case
from holdfast_probe.changing import apply, undo
from holdfast_probe.credentials import hashing, passwords
from holdfast_probe.credentials.passwords import Guess, guess_all
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.mending import mend
from holdfast_probe.roots import FolderRoot, LiveRoot
from probe_builders import Files, a_plan, ask, grow

SALTS = {
    "DES": "ab",
    "MD5": "$1$saltsalt$",
    "bcrypt": "$2b$04$abcdefghijklmnopqrstuu",
    "SHA-256": "$5$rounds=1000$saltsalt$",
    "SHA-512": "$6$rounds=1000$saltsalt$",
    "yescrypt": "$y$j9T$saltsaltsaltsalt$",
}
KEY = "ssh-ed25519 AAAA maintenance\n"
MANY = 10**9


def hashed(word: str, salt: str) -> str:
    run = hashing.foreign()
    assert run is not None
    answer = run(word, salt)
    assert answer is not None
    return answer


@pytest.mark.parametrize("salt", SALTS.values(), ids=SALTS)
def test_the_c_library_answers_as_the_standard_library_does(salt: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        crypt = importlib.import_module("crypt")
    assert hashed("zte9x15", salt) == crypt.crypt("zte9x15", salt)
    standard = hashing.standard()
    assert standard is not None
    assert standard("ubnt", hashed("ubnt", salt)) == hashed("ubnt", salt)


@pytest.mark.parametrize("salt", ["$9$nothing$", "$y$", "", "\0", "$6$\0", "*0", "\udcff$"])
def test_a_scheme_or_salt_that_is_none_has_no_answer(salt: str) -> None:
    for run in (hashing.foreign(), hashing.standard()):
        assert run is not None
        assert run("word", salt) is None


@pytest.mark.parametrize("salt", SALTS.values(), ids=SALTS)
def test_a_public_default_opens_every_kind_of_hash_and_is_named(salt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "crypt", hashing.foreign)
    ends = guess_all([("root", hashed("xc3511"[: 8 if salt == "ab" else 6], salt))], Purse(MANY))
    assert ends == {"root": (Guess.OPENED, "xc3511")}


def test_the_wide_list_is_tried_where_a_guess_is_cheap() -> None:
    cheap, costly = hashed("zte9x15", SALTS["MD5"]), hashed("zte9x15", SALTS["yescrypt"])
    ends = guess_all([("a", cheap), ("b", costly)], Purse(MANY))
    assert ends == {"a": (Guess.OPENED, "zte9x15"), "b": (Guess.RESISTED, "")}


def test_a_short_purse_is_spent_on_the_cheapest_first() -> None:
    own = [(f"n{number}", hashed("ubnt", SALTS["MD5"])) for number in range(3)]
    dear = ("dear", hashed("ubnt", SALTS["yescrypt"]))
    ends = guess_all([dear, *own], Purse(300))
    assert [ends[name][0] for name, _ in own] == [Guess.OPENED] * 3
    assert ends["dear"][0] is Guess.UNFINISHED


@pytest.mark.parametrize(
    "hostile",
    [
        "$y$jzT$saltsaltsaltsalt$x",
        "$7$zzzzz$salt$x",
        "$y$j9z$salt$x",
        "$6$rounds=999999999$s$x",
        "$2b$31$" + "a" * 53,
        "?",
    ],
)
def test_a_hash_that_asks_for_too_much_is_not_tried(hostile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_word: str, _hashed: str) -> str:
        raise AssertionError("it was tried")

    monkeypatch.setattr(passwords, "crypt", lambda: never)
    assert guess_all([("root", hostile)], Purse(6000)) == {"root": (Guess.UNFINISHED, "")}


def test_without_any_library_nobody_can_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "crypt", lambda: None)
    assert guess_all([("root", hashed("root", "ab"))], Purse(MANY)) == {"root": (Guess.UNFINISHED, "")}


ROOT = "root:x:0:0::/root:/bin/sh\n"
OWN = hashed("qkzvwpjxhtmb", SALTS["SHA-512"])
OTHER = hashed("brdfygnlcqkz", SALTS["SHA-512"])


def accounts(field: str = OWN, more: str = "") -> Files:
    return {"etc/passwd": ROOT + more, "etc/shadow": f"root:{field}:20000::::::\n"}


@pytest.mark.parametrize(
    ("field", "factory", "live", "outcome"),
    [
        (OWN, None, False, Outcome.FAIL),
        ("*", None, False, Outcome.PASS),
        (OWN, None, True, Outcome.UNKNOWN),
        ("!", None, True, Outcome.PASS),
        (OWN, OWN, True, Outcome.FAIL),
        (OWN, OTHER, True, Outcome.PASS),
        (OWN, "*", True, Outcome.PASS),
    ],
)
def test_a_password_of_the_image_is_everybodys(
    tmp_path: Path, field: str, factory: str | None, *, live: bool, outcome: Outcome
) -> None:
    grow(tmp_path, accounts(field))
    if factory is not None:
        grow(tmp_path, {f"rom/{name}": content for name, content in accounts(factory).items()})
    root = LiveRoot(tmp_path) if live else FolderRoot(tmp_path, owners_kept=True)
    finding = ask(root, Accounts(check=AccountCheck.SHARED_HASH))
    assert finding.outcome is outcome
    assert not any(OWN in item for item in (*finding.proof, finding.reason))


def closed(tree: Path, check: AccountCheck) -> str:
    """The shadow file after the mend of `check`; the tree is as before."""
    root = FolderRoot(tree, owners_kept=True)
    editor = Editor(root)
    mend(Case(root, a_plan(accounts=("root",))), editor, Accounts(check=check))
    before = (tree / "etc/shadow").read_text()
    apply(tree, editor.changes())
    after = (tree / "etc/passwd").read_text() + (tree / "etc/shadow").read_text()
    assert ask(tree, Accounts(check=check), a_plan(accounts=("root",))).outcome is Outcome.PASS
    undo(tree, editor.changes())
    assert (tree / "etc/shadow").read_text() == before
    return after


def test_the_only_way_in_is_not_closed(tmp_path: Path) -> None:
    grow(tmp_path, accounts(hashed("root", "ab")))
    with pytest.raises(CannotMend, match="key"):
        closed(tmp_path, AccountCheck.DEFAULT_PASSWORD)
    grow(tmp_path, {"root/.ssh/authorized_keys": KEY})
    assert "root:!" + hashed("root", "ab") in closed(tmp_path, AccountCheck.DEFAULT_PASSWORD)


def test_an_account_without_a_password_is_closed_where_another_one_opens(tmp_path: Path) -> None:
    users = "root:x:0:0::/root:/bin/sh\nguest:x:1001:1001::/:/bin/sh\n"
    weak = "$1$holdfast$REARM6gcDJ5mh/KIjEpHg1"
    tree = grow(tmp_path, {"etc/passwd": users, "etc/shadow": f"root:{weak}:1:0:9:7:::\nguest::1:0:9:7:::\n"})
    assert f"root:{weak}:1:0:9:7:::\nguest:!:1:0:9:7:::\n" in closed(tree, AccountCheck.EMPTY_PASSWORD)


def test_a_stranger_loses_password_and_shell(tmp_path: Path) -> None:
    grow(tmp_path, accounts(OWN, f"guest:{OTHER}:7:7::/:/bin/sh\n"))
    assert f"guest:!{OTHER}:7:7::/:/bin/false\n" in closed(tmp_path, AccountCheck.UNEXPECTED_LOGIN)


def test_a_second_root_is_removed_from_both_files(tmp_path: Path) -> None:
    grow(tmp_path, accounts(OWN, "toor:x:0:0::/:/bin/sh\n"))
    (tmp_path / "etc/shadow").write_text(f"root:{OWN}::::::\ntoor:*::::::\n")
    assert "toor" not in closed(tmp_path, AccountCheck.UID_ZERO)


def test_a_weak_hash_is_set_anew_by_who_knows_the_password(tmp_path: Path) -> None:
    grow(tmp_path, accounts(hashed("qkzvwpjxhtmb", SALTS["MD5"])))
    with pytest.raises(CannotMend):
        closed(tmp_path, AccountCheck.HASH_STRENGTH)


@pytest.mark.parametrize(
    ("rule", "bad"),
    [
        ("root ALL=(ALL:ALL) ALL", False),
        ("%sudo ALL=(ALL:ALL) ALL", False),
        ("%sudo ALL=(ALL) NOPASSWD: ALL", True),
        ("ALL ALL=(ALL) ALL", True),
        ("Defaults !authenticate", True),
        ("Defaults:svc ! authenticate", True),
        ("svc ALL=(root) NOPASSWD: /bin/systemctl restart x", False),
        ("svc ALL=NOPASSWD: /usr/bin/vim", True),
        ("svc ALL=NOPASSWD: /usr/bin/vim /etc/motd", False),
        ("svc ALL=NOPASSWD: /bin/ls, PASSWD: ALL", False),
        ("Cmnd_Alias TOOLS = /bin/ls, /usr/bin/find\nsvc ALL=NOPASSWD: TOOLS", True),
        ("User_Alias OPS = anna, ben\nOPS ALL=NOPASSWD: \\\n ALL", True),
        ("# svc ALL=NOPASSWD: ALL", False),
    ],
)
def test_rules_of_sudo(tmp_path: Path, rule: str, *, bad: bool) -> None:
    grow(tmp_path, {"etc/sudoers": "Defaults env_reset\n@includedir sudoers.d\n", "etc/sudoers.d/x": f"{rule}\n"})
    assert ask(tmp_path, RootRights()).outcome is (Outcome.FAIL if bad else Outcome.PASS)


@pytest.mark.parametrize(
    ("rule", "bad"),
    [
        ("permit persist :wheel", False),
        ("permit nopass :wheel", True),
        ("permit nopass keepenv root", False),
        ("permit nopass svc cmd reboot", False),
        ("deny nopass svc", False),
    ],
)
def test_rules_of_doas(tmp_path: Path, rule: str, *, bad: bool) -> None:
    grow(tmp_path, {"etc/doas.conf": f"{rule}\n"})
    assert ask(tmp_path, RootRights()).outcome is (Outcome.FAIL if bad else Outcome.PASS)


def test_sudoers_that_include_themselves_end_as_unknown(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/sudoers": "#include /etc/sudoers\n"})
    assert ask(tmp_path, RootRights()).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("path", "text", "mode", "image", "running"),
    [
        ("etc/nginx/htpasswd", f"op:{OWN}\n", 0o644, Outcome.PASS, Outcome.PASS),
        ("etc/nginx/htpasswd", f"op:{hashed('admin', SALTS['SHA-512'])}\n", 0o600, Outcome.FAIL, Outcome.FAIL),
        ("etc/nginx/htpasswd", "op:$apr1$saltsalt$0000000000000000000000\n", 0o600, Outcome.FAIL, Outcome.FAIL),
        ("etc/nginx/htpasswd", "op:!\n", 0o600, Outcome.PASS, Outcome.PASS),
        ("etc/ppp/chap-secrets", 'me * "tr7-Kd9x2mQz" *\n', 0o600, Outcome.FAIL, Outcome.PASS),
        ("etc/ppp/chap-secrets", 'me * "tr7-Kd9x2mQz" *\n', 0o644, Outcome.FAIL, Outcome.FAIL),
        ("etc/ppp/chap-secrets", "me * raspberry *\n", 0o600, Outcome.FAIL, Outcome.FAIL),
        ("etc/wpa_supplicant.conf", 'network={\n\tpsk="tr7-Kd9x2mQz"\n}\n', 0o600, Outcome.FAIL, Outcome.PASS),
        ("etc/wpa_supplicant.conf", "network={\n\teap=TLS\n}\n", 0o600, Outcome.NOT_APPLICABLE, Outcome.NOT_APPLICABLE),
        ("etc/config/wireless", "config wifi-iface\n\toption key 'tr7-Kd9x2mQz'\n", 0o600, Outcome.FAIL, Outcome.PASS),
        ("etc/httpd.conf", "/cgi-bin:admin:admin\n", 0o600, Outcome.FAIL, Outcome.FAIL),
        ("etc/httpd.conf", "/cgi-bin:root:$p$root\n", 0o600, Outcome.NOT_APPLICABLE, Outcome.NOT_APPLICABLE),
    ],
)  # fmt: skip
def test_password_files(tmp_path: Path, path: str, text: str, mode: int, *, image: Outcome, running: Outcome) -> None:
    grow(tmp_path, {path: (text, mode)})
    for root, outcome in ((FolderRoot(tmp_path, owners_kept=True), image), (LiveRoot(tmp_path), running)):
        finding = ask(root, PasswordFiles())
        assert finding.outcome is outcome, finding
        assert not any("tr7" in item for item in finding.proof)
