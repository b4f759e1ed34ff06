"""Backups: database, keys and configuration in one file, with a manifest of digests; and reading a database from aside.

1. The database is copied through SQLite's online backup, as one snapshot, so that a server may go on running.
2. The manifest comes first and names every file with size and digest; whatever differs is refused, nothing is guessed.
3. A restore makes its folder beside the wanted one and renames it at the end: it is there whole or not at all.
4. Names in an archive are checked against a fixed form; an archive cannot write anywhere else, and holds no links.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from holdfast.adapters.store.failures import translated
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.instants import Instant

FORMAT = "holdfast-backup"
VERSION = 1
MANIFEST = "manifest.json"
MANIFEST_BYTES = 1024 * 1024
CHUNK = 1024 * 1024
DATABASE = "holdfast.db"
CONFIGURATION = "holdfast.toml"
KEYS = "keys"

_NAME = re.compile(r"holdfast\.toml|holdfast\.db|keys(/[a-z0-9][a-z0-9._-]{0,62}){1,6}")
"""No name begins with a dot, so none climbs."""


Told = Callable[[int, int], object]
"""Hears how many bytes are done, of how many."""


class Readable(Protocol):
    """The part of a file that is used here."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes."""
        ...


class Packed(msgspec.Struct, frozen=True):
    """One file of a backup."""

    name: str
    size: int
    digest: Digest


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds, and of which moment: `checkpoint` is the log's newest, `schema` the database's version."""

    format: str
    version: int
    made_at: Instant
    schema: str
    checkpoint: str
    files: tuple[Packed, ...]

    @property
    def log_size(self) -> int:
        """Leaves of the log in it."""
        lines = self.checkpoint.splitlines()
        return int(lines[1]) if len(lines) > 1 and lines[1].isdecimal() else 0


class Examined(msgspec.Struct, frozen=True):
    """A database seen from aside: what SQLite finds wrong in it, and the time of the newest leaf."""

    faults: tuple[str, ...]
    newest_at: Instant | None


def make_backup(folder: Path, target: BinaryIO, *, now: Instant, told: Told = lambda _done, _of: None) -> Manifest:
    """Write a backup of the data in `folder` to `target`; `told` hears of the bytes packed, of how many.

    Raises:
        WorldError: ``backup.incomplete``, ``store.failed``.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".backup.") as aside:
        copy = Path(aside) / DATABASE
        schema, checkpoint = _copy_database(folder / DATABASE, copy)
        sources = {CONFIGURATION: folder / CONFIGURATION, DATABASE: copy}
        found = sorted(each for each in (folder / KEYS).rglob("*") if each.is_file())
        sources |= {each.relative_to(folder).as_posix(): each for each in found}
        try:
            files = tuple(Packed(name, path.stat().st_size, _digest_of(path)) for name, path in sources.items())
            manifest = Manifest(FORMAT, VERSION, now, schema, checkpoint, files)
            meter = _Meter(told, files)
            with tarfile.open(fileobj=target, mode="w:gz", compresslevel=6) as archive:
                _add(archive, MANIFEST, io.BytesIO(msgspec.json.encode(manifest)), len(msgspec.json.encode(manifest)))
                for packed in files:
                    with sources[packed.name].open("rb") as file:
                        _add(archive, packed.name, _Metered(file, meter), packed.size)
        except FileNotFoundError as error:
            raise WorldError(
                "backup.incomplete",
                f"The data folder lacks {error.filename}.",
                remedy="Run holdfast doctor: it names everything that is missing.",
            ) from error
    return manifest


