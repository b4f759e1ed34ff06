"""Local accounts of a model: what a secret of theirs is made of, and which declarations cannot be.

1. A secret that a person or a program could guess is refused where it is declared, not where it is made.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from holdfast_core.inventory.model import Alphabet, DeviceModel, LocalAccount

FEWEST_BITS = 40
"""What a random secret must have; a device that takes less needs a compensating control around it."""
LONGEST = 128
"""Characters; more than the accounts of any device take."""
MOST_DAYS = 3_660
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}")
"""What `useradd`, cameras and BMCs take, and what can stand in a path and a file name."""

_UPPER, _LOWER, _DIGITS = "ABCDEFGHJKLMNPQRSTUVWXYZ", "abcdefghijkmnopqrstuvwxyz", "23456789"
CLASSES: dict[Alphabet, tuple[str, ...]] = {
    Alphabet.LETTERS_DIGITS: (_UPPER, _LOWER, _DIGITS),
    Alphabet.LETTERS_DIGITS_SIGNS: (_UPPER, _LOWER, _DIGITS, "+-.=@_"),
    Alphabet.DIGITS: ("0123456789",),
}
"""The kinds of characters of each alphabet; a secret has at least one of every kind, as devices ask."""


def bits(account: LocalAccount) -> float:
    """How many bits of chance a secret of `account` has, at most."""
    return account.length * math.log2(sum(map(len, CLASSES[account.alphabet])))


def faults(model: DeviceModel) -> Iterator[tuple[str, str, str, str]]:
    """What cannot be about the model's local accounts: code, path, sentence, remedy."""
    names = [account.name for account in model.local_accounts]
    for index, account in enumerate(model.local_accounts):
        path = f"$.local_accounts[{index}]"
        if not _NAME.fullmatch(account.name):
            yield (
                "model.account_name",
                f"{path}.name",
                f"{account.name[:40]!r} is no account's name.",
                "Write 1 to 32 letters, digits, '_', '.' and '-', not starting with '.' or '-'.",
            )
        if account.name in names[:index]:
            yield (
                "model.duplicate",
                f"{path}.name",
                f"{account.name[:40]!r} appears twice.",
                "Name each account once.",
            )
        if not 1 <= account.rotate_days <= MOST_DAYS:
            yield (
                "model.number",
                f"{path}.rotate_days",
                f"{str(account.rotate_days)[:20]} is not possible here.",
                f"Write a whole number from 1 to {MOST_DAYS}.",
            )
        if not 1 <= account.length <= LONGEST or bits(account) < FEWEST_BITS:
            yield (
                "model.account_weak",
                f"{path}.length",
                f"A secret of {str(account.length)[:20]} characters of {account.alphabet.value} is not possible here.",
                f"Write at most {LONGEST} characters, and as many as give {FEWEST_BITS} bits: 13 digits, or 7 others.",
            )
