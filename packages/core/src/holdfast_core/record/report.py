"""What verifying an exported record came to: values that the command line prints and `--json` encodes.

1. A report separates what signed roots prove from what is only the export's own word.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Outcome(StrEnum):
    """What verifying an export came to."""

    VERIFIED = "verified"
    """Every leaf is the one that a key trusted beforehand signed, and every pin agrees."""
    KEY_UNTRUSTED = "consistent-key-untrusted"
    """All fits together, but the key came with the export: whoever wrote the one could have written the other."""
    BROKEN = "broken"
    """Something does not fit; the findings say what."""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One kind of fault: stable dotted `code`, `sentence`, `remedy`, and the leaf `index` where it was first seen."""

    code: str
    sentence: str
    remedy: str
    index: int | None = None


class VerifyReport(msgspec.Struct, frozen=True):
    """What verifying an export found."""

    outcome: Outcome
    origin: str
    key: str
    """The verifier key that the signatures were checked with; empty when there was none to use."""
    key_from_export: bool
    size: int
    """Leaves that the export's checkpoint speaks of."""
    leaves: int
    """Leaves that were read."""
    root: bytes
    """Root over the leaves that were read (32 bytes)."""
    proven_prefix: int
    """The first so many leaves are what a verified checkpoint, the export's or a pin, says they are."""
    pins_checked: int
    """Pins that the key signed and that are of this log."""
    first_bad: int | None
    """The lowest index that a finding names."""
    first_bad_proven: bool
    """Whether signed roots prove that no leaf before `first_bad` is bad; else it is only where the file contradicts
    itself first."""
    findings: tuple[Finding, ...]
