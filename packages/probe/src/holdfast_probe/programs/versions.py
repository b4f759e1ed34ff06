"""Comparing versions of Debian packages. Source: deb-version(7)."""

from __future__ import annotations

import re

_PARTS = re.compile(r"([^0-9]*)([0-9]*)")


def older(left: str, right: str) -> bool:
    """Whether `left` comes before `right`."""
    return _key(left) < _key(right)


def _key(version: str) -> tuple[int, list[tuple[list[int], int]], list[tuple[list[int], int]]]:
    epoch, sign, rest = version.partition(":")
    if not sign:
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "0")
    return int(epoch) if _number(epoch) else 0, _split(upstream), _split(revision)


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10  # noqa: PLR2004  (no epoch is longer)


def _split(text: str) -> list[tuple[list[int], int]]:
    """Runs of other signs and of digits in turn; what ends sorts after ``~`` and before everything else."""
    pairs = [(plain, digits) for plain, digits in _PARTS.findall(text[:256]) if plain or digits]
    return [([*map(_weight, plain), 0], int(digits or 0)) for plain, digits in [*pairs, ("", "")]]


def _weight(sign: str) -> int:
    if sign == "~":
        return -1
    return ord(sign) if sign.isalpha() else ord(sign) + 256
