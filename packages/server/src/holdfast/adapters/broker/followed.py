"""The log of a broker, followed: for whoever asks from a mark of its own, and for who is connected.

1. Reading for one never moves the other.
2. A log is put aside only after it was read to its end here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.adapters.broker.tail import Lines, lines_since, put_aside
from holdfast.ports.broker import Observed, Seen

Read = Callable[[Sequence[str]], list[Seen]]


class FollowedLog:
    """One log file; `keep_up` is given every line once, in order."""

    def __init__(self, path: Path, keep_up: Read) -> None:
        self._path = path
        self._keep_up = keep_up
        self._mark = ""
        self._turn = asyncio.Lock()

    async def follow(self) -> None:
        """Read to the end."""
        async with self._turn:
            more = True
            while more:
                found = await self._since(self._mark)
                self._keep_up(found.lines)
                self._mark, more = found.mark, found.more

    async def observe(self, mark: str, read: Read) -> Observed:
        """What `read` makes of the next lines since `mark`."""
        found = await self._since(mark)
        return Observed(found.mark, tuple(read(found.lines)), missed=found.missed)

    async def put_aside(self) -> bool:
        """Put a log aside that has grown too large; whether the broker must be told."""
        await self.follow()
        return await asyncio.to_thread(put_aside, self._path)

    async def _since(self, mark: str) -> Lines:
        return await asyncio.to_thread(lines_since, self._path, mark)
