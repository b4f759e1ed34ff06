"""The peer of the check-in benchmark: a bare mutual-TLS uvicorn that answers a POST with a fixed body.

Same TLS settings, same event loop, same HTTP parser; no durability, no appraisal, no store. What Holdfast's figure is
below this one is what the check-in itself costs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from holdfast.adapters.pki import find_passphrase
from holdfast.web.tls import device_context

REPLY = b'{"v":1,"seq":1,"now":0,"next_s":900,"nonce":"aaaaaaaaaaaaaaaaaaaaaa","verdict":{"level":"trusted"}}'


async def app(_scope: object, receive: object, send: object) -> None:
    """Read the body, answer."""
    while (await receive()).get("more_body"):  # type: ignore[operator]  # ASGI
        pass
    headers = [(b"content-length", str(len(REPLY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})  # type: ignore[operator]  # ASGI
    await send({"type": "http.response.body", "body": REPLY})  # type: ignore[operator]  # ASGI


if __name__ == "__main__":
    keys, port = Path(sys.argv[1]), int(sys.argv[2])
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        lifespan="off",
        log_level="warning",
        access_log=False,
        ssl_context_factory=lambda _config, _default: device_context(keys, find_passphrase(keys, {}).reveal()),
    )
    uvicorn.Server(config).run()
