"""What a run stands on: a folder of its own, processes that end with it, and an orderly end.

1. The folder is cleared at the start, and only if it was made by a run like this one.
2. What an earlier run left behind, killed as it may have been, is ended before anything is started.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from holdfast_core.kernel.errors import WorldError
from holdfast_sim.demo.processes import Alone, Processes, end_left_behind

LOCK = "demo.lock"


class Ended(BaseException):
    """A person or the system asked for the end; nothing may keep it from coming."""


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Hold `folder`, cleared. Raises WorldError ``demo.folder``, ``demo.running``."""
    if folder.exists() and any(folder.iterdir()) and not (folder / LOCK).exists():
        raise WorldError(
            "demo.folder",
            f"{folder} holds something that no demo made; it was not touched.",
            remedy="Name another folder with --dir.",
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = Alone(folder / LOCK)
    try:
        end_left_behind(folder)
        for path in folder.iterdir():
            if path.name == LOCK:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        yield
    finally:
        lock.release()


@contextmanager
def running(folder: Path) -> Iterator[Processes]:
    """Processes that end with the block."""
    processes = Processes(folder)
    try:
        yield processes
    finally:
        processes.close()


@contextmanager
def end_on_signals() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and a closed terminal end the run in order, by `Ended`."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, _raise) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(_number: int, _frame: object) -> NoReturn:
    # Once is enough: a second Ctrl-C must not cut the cleaning up.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise Ended
