"""Closing accounts: a password that opens one is locked, a second root is removed, a stranger loses the shell.

1. A lock is a ``!`` before the password field, as ``passwd -l`` has it: taken away, the old password is back.
2. Nobody is locked out of the device: where no account with a shell would be left that a key or a password opens,
   nothing is done. Whether that password is any good is another control's affair.
3. A weak hash is no account to close; whoever knows the password sets it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from holdfast_core.baseline.probes import AccountCheck, Accounts
from holdfast_probe.case import Case
from holdfast_probe.credentials.account_files import (
    PASSWD,
    SHADOW,
    Account,
    AccountFiles,
    has_shell,
    name_of,
    read_accounts,
)
from holdfast_probe.credentials.accounts import still_of_the_image
from holdfast_probe.credentials.authorized_keys import has_key
from holdfast_probe.credentials.passwords import Guess, guess_all
from holdfast_probe.edited import EditedFiles
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.roots import Missing

_NO_SHELLS = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false")
_FIELD, _SHELL = 1, 6


def mend_accounts(case: Case, editor: Editor, spec: Accounts) -> None:
    """Close the accounts that the check found. Raises `CannotMend` where that takes a person."""
    found = read_accounts(EditedFiles(editor))
    if found.gap:
        raise CannotMend(SHADOW, "it cannot be read")
    if found.unread:
        raise CannotMend(PASSWD, "programs read one of its lines differently; write that line anew by hand")
    if spec.check is AccountCheck.UID_ZERO:
        _remove(editor, {a.name for a in found.accounts if a.uid == 0 and a.name != "root"})
        return
    if spec.check not in _OFFENDERS:
        raise CannotMend(PASSWD, "only who knows a password can set it anew")
    offenders = _OFFENDERS[spec.check](case, found)
    _refuse_lockout(case, found, offenders)
    _edit(editor, SHADOW, offenders, lambda fields: _locked(fields, in_passwd=False))
    _edit(editor, PASSWD, offenders, lambda fields: _locked(fields, in_passwd=True))
    if spec.check is AccountCheck.UNEXPECTED_LOGIN:
        shell = next((path for path in _NO_SHELLS if case.root.glob(path)), "/bin/false")
        _edit(editor, PASSWD, offenders, lambda fields: _with_shell(fields, shell))


def _empty(_case: Case, found: AccountFiles) -> set[str]:
    return {a.name for a in found.accounts if a.hashed == ""}


def _default(case: Case, found: AccountFiles) -> set[str]:
    hashes = [(a.name, a.secret) for a in found.accounts if a.secret]
    return {name for name, (end, _) in guess_all(hashes, case.purse).items() if end is Guess.OPENED}


def _shared(case: Case, found: AccountFiles) -> set[str]:
    try:
        return {a.name for a in found.accounts if a.secret and still_of_the_image(case, a)}
    except Missing:
        raise CannotMend(SHADOW, "what its image brought cannot be seen") from None


def _unexpected(case: Case, found: AccountFiles) -> set[str]:
    return {
        a.name
        for a in found.accounts
        if a.name not in case.plan.accounts and has_shell(case.root, a) and (not a.locked or has_key(case.root, a))
    }


_OFFENDERS: Mapping[AccountCheck, Callable[[Case, AccountFiles], set[str]]] = {
    AccountCheck.EMPTY_PASSWORD: _empty,
    AccountCheck.DEFAULT_PASSWORD: _default,
    AccountCheck.SHARED_HASH: _shared,
    AccountCheck.UNEXPECTED_LOGIN: _unexpected,
}


def _refuse_lockout(case: Case, found: AccountFiles, offenders: set[str]) -> None:
    if offenders and not any(_stays_open(case, a, offenders) for a in found.accounts):
        closed = ", ".join(sorted(offenders)[:4])
        raise CannotMend(
            PASSWD, f"without {closed}, nobody could log in any more; give an account that is declared a key first"
        )


def _stays_open(case: Case, account: Account, offenders: set[str]) -> bool:
    if not has_shell(case.root, account):
        return False
    if account.name not in offenders:
        return bool(account.secret) or has_key(case.root, account)
    return account.name in case.plan.accounts and has_key(case.root, account)


def _locked(fields: list[str], *, in_passwd: bool) -> list[str]:
    field = fields[_FIELD]
    if (in_passwd and field == "x") or field[:1] in ("!", "*"):
        return fields
    return [fields[0], f"!{field}", *fields[_FIELD + 1 :]]


def _with_shell(fields: list[str], shell: str) -> list[str]:
    """A line of passwd with this shell; what a short line leaves out is empty."""
    return [*fields[:_SHELL], *[""] * (_SHELL - len(fields)), shell, *fields[_SHELL + 1 :]]


def _edit(editor: Editor, path: str, names: set[str], change: Callable[[list[str]], list[str]]) -> None:
    content = editor.read(path)
    if content is None:
        return
    lines = content.decode("utf-8", "surrogateescape").split("\n")
    new = [":".join(change(line.split(":"))) if ":" in line and name_of(line) in names else line for line in lines]
    editor.write(path, "\n".join(new).encode("utf-8", "surrogateescape"))


def _remove(editor: Editor, names: set[str]) -> None:
    for path in (PASSWD, SHADOW):
        content = editor.read(path)
        if content is not None:
            lines = content.decode("utf-8", "surrogateescape").split("\n")
            kept = [line for line in lines if name_of(line) not in names]
            editor.write(path, "\n".join(kept).encode("utf-8", "surrogateescape"))
