"""Group DAT."""

from __future__ import annotations

from typing import Any

from hardened.shape import Break
from probe_builders import Files

GOOD: Files = {}
PLAN: dict[str, tuple[Any, ...]] = {}
FACTS: dict[str, Any] = {}
LIVE_ONLY: frozenset[str] = frozenset()
FOLDER_ONLY: frozenset[str] = frozenset()
BREAKS: dict[str, Break] = {}
