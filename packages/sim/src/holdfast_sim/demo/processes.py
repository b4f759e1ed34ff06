"""The processes of one demo: started, noted on the disk, and ended; by the next demo if this one was killed.

1. Every process is noted with its pid and its start time before anything else happens; only a process that still has
   both is ever ended. A pid that was given out again is left alone.
2. What a process says goes to a file of its own.
3. Only one demo uses a folder at a time.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

import msgspec

from holdfast_core.kernel.errors import WorldError
from holdfast_sim.namespaces import World, start_of

NOTES = "processes.json"
PATIENCE_S = 10.0
"""How long a process may take to end when it is asked to."""


class Note(msgspec.Struct, frozen=True):
    """One process: its pid and its start in clock ticks since boot."""

    pid: int
    start: str


class Held(Protocol):
    """A process that somebody else starts and ends."""

    @property
    def pid(self) -> int:
        """Its process."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Processes:
    """What this demo has started.

    Args:
        folder: where notes and logs go; it exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._held: dict[str, Held] = {}
        self._noted: list[Note] = []
        self._noting = threading.Lock()  # chips are started while others wait for something else

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        world: World | None = None,
        seat: str = "",
        env: Mapping[str, str] | None = None,
        piped: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start a program under `name`; with `world`, where the device of `seat` is.

        Args:
            name: what to call it; its log is ``<name>.log``.
            argv: the program and its arguments.
            world: where devices run; `None` is this machine itself.
            seat: whose network it runs in.
            env: variables beyond this process's own.
            piped: keep stdin and stdout to talk with it.
        """
        stream = subprocess.PIPE if piped else None
        with self._log(name) as log:
            how = {
                "env": {**os.environ, **(env or {})},
                "stdin": stream or subprocess.DEVNULL,
                "stdout": stream or log.fileno(),
                "stderr": log.fileno(),
            }
            if world is None:
                process: subprocess.Popen[bytes] = subprocess.Popen(argv, **how)  # type: ignore[call-overload]  # noqa: S603  (the keys are Popen's; our own programs)
            else:
                process = world.start(seat, argv, **how)  # type: ignore[arg-type]  # the keys are those of Start
        self._running[name] = process
        self._note(process.pid)
        return process

    def hold(self, name: str, held: Held) -> None:
        """Note a process that was started elsewhere; it ends with the others."""
        self._held[name] = held
        self._note(held.pid)

    def _note(self, pid: int) -> None:
        with self._noting:
            self._noted.append(Note(pid, start_of(pid)))
            fresh = self._folder / f"{NOTES}.new"
            fresh.write_bytes(msgspec.json.encode(self._noted))
            fresh.replace(self._folder / NOTES)

    def log(self, name: str) -> Path:
        """Where the process `name` writes to."""
        return self._folder / f"{name}.log"

    def pid(self, name: str) -> int:
        """The process started last under `name`."""
        return self._running[name].pid

    def running(self, name: str) -> bool:
        """Whether it was started and has not ended."""
        process = self._running.get(name)
        return process is not None and process.poll() is None

    def end(self, name: str) -> None:
        """Ask it to end, and see to it that it does."""
        if (held := self._held.pop(name, None)) is not None:
            held.close()
        process = self._running.pop(name, None)
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End all of them: devices first, the control plane (started first) last."""
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        for name in (*reversed(list(self._running)), *self._held):
            self.end(name)
        (self._folder / NOTES).unlink(missing_ok=True)

    def _log(self, name: str) -> IO[bytes]:
        return self.log(name).open("ab")


def end_left_behind(folder: Path) -> int:
    """End what a killed demo left running, by its notes; returns how many."""
    try:
        notes = msgspec.json.decode((folder / NOTES).read_bytes(), type=list[Note])
    except (OSError, msgspec.MsgspecError):
        return 0
    ended = 0
    for note in notes:
        if note.start and start_of(note.pid) == note.start:
            with suppress(ProcessLookupError):
                os.kill(note.pid, signal.SIGKILL)
                ended += 1
    deadline = time.monotonic() + PATIENCE_S
    while any(note.start and start_of(note.pid) == note.start for note in notes) and time.monotonic() < deadline:
        time.sleep(0.05)
    return ended


class Alone:
    """The lock of a folder, held as long as the process lives.

    Raises:
        WorldError: ``demo.running``.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise WorldError(
                "demo.running",
                "Another demo is running in this checkout.",
                remedy="End it with Ctrl-C in its terminal, or name another folder with --dir.",
            ) from None

    def release(self) -> None:
        """Give it back."""
        os.close(self._descriptor)
