"""What the agent keeps of two repositories, so that power may fail at any moment and disks may rot.

::

    pins.json        the first root of each repository, as it was pinned; never changed afterwards
    marks.json       the versions and the time that were reached: small, so that they outlive a damaged file
    index.json       which files are kept of each repository: name and digest
    files/HEX        each of them under its digest
    work/            where python-tuf works; nothing in it counts after a start

1. Written is: a temporary file, fsync, rename, fsync of the folder; a file before the index that names it. So a crash
   leaves the old set or the new one, of both repositories.
2. A kept file whose digest is another is as if it were not there: it is fetched again, and the marks still refuse
   what is older. Without marks the kept files refuse it. Only where both are lost is one begun again from the pins.
3. Nothing is written that is kept already: flash wears.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from holdfast_agent.durable import sync_folder, write_synced
from holdfast_core.kernel.digests import canonical, digest_of
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.instants import Instant
from holdfast_core.update.time import Floor
from holdfast_core.wire.frame import DigestText, Whole
from holdfast_core.wire.update_metadata import LARGEST_FILE

PINS, MARKS, INDEX, FILES, WORK = "pins.json", "marks.json", "index.json", "files", "work"
LARGEST = 2 * 1024 * 1024
"""Bytes of pins, marks or index: two roots as base64, and more."""

_T = TypeVar("_T")


class Marks(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was reached in one repository. `keys` are those of timestamp and snapshot: the versions count for them only.

    A root that changes them starts the versions anew (TUF specification 1.0.34, 5.3.11), but never its own.
    """

    root: Whole = 0
    timestamp: Whole = 0
    snapshot: Whole = 0
    targets: Whole = 0
    keys: str = ""
    floor: Floor = Floor()
    until: Instant = Instant(0)
    """When the first of what is kept expires; 0 before anything is."""


class Pins(msgspec.Struct, frozen=True):
    """The first root of each repository."""

    director: bytes
    image: bytes


_Index = Annotated[dict[str, dict[str, DigestText]], msgspec.Meta(max_length=2)]


class Store:
    """The folder at `path`; made if it is missing. Raises WorldError ``update.store``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            (path / FILES).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(error, path) from error

    def pins(self) -> Pins | None:
        """The pinned roots, if there are any.

        Raises:
            WorldError: ``update.pins_damaged``.
        """
        if not (self.path / PINS).exists():
            return None
        found = self._load(PINS, Pins)
        if found is None:
            raise WorldError(
                "update.pins_damaged",
                f"{self.path / PINS} cannot be read, and without the pinned roots nothing can be verified.",
                remedy="Enroll the device again: the roots are pinned then.",
            )
        return found

    def pin(self, pins: Pins) -> None:
        """Keep the first roots. Raises WorldError ``update.store``."""
        self._write(PINS, msgspec.json.encode(pins))

    def marks(self) -> dict[str, Marks]:
        """What was reached, by repository; nothing where it cannot be read."""
        return self._load(MARKS, dict[str, Marks]) or {}

    def mark(self, marks: Mapping[str, Marks]) -> None:
        """Keep what was reached. Raises WorldError ``update.store``."""
        self._write(MARKS, canonical(dict(marks)))

    def files(self) -> dict[str, dict[str, bytes]]:
        """The kept files by repository and name; those that are damaged are left out."""
        found: dict[str, dict[str, bytes]] = {}
        for repository, names in (self._load(INDEX, _Index) or {}).items():
            contents = {name: self._content(digest) for name, digest in names.items()}
            found[repository] = {name: data for name, data in contents.items() if data is not None}
        return found

    def keep(self, files: Mapping[str, Mapping[str, bytes]]) -> None:
        """Keep exactly these. Raises WorldError ``update.store``."""
        digests = {owner: {name: digest_of(data) for name, data in owned.items()} for owner, owned in files.items()}
        contents = {digest_of(data): data for owned in files.values() for data in owned.values()}
        for digest, data in contents.items():
            if self._content(digest) is None:
                self._write(f"{FILES}/{_hex(digest)}", data)
        self._write(INDEX, canonical(digests))
        wanted = {_hex(digest) for digest in contents}
        for path in list((self.path / FILES).iterdir()):
            if path.name not in wanted:
                path.unlink(missing_ok=True)

    def work(self, repository: str, files: Mapping[str, bytes]) -> Path:
        """A folder for python-tuf with these files in it, and nothing else. Raises WorldError ``update.store``."""
        place = self.path / WORK / repository
        try:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(mode=0o700, parents=True)
            for name, data in files.items():
                (place / name).write_bytes(data)
        except OSError as error:
            raise unusable(error, place) from error
        return place

    def clear(self) -> None:
        """Remove everything, the pins last. Raises WorldError ``update.store``."""
        try:
            for name in (WORK, FILES):
                shutil.rmtree(self.path / name, ignore_errors=True)
            for name in (INDEX, MARKS, PINS):
                (self.path / name).unlink(missing_ok=True)
            (self.path / FILES).mkdir(mode=0o700)
            sync_folder(self.path)
        except OSError as error:
            raise unusable(error, self.path) from error

    def _content(self, digest: str) -> bytes | None:
        data = self._read(f"{FILES}/{_hex(digest)}", LARGEST_FILE)
        return data if data is not None and digest_of(data) == digest else None

    def _read(self, name: str, limit: int) -> bytes | None:
        try:
            with (self.path / name).open("rb") as file:
                data = file.read(limit + 1)
        except OSError:
            return None
        return data if len(data) <= limit else None

    def _load(self, name: str, kind: type[_T]) -> _T | None:
        data = self._read(name, LARGEST)
        if data is None:
            return None
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
            return None

    def _write(self, name: str, data: bytes) -> None:
        if self._read(name, max(LARGEST, LARGEST_FILE)) == data:
            return
        target = self.path / name
        temporary = target.with_name(target.name + ".new")
        try:
            write_synced(temporary, data)
            temporary.replace(target)
            sync_folder(target.parent)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise unusable(error, target) from error


def _hex(digest: str) -> str:
    return digest.partition(":")[2]


def unusable(error: OSError, path: Path) -> WorldError:
    """Our words for a folder that fails."""
    return WorldError(
        "update.store",
        f"{path} could not be used: {error.strerror}.",
        remedy="Make room or repair the disk; what was verified before is still kept.",
    )
