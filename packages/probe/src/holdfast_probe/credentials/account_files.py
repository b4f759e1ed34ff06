"""Reading ``/etc/passwd`` and ``/etc/shadow`` together.

1. An empty password field is no password; ``*`` and anything that starts with ``!`` locks; ``x`` refers to shadow.
2. Whoever has a login shell and either an unlocked password or an authorised key can log in.
3. What could not be read is `None`, never "no password".
"""

from __future__ import annotations

from contextlib import suppress

import msgspec

from holdfast_probe.edited import Source
from holdfast_probe.roots import Missing, Root, Unreadable

PASSWD = "/etc/passwd"  # noqa: S105  (a file)
SHADOW = "/etc/shadow"
MOST_ACCOUNTS = 10_000
_NO_SHELL = frozenset({"nologin", "false", "true", "sync", "halt", "shutdown", "reboot", "poweroff", "null"})


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

    @property
    def has_shell(self) -> bool:
        """Whether logging in leads anywhere."""
        return self.shell.rsplit("/", 1)[-1] not in _NO_SHELL


class AccountFiles(msgspec.Struct, frozen=True):
    """All accounts, and why some password fields are not known (empty: they are)."""

    accounts: tuple[Account, ...]
    gap: str = ""


def read_accounts(root: Source, below: str = "") -> AccountFiles:
    """The accounts of the passwd and shadow files below a directory (``/rom``), or of the root itself.

    Raises:
        Missing: there is no passwd.
        Unreadable: it cannot be read, or has more than `MOST_ACCOUNTS` lines.
    """
    lines = root.read(below + PASSWD).decode("utf-8", "surrogateescape").split("\n")
    if len(lines) > MOST_ACCOUNTS:
        raise Unreadable(below + PASSWD, f"it has more than {MOST_ACCOUNTS} accounts")
    shadow, gap = _shadow(root, below + SHADOW)
    accounts = []
    for line in lines:
        fields = line.split(":")
        if len(fields) < 7 or not fields[0] or fields[0].startswith(("#", "+", "-")):  # noqa: PLR2004  (passwd(5))
            continue
        name, field, uid, _, _, home, shell = fields[:7]
        hashed = (None if gap else shadow.get(name, "x")) if field == "x" else field
        accounts.append(Account(name, int(uid) if uid.isdecimal() else None, home, shell.strip(), hashed))
    return AccountFiles(tuple(accounts), gap)


def _shadow(root: Source, path: str) -> tuple[dict[str, str], str]:
    """Password fields by account, and why they are not known (empty: they are)."""
    try:
        text = root.read(path).decode("utf-8", "surrogateescape")
    except Missing:
        return {}, ""
    except Unreadable as error:
        return {}, error.sentence
    fields = (line.split(":") for line in text.split("\n"))
    return {f[0]: f[1] for f in fields if len(f) > 1 and f[0]}, ""


def has_key(root: Root, account: Account) -> bool:
    """Whether an SSH key opens `account`. Raises `Unreadable`."""
    paths = [f"{account.home}/.ssh/authorized_keys"] if account.home.startswith("/") else []
    if account.name == "root":
        paths.append("/etc/dropbear/authorized_keys")
    for path in paths:
        with suppress(Missing):
            if any(line.strip() and not line.lstrip().startswith(b"#") for line in root.read(path).split(b"\n")):
                return True
    return False
