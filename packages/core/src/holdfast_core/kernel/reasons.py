"""Reasons: a denial or a verdict is never a bare bool."""

from __future__ import annotations

import msgspec


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why: a stable dotted `code`, a `sentence` for a person, and the `remedy` (empty when nothing is owed)."""

    code: str
    sentence: str
    remedy: str = ""
