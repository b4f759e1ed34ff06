"""What the cache did, counted since it was started, and the file by which others see it.

1. The file is written at most every so often, and whole or not at all; it is no record, and losing it loses nothing.
2. No device is named in it: addresses of the site stay here.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from pathlib import Path
from typing import Annotated

import msgspec

from holdfast_core.kernel.errors import HoldfastError
from holdfast_gateway.sizes import in_units

STATUS = "status.json"
LARGEST_STATUS = 256 * 1024
REMEMBERED = 16


class Fetching(msgspec.Struct, frozen=True):
    """An artefact on its way."""

    path: str
    have: int
    length: int


class Trouble(msgspec.Struct, frozen=True):
    """Something that went wrong, and how many seconds after the start."""

    path: str
    code: str
    sentence: str
    at_s: int


class Status(msgspec.Struct, frozen=True, omit_defaults=False):
    """The cache as others see it: sizes in bytes, times in seconds, counts since it was started."""

    up_s: int
    size: int
    files: int
    bytes: int
    parts: int
    part_bytes: int
    hits: int
    """Requests answered with bytes that were here already."""
    fetches: int
    """Artefacts that came whole from the control plane."""
    fetched_bytes: int
    served_bytes: int
    refused: int
    """Requests that were answered with an error."""
    turned_away: int
    """Connections that were not taken, or were cut for being slow."""
    wrong: int
    """Artefacts that came and had another digest."""
    evicted: int
    fetching: Annotated[tuple[Fetching, ...], msgspec.Meta(max_length=1024)] = ()
    troubles: Annotated[tuple[Trouble, ...], msgspec.Meta(max_length=REMEMBERED)] = ()
    running: bool = False
    """Whether a cache uses the folder now."""


class Meters:
    """The counts, by their names in `Status`; safe to add to from several threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._started = time.monotonic()
        self._counts = dict.fromkeys(
            ("hits", "fetches", "fetched_bytes", "served_bytes", "refused", "turned_away", "wrong"), 0
        )
        self._troubles: deque[Trouble] = deque(maxlen=REMEMBERED)

    def add(self, name: str, number: int = 1) -> None:
        """Count."""
        with self._guard:
            self._counts[name] += number

    def trouble(self, path: str, error: HoldfastError) -> None:
        """Remember what went wrong."""
        with self._guard:
            self._troubles.append(Trouble(path, error.code, error.sentence, self.up_s))

    @property
    def up_s(self) -> int:
        """Seconds since the start."""
        return int(time.monotonic() - self._started)

    def counted(self) -> dict[str, int]:
        """All counts."""
        with self._guard:
            return dict(self._counts)

    def troubles(self) -> tuple[Trouble, ...]:
        """The last things that went wrong."""
        with self._guard:
            return tuple(self._troubles)


def write_status(folder: Path, status: Status) -> None:
    """Write the file. Raises OSError."""
    temporary = folder / (STATUS + ".new")
    temporary.write_bytes(msgspec.json.encode(status))
    temporary.replace(folder / STATUS)


def read_status(folder: Path) -> Status | None:
    """What the file says; `None` where there is none that can be read."""
    try:
        with (folder / STATUS).open("rb") as file:
            return msgspec.json.decode(file.read(LARGEST_STATUS), type=Status)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def in_text(status: Status) -> str:
    """The status for a person."""
    lines = [
        f"{'running' if status.running else 'not running'}, up {status.up_s} s",
        f"holds      {status.files} artefacts, {in_units(status.bytes)} of {in_units(status.size)}",
        f"           {status.parts} parts, {in_units(status.part_bytes)}; {status.evicted} thrown away for room",
        f"served     {status.hits} requests from here, {in_units(status.served_bytes)}",
        f"           {status.refused} refused, {status.turned_away} connections turned away",
        f"fetched    {status.fetches} artefacts, {in_units(status.fetched_bytes)}; {status.wrong} wrong",
    ]
    lines += [f"on its way {each.path}: {in_units(each.have)} of {in_units(each.length)}" for each in status.fetching]
    lines += [f"trouble    {each.sentence} [{each.code}] {each.path}, at {each.at_s} s" for each in status.troubles]
    return "\n".join(lines) + "\n"
