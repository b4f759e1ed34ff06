"""Reasons: a denial or a verdict is never a bare bool."""

from __future__ import annotations

import msgspec

from holdfast_core.kernel.errors import HostileData


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why: a stable dotted `code`, a `sentence` for a person, and the `remedy` (empty when nothing is owed)."""

    code: str
    sentence: str
    remedy: str = ""


def require_why(why: str) -> None:
    """What a person does stands in the record with a reason.

    Raises:
        HostileData: ``why.missing``.
    """
    if not why.strip():
        raise HostileData(
            "why.missing",
            "A reason is needed.",
            remedy="Say in a sentence why (on the command line: --why); it will be on record.",
        )
