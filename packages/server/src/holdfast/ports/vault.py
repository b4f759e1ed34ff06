"""Secrets at rest: what the server must be able to read again, but nobody who copies its database.

1. What is sealed is bound to its context, a text that says what it is and whose: taken to another place it is refused.
2. Only what has to be read again is sealed. What is only compared (claims, tokens) is kept as a digest.
3. The key that seals can be rotated: what is sealed under an older one stays readable until all of it was sealed anew.
"""

from __future__ import annotations

from typing import Protocol


class Vault(Protocol):
    """Seals and unseals."""

    def seal(self, data: bytes, context: str) -> bytes:
        """`data`, sealed under the current key and bound to `context`.

        Raises:
            LimitExceeded: ``vault.too_large``.
            WorldError: ``vault.missing``, ``vault.damaged``, ``vault.passphrase_wrong``.
        """
        ...

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """What was sealed for `context`.

        Raises:
            WorldError: ``vault.malformed``, ``vault.key_unknown``, ``vault.refused`` (changed, or of another context).
        """
        ...

    def is_current(self, sealed: bytes) -> bool:
        """Whether it was sealed under the key that seals now."""
        ...

    def rotate(self) -> str:
        """Seal with a new key from now on; return its name."""
        ...

    def drop_old_keys(self) -> int:
        """Destroy every key but the current one; return how many. Nothing may be sealed under them any more."""
        ...


class Sealing(Protocol):
    """A part of the server that keeps sealed bytes."""

    async def reseal(self) -> int:
        """Seal anew what is not sealed under the current key; return how much that was."""
        ...
