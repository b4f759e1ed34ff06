"""Reading a bundle that a person carried here: a zip file, or the folder that it was unpacked to.

1. Nothing in it is believed here: it is read, bounded in number and size, for others to verify (`carried`).
2. Of a zip file the directory is measured before it is read. Members are stored, not compressed: none grows.
3. Only names that a bundle has are looked at; a payload is read only once it is known which, and how long it is.

Source: PKWARE APPNOTE 6.3.10, 4.3.14 to 4.3.16.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol

from holdfast_agent.update.download import stored_path
from holdfast_core.kernel.errors import HostileData
from holdfast_core.update.agreement import Target
from holdfast_core.wire.update_metadata import LARGEST_FILE

WORD = "bundle.json"
MEMBERS = 4_096
LARGEST_DIRECTORY = 2 * 1024 * 1024
LARGEST = 64 * 1024 * 1024
"""Bytes of everything but payloads."""
_SMALL = re.compile(
    r"bundle\.json|(image|director|offline)/[0-9]{1,15}\.root\.json|metadata/[A-Za-z0-9._%-]{1,120}\.json"
    r"|targets/exemptions/[A-Za-z0-9._-]{1,200}\.json"
)
_FOLDERS = ("image", "director", "offline", "metadata", "targets/exemptions")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = 20
_ENCRYPTED = 1
_BROKEN = (
    OSError,
    zipfile.BadZipFile,
    ValueError,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    struct.error,
)


class Openable(Protocol):
    """What can be opened to be read."""

    def open(self, mode: str, /) -> BinaryIO:
        """The bytes. Raises OSError."""
        ...


class _Source(Protocol):
    def names(self) -> Iterator[str]: ...

    def open(self, name: str) -> BinaryIO: ...


class Bundle:
    """What a bundle holds. `files` are all of it but payloads."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        self.files: dict[str, bytes] = {}
        left = LARGEST
        for name in source.names():
            if _SMALL.fullmatch(name):
                data = _read(source, name, min(left, LARGEST_FILE))
                self.files[name], left = data, left - len(data)
        if WORD not in self.files:
            raise _malformed("it has no bundle.json")

    @property
    def word(self) -> bytes:
        """The director's word."""
        return self.files[WORD]

    @property
    def metadata(self) -> Mapping[str, bytes]:
        """The metadata of the offline repository, by the names by which a TUF repository serves it."""
        return self._below("metadata/")

    def roots(self, repository: str) -> Mapping[str, bytes]:
        """The roots of a repository, ``N.root.json``."""
        return self._below(f"{repository}/")

    def newest_root(self, repository: str) -> bytes:
        """The root with the highest number. Raises HostileData ``update.bundle_malformed``."""
        found = self.roots(repository)
        if not found:
            raise _malformed(f"it has no root of the repository {repository}")
        return found[max(found, key=lambda name: int(name.partition(".")[0]))]

    def small(self, name: str) -> bytes:
        """The content of a small target; empty where it is not here."""
        return self.files.get(name, b"")

    def payload(self, target: Target) -> Openable:
        """A target's content, unverified."""
        return _Payload(self._source, f"targets/{stored_path(target)}")

    def _below(self, prefix: str) -> dict[str, bytes]:
        return {name.removeprefix(prefix): data for name, data in self.files.items() if name.startswith(prefix)}


@contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """The bundle at `path`, while the context lasts.

    Raises:
        HostileData: ``update.bundle_malformed``.
    """
    if path.is_dir():
        yield Bundle(_Folder(path))
        return
    try:
        file = _regular(path)
    except OSError as error:
        raise _malformed(error.strerror or "it cannot be opened") from error
    with file:
        try:
            _measure(file)
            archive = zipfile.ZipFile(file)
        except _BROKEN as error:
            raise _malformed(str(error) or type(error).__name__) from error
        yield Bundle(_Zip(archive))


class _Folder:
    """A folder; links in it are not followed, and devices not opened."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> Iterator[str]:
        """The names that a bundle may have."""
        yield WORD
        for folder in _FOLDERS:
            for number, name in enumerate(_listed(self._path / folder)):
                if number >= MEMBERS:
                    raise _malformed(f"{folder} holds more than {MEMBERS} files")
                yield f"{folder}/{name}"

    def open(self, name: str) -> BinaryIO:
        """One file."""
        return _regular(self._path / name)


class _Zip:
    """A zip file whose directory was measured."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._members = {each.filename: each for each in archive.infolist()}
        self._archive = archive

    def names(self) -> Iterator[str]:
        """Every member's name."""
        return iter(self._members)

    def open(self, name: str) -> BinaryIO:
        """One member."""
        member = self._members.get(name)
        if member is None:
            raise FileNotFoundError(errno.ENOENT, "it is not in the bundle", name)
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & _ENCRYPTED:
            raise ValueError("a member is compressed or encrypted")
        return io.BufferedReader(_Member(self._archive.open(member)))


class _Member(io.RawIOBase):
    """A member that is being read; whatever breaks is an OSError."""

    def __init__(self, inner: IO[bytes]) -> None:
        self._inner = inner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._inner.read(len(buffer))
        except _BROKEN as error:
            raise OSError(errno.EIO, str(error) or type(error).__name__) from error
        buffer[: len(data)] = data
        return len(data)


class _Payload:
    """A payload in a source; whatever breaks while it is read is an OSError."""

    def __init__(self, source: _Source, name: str) -> None:
        self._source, self._name = source, name

    def open(self, _mode: str, /) -> BinaryIO:
        """The bytes. Raises OSError."""
        try:
            return self._source.open(self._name)
        except _BROKEN as error:
            if isinstance(error, OSError):
                raise
            raise OSError(errno.EIO, str(error) or type(error).__name__) from error


def _read(source: _Source, name: str, limit: int) -> bytes:
    try:
        with source.open(name) as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise _malformed(f"{name} is missing") from None
    except _BROKEN as error:
        raise _malformed(f"{name}: {error}") from error
    if len(data) > limit:
        raise _malformed(f"{name} is larger than it may be")
    return data


def _measure(file: BinaryIO) -> None:
    """Refuse a directory that is larger than a bundle's, before anything reads it."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - 65_535 - _END.size - _LOCATOR - _END64.size)
    file.seek(start)
    tail = file.read(size - start)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise ValueError("it is no zip file")
    _, _, _, _, count, length, _, _ = _END.unpack_from(tail, at)
    before = at - _LOCATOR - _END64.size
    if before >= 0 and tail[at - _LOCATOR : at].startswith(b"PK\6\7"):
        _, _, _, _, _, _, _, count, length, _ = _END64.unpack_from(tail, before)
    if count > MEMBERS or length > LARGEST_DIRECTORY:
        raise ValueError("it has more members than a bundle has")
    file.seek(0)


def _listed(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as found:
            return sorted(entry.name for _, entry in zip(range(MEMBERS + 1), found, strict=False))
    except OSError:
        return []


def _regular(path: Path) -> BinaryIO:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no file")
    return os.fdopen(handle, "rb")


def _malformed(why: str) -> HostileData:
    return HostileData(
        "update.bundle_malformed",
        f"This is no bundle: {why[:200].rstrip('.')}.",
        remedy="Copy it again, whole, as 'holdfast keys bundle' wrote it.",
    )
