"""Reading revocation lists where relying parties find them: a file, or an address of plain HTTP or HTTPS.

1. What is read is bounded while it is read; a server that never ends, or never begins, is left.
2. The addresses come from the configuration or from whoever runs the command, never from a certificate or a device.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from holdfast_core.kernel.errors import LimitExceeded, WorldError
from holdfast_core.kernel.limits import Limits

TIMEOUT_SECONDS = 20.0
WHOLE_SECONDS = 120.0
SCHEMES = ("http://", "https://")


class ListFetcher:
    """Implements `holdfast.ports.validity.Fetcher`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    async def fetch(self, address: str) -> bytes:
        """See the port."""
        if not address.startswith(SCHEMES):
            return await asyncio.to_thread(self._read, Path(address))
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                return await self._get(address)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            why = str(error) or "no answer in time"
            raise _unreachable(address, why) from error

    async def _get(self, address: str) -> bytes:
        client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False)
        async with client, client.stream("GET", address) as answer:
            if not answer.is_success:
                raise _unreachable(address, f"it answers {answer.status_code}")
            parts: list[bytes] = []
            size = 0
            async for part in answer.aiter_bytes():
                size += len(part)
                if size > self._limits.crl_bytes:
                    raise _too_large(address, self._limits)
                parts.append(part)
            return b"".join(parts)

    def _read(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                data = file.read(self._limits.crl_bytes + 1)
        except OSError as error:
            raise _unreachable(str(path), error.strerror or type(error).__name__) from error
        if len(data) > self._limits.crl_bytes:
            raise _too_large(str(path), self._limits)
        return data


def _unreachable(address: str, why: str) -> WorldError:
    return WorldError(
        "crl.unreachable",
        f"There is no list to be had at {address[:200]}: {why[:200]}.",
        remedy="Bring it there again (holdfast crl export FILE): who goes by it may check nothing now.",
    )


def _too_large(address: str, limits: Limits) -> LimitExceeded:
    return LimitExceeded(
        "crl.too_large",
        f"What is at {address[:200]} has over {limits.crl_bytes} bytes.",
        remedy="Check that it is the right file or address; ours has about 50 bytes a revoked certificate.",
    )
