"""Signatures that were verified and held, so that the same file of the next device costs a hash instead of a curve.

1. A mark is a digest over everything that a verification depends on: key, hash, digest and signature. Whoever finds two
   with one mark has broken SHA-256.
2. Only what held is remembered. What fails costs whoever sent it, and cannot push out what a fleet needs.
3. The bound is on memory: two halves, of which the older is dropped whole when the newer is full. What is still used
   moves to the newer one.
"""

from __future__ import annotations

import hashlib

HALF = 32_768
"""Marks in each half: both together are under 8 MB, and hold the files of several releases."""


class Remembered:
    """A bounded set of marks."""

    def __init__(self, half: int = HALF) -> None:
        self._half = half
        self._newer: set[bytes] = set()
        self._older: set[bytes] = set()

    def __contains__(self, mark: bytes) -> bool:
        if mark in self._newer:
            return True
        if mark not in self._older:
            return False
        self.add(mark)
        return True

    def add(self, mark: bytes) -> None:
        """Remember `mark`."""
        if len(self._newer) >= self._half:
            self._older, self._newer = self._newer, set()
        self._newer.add(mark)


def mark_of(*parts: bytes) -> bytes:
    """The mark of a verification; every part counts with its length, so that no two lists of parts read alike."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(4, "big"))
        hashed.update(part)
    return hashed.digest()
