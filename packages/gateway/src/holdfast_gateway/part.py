"""A part of an artefact: the bytes that are here so far, and what the control plane said of the file.

1. Bytes are appended, and synced every some megabytes. How many there are is the file's own size: no count beside it
   could disagree. What a power cut leaves may end in nonsense; the digest of the whole decides, as it always does.
2. Length and entity tag are written once, before the first byte. Without them a part is begun anew.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import msgspec

LARGEST_NOTE = 1024
NOTE = ".json"
_HEX = re.compile(r"[0-9a-f]{64}")


class Note(msgspec.Struct, frozen=True):
    """What the control plane said of a file: its length in bytes, and its entity tag (empty: none that serves)."""

    length: int
    etag: str = ""


class Part:
    """The part in the file `path`; made if it is missing.

    `have` is how many bytes there are, `inherited` whether an earlier fetch left some of them.

    Raises:
        OSError: the file cannot be used.
    """

    def __init__(self, path: Path, *, sync_bytes: int) -> None:
        self._path, self._sync_bytes, self._unsynced = path, sync_bytes, 0
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self.have = os.fstat(self._descriptor).st_size
        self.note = _read_note(path.with_name(path.name + NOTE))
        if self.note is None or self.have > self.note.length:
            self.restart()
        self.inherited = self.have > 0

    @property
    def whole(self) -> bool:
        """Whether every byte is here."""
        return self.note is not None and self.have == self.note.length

    def expect(self, note: Note) -> None:
        """Keep what the control plane says of the file; other bytes than those it says it of are dropped."""
        if note == self.note:
            return
        if self.note is None or note.length != self.note.length:
            self.restart()
        self.note = note
        _write_note(self._path.with_name(self._path.name + NOTE), note)

    def append(self, data: bytes) -> None:
        """Add the next bytes. Raises OSError."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, self.have)
            self.have += written
            self._unsynced += written
            view = view[written:]
        if self._unsynced >= self._sync_bytes:
            self.sync()

    def restart(self) -> None:
        """Drop the bytes."""
        os.ftruncate(self._descriptor, 0)
        self.have, self.inherited = 0, False

    def sync(self) -> None:
        """Make the bytes durable."""
        os.fsync(self._descriptor)
        self._unsynced = 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def is_hex(name: str) -> bool:
    """Whether `name` is that of an artefact or of a part."""
    return _HEX.fullmatch(name) is not None


def sha256_of(path: Path) -> str:
    """The digest of a file, as digits. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_note(path: Path) -> Note | None:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_NOTE)
        return msgspec.json.decode(data, type=Note)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _write_note(path: Path, note: Note) -> None:
    # Torn or lost it only costs the bytes that are here: a part without a note is begun anew.
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(msgspec.json.encode(note))
    temporary.replace(path)
