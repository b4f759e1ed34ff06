"""The journal of updates on the disk: ``update/journal.json``, replaced whole, never lost in silence.

1. Written is: a temporary file, fsync, rename, fsync of the folder. A write that is cut off leaves the old journal.
2. A journal that cannot be read is not begun anew: its floors keep old releases out.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from holdfast_agent.durable import replace
from holdfast_core.kernel.errors import WorldError
from holdfast_core.update.install import Journal

FILE = "journal.json"
LARGEST = 1024 * 1024


class Journaled:
    """The journal in `folder`; the folder is made if it is missing.

    Raises:
        WorldError: ``update.journal``, ``update.journal_damaged``.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self.journal = Journal()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(folder, error) from error
        self.reload()

    def reload(self) -> None:
        """Take what is on the disk. Raises WorldError ``update.journal``, ``update.journal_damaged``."""
        try:
            with self._path.open("rb") as file:
                data = file.read(LARGEST)
        except FileNotFoundError:
            self.journal = Journal()
            return
        except OSError as error:
            raise _unusable(self._path, error) from error
        try:
            self.journal = msgspec.json.decode(data, type=Journal)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise WorldError(
                "update.journal_damaged",
                f"{self._path} cannot be read as the journal of updates: {error}.",
                remedy="Nothing is installed without it. Repair the file system, or set the device up anew.",
            ) from error

    def save(self, journal: Journal) -> None:
        """Make `journal` durable. Raises WorldError ``update.journal``."""
        try:
            replace(self._path, msgspec.json.encode(journal))
        except OSError as error:
            raise _unusable(self._path, error) from error
        self.journal = journal


def _unusable(path: Path, error: OSError) -> WorldError:
    return WorldError(
        "update.journal",
        f"{path} cannot be used: {error.strerror}.",
        remedy="Make room or repair the disk; nothing was done that is not written.",
    )
