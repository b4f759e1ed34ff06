"""What the administrator lets decide over each device of a production line."""

from __future__ import annotations

from typing import Protocol


class Hook(Protocol):
    """Asked once for each device, before anything is used up."""

    async def ask(self, question: bytes) -> bytes:
        """The answer to `question`, both JSON; not judged yet.

        Raises:
            WorldError: ``hook.failed``, ``hook.timeout``.
        """
        ...
