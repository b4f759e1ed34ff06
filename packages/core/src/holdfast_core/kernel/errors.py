"""The error tree, and how an error speaks.

::

    HoldfastError
    ├── Bug           our fault: a broken invariant, never shown as the caller's mistake
    ├── HostileData   their fault: input that was refused; nothing of it was kept
    │   └── LimitExceeded
    └── WorldError    nobody's fault: disk full, peer away, file locked; retrying may help

1. Every error carries a stable dotted `code`, one `sentence` for a person and a `remedy` that can be followed.
2. The command line and the API render the same object; neither invents words of its own.
3. Other packages subclass one of the three; they never start a tree of their own.
"""

from __future__ import annotations

from typing import ClassVar


class HoldfastError(Exception):
    """Base of everything Holdfast raises on purpose.

    Args:
        code: stable dotted identifier, e.g. ``checkin.too_large``; clients may match on it.
        sentence: what happened, for a person.
        remedy: what to do about it.
        http_status: the RFC 9110 status an HTTP edge should answer with, where the class's own does not fit.
        retry_after_s: seconds after which to try again, where the one who refuses knows.
    """

    default_http_status: ClassVar[int] = 500

    def __init__(
        self, code: str, sentence: str, *, remedy: str, http_status: int | None = None, retry_after_s: int = 0
    ) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.remedy = remedy
        self.http_status = http_status or self.default_http_status
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.sentence} [{self.code}] {self.remedy}"


class Bug(HoldfastError):
    """A broken promise of our own code."""


class HostileData(HoldfastError):
    """Input from outside that was refused. Most of it is not an attack; all of it is treated as one."""

    default_http_status = 400


class LimitExceeded(HostileData):
    """Input over a named limit of `kernel.limits`."""

    default_http_status = 413


class WorldError(HoldfastError):
    """The surroundings failed: disk, network, lock, another process."""

    default_http_status = 503
