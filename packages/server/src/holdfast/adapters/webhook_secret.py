"""The webhook's secret, in a file that the vault sealed. Its receiver is told it once: `holdfast vault webhook`."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path

from holdfast.adapters import durable
from holdfast.adapters.pki.files import read
from holdfast.adapters.webhook import SECRET_PREFIX
from holdfast.ports.vault import Vault

FILE = "webhook.secret"
_BYTES = 32
_CONTEXT = "webhook secret"


class WebhookSecret:
    """Implements `holdfast.ports.vault.Sealing` for the file ``webhook.secret`` in `keys`."""

    def __init__(self, keys: Path, vault: Vault) -> None:
        self._path = keys / FILE
        self._vault = vault

    def make(self) -> bool:
        """Make one where there is none; whether it did."""
        text = SECRET_PREFIX.encode() + base64.b64encode(os.urandom(_BYTES))
        return not self._path.exists() and durable.put_new(self._path, self._vault.seal(text, _CONTEXT))

    def text(self) -> str:
        """The secret as Standard Webhooks writes it.

        Raises:
            WorldError: ``files.missing``, ``vault.*``.
        """
        return self._vault.unseal(read(self._path), _CONTEXT).decode()

    def protect(self) -> bool:
        """Seal one that an older Holdfast left in the clear; whether it did."""
        data = read(self._path)
        if not data.startswith(SECRET_PREFIX.encode()):
            return False
        durable.put(self._path, self._vault.seal(data.strip(), _CONTEXT))
        return True

    async def reseal(self) -> int:
        """See the port."""
        return await asyncio.to_thread(self._reseal)

    def _reseal(self) -> int:
        if not self._path.exists() or self._vault.is_current(read(self._path)):
            return 0
        durable.put(self._path, self._vault.seal(self.text().encode(), _CONTEXT))
        return 1
