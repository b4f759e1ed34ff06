"""The boot environment behind a program, with the interface of RAUC's custom backend, so that one program serves both.

1. ``get-primary``, ``set-primary NAME``, ``get-state NAME``, ``set-state NAME good|bad``, ``get-current``: one line out
   on success, and an exit code that is not 0 on failure.
2. ``set-primary`` gives the slot its boot attempts; who counts them down and falls back is the boot loader.

Source: RAUC, docs/integration.rst, "Custom" (bootloader-custom-backend).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from holdfast_agent.update.installers.programs import run
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.printable import printable

_SECONDS = 30.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class BootProgram:
    """The boot environment that `command` reads and writes."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)

    def current(self) -> str:
        """The slot that runs."""
        return self._ask("get-current")

    def primary(self) -> str:
        """The slot that the next boot tries."""
        return self._ask("get-primary")

    def make_primary(self, slot: str) -> None:
        """Let the next boot try the slot; read back, for some environments fail silently.

        Raises:
            WorldError: ``installer.boot_environment``.
        """
        self._run("set-primary", slot)
        if (found := self.primary()) != slot:
            raise _failed(self._command[0], f"the primary slot is {found} after {slot} was made it")

    def good(self, slot: str) -> bool:
        """Whether the slot may be booted."""
        return self._ask("get-state", slot) == "good"

    def set_good(self, slot: str, *, good: bool) -> None:
        """Say whether the slot may be booted."""
        self._run("set-state", slot, "good" if good else "bad")

    def _ask(self, *words: str) -> str:
        said = self._run(*words).strip()
        if not _NAME.fullmatch(said):
            raise _failed(self._command[0], f"it answered {printable(said[:40])!r} to {' '.join(words)}")
        return said

    def _run(self, *words: str) -> str:
        ended = run((*self._command, *words), _SECONDS)
        if ended.code:
            raise _failed(self._command[0], f"{' '.join(words)} ended with {ended.code}")
        return ended.out


def _failed(name: str, why: str) -> WorldError:
    return WorldError(
        "installer.boot_environment",
        f"The boot environment did not do what it should: {name}: {why}.",
        remedy="Run the program by hand: get-current, get-primary, get-state SLOT.",
    )
