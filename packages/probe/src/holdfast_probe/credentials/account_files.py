"""Reading ``/etc/passwd`` and ``/etc/shadow`` together.

1. An empty password field is no password; ``*`` and anything that starts with ``!`` locks; ``x`` refers to shadow.
2. Whoever has a login shell and either an unlocked password or an authorised key can log in.
3. What could not be read is `None`, never "no password".
4. A line is read as the C libraries read it: blanks before a name do not count, four fields are enough, a number is
   what strtoul makes of it, and of several lines of shadow for one name the first counts.
5. SSH servers ask shadow whatever passwd says, login asks passwd unless it says ``x``: where both have a field, either
   opens the account, and it is told once for each.

Sources: passwd(5), shadow(5); the parsers of glibc (nss_files) and musl; dropbear's and OpenSSH's use of getspnam(3).
"""

from __future__ import annotations

import msgspec

from holdfast_probe.edited import Source
from holdfast_probe.roots import Missing, Root, Unreadable

PASSWD = "/etc/passwd"  # noqa: S105  (a file)
SHADOW = "/etc/shadow"
MOST_ACCOUNTS = 10_000
_BLANKS = " \t\v\f\r"
_FEWEST = 4
"""Fields that a line of passwd cannot do without: with fewer, no C library takes it for an account."""
_FIELDS = 7
_UID_CHARS = 20
_UID_LIMIT = 1 << 32
_AGES = 5
"""Fields of shadow up to the last of those without which glibc passes over a line."""
_NO_SHELL = frozenset({"nologin", "false", "true", "sync", "halt", "shutdown", "reboot", "poweroff", "null"})
_MULTI_CALL = frozenset({"busybox", "toybox", "coreutils"})
"""Programs that do what the name says that they are called by."""


class Account(msgspec.Struct, frozen=True):
    """One line of passwd with a password field of its own or of shadow; `hashed` is `None` when that was not seen."""

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


class AccountFiles(msgspec.Struct, frozen=True):
    """All accounts, why some password fields are not known, and why some lines are not (empty: they are)."""

    accounts: tuple[Account, ...]
    gap: str = ""
    unread: str = ""


class _Shadow(msgspec.Struct, frozen=True):
    """Password fields by account, `None` where nobody can say; `gap` says why none is known."""

    fields: dict[str, str | None]
    gap: str = ""

    def of(self, name: str, field: str) -> list[str | None]:
        """What opens an account that has this field in passwd."""
        own: list[str | None] = [] if field == "x" else [field]
        if self.gap:
            return [*own, None]
        if name in self.fields:
            return [*own, self.fields[name]]
        return own or [field]


def read_accounts(root: Source, below: str = "") -> AccountFiles:
    """The accounts of the passwd and shadow files below a directory (``/rom``), or of the root itself.

    Raises:
        Missing: there is no passwd.
        Unreadable: it cannot be read, or has more than `MOST_ACCOUNTS` lines.
    """
    lines = root.read(below + PASSWD).decode("utf-8", "surrogateescape").split("\n")
    if len(lines) > MOST_ACCOUNTS:
        raise Unreadable(below + PASSWD, f"it has more than {MOST_ACCOUNTS} accounts")
    shadow = _shadow(root, below + SHADOW)
    accounts: list[Account] = []
    strange: list[int] = []
    for number, line in enumerate(lines, 1):
        fields = line.lstrip(_BLANKS).split(":")
        if len(fields) < _FEWEST or not fields[0] or fields[0][0] == "#" or _from_elsewhere(fields):
            continue
        name, field, uid, _, _, home, shell = [*fields, "", "", ""][:_FIELDS]
        user = uid_of(uid)
        if user is None:
            strange.append(number)
        accounts += [Account(name, user, home or "/", shell.strip(), hashed) for hashed in shadow.of(name, field)]
    unread = f"Line {strange[0]} of {below}{PASSWD} is written so that programs read it differently." if strange else ""
    doubted = any(hashed is None for hashed in shadow.fields.values())
    gap = shadow.gap or (f"{below}{SHADOW} has lines that programs read differently." if doubted else "")
    return AccountFiles(tuple(accounts), gap, unread)


def name_of(line: str) -> str:
    """The account that a line of passwd or shadow is about."""
    return line.lstrip(_BLANKS).partition(":")[0]


def uid_of(text: str) -> int | None:
    """A number as strtoul(3) reads it, made to fit a uid as the kernel has it; `None` where programs disagree."""
    digits = text.lstrip(_BLANKS)
    sign = digits[:1] if digits[:1] in ("+", "-") else ""
    digits = digits.removeprefix(sign)
    if len(digits) > _UID_CHARS or not (digits.isascii() and digits.isdigit()):
        return None
    number = int(digits)
    if number >= _UID_LIMIT:
        return None
    return number if sign != "-" else -number % _UID_LIMIT


def has_shell(root: Root, account: Account) -> bool:
    """Whether logging in leads anywhere: the name says no, and so does what it is a link to. Raises `Unreadable`."""
    if _base(account.shell) not in _NO_SHELL:
        return True
    real = _base(root.real(account.shell)).partition(".")[0] if account.shell.startswith("/") else ""
    return real not in _NO_SHELL | _MULTI_CALL


def _base(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _from_elsewhere(fields: list[str]) -> bool:
    """Whether a line takes accounts from the network (``+::::::``) rather than being one."""
    return fields[0][0] in "+-" and not fields[2].strip()


def _shadow(root: Source, path: str) -> _Shadow:
    try:
        text = root.read(path).decode("utf-8", "surrogateescape")
    except Missing:
        return _Shadow({})
    except Unreadable as error:
        return _Shadow({}, error.sentence)
    found: dict[str, str | None] = {}
    passed_over: dict[str, str] = {}
    for line in text.split("\n"):
        fields = line.lstrip(_BLANKS).split(":")
        name = fields[0]
        if len(fields) < 2 or not name or name[0] == "#" or name in found:  # noqa: PLR2004  (name and password)
            continue
        if not _has_ages(fields):
            passed_over.setdefault(name, fields[1])
        elif passed_over.get(name, fields[1]) == fields[1]:
            found[name] = fields[1]
        else:
            found[name] = None
    return _Shadow({**passed_over, **found})


def _has_ages(fields: list[str]) -> bool:
    """Whether every program takes the line: it has the numbers of the password's age, or leaves them empty."""
    ages = fields[2:]
    return len(fields) >= _AGES and all(not age.strip() or uid_of(age.rstrip(_BLANKS)) is not None for age in ages)
