"""The accounts probe: what opens the accounts of a device, and whom it opens them to.

Proof names accounts, never hashes; a password is named only where it is a public default that opened one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes import AccountCheck, Accounts
from holdfast_probe.case import Case
from holdfast_probe.credentials.account_files import SHADOW, Account, AccountFiles, has_shell, read_accounts
from holdfast_probe.credentials.authorized_keys import has_key
from holdfast_probe.credentials.passwords import Guess, guess_all
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.sight import Sight, judged, not_applicable, passed, unknown

_STRONG = re.compile(r"\$(?:5|6|y|gy|7|2[abxy]|argon2[id]{1,2})\$")
_SHELLS = ("/bin/sh", "/usr/bin/sh", "/bin/ash", "/bin/bash")
_INITS = ("/sbin/init", "/init", "/etc/preinit", "/usr/sbin/init", "/bin/init", "/etc/init.d/rcS", "/linuxrc")
_FACTORY = "/rom"
"""Where a system with an overlay keeps what its image brought."""


def see_accounts(case: Case, spec: Accounts) -> Sight:
    """Judge one `Accounts` probe."""
    try:
        found = case.once(read_accounts)
    except Missing:
        if _is_system(case.root):
            return unknown("There is no /etc/passwd, but a shell and an init: it is made when the device starts.")
        return not_applicable("There is no /etc/passwd.")
    sight = _CHECKS[spec.check](case, found)
    return unknown(found.unread) if found.unread and sight.outcome is Outcome.PASS else sight


def _is_system(root: Root) -> bool:
    """Whether somebody could log in to what this tree becomes."""
    return all(any(root.present(path) or root.link(path) for path in paths) for paths in (_SHELLS, _INITS))


def is_strong(hashed: str) -> bool:
    """Whether a crypt(3) hash is of a kind that is costly to guess."""
    return _STRONG.match(hashed) is not None


def scheme(hashed: str) -> str:
    """What a weak hash is called."""
    kinds = {"$1$": "md5-crypt", "$3$": "NT", "$ap": "Apache MD5", "{SH": "SHA-1"}
    return kinds.get(hashed[:3], "DES or unknown")


def _empty(_case: Case, found: AccountFiles) -> Sight:
    bad = [f"{a.name} has no password" for a in found.accounts if a.hashed == ""]
    return _unless_unseen(found, judged(bad, "no account without a password"))


def _default(case: Case, found: AccountFiles) -> Sight:
    hashes = [(a.name, a.secret) for a in found.accounts if a.secret]
    opened = []
    unfinished = []
    for name, (end, word) in guess_all(hashes, case.purse).items():
        if end is Guess.OPENED:
            opened.append(f"{name} opens with the default password {word!r}")
        elif end is Guess.UNFINISHED:
            unfinished.append(name)
    if unfinished and not opened:
        names = ", ".join(sorted(unfinished)[:8])
        return unknown(f"The password hashes of {names} are too costly, or of a kind unknown here, to try defaults on.")
    return _unless_unseen(found, judged(opened, "no default password opens an account"))


def _uid_zero(_case: Case, found: AccountFiles) -> Sight:
    extra = [f"{a.name} has uid 0" for a in found.accounts if a.uid == 0 and a.name != "root"]
    return judged(extra, "only root has uid 0")


def _hash_strength(_case: Case, found: AccountFiles) -> Sight:
    weak = [f"{a.name} has a {scheme(a.secret)} hash" for a in found.accounts if a.secret and not is_strong(a.secret)]
    return _unless_unseen(found, judged(weak, "every password hash is sha256-crypt or stronger"))


def _logins(case: Case, found: AccountFiles) -> Sight:
    extra: list[str] = []
    unseen: list[str] = []
    for account in found.accounts:
        if account.name in case.plan.accounts or not has_shell(case.root, account):
            continue
        if not account.locked or has_key(case.root, account):
            (unseen if account.hashed is None else extra).append(f"{account.name} can log in")
    if unseen and not extra:
        return unknown(found.gap)
    return judged(extra, "only expected accounts can log in")


def _password_login(_case: Case, found: AccountFiles) -> Sight:
    opened = [f"a password opens {a.name}" for a in found.accounts if a.hashed == "" or a.secret]
    return _unless_unseen(found, judged(opened, "no password opens an account"))


def _shared(case: Case, found: AccountFiles) -> Sight:
    with_password = [a for a in found.accounts if a.secret]
    if not with_password:
        return _unless_unseen(found, passed("no password opens an account"))
    try:
        same = [
            f"{a.name} has the password that its image brought" for a in with_password if still_of_the_image(case, a)
        ]
    except Missing:
        names = ", ".join(sorted(a.name for a in with_password)[:8])
        return unknown(f"Whether the password of {names} is this device's own cannot be seen: there is no {_FACTORY}.")
    return _unless_unseen(found, judged(same, "every password is another than the image's"))


def still_of_the_image(case: Case, account: Account) -> bool:
    """Whether the password of `account` is the one that every device of the build has.

    Raises:
        Missing, Unreadable: this is a running system, and what its image brought cannot be seen.
    """
    if not case.root.live:
        return True
    factory = case.once(_factory_accounts)
    if factory.gap:
        raise Unreadable(f"{_FACTORY}{SHADOW}", "the image's own accounts cannot be seen")
    return any(each.name == account.name and each.secret == account.secret for each in factory.accounts)


def _factory_accounts(root: Root) -> AccountFiles:
    return read_accounts(root, _FACTORY)


def _unless_unseen(found: AccountFiles, sight: Sight) -> Sight:
    """The sight, unless it would pass although some password fields were never seen."""
    unseen = found.gap and any(a.hashed is None for a in found.accounts)
    return unknown(found.gap) if unseen and sight.outcome is not Outcome.FAIL else sight


_CHECKS: Mapping[AccountCheck, Callable[[Case, AccountFiles], Sight]] = {
    AccountCheck.EMPTY_PASSWORD: _empty,
    AccountCheck.DEFAULT_PASSWORD: _default,
    AccountCheck.UID_ZERO: _uid_zero,
    AccountCheck.HASH_STRENGTH: _hash_strength,
    AccountCheck.UNEXPECTED_LOGIN: _logins,
    AccountCheck.SHARED_HASH: _shared,
    AccountCheck.PASSWORD_LOGIN: _password_login,
}
