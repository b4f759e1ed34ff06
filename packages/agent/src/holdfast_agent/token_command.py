"""A token of the device's security processor, from the program that the maker gives for it.

1. The program is named by its whole path with its arguments, and started without a shell. Its last argument is the
   binding in hexadecimal, which becomes the token's nonce; the token is what it prints.
2. It has a time limit, and what it prints a size limit; it is ended when it exceeds either.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence

from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire.attestation import LARGEST_TOKEN

TOKEN_S = 30.0
_PATIENCE_S = 0.01
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def token_for(command: Sequence[str], bound: bytes, seconds: float = TOKEN_S) -> bytes:
    """The token whose nonce is `bound`.

    Args:
        command: the program's path and its arguments.
        bound: what the token is to be bound to.
        seconds: how long it may take.

    Raises:
        WorldError: ``agent.attest_token``.
    """
    try:
        process = subprocess.Popen(  # noqa: S603  (the program that the device's owner configured, without a shell)
            [*command, bound.hex()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": _PATH},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise _failed(command, f"it cannot be started: {error.strerror}") from error
    with process:
        try:
            token, why = _printed(process, time.monotonic() + seconds)
        finally:
            _end(process)
    if why or process.returncode:
        raise _failed(command, why or f"it ended with {process.returncode}")
    if not token:
        raise _failed(command, "it printed nothing")
    return token


def _printed(process: subprocess.Popen[bytes], end: float) -> tuple[bytes, str]:
    """What it printed, and what is wrong with that."""
    assert process.stdout is not None  # noqa: S101  (a pipe was asked for)
    token = b""
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        while (left := end - time.monotonic()) > 0:
            if not ready.select(left):
                continue
            data = os.read(process.stdout.fileno(), LARGEST_TOKEN + 1)
            token += data
            if len(token) > LARGEST_TOKEN:
                return b"", f"it printed more than {LARGEST_TOKEN} bytes"
            if not data:
                return _ended(process, token, end)
    return b"", "it took too long"


def _ended(process: subprocess.Popen[bytes], token: bytes, end: float) -> tuple[bytes, str]:
    """What it printed, once it ended by itself; it is not reaped here, so that its number stays its own."""
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > end:
            return b"", "it took too long"
        time.sleep(_PATIENCE_S)
    return token, ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and all that it started, as far as they still run."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _failed(command: Sequence[str], why: str) -> WorldError:
    return WorldError(
        "agent.attest_token",
        f"There is no token from {command[0]}: {why}.",
        remedy="Run it by hand with 64 hexadecimal digits as its last argument; it must print a token and end with 0.",
    )
