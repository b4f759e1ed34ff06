"""Digests: SHA-256, written ``sha256:`` and 64 lower-case hex digits."""

from __future__ import annotations

import hashlib
import re
from typing import Any, NewType

import msgspec

from holdfast_core.kernel.errors import HostileData

Digest = NewType("Digest", str)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CANONICAL = msgspec.json.Encoder(order="sorted")


def digest_of(data: bytes) -> Digest:
    """SHA-256 of `data`."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def canonical(value: Any) -> bytes:
    """One byte form for a value: JSON, object keys sorted, no white space."""
    return _CANONICAL.encode(value)


def parse_digest(text: str) -> Digest:
    """Return `text` as a digest, or raise `HostileData` ``digest.invalid``."""
    if not _DIGEST.fullmatch(text):
        raise HostileData(
            "digest.invalid",
            f"{text[:80]!r} is not a digest.",
            remedy="Write 'sha256:' and 64 lower-case hexadecimal digits.",
        )
    return Digest(text)
