"""The essential function of a virtual camera: a stream that goes on by itself, and answers whoever asks over TCP.

1. It leaves each frame's number in ``run/frame`` of the camera's tree, which is how the camera tells that it goes on.
2. A caller sends one line. ``stream`` is answered with name, release and frame, ``settings`` as the release does: one
   that leaks shows the password of its viewers without having asked who is there.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

FRAME = "run/frame"
PER_SECOND = 25
LINE = 200
"""Bytes of a question or an answer."""
STREAM, SETTINGS = "stream", "settings"
REFUSED = "refused: sign in first"
_LOOK_EVERY_S = 0.2
_PATIENCE_S = 5.0


class Stream:
    """The stream of the camera `name` under `release`, on this machine's loopback, from now on until `stop`.

    Args:
        root: the camera's file tree.
        name: the camera.
        release: what it runs.
        port: where it answers.
        leaks: whether it has the flaw.

    Raises:
        OSError: the port cannot be had.
    """

    def __init__(self, root: Path, name: str, release: str, port: int, *, leaks: bool) -> None:
        self._frame = root / FRAME
        self._frame.parent.mkdir(parents=True, exist_ok=True)
        self._says = f"{name} {release}"
        self._leaks = leaks
        self._begun = time.monotonic()
        self._over = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", port), backlog=16)
        self._film()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it, as the end of the power does."""
        self._over.set()
        self._thread.join()

    def _film(self) -> int:
        frame = int((time.monotonic() - self._begun) * PER_SECOND)
        self._frame.write_text(f"{frame}\n")
        return frame

    def _serve(self) -> None:
        with self._socket, selectors.DefaultSelector() as ready:
            ready.register(self._socket, selectors.EVENT_READ)
            while not self._over.is_set():
                asked = ready.select(_LOOK_EVERY_S)
                frame = self._film()
                if asked:
                    # A caller that is gone again, or says nothing, is no reason to stop.
                    with suppress(OSError):
                        self._answer(frame)

    def _answer(self, frame: int) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.settimeout(1)
            asked = connection.makefile("rb").readline(LINE).strip().decode("ascii", "replace")
            if asked == SETTINGS:
                said = "viewers' password: sunflower" if self._leaks else REFUSED
            else:
                said = f"{self._says} {frame}"
            connection.sendall(said.encode() + b"\n")


def ask(port: int, question: str = STREAM) -> str | None:
    """What the camera at `port` answers to a question; `None` where nobody does."""
    try:
        with socket.create_connection(("127.0.0.1", port), _PATIENCE_S) as connection:
            connection.sendall(question.encode() + b"\n")
            return connection.makefile("rb").readline(LINE).strip().decode("utf-8", "replace") or None
    except OSError:
        return None
