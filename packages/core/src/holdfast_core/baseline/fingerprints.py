"""What makes two findings the same in two audits: the control, and what its proof is about, not how it is worded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

_PATH = re.compile(r"/[^\s:,;]*")
_SETTING = re.compile(r"([A-Za-z_][^\s=]*)(?: = | is ')")


def path_of(item: str) -> str | None:
    """The path that an item of proof starts with, if it does."""
    match = _PATH.match(item)
    return match.group() if match else None


def subject(item: str) -> str:
    """What an item of proof is about: its path, the name of its setting, or all of it."""
    setting = _SETTING.match(item)
    return path_of(item) or (setting[1] if setting else item)


def fingerprint(control: str, proof: Iterable[str]) -> str:
    """The same for the same finding in the next audit, whatever else its proof says."""
    subjects = sorted({subject(item) for item in proof})
    return hashlib.sha256("\n".join((control, *subjects)).encode("utf-8", "surrogateescape")).hexdigest()[:32]
