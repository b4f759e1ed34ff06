"""SHA-1 and MD5 of payloads, which old clients compare: computed once, when the first of them asks, and kept.

1. They guard against nothing but a broken transfer: what is installed is signed, and told by its SHA-256.
2. One computation at a time for a payload, in threads, in bounded pieces; whoever waits too long is told to come back.
3. The payload is compared with its SHA-256 on the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib

from holdfast.ports.artefacts import LONGEST_READ, ArtefactStore, corrupt
from holdfast.ports.store import Store
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.ids import Scope
from holdfast_core.supply.model import Payload
from holdfast_core.update.ddi import OldHashes

PATIENCE_SECONDS = 10.0
"""How long a client's request waits; a gigabyte takes some seconds."""
RETRY_S = 30


class OldHashing:
    """Knows the old hashes of payloads."""

    def __init__(self, store: Store, artefacts: ArtefactStore) -> None:
        self._store = store
        self._artefacts = artefacts
        self._tasks: dict[tuple[Scope, str], asyncio.Task[OldHashes]] = {}

    async def of(self, scope: Scope, payload: Payload) -> OldHashes:
        """The old hashes of a payload.

        Raises:
            WorldError: ``ddi.hashing`` (503): come back; ``artefact.*``.
        """
        known = self._store.kept(OldHashes, scope, payload.digest)
        if known is not None:
            return known
        name = (scope, payload.digest)
        task = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = asyncio.create_task(self._keep(scope, payload.digest))
            task.add_done_callback(lambda _: self._tasks.pop(name, None))
        done, _ = await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
        if not done:
            raise WorldError(
                "ddi.hashing",
                "The hashes that this client compares are being computed.",
                remedy="Come back after the time in Retry-After.",
                retry_after_s=RETRY_S,
            )
        return task.result()

    async def _keep(self, scope: Scope, digest: Digest) -> OldHashes:
        sha1, md5 = await asyncio.to_thread(self._compute, digest)
        made = OldHashes(scope, digest, sha1=sha1, md5=md5)
        await self._store.commit([made])
        return made

    def _compute(self, digest: Digest) -> tuple[str, str]:
        """SHA-1 and MD5 as hexadecimal. Raises WorldError ``artefact.corrupt``, ``artefact.missing``."""
        sha256 = hashlib.sha256()
        sha1, md5 = hashlib.sha1(usedforsecurity=False), hashlib.md5(usedforsecurity=False)
        with contextlib.closing(self._artefacts.open(digest)) as opened:
            for start in range(0, opened.size, LONGEST_READ):
                piece = opened.read(start, LONGEST_READ)
                for each in (sha256, sha1, md5):
                    each.update(piece)
        if sha256.hexdigest() != digest.partition(":")[2]:
            raise corrupt(digest)
        return sha1.hexdigest(), md5.hexdigest()
