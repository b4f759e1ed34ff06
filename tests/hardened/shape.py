"""What a group's module is written with."""

from __future__ import annotations

from typing import Any

import msgspec

from probe_builders import Files


class Break(msgspec.Struct, frozen=True, kw_only=True):
    """What makes one control of the good tree fail, and no other."""

    files: Files = {}
    """Added or replaced."""
    gone: tuple[str, ...] = ()
    """Removed: files, links or whole folders."""
    modes: dict[str, int] = {}
    owners: dict[str, tuple[int, int]] = {}
    facts: dict[str, Any] = {}
    """Facts of the build manifest that are stated differently."""
    live: bool = False
    """Whether it shows on the running system only."""
    fixed_by_hand: str = ""
    """Why no mend can repair this break although the control has one; empty where it can."""
