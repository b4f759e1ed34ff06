"""Rotating the key that secrets at rest are sealed under.

1. The new key seals from the first moment; the old ones are destroyed when every part has sealed anew what it keeps.
2. Interrupted anywhere, everything stays readable, and repeating it finishes the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, Noted
from holdfast.ports.store import Store
from holdfast.ports.vault import Sealing, Vault
from holdfast_core.kernel.ids import Scope
from holdfast_core.record.model import Kind


class Rotated(msgspec.Struct, frozen=True):
    """What a rotation came to: the new key's name, how many secrets were sealed anew, how many keys destroyed."""

    key: str
    resealed: int
    destroyed: int


class VaultService:
    """Looks after the vault's keys.

    Args:
        vault: whose keys.
        sealings: every part that keeps sealed bytes.
        store: for the record.
        clock: the server's time.
        emit: tells the listeners.
    """

    def __init__(self, *, vault: Vault, sealings: Sequence[Sealing], store: Store, clock: Clock, emit: Emit) -> None:
        self._vault = vault
        self._sealings = tuple(sealings)
        self._store = store
        self._clock = clock
        self._emit = emit
        self._rotating = asyncio.Lock()

    async def rotate(self, scope: Scope, *, actor: str) -> Rotated:
        """Seal with a new key, and everything anew.

        Raises:
            WorldError: ``vault.*``, ``files.disk``, ``store.*``; repeating it finishes what was begun.
        """
        async with self._rotating:
            key = await asyncio.to_thread(self._vault.rotate)
            resealed = sum([await sealing.reseal() for sealing in self._sealings])
            destroyed = await asyncio.to_thread(self._vault.drop_old_keys)
            rotated = Rotated(key, resealed, destroyed)
            data = msgspec.structs.asdict(rotated)
            await self._store.commit(self._emit(Noted(Kind.VAULT_ROTATED, actor, None, scope, data, self._clock.now())))
            return rotated