def restore_backup(source: BinaryIO, folder: Path, *, told: Told = lambda _done, _of: None) -> Manifest:
    """Restore a backup into `folder`, which must be empty or not exist; `told` hears of the bytes unpacked.

    Raises:
        HostileData: ``backup.invalid``, ``backup.version``, ``backup.differs``.
        WorldError: ``restore.not_empty``, ``store.failed``.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WorldError(
            "restore.not_empty",
            f"{folder} is not an empty folder.",
            remedy="Stop the server, move the folder away (do not delete it yet), then restore.",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.restoring."))
    try:
        manifest = _unpack(source, aside, told)
        if faults := examine(aside / DATABASE).faults:
            raise _invalid(f"its database is damaged: {faults[0]}")
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return manifest


def examine(path: Path) -> Examined:
    """Look at a database without changing it; a server may run meanwhile.

    Raises:
        WorldError: ``store.failed`` when it cannot be opened at all.
    """
    with translated(), closing(_opened(path)) as database:
        faults = [row[0] for row in database.execute("PRAGMA integrity_check(20)") if row[0] != "ok"]
        newest = database.execute('SELECT body FROM leaf ORDER BY "index" DESC LIMIT 1').fetchone()
    return Examined(tuple(faults), Instant(int(json.loads(newest[0])["at"])) if newest else None)


def _opened(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise WorldError(
            "store.missing",
            f"There is no database {path}.",
            remedy="Run holdfast init for a new data folder, or restore a backup.",
        )
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=10)


def _copy_database(path: Path, copy: Path) -> tuple[str, str]:
    """Copy a database as one snapshot; return its schema version and its newest checkpoint."""
    with translated(), closing(_opened(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)  # all pages in one step: in pieces, a busy server would make it start over for ever
        # One file, without the journal of a server that runs.
        target.execute("PRAGMA journal_mode=DELETE")
        schema = target.execute("SELECT version_num FROM alembic_version").fetchone()
        state = target.execute("SELECT checkpoint FROM log_state").fetchone()
    return (schema[0] if schema else "", state[0] if state else "")


def _digest_of(path: Path) -> Digest:
    with path.open("rb") as file:
        return Digest("sha256:" + hashlib.file_digest(file, "sha256").hexdigest())


def _add(archive: tarfile.TarFile, name: str, file: Readable, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    archive.addfile(info, file)


class _Meter:
    """Adds up what was read of all files, and tells."""

    def __init__(self, told: Told, files: Sequence[Packed]) -> None:
        self._told, self._done, self._of = told, 0, sum(packed.size for packed in files)

    def add(self, size: int) -> None:
        self._done += size
        self._told(self._done, self._of)


class _Metered:
    """A file whose reads are told."""

    def __init__(self, file: Readable, meter: _Meter) -> None:
        self._file, self._meter = file, meter

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._meter.add(len(data))
        return data


def _unpack(source: BinaryIO, aside: Path, told: Told) -> Manifest:
    (aside / KEYS).mkdir(mode=0o700)
    try:
        # Read as a stream, one member after another: nothing is looked up by what an index claims.
        with tarfile.open(fileobj=source, mode="r|gz") as archive:
            manifest = _manifest(archive)
            left, meter = {packed.name: packed for packed in manifest.files}, _Meter(told, manifest.files)
            # Not by iterating, which would give the manifest again.
            while (member := archive.next()) is not None:
                packed = left.pop(member.name, None)
                if packed is None or not member.isreg() or member.size != packed.size:
                    raise _invalid(f"{member.name[:80]!r} is not what its manifest lists")
                content = archive.extractfile(member)
                assert content is not None  # noqa: S101  (a regular file has content)
                _write(_Metered(content, meter), aside / packed.name, packed)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise WorldError(
                "restore.failed",
                f"The backup could not be unpacked: {error.strerror}.",
                remedy="Check the free space and the permissions, then repeat the command; nothing was left behind.",
            ) from error
        raise _invalid("it is cut short or no archive of ours") from error
    if left:
        raise _invalid(f"it lacks {min(left)!r}, which its manifest lists")
    return manifest


def _manifest(archive: tarfile.TarFile) -> Manifest:
    member = archive.next()
    if member is None or member.name != MANIFEST or not member.isreg() or member.size > MANIFEST_BYTES:
        raise _invalid("it does not begin with a manifest")
    content = archive.extractfile(member)
    try:
        manifest = msgspec.json.decode(content.read() if content else b"", type=Manifest)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _invalid("its manifest cannot be read") from error
    if manifest.format != FORMAT or manifest.version != VERSION:
        raise HostileData(
            "backup.version",
            f"This is {manifest.format[:40]!r}, version {manifest.version}; this program reads {FORMAT} {VERSION}.",
            remedy="Restore it with the Holdfast that made it, then upgrade.",
        )
    names = [packed.name for packed in manifest.files]
    if len(set(names)) != len(names) or not all(map(_NAME.fullmatch, names)):
        raise _invalid("its manifest names a file that no backup of ours holds")
    if missing := {CONFIGURATION, DATABASE} - set(names):
        raise _invalid(f"its manifest lacks {min(missing)}")
    return manifest


def _write(content: Readable, path: Path, packed: Packed) -> None:
    seen = hashlib.sha256()
    for above in reversed([each for each in path.parents if not each.exists()]):
        above.mkdir(mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while chunk := content.read(CHUNK):
            seen.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if "sha256:" + seen.hexdigest() != packed.digest:
        raise HostileData(
            "backup.differs",
            f"{packed.name} is not the file that was backed up: its digest differs.",
            remedy="Use another copy of the backup; this one was damaged or changed. Nothing was restored.",
        )


def _invalid(why: str) -> HostileData:
    return HostileData(
        "backup.invalid",
        f"This is not a backup that can be restored: {why}.",
        remedy="Give the file that holdfast backup wrote, unchanged. Nothing was restored.",
    )
