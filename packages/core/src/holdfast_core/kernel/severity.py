"""Severity: how much a finding matters, worst first."""

from __future__ import annotations

from enum import StrEnum


class Severity(StrEnum):
    """How much it matters that something is wrong."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """0 for critical, rising as it matters less; sort by it to put the worst first."""
        return list(Severity).index(self)
