"""How much one address may ask, so that one cannot keep the others from being told who is revoked.

1. What is asked here is public and signed once for many; what costs is an answer with a nonce, about 0.2 ms.
2. A whole site may stand behind one address: the bound is far above what its devices need.
3. A network of IPv6 (/64) counts as one address, for who has one address of it has all.
4. Counts are of one window and forgotten with it, so what strangers make grow here ends by itself.
"""

from __future__ import annotations

import ipaddress
from collections import Counter

from holdfast_core.kernel.errors import LimitExceeded
from holdfast_core.kernel.instants import SECOND, Instant

WINDOW = 10 * SECOND
NETWORK_BITS = 64


def network_of(address: str) -> str:
    """What an address counts as."""
    if ":" not in address:
        return address
    plain = address.partition("%")[0]  # a link's own name after the address
    return str(ipaddress.ip_network(f"{plain}/{NETWORK_BITS}", strict=False))


class Rate:
    """Counts the requests of each address.

    Args:
        most: requests of one address in one window.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: Counter[str] = Counter()
        self._since = Instant(0)

    def admit(self, address: str, now: Instant) -> None:
        """Count a request.

        Raises:
            LimitExceeded: ``http.too_often`` (429).
        """
        if not self._since <= now < self._since + WINDOW:
            self._since = now
            self._counts.clear()
        name = network_of(address)
        self._counts[name] += 1
        if self._counts[name] > self._most:
            raise LimitExceeded(
                "http.too_often",
                f"More than {self._most} requests from this address within {WINDOW // SECOND} s.",
                remedy="Keep answers for as long as Cache-Control says, and come back after Retry-After.",
                http_status=429,
            )
