"""The program that asks a virtual camera's security processor for a token: ``python token.py FOLDER NONCE``.

It is started for every proof, so it imports next to nothing. It enters the folder first: the path of a socket is short.
"""

from __future__ import annotations

import os
import socket
import sys

SOCKET = "chip"
PIECE = 65_536


def main() -> None:
    """Print the token."""
    folder, nonce = sys.argv[1:]
    os.chdir(folder)
    with socket.socket(socket.AF_UNIX) as chip:
        chip.connect(SOCKET)
        chip.sendall(bytes.fromhex(nonce))
        chip.shutdown(socket.SHUT_WR)
        while data := chip.recv(PIECE):
            sys.stdout.buffer.write(data)


if __name__ == "__main__":
    main()
