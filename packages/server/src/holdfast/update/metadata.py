"""The answer to one request for update metadata: both repositories and the time, bounded.

1. What the director changed is durable before it is sent: a server that forgets it would go back behind a version that
   a device holds.
2. The image repository gets the room that the director leaves.
"""

from __future__ import annotations

import msgspec

from holdfast.ports.clock import Clock
from holdfast.ports.store import Store
from holdfast.update.director import Director
from holdfast.update.image_repository import ImageRepository
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.wire.update_metadata import FILES, LARGEST_BROUGHT, LARGEST_HOLDING, Brought, Holding

_HOLDING = msgspec.json.Decoder(Holding)
_ENVELOPE = 4 * 1024
"""Bytes of an answer that are not files: names, quotes, the time."""


class MetadataAnswers:
    """Answers devices that ask what is newer."""

    def __init__(self, *, store: Store, clock: Clock, images: ImageRepository, director: Director) -> None:
        self._store, self._clock = store, clock
        self._images, self._director = images, director

    async def answer(self, key: DeviceKey, body: bytes) -> bytes:
        """The answer to a request's body, as JSON.

        Raises:
            HostileData: ``update.holding``; LimitExceeded: ``update.holding_too_large``.
            HoldfastError: what keeps the scope's repositories from being served.
        """
        return msgspec.json.encode(await self.brought(key, read_holding(body)))

    async def brought(self, key: DeviceKey, holding: Holding, path: str | None = None) -> Brought:
        """What a device lacks.

        Args:
            key: the device.
            holding: what it holds.
            path: the target that it is directed to, where somebody else knows; else the director's own word counts.
        """
        now = self._clock.now()
        async with self._store.exclusive(key):
            director, changes = self._director.files_newer(key, holding.director, now)
            if changes:
                await self._store.commit(changes)
        wanted = self._director.path(key) if path is None else path
        image = self._images.files_newer(holding.image, wanted, key.scope)
        time = self._director.signed_time(key, holding.nonce, now) if holding.nonce is not None else b""
        return Brought(
            director=director, image=fitting(image, LARGEST_BROUGHT - _ENVELOPE - _encoded(director)), time=time
        )

    async def director_file(self, key: DeviceKey, name: str) -> bytes | None:
        """A file of a device's director repository, by the name that a TUF client asks for."""
        async with self._store.exclusive(key):
            data, changes = self._director.file(key, name, self._clock.now())
            if changes:
                await self._store.commit(changes)
        return data

    def image_file(self, key: DeviceKey, name: str) -> bytes | None:
        """A file of the image repository, by the name that a TUF client asks for."""
        return self._images.file(key.scope, name)


def read_holding(body: bytes) -> Holding:
    """What a device says it holds.

    Raises:
        HostileData: ``update.holding``; LimitExceeded: ``update.holding_too_large``.
    """
    if len(body) > LARGEST_HOLDING:
        raise LimitExceeded(
            "update.holding_too_large",
            f"The request has {len(body)} bytes; {LARGEST_HOLDING} are allowed.",
            remedy="Say the versions of the roles that are needed, and no others.",
        )
    try:
        return _HOLDING.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HostileData(
            "update.holding",
            f"This does not say what a device holds: {error}.",
            remedy="Send the versions of both repositories as JSON (wire/update_metadata).",
        ) from None


def fitting(files: dict[str, bytes], room: int) -> dict[str, bytes]:
    """As many files as `room` bytes of JSON hold, in their order; the rest comes with the next request."""
    found: dict[str, bytes] = {}
    for name, data in files.items():
        room -= _size(name, data)
        if room < 0 or len(found) == FILES:
            break
        found[name] = data
    return found


def _encoded(files: dict[str, bytes]) -> int:
    return sum(_size(name, data) for name, data in files.items())


def _size(name: str, data: bytes) -> int:
    """Bytes of one file in the answer."""
    return len(name) + 8 + -(-len(data) // 3) * 4
