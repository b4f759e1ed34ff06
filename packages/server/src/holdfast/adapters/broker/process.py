"""Telling a broker's process to read its files again: a signal, or a command of the operator's.

1. A signal goes only to a process that is the broker's program: the number in a pid file may be another's by now.
   And only once that process handles it: a broker that is just starting would be ended by it.
2. A command is a list of arguments; no shell reads it, it gets no input, and it has a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from holdfast.adapters.broker.files import open_plain
from holdfast_core.kernel.errors import WorldError

COMMAND_SECONDS = 20.0
_SHOWN = 200
_PID_BYTES = 32


def broker_pid(pid_file: Path, program: str) -> int | None:
    """The process that `pid_file` names, if it runs `program`."""
    try:
        with open_plain(pid_file) as file:
            pid = int(file.read(_PID_BYTES))
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError):
        return None
    return pid if pid > 1 and name == program[:15] else None  # the kernel keeps 15 characters


def _handles(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for a signal (proc(5), ``SigCgt``: bit n - 1 of a hexadecimal mask)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, mask = line.partition(":")
        if key == "SigCgt":
            return bool(int(mask.strip(), 16) >> (number - 1) & 1)
    return False


def tell(pid_file: Path, program: str, number: signal.Signals) -> None:
    """Send a signal to the broker.

    Raises:
        WorldError: ``broker.not_running``, ``broker.other_account``.
    """
    pid = broker_pid(pid_file, program)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            if _handles(pid, number):
                _send(pid, number, program)
                return
    raise WorldError(
        "broker.not_running",
        f"No {program} that has started is named by {pid_file}.",
        remedy=f"Start it with the files in {pid_file.parent.parent}; the rest follows. If it cannot write its "
        "pid file, it runs under another account: holdfast broker add with --run-as.",
    )


def _send(pid: int, number: signal.Signals, program: str) -> None:
    try:
        os.kill(pid, number)
    except PermissionError as error:
        raise WorldError(
            "broker.other_account",
            f"{program} runs under another account, which the control plane may not signal.",
            remedy="Run it under the control plane's account, or add the broker with a --reload command.",
        ) from error


async def command(arguments: tuple[str, ...]) -> None:
    """Run the operator's own command.

    Raises:
        WorldError: ``broker.reload_failed``.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise _failed(arguments, error.strerror or str(error)) from error
    try:
        _, said = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise _failed(arguments, f"it was not done after {COMMAND_SECONDS:.0f} s") from None
    if process.returncode:
        raise _failed(arguments, f"exit {process.returncode}, {said.decode(errors='replace')[-_SHOWN:].strip()!r}")


def _failed(arguments: tuple[str, ...], why: str) -> WorldError:
    return WorldError(
        "broker.reload_failed",
        f"The command {arguments[0]!r} that reloads the broker failed: {why}.",
        remedy="Run it by hand as the account of the control plane, and mend what it says.",
    )
