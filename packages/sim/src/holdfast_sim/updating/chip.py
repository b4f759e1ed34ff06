"""The security processor of a virtual camera: it was told by the boot loader what was measured, and signs it.

1. What is measured is fixed for a boot: nothing that runs later can tell the chip anything else.
2. Whoever runs on the camera may ask for a token with any nonce, as on a real one; the key never comes out.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path

from holdfast_sim.psa import Processor
from holdfast_sim.updating.token import SOCKET

NONCE = 64
"""Bytes of a nonce, at most."""
_LOOK_EVERY_S = 0.2


class Chip:
    """The chip in `folder`, from one boot to the next. `folder` is this process's own, for a socket's path is short.

    Args:
        keys: the folder with its key.
        measured: what the boot loader measured.

    Raises:
        WorldError: ``sim.psa_key``.
    """

    def __init__(self, keys: Path, measured: str) -> None:
        self._processor = Processor(keys, measured)
        self._over = threading.Event()
        Path(SOCKET).unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(SOCKET)
        self._socket.listen(4)
        self._socket.settimeout(_LOOK_EVERY_S)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The power goes."""
        self._over.set()
        self._thread.join()

    def _serve(self) -> None:
        with self._socket:
            while not self._over.is_set():
                # Nobody asked yet, or who did is gone again.
                with suppress(OSError):
                    self._answer()

    def _answer(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.settimeout(1)
            nonce = b""
            while piece := connection.recv(NONCE):
                nonce = (nonce + piece)[:NONCE]
            connection.sendall(self._processor.token(nonce))
