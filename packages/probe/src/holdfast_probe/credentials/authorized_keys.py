"""Whether an SSH key opens an account: where the servers look for the keys of whoever may come in.

1. The files that OpenSSH and dropbear look into by themselves count, whatever settings say.
2. What ``AuthorizedKeysFile`` names counts as well, in every Match block, its tokens filled in for the account.

Sources: sshd_config(5) (AuthorizedKeysFile, TOKENS), dropbear(8).
"""

from __future__ import annotations

from contextlib import suppress

from holdfast_core.baseline.probes import Setting, Syntax
from holdfast_probe.credentials.account_files import Account
from holdfast_probe.files.settings import values_in
from holdfast_probe.roots import Missing, Root

_SSHD = "/etc/ssh/sshd_config"
_USUAL = (".ssh/authorized_keys", ".ssh/authorized_keys2")
_OF_ROOT = "/etc/dropbear/authorized_keys"
_NAMED = Setting(file=_SSHD, syntax=Syntax.SSHD, key="AuthorizedKeysFile", one_of=("",))


def has_key(root: Root, account: Account) -> bool:
    """Whether an SSH key opens `account`. Raises `Unreadable`."""
    paths = [path for name in (*_USUAL, *_named(root)) if (path := _path(name, account))]
    if account.name == "root":
        paths.append(_OF_ROOT)
    return any(_holds_keys(root, path) for path in dict.fromkeys(paths))


def _holds_keys(root: Root, path: str) -> bool:
    with suppress(Missing):
        return any(line.strip() and not line.lstrip().startswith(b"#") for line in root.read(path).split(b"\n"))
    return False


def _named(root: Root) -> list[str]:
    """The files that the settings of sshd name."""
    with suppress(Missing):
        return [name for value in values_in(root, _NAMED, _SSHD) for name in value.text.split() if name != "none"]
    return []


def _path(name: str, account: Account) -> str:
    """Where a name of the settings leads for one account; empty where its home leads nowhere."""
    tokens = {"%%": "%", "%h": account.home, "%u": account.name, "%U": str(account.uid)}
    filled = ""
    rest = name
    while rest:
        size = 2 if rest[:2] in tokens else 1
        filled += tokens.get(rest[:2], rest[0])
        rest = rest[size:]
    if filled.startswith("/"):
        return filled
    return f"{account.home}/{filled}" if account.home.startswith("/") else ""
