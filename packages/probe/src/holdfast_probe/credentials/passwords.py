"""Guessing default passwords against hashes, within a price.

1. Hashes never leave this module; callers learn yes, no or "could not finish", and which public default it was.
2. The price is counted in nominal units, not in measured time, so that the same tree always gets the same answer.
3. What is cheapest in all comes first: the notorious defaults before the merely published, a quick hash before a
   slow one; so a short purse is spent on as many accounts as it can pay for.
4. On a hash that is costly by design (yescrypt, bcrypt) only the notorious defaults are tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

from holdfast_probe.budget import Purse
from holdfast_probe.credentials.defaults import NOTORIOUS, PUBLISHED
from holdfast_probe.credentials.hashing import Crypt, crypt


class Guess(StrEnum):
    """How guessing ended."""

    OPENED = "opened"
    RESISTED = "resisted"
    UNFINISHED = "unfinished"


_COSTS = (
    (re.compile(r"\$1\$"), 1),
    (re.compile(r"\$[56]\$"), 4),
    (re.compile(r"\$2[abxy]\$"), 60),
    (re.compile(r"[./0-9A-Za-z]{13}$"), 1),
)
_HARD = re.compile(r"\$(?:(?:y|gy)\$j(?P<yescrypt>[./0-9A-Za-z])T|7\$(?P<scrypt>[./0-9A-Za-z])6\.{4}/\.{4})")
"""Memory-hard hashes with their usual shape; each letter later doubles time and memory. Other shapes are not tried."""
_LETTERS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_USUAL_HARD = {"yescrypt": "9", "scrypt": "C"}
_HARD_COST = 40
_HARDEST = 1
"""Doublings beyond the usual that are still tried: 32 MiB, which a small device can spare for a moment."""
_ROUNDS = re.compile(r"\$[56]\$rounds=([0-9]{1,9})\$")
_BCRYPT = re.compile(r"\$2[abxy]\$([0-9]{2})\$")
_USUAL_ROUNDS = 5000
_USUAL_BCRYPT = 10
_CHEAP = 4
"""Units up to which every published default is tried."""

Ended = tuple[Guess, str]
"""How it ended, and the default that opened it."""
_RESISTED: Ended = (Guess.RESISTED, "")


def guess_all(hashes: Iterable[tuple[str, str]], purse: Purse) -> dict[str, Ended]:
    """Try the account's own name and the public defaults on crypt(3) hashes, given as pairs of account and hash."""
    run = crypt()
    ended: dict[str, Ended] = {}
    tasks: list[tuple[int, str, str, tuple[str, ...], int]] = []
    for name, hashed in hashes:
        price = _price(hashed)
        if price is None:
            ended[name] = (Guess.UNFINISHED, "")
            continue
        first = (name, *NOTORIOUS, name + "123", name + "1234", "")
        tasks += [
            (price * len(words), name, hashed, words, price) for words in (first, PUBLISHED)[: 1 + (price <= _CHEAP)]
        ]
    for _, name, hashed, words, price in sorted(tasks):
        if ended.get(name, _RESISTED) == _RESISTED:
            ended[name] = _try(run, hashed, words, price, purse) if run else (Guess.UNFINISHED, "")
    return ended


def _try(run: Crypt, hashed: str, words: Sequence[str], price: int, purse: Purse) -> Ended:
    for word in dict.fromkeys(words):
        if purse.left < price:
            return Guess.UNFINISHED, ""
        purse.left -= price
        answer = run(word, hashed)
        if answer is None:
            return Guess.UNFINISHED, ""
        if answer == hashed:
            return Guess.OPENED, word
    return _RESISTED


def _price(hashed: str) -> int | None:
    """Units for one guess, or `None` for a scheme nobody here can run."""
    if match := _HARD.match(hashed):
        kind = str(match.lastgroup)
        doublings = _LETTERS.index(match.group(kind)) - _LETTERS.index(_USUAL_HARD[kind])
        return None if doublings > _HARDEST else _HARD_COST << max(0, doublings)
    base = next((cost for pattern, cost in _COSTS if pattern.match(hashed)), None)
    if base is None:
        return None
    if match := _ROUNDS.match(hashed):
        return max(1, base * int(match.group(1)) // _USUAL_ROUNDS)
    if match := _BCRYPT.match(hashed):
        return max(1, base << int(match.group(1)) >> _USUAL_BCRYPT)
    return base
