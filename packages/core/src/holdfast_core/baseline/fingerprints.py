"""What makes two findings the same in two audits: the control, and what its proof is about, not how it is worded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

_PATH = re.compile(r"/[^\s:,;]*")
_PLACE = re.compile(r"""(?:^|(?<=[\s('"=]))(/[^\s:,;)'"]*)(?::([1-9][0-9]{0,6})(?![0-9A-Za-z]))?""")
_SETTING = re.compile(r"([A-Za-z_][^\s=]*)(?: = | is ')")


def path_of(item: str) -> str | None:
    """The path that an item of proof starts with, if it does."""
    match = _PATH.match(item)
    return match.group() if match else None


def place_of(item: str) -> tuple[str, int | None] | None:
    """The first absolute path anywhere in an item of proof, and the line that it names there."""
    found = _PLACE.search(item)
    if found is None or found[1].startswith("//"):
        return None
    path = found[1] if found[2] else found[1].rstrip(".")
    return path, int(found[2]) if found[2] else None


def subject(item: str) -> str:
    """What an item of proof is about: its path, the name of its setting, or all of it."""
    setting = _SETTING.match(item)
    return path_of(item) or (setting[1] if setting else item)


def fingerprint(control: str, proof: Iterable[str]) -> str:
    """The same for the same finding in the next audit, whatever else its proof says."""
    subjects = sorted({subject(item) for item in proof})
    return hashlib.sha256("\n".join((control, *subjects)).encode("utf-8", "surrogateescape")).hexdigest()[:32]
