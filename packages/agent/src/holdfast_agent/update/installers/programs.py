"""Running the programs of an installer: a list of our own words, bounds on time and output, and nothing left behind.

1. No shell; nothing that came over the network becomes an argument, other than the path of a file that was verified.
2. The program runs in a session of its own, which ends with it: at its end, at its deadline, or when it prints more
   than `LARGEST_OUTPUT`.
3. Whoever writes slots holds a lock, and so does the program that it starts: where the agent is killed and the program
   runs on, the next attempt finds the lock taken until that program has ended (flock(2): a lock belongs to the open
   file, which the program inherits).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, cast

import msgspec

from holdfast_core.kernel.errors import WorldError

LARGEST_OUTPUT = 1024 * 1024
"""Bytes of one run, stdout and stderr together."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TICK_S = 0.25
_PIECE = 64 * 1024
_NOTHING: Mapping[str, str] = MappingProxyType({})

Watch = Callable[[int], None]
"""Told now and then that the program of this process id runs."""


class Ended(msgspec.Struct, frozen=True):
    """How a program ended: its exit code, and what it printed on stdout and on stderr."""

    code: int
    out: str
    err: str


class Options(msgspec.Struct, frozen=True):
    """How to run it: variables beside ``PATH``, file descriptors that it inherits, and who watches."""

    environment: Mapping[str, str] = _NOTHING
    inherited: tuple[int, ...] = ()
    watch: Watch | None = None


def run(argv: Sequence[str], seconds: float, options: Options | None = None) -> Ended:
    """Run one program to its end.

    Args:
        argv: its name and arguments.
        seconds: how long it may take.
        options: see `Options`.

    Raises:
        WorldError: ``installer.no_tool``, ``installer.tool`` (too slow, or too much output).
    """
    how = options or Options()
    try:
        process = subprocess.Popen(  # noqa: S603  (a list of our own words)
            [*argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": _PATH, "LANG": "C.UTF-8", **how.environment},
            pass_fds=how.inherited,
            start_new_session=True,
        )
    except OSError as error:
        raise WorldError(
            "installer.no_tool",
            f"{argv[0]} could not be started: {error.strerror}.",
            remedy="Install it, or correct its path in the agent's configuration.",
        ) from error
    with process:
        try:
            out, err = _printed(process, argv[0], seconds, how.watch)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return Ended(process.returncode, out, err)


def _printed(process: subprocess.Popen[bytes], name: str, seconds: float, watch: Watch | None) -> tuple[str, str]:
    """What it prints until it ends; its code is known afterwards."""
    end = time.monotonic() + seconds
    pipes = [(pipe, bytearray()) for pipe in (process.stdout, process.stderr) if pipe is not None]
    with selectors.DefaultSelector() as waiting:
        for pipe, kept in pipes:
            waiting.register(pipe, selectors.EVENT_READ, kept)
        while process.poll() is None:
            _read(process, waiting)
            if sum(len(kept) for _, kept in pipes) > LARGEST_OUTPUT:
                raise _failed(name, f"it printed more than {LARGEST_OUTPUT} bytes")
            if time.monotonic() > end:
                raise _failed(name, f"it took more than {seconds:g} s")
            if watch is not None:
                watch(process.pid)
        for key in tuple(waiting.get_map().values()):
            _drain(key.fileobj, key.data)
    out, err = (kept.decode("utf-8", "replace") for _, kept in pipes)
    return out, err


def _read(process: subprocess.Popen[bytes], waiting: selectors.BaseSelector) -> None:
    """Wait a tick for what it prints; for its end, where it closed its pipes."""
    if not waiting.get_map():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_TICK_S)
    for key, _ in waiting.select(_TICK_S) if waiting.get_map() else ():
        if not _took(key.fileobj, key.data):
            waiting.unregister(key.fileobj)


def _took(pipe: object, into: bytearray) -> bool:
    """Whether there was more to read."""
    part = os.read(_number(pipe), _PIECE)
    into += part
    return bool(part)


def _drain(pipe: object, into: bytearray) -> None:
    """What is left in the pipe of a program that has ended; a descendant that holds it open is not waited for."""
    os.set_blocking(_number(pipe), False)
    with contextlib.suppress(BlockingIOError):
        while len(into) <= LARGEST_OUTPUT and _took(pipe, into):
            pass


def _number(pipe: object) -> int:
    return cast("IO[bytes]", pipe).fileno()


@contextlib.contextmanager
def writing(lock: Path) -> Iterator[int]:
    """Hold the lock of whoever writes slots; its descriptor, for the program to inherit.

    Args:
        lock: a file, made with its folder if it is missing.

    Raises:
        WorldError: ``installer.busy``, ``installer.folder``.
    """
    make_folder(lock.parent)
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _folder(lock, error) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorldError(
                "installer.busy",
                "A program that an earlier attempt started still writes a slot.",
                remedy="Nothing is to be done: the attempt is taken up again once it has ended.",
                retry_after_s=30,
            ) from None
        yield handle
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder that is its owner's alone, if it is missing.

    Raises:
        WorldError: ``installer.folder``.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _folder(folder, error) from error


def _folder(path: Path, error: OSError) -> WorldError:
    return WorldError(
        "installer.folder",
        f"{path} could not be made: {error.strerror}.",
        remedy="Correct the installer's folder in the agent's configuration, or its owner.",
    )


def _failed(name: str, why: str) -> WorldError:
    return WorldError(
        "installer.tool",
        f"{name} was ended: {why}.",
        remedy="Run it by hand on the device and read what it says.",
    )
