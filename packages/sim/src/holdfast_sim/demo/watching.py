"""Waiting until something was observed, and saying what was seen instead when it was not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from holdfast_core.kernel.errors import WorldError

PATIENCE_S = 150.0
"""For one step. It takes seconds; a machine that is busy with other things may need longer."""
LOOK_EVERY_S = 0.25

_T = TypeVar("_T")


class NotObserved(WorldError):
    """A step of the story did not happen."""

    def __init__(self, what: str, instead: str, logs: str, seconds: float) -> None:
        super().__init__(
            "demo.not_observed",
            f"Waited {seconds:.0f} s for this: {what}. Seen instead: {instead}.",
            remedy=f"Look into {logs}.",
        )


def wait_for(
    what: str,
    look: Callable[[], _T | None],
    instead: Callable[[], str],
    *,
    log: Path,
    patience_s: float = PATIENCE_S,
) -> _T:
    """What `look` returns as soon as it is not `None`.

    Args:
        what: what is waited for, as it ends "Waited for this: …".
        look: looks once.
        instead: says what is seen instead.
        log: the file that may explain it; the server's lies beside it.
        patience_s: how long to wait, in seconds.

    Raises:
        NotObserved: ``demo.not_observed``.
    """
    deadline = time.monotonic() + patience_s
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() >= deadline:
            raise NotObserved(what, instead(), f"{log} and {log.with_name('server.log')}", patience_s)
        time.sleep(LOOK_EVERY_S)
