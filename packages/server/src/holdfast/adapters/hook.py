"""The provisioning hook as a program: asked on its stdin, answering on its stdout.

1. Which program is said in the server's own configuration, never over the API: it runs with the server's rights.
2. It is started without a shell, in a session of its own, with an environment of its own; what it does not answer in
   time, or not with success, is no answer, and its whole session ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence

from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.limits import Limits

_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
_LATER_S = 30
_ENDING_S = 5.0
_PIECE = 64 * 1024


class ProgramHook:
    """Implements `holdfast.ports.provisioning.Hook`."""

    def __init__(self, argv: Sequence[str], limits: Limits) -> None:
        self._argv, self._limits = tuple(argv), limits
        self._turns = asyncio.Semaphore(limits.hooks)

    async def ask(self, question: bytes) -> bytes:
        """See the port."""
        async with self._turns:
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._argv,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                    env=_ENVIRONMENT,
                    start_new_session=True,
                )
            except OSError as error:
                raise _failed(f"it cannot be started: {error.strerror}") from error
            try:
                async with asyncio.timeout(self._limits.hook_seconds):
                    return await self._answer(process, question)
            except TimeoutError:
                raise _failed(f"it did not answer within {self._limits.hook_seconds:.0f} s") from None
            finally:
                await _ended(process)

    async def _answer(self, process: asyncio.subprocess.Process, question: bytes) -> bytes:
        if process.stdin is None or process.stdout is None:
            raise _failed("it has no pipes")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not read
            process.stdin.write(question)
            await process.stdin.drain()
            process.stdin.close()
        # One byte more than is allowed tells that there is more; the rest of it is never read.
        answer = bytearray()
        while len(answer) <= self._limits.hook_bytes:
            part = await process.stdout.read(self._limits.hook_bytes + 1 - len(answer))
            if not part:
                break
            answer += part
        else:
            return bytes(answer)
        if (code := await process.wait()) != 0:
            raise _failed(f"it ended with {code}")
        return bytes(answer)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Kill the whole session and see the program gone.

    What it left unread is thrown away: asyncio tells of the end only once the pipe is empty. A descendant that fled
    into another session may hold the pipe; it is not waited for.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ENDING_S):
            while process.stdout is not None and await process.stdout.read(_PIECE):
                pass
            await process.wait()


def _failed(why: str) -> WorldError:
    return WorldError(
        "hook.failed",
        f"The provisioning hook gave no answer: {why}.",
        remedy="The device comes again by itself. Run the program of provisioning_hook by hand, as the server's user.",
        retry_after_s=_LATER_S,
    )
