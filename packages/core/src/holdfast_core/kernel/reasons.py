"""Reasons: a denial or a verdict is never a bare bool."""

from __future__ import annotations

import msgspec


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why: a stable dotted `code`, a `sentence` for a person, and what to do (`remedy`, may be empty when nothing is owed)."""

    code: str
    sentence: str
    remedy: str = ""
