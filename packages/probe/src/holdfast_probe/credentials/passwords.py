"""Guessing notorious default passwords against a hash, within a price.

1. Hashes and guesses never leave this module; callers learn yes, no or "could not finish".
2. The price is counted in nominal units, not in measured time, so that the same tree always gets the same answer.
3. `crypt` is the C library's, the only one that knows yescrypt; it is deprecated since Python 3.11 and gone in 3.13,
   where every answer becomes "could not finish" until a replacement is written. It is imported in one function only.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from enum import StrEnum

from holdfast_probe.budget import Purse

COMMON = (
    "admin", "root", "password", "1234", "12345", "123456", "default", "toor", "pass", "user", "support", "guest",
    "service", "system", "changeme", "xc3511", "vizxv", "888888", "666666", "54321", "juantech", "anko", "7ujMko0admin",
    "7ujMko0vizxv", "Zte521", "hi3518", "jvbzd", "klv123", "klv1234", "ikwb", "dreambox", "realtek", "xmhdipc",
    "admin1234", "smcadmin", "meinsm", "ubnt", "raspberry", "openwrt", "alpine", "oelinux123", "tech", "cisco",
)  # fmt: skip
"""What the Mirai family and its heirs try first, and the defaults of well-known boards."""


class Guess(StrEnum):
    """How guessing ended."""

    OPENED = "opened"
    RESISTED = "resisted"
    UNFINISHED = "unfinished"


_COSTS = (
    (re.compile(r"\$1\$"), 1),
    (re.compile(r"\$[56]\$"), 4),
    (re.compile(r"\$2[abxy]\$"), 60),
    (re.compile(r"\$(?:y|gy|7)\$"), 40),
    (re.compile(r"[./0-9A-Za-z]{13}$"), 1),
)
_ROUNDS = re.compile(r"\$[56]\$rounds=([0-9]{1,9})\$")
_BCRYPT = re.compile(r"\$2[abxy]\$([0-9]{2})\$")
_USUAL_ROUNDS = 5000
_USUAL_BCRYPT = 10

Crypt = Callable[[str, str], str | None]


def guess(account: str, hashed: str, purse: Purse) -> Guess:
    """Try the account's own name and the common defaults on a crypt(3) hash."""
    price = _price(hashed)
    crypt = _crypt()
    if price is None or crypt is None:
        return Guess.UNFINISHED
    for word in dict.fromkeys((account, *COMMON, account + "123", account + "1234", "")):
        if purse.left < price:
            return Guess.UNFINISHED
        purse.left -= price
        answer = crypt(word, hashed)
        if answer is None or answer.startswith("*"):  # the library does not know this scheme
            return Guess.UNFINISHED
        if answer == hashed:
            return Guess.OPENED
    return Guess.RESISTED


def _price(hashed: str) -> int | None:
    """Units for one guess, or `None` for a scheme nobody here can run."""
    base = next((cost for pattern, cost in _COSTS if pattern.match(hashed)), None)
    if base is None:
        return None
    if match := _ROUNDS.match(hashed):
        return max(1, base * int(match.group(1)) // _USUAL_ROUNDS)
    if match := _BCRYPT.match(hashed):
        return max(1, base << int(match.group(1)) >> _USUAL_BCRYPT)
    return base


def _crypt() -> Crypt | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import crypt  # noqa: PLC0415  (rule 3)
    except ImportError:
        return None

    def run(word: str, hashed: str) -> str | None:
        try:
            return crypt.crypt(word, hashed)
        except OSError:  # how the C library refuses a malformed salt
            return None

    return run
