"""The accounts probe: ``/etc/passwd`` and ``/etc/shadow``, read together.

1. An empty password field is no password; ``*`` and anything that starts with ``!`` locks; ``x`` refers to shadow.
2. Whoever has a login shell and either an unlocked password or an authorised key can log in.
3. Proof names accounts, never hashes.
"""

from __future__ import annotations

import re
from contextlib import suppress

import msgspec

from holdfast_core.baseline.model import Plan
from holdfast_core.baseline.probes import AccountCheck, Accounts
from holdfast_probe.budget import Purse
from holdfast_probe.case import Case
from holdfast_probe.credentials.passwords import Guess, guess
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.sight import Sight, judged, not_applicable, unknown

_STRONG = re.compile(r"\$(?:5|6|y|gy|7|2[abxy]|argon2[id]{1,2})\$")
_NO_SHELL = frozenset({"nologin", "false", "true", "sync", "halt", "shutdown", "reboot", "poweroff", "null"})
_MOST_ACCOUNTS = 10_000


class Account(msgspec.Struct, frozen=True):
    """One line of passwd with its password field looked up; `hashed` is `None` when shadow could not be asked."""

    name: str
    uid: int | None
    home: str
    shell: str
    hashed: str | None

    @property
    def locked(self) -> bool:
        """Whether no password opens it."""
        return self.hashed is not None and (self.hashed[:1] in ("!", "*") or self.hashed == "x")

    @property
    def secret(self) -> str:
        """The hash of an account that a password opens; empty when there is none."""
        return "" if self.hashed is None or self.locked else self.hashed


def see_accounts(case: Case, spec: Accounts) -> Sight:  # noqa: PLR0911  (one a check)
    """Judge one `Accounts` probe."""
    root, plan = case.root, case.plan
    try:
        passwd = root.read("/etc/passwd").decode("utf-8", "surrogateescape")
    except Missing:
        return not_applicable("There is no /etc/passwd.")
    shadow, gap = _shadow(root)
    accounts = _accounts(passwd, shadow, gap)
    if len(accounts) > _MOST_ACCOUNTS:
        return unknown(f"/etc/passwd has more than {_MOST_ACCOUNTS} accounts.")
    match spec.check:
        case AccountCheck.UID_ZERO:
            extra = [f"{a.name} has uid 0" for a in accounts if a.uid == 0 and a.name != "root"]
            return judged(extra, "only root has uid 0")
        case AccountCheck.UNEXPECTED_LOGIN:
            return _logins(root, plan, accounts, gap)
        case AccountCheck.EMPTY_PASSWORD:
            bad = [f"{a.name} has no password" for a in accounts if a.hashed == ""]
            return _unless(gap, accounts, judged(bad, "no account without a password"))
        case AccountCheck.HASH_STRENGTH:
            bad = [
                f"{a.name} has a {_scheme(a.secret)} hash" for a in accounts if a.secret and not _STRONG.match(a.secret)
            ]
            return _unless(gap, accounts, judged(bad, "every password hash is sha256-crypt or stronger"))
        case AccountCheck.DEFAULT_PASSWORD:
            return _unless(gap, accounts, _guessed(accounts, case.purse))


def _shadow(root: Root) -> tuple[dict[str, str], str]:
    """Password fields by account, and why they are not known (empty: they are)."""
    try:
        text = root.read("/etc/shadow").decode("utf-8", "surrogateescape")
    except Missing:
        return {}, ""
    except Unreadable as error:
        return {}, error.sentence
    fields = (line.split(":") for line in text.splitlines())
    return {f[0]: f[1] for f in fields if len(f) > 1 and f[0]}, ""


def _accounts(passwd: str, shadow: dict[str, str], gap: str) -> list[Account]:
    accounts = []
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) < 7 or not fields[0] or fields[0].startswith(("#", "+", "-")):  # noqa: PLR2004  (passwd(5))
            continue
        name, field, uid, _, _, home, shell = fields[:7]
        hashed = (None if gap else shadow.get(name, "x")) if field == "x" else field
        accounts.append(Account(name, int(uid) if uid.isdecimal() else None, home, shell.strip(), hashed))
    return accounts


def _unless(gap: str, accounts: list[Account], sight: Sight) -> Sight:
    """The sight, unless it would pass although some password fields were never seen."""
    unseen = gap and any(a.hashed is None for a in accounts)
    return unknown(gap) if unseen and sight.outcome != "fail" else sight


def _guessed(accounts: list[Account], purse: Purse) -> Sight:
    opened = []
    unfinished = []
    for account in accounts:
        if account.secret:
            result = guess(account.name, account.secret, purse)
            if result is Guess.OPENED:
                opened.append(f"{account.name} opens with a default password")
            elif result is Guess.UNFINISHED:
                unfinished.append(account.name)
    if unfinished and not opened:
        names = ", ".join(sorted(unfinished)[:8])
        return unknown(f"The password hashes of {names} are too costly, or of a kind unknown here, to try defaults on.")
    return judged(opened, "no default password opens an account")


def _logins(root: Root, plan: Plan, accounts: list[Account], gap: str) -> Sight:
    extra: list[str] = []
    unseen: list[str] = []
    for account in accounts:
        if account.name in plan.accounts or account.shell.rsplit("/", 1)[-1] in _NO_SHELL:
            continue
        if not account.locked or _has_key(root, account):
            (unseen if account.hashed is None else extra).append(f"{account.name} can log in")
    if unseen and not extra:
        return unknown(gap)
    return judged(extra, "only expected accounts can log in")


def _has_key(root: Root, account: Account) -> bool:
    paths = [f"{account.home}/.ssh/authorized_keys"] if account.home.startswith("/") else []
    if account.name == "root":
        paths.append("/etc/dropbear/authorized_keys")
    for path in paths:
        with suppress(Missing):
            if any(line.strip() and not line.lstrip().startswith(b"#") for line in root.read(path).splitlines()):
                return True
    return False


def _scheme(hashed: str) -> str:
    return {"$1$": "md5-crypt", "$3$": "NT"}.get(hashed[:3], "DES or unknown")
