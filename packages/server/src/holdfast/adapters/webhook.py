"""The one webhook, signed after Standard Webhooks: HMAC-SHA256 over ``id.timestamp.body``."""

from __future__ import annotations

import base64
import hashlib
import hmac

import httpx

from holdfast.ports.store import Delivery
from holdfast_core.kernel.instants import SECOND, Instant

TIMEOUT_SECONDS = 10.0
SECRET_PREFIX = "whsec_"  # noqa: S105  (the standard's prefix, no secret)


def signature(secret: bytes, message: str, timestamp: int, body: bytes) -> str:
    """The ``webhook-signature`` header of one message."""
    signed = f"{message}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


class WebhookNotifier:
    """Implements `holdfast.ports.notifier.Notifier` over HTTP.

    Args:
        url: the receiver.
        secret: as text, ``whsec_`` and base64.
    """

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._secret = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
        # Redirects are not followed: a receiver that moved is configured anew, not trusted to say where to.
        self._client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False)

    async def send(self, delivery: Delivery, now: Instant) -> bool:
        """See the port."""
        timestamp = now // SECOND
        headers = {
            "content-type": "application/json",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._secret, delivery.id, timestamp, delivery.body),
        }
        try:
            async with self._client.stream("POST", self._url, content=delivery.body, headers=headers) as response:
                return response.is_success  # the answer's body is not read: it has no say
        except httpx.HTTPError:
            return False

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
