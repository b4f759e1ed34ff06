"""A device's essential function, as a small real TCP service: ``python -m holdfast_sim.service NAME ADDRESS PORT...``.

1. Whoever connects is told the name and how much was done so far, which grows by itself: an answer that says more
   than an earlier one shows that the function went on in between.
2. All ports give the same answer; the first is the essential function's, the others are what else the device opens.
3. With ``--reads FILE`` it works only while everybody may read that file, as a program that runs under a user of its
   own needs it to: it closes its ports when that ends, and goes on from where it was when it may again.
"""

from __future__ import annotations

import argparse
import selectors
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

PER_SECOND = 25
"""Frames, readings or strokes: how fast the function goes on."""
ANSWER_BYTES = 200
LOOK_EVERY_S = 0.02
"""Between two looks at the file of rule 3."""


def serve(name: str, address: str, ports: list[int], *, reads: Path | None = None) -> NoReturn:
    """Answer on all of `ports` until the process ends. Raises OSError when a port cannot be had."""
    worked_s = 0.0
    while True:
        if not _may_read(reads):
            time.sleep(LOOK_EVERY_S)
            continue
        with _opened(address, ports) as selector:
            sys.stdout.write(f"{name} answers on {address}, ports {' '.join(map(str, ports))}\n")
            sys.stdout.flush()
            begun = time.monotonic() - worked_s
            while _may_read(reads):
                worked_s = time.monotonic() - begun
                for key, _ in selector.select(LOOK_EVERY_S if reads else None):
                    _answer(key.fileobj, f"{name} {int((time.monotonic() - begun) * PER_SECOND)}\n")  # type: ignore[arg-type]  # only sockets are registered


def _may_read(path: Path | None) -> bool:
    if path is None:
        return True
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


@contextmanager
def _opened(address: str, ports: list[int]) -> Iterator[selectors.DefaultSelector]:
    with selectors.DefaultSelector() as selector:
        listening = [socket.create_server((address, port), backlog=16) for port in ports]
        try:
            for each in listening:
                selector.register(each, selectors.EVENT_READ)
            yield selector
        finally:
            for each in listening:
                each.close()


def _answer(listening: socket.socket, text: str) -> None:
    # A caller that is gone again is no reason to stop.
    with suppress(OSError):
        connection, _peer = listening.accept()
        with connection:
            connection.settimeout(1)
            connection.sendall(text.encode())


def ask(address: str, port: int, *, timeout: float = 5.0) -> tuple[str, int] | None:
    """Name and progress that the service at `address` tells; `None` when nothing answers in `timeout` seconds."""
    try:
        with socket.create_connection((address, port), timeout) as connection:
            name, _, done = connection.makefile("rb").readline(ANSWER_BYTES).decode().strip().rpartition(" ")
    except (OSError, UnicodeDecodeError):
        return None
    return (name, int(done)) if done.isdecimal() else None


def _main(arguments: list[str]) -> NoReturn:
    parser = argparse.ArgumentParser(prog="holdfast_sim.service")
    parser.add_argument("--reads", type=Path)
    parser.add_argument("name")
    parser.add_argument("address")
    parser.add_argument("ports", type=int, nargs="+")
    options = parser.parse_args(arguments)
    serve(options.name, options.address, options.ports, reads=options.reads)


if __name__ == "__main__":
    _main(sys.argv[1:])
