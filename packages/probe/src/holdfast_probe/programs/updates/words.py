"""What a reader of one updater's settings has to say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

from holdfast_probe.roots import Root


class Word(msgspec.Struct, frozen=True):
    """One updater's answer: `good`, not good, or left open (`None`), and what shows it."""

    good: bool | None
    said: str


Reader: TypeAlias = Callable[[Root], Iterable[Word]]
"""Says nothing where its updater is not set up."""
