"""A device's essential function, as a small real TCP service: ``python -m holdfast_sim.service NAME ADDRESS PORT...``.

1. Whoever connects is told the name and how much was done so far, which grows by itself: an answer that says more
   than an earlier one shows that the function went on in between.
2. All ports give the same answer; the first is the essential function's, the others are what else the device opens.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time
from contextlib import suppress
from typing import NoReturn

PER_SECOND = 25
"""Frames, readings or strokes: how fast the function goes on."""
ANSWER_BYTES = 200


def serve(name: str, address: str, ports: list[int]) -> NoReturn:
    """Answer on all of `ports` until the process ends. Raises OSError when a port cannot be had."""
    begun = time.monotonic()
    selector = selectors.DefaultSelector()
    for port in ports:
        selector.register(socket.create_server((address, port), backlog=16), selectors.EVENT_READ)
    sys.stdout.write(f"{name} answers on {address}, ports {' '.join(map(str, ports))}\n")
    sys.stdout.flush()
    while True:
        for key, _ in selector.select():
            done = int((time.monotonic() - begun) * PER_SECOND)
            # A caller that is gone again is no reason to stop.
            with suppress(OSError):
                connection, _peer = key.fileobj.accept()  # type: ignore[union-attr]  # only sockets are registered
                with connection:
                    connection.settimeout(1)
                    connection.sendall(f"{name} {done}\n".encode())


def ask(address: str, port: int, *, timeout: float = 5.0) -> tuple[str, int] | None:
    """Name and progress that the service at `address` tells; `None` when nothing answers in `timeout` seconds."""
    try:
        with socket.create_connection((address, port), timeout) as connection:
            name, _, done = connection.makefile("rb").readline(ANSWER_BYTES).decode().strip().rpartition(" ")
    except (OSError, UnicodeDecodeError):
        return None
    return (name, int(done)) if done.isdecimal() else None


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], [int(port) for port in sys.argv[3:]])
