"""Running the tool of a payload's kind: bounds on its time, memory, output and files, and nothing left behind.

1. No shell; arguments are our own words and paths of our own. The payload comes from an operator and is still hostile
   to the tool that reads it: the tool has limits (setrlimit(2)), a folder of its own, and its session ends with it.
2. A tool that refuses says so by its exit code; one that is missing, too slow, or says too much is our trouble.
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.printable import printable

LARGEST_OUTPUT = 256 * 1024
MEMORY = 1024 * 1024 * 1024
"""Bytes of address space."""
LARGEST_FILE = 16 * 1024 * 1024
"""Bytes of a file that it may write."""
BASE_S = 60.0
BYTES_A_SECOND = 20 * 1024 * 1024
"""What a slow machine hashes; larger payloads get more time."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TICK_S = 0.5
_PIECE = 16 * 1024


class Said(msgspec.Struct, frozen=True):
    """How a tool ended, and what it printed."""

    code: int
    out: str
    err: str


class Bounds(msgspec.Struct, frozen=True):
    """What a tool may use."""

    seconds: float = BASE_S
    memory: int = MEMORY
    output: int = LARGEST_OUTPUT


def seconds_for(size: int) -> float:
    """How long a tool may read a payload of `size` bytes."""
    return BASE_S + size / BYTES_A_SECOND


def ask(argv: Sequence[str], bounds: Bounds) -> Said:
    """Run a tool in an empty folder of its own.

    Raises:
        WorldError: ``artefact.no_tool``, ``artefact.tool``.
    """
    with tempfile.TemporaryDirectory(prefix="holdfast-inspect-") as folder:
        try:
            process = subprocess.Popen(  # noqa: S603  (a list of our own words)
                [*argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={"PATH": _PATH, "LANG": "C.UTF-8", "TMPDIR": folder, "HOME": folder},
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            raise WorldError(
                "artefact.no_tool",
                f"{argv[0]} could not be started: {error.strerror}.",
                remedy="Install it on the server: rauc, openssl, and imgtool (pip install imgtool).",
            ) from error
        with process:
            try:
                _limit(process.pid, bounds)
                out, err = _printed(process, Path(argv[0]).name, bounds)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    return Said(process.returncode, out, err)


def _limit(pid: int, bounds: Bounds) -> None:
    """Set its limits as soon as it is there; a child's own code between fork and exec is unsafe among threads."""
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_AS, (bounds.memory, bounds.memory))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))


def _printed(process: subprocess.Popen[bytes], name: str, bounds: Bounds) -> tuple[str, str]:
    end = time.monotonic() + bounds.seconds
    pipes = [(pipe, bytearray()) for pipe in (process.stdout, process.stderr) if pipe is not None]
    with selectors.DefaultSelector() as waiting:
        for pipe, kept in pipes:
            waiting.register(pipe, selectors.EVENT_READ, kept)
        while waiting.get_map():
            for key, _ in waiting.select(_TICK_S):
                part = os.read(key.fd, _PIECE)
                key.data.extend(part)
                if not part:
                    waiting.unregister(key.fileobj)
            if sum(len(kept) for _, kept in pipes) > bounds.output:
                raise _failed(name, f"it printed more than {bounds.output} bytes")
            if time.monotonic() > end:
                raise _failed(name, f"it took more than {bounds.seconds:g} s")
    try:
        process.wait(max(_TICK_S, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise _failed(name, f"it took more than {bounds.seconds:g} s") from None
    out, err = (kept.decode("utf-8", "replace") for _, kept in pipes)
    return out, err


def last_words(said: Said) -> str:
    """What a tool complained of, fit to be shown."""
    lines = [line.strip() for line in (said.err + "\n" + said.out).splitlines() if line.strip()]
    return printable(lines[-1][-200:]) if lines else f"it ended with {said.code}"


def malformed(name: str, why: str) -> HostileData:
    """The refusal of a payload that is not what it is said to be."""
    return HostileData(
        "artefact.malformed",
        f"{printable(name[:80])} could not be read: {why.rstrip('.')}.",
        remedy="Build it again with its own tool, and look at it with that tool before uploading.",
    )


def wrong_signature(name: str, why: str) -> HostileData:
    """The refusal of a payload that no configured key signed."""
    return HostileData(
        "artefact.signature",
        f"{printable(name[:80])} is not signed by the key that the server was given: {why.rstrip('.')}.",
        remedy="Sign it with the product's key, or correct the server's configuration of keys.",
    )


def _failed(name: str, why: str) -> WorldError:
    return WorldError(
        "artefact.tool",
        f"{name} was ended: {why}.",
        remedy="Run it by hand on the payload; one that its own tool cannot read should not be published.",
    )
