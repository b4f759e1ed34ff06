"""Attacks with account files that a device reads otherwise than an audit might: a way in is never taken for none.

Each stands beside the same tree without the trick, which must pass.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes import AccountCheck, Accounts
from holdfast_probe.case import Case
from holdfast_probe.changing import apply
from holdfast_probe.credentials.account_files import uid_of
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.mending import mend
from holdfast_probe.roots import FolderRoot
from probe_builders import Files, a_plan, ask, grow

USERS = "root:x:0:0:root:/root:/bin/sh\ndaemon:*:1:1:daemon:/:/usr/sbin/nologin\n"
SHADOW = "root:*:20000:0:99999:7:::\ndaemon:*:20000:0:99999:7:::\n"
GOOD: Files = {"etc/passwd": USERS, "etc/shadow": SHADOW}
EMPTY, ZERO, LOGIN = (
    Accounts(check=each) for each in (AccountCheck.EMPTY_PASSWORD, AccountCheck.UID_ZERO, AccountCheck.UNEXPECTED_LOGIN)
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI stranger\n"


@pytest.mark.parametrize("spec", [EMPTY, ZERO, LOGIN])
def test_without_a_trick_every_account_is_closed(tmp_path: Path, spec: Accounts) -> None:
    assert ask(grow(tmp_path, GOOD), spec).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "shadow",
    [
        pytest.param("root:::0:99999:7:::\n" + SHADOW, id="the first of two lines counts"),
        pytest.param(" \troot::20000:0:99999:7:::\n" + SHADOW, id="blanks before the name do not count"),
        pytest.param("daemon::20000:0:99999:7:::\n" + SHADOW, id="shadow opens what passwd locks"),
    ],
)
def test_an_empty_password_in_front_of_the_real_line_is_found(tmp_path: Path, shadow: str) -> None:
    grow(tmp_path, {**GOOD, "etc/shadow": shadow})
    assert ask(tmp_path, EMPTY).outcome is Outcome.FAIL


def test_an_empty_password_in_either_file_is_found_and_both_are_locked(tmp_path: Path) -> None:
    mine = "owner:$6$salt$Hash:20000:0:99999:7:::\n"
    files: Files = {
        "etc/passwd": USERS.replace("root:x", "root:*") + "owner:x:1000:1000::/:/bin/sh\n",
        "etc/shadow": SHADOW.replace("root:*", "root:") + mine,
    }
    root = FolderRoot(grow(tmp_path, files), owners_kept=True)
    assert ask(root, EMPTY).outcome is Outcome.FAIL
    editor = Editor(root)
    mend(Case(root, a_plan(accounts=("root",))), editor, EMPTY)
    apply(tmp_path, editor.changes())
    assert ask(root, EMPTY).outcome is Outcome.PASS
    assert (tmp_path / "etc/shadow").read_text() == SHADOW.replace("root:*", "root:!") + mine


def test_a_line_of_shadow_that_only_some_programs_take_does_not_hide_the_next(tmp_path: Path) -> None:
    """glibc passes over the first, which has no ages, and takes the second; others take the first."""
    grow(tmp_path, {**GOOD, "etc/shadow": "root:*\nroot::20000:0:99999:7:::\n"})
    assert ask(tmp_path, EMPTY).outcome is Outcome.UNKNOWN
    grow(tmp_path, {"etc/shadow": "root:*\n" + SHADOW})
    assert ask(tmp_path, EMPTY).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "line",
    [
        "evil::0:0",
        "evil::0:0::/",
        "evil::+0:0::/:/bin/sh",
        "evil:: 0:0::/:/bin/sh",
        "evil::-0:0::/:/bin/sh",
        "evil::000:0::/:/bin/sh",
        "\tevil::0:0::/:/bin/sh",
        "+evil::0:0::/:/bin/sh",
    ],
)
@pytest.mark.parametrize("spec", [EMPTY, ZERO, LOGIN])
def test_a_line_that_the_c_library_takes_is_an_account(tmp_path: Path, line: str, spec: Accounts) -> None:
    grow(tmp_path, {**GOOD, "etc/passwd": f"{USERS}{line}\n"})
    finding = ask(tmp_path, spec)
    assert finding.outcome is Outcome.FAIL
    assert "evil" in finding.proof[0]


@pytest.mark.parametrize("uid", ["", "0x0", "4294967296", "٠", "0 ", "1" * 5000])  # noqa: RUF001  (a digit, not for C)
def test_a_number_that_programs_read_differently_passes_nothing_and_is_not_mended(tmp_path: Path, uid: str) -> None:
    grow(tmp_path, {**GOOD, "etc/passwd": f"{USERS}evil:*:{uid}:0::/:/bin/false\n"})
    for spec in (EMPTY, ZERO, LOGIN):
        finding = ask(tmp_path, spec)
        assert finding.outcome is Outcome.UNKNOWN
        assert "Line 3 of /etc/passwd" in finding.reason
    with pytest.raises(CannotMend, match="differently"):
        mend(Case(FolderRoot(tmp_path), a_plan()), Editor(FolderRoot(tmp_path)), EMPTY)


@pytest.mark.parametrize("line", ["", "# evil::0:0", "evil::0", "+::::::", "-evil:::::"])
def test_what_no_library_takes_for_an_account_is_none(tmp_path: Path, line: str) -> None:
    grow(tmp_path, {**GOOD, "etc/passwd": f"{USERS}{line}\n"})
    assert ask(tmp_path, EMPTY).outcome is Outcome.PASS


@given(st.text(alphabet="0123456789+- \t\v\fx٠", max_size=24))  # noqa: RUF001  (a digit, not for C)
def test_a_uid_is_read_as_the_c_library_reads_it_or_not_at_all(text: str) -> None:
    uid = uid_of(text)
    assert uid is None or uid == int(text) % 2**32


@pytest.mark.parametrize(
    "trick",
    [
        pytest.param({"root/.ssh/authorized_keys2": KEY}, id="the second file that sshd looks into"),
        pytest.param(
            {
                "etc/ssh/sshd_config": "AuthorizedKeysFile none\nMatch User root\nAuthorizedKeysFile /etc/ssh/k/%u\n",
                "etc/ssh/k/root": KEY,
            },
            id="a file of its own that the settings name",
        ),
        pytest.param(
            {"etc/ssh/sshd_config": "AuthorizedKeysFile x%%/%h.keys .keys/%U\n", "root/.keys/0": KEY},
            id="a file below its home",
        ),
    ],
)
def test_a_key_that_opens_an_account_is_found_where_the_server_looks(tmp_path: Path, trick: Files) -> None:
    grow(tmp_path, {**GOOD, **{name: text for name, text in trick.items() if text != KEY}})
    assert ask(tmp_path, LOGIN).outcome is Outcome.PASS
    grow(tmp_path, trick)
    finding = ask(tmp_path, LOGIN)
    assert finding.proof == ("root can log in",)


@pytest.mark.parametrize(
    ("leads_to", "outcome"),
    [
        ("/bin/sh", Outcome.FAIL),
        ("/bin/busybox", Outcome.PASS),
        ("/usr/bin/false.coreutils", Outcome.PASS),
        ("nologin", Outcome.UNKNOWN),
    ],
)
def test_a_shell_that_is_one_under_the_name_of_none(tmp_path: Path, leads_to: str, outcome: Outcome) -> None:
    files: Files = {
        "etc/passwd": f"{USERS}evil:x:7:7::/:/opt/nologin\n",
        "etc/shadow": f"{SHADOW}evil:$6$salt$Hash:20000:0:99999:7:::\n",
        "opt/nologin": f"-> {leads_to}",
        **dict.fromkeys(("bin/sh", "bin/busybox", "usr/bin/false.coreutils"), "\x7fELF"),
    }
    assert ask(grow(tmp_path, files), LOGIN).outcome is outcome
