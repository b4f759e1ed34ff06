"""The database's errors as ours, each with its remedy; told apart by SQLite's result codes, not by their text."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from holdfast_core.kernel.errors import WorldError

PRIMARY = 0xFF
"""The primary result code is the low byte of an extended one (sqlite.org/rescode.html)."""
DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
DISK = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})


@contextmanager
def translated() -> Iterator[None]:
    """Raise `WorldError` (``store.*``) in place of a database error of the block."""
    try:
        yield
    except DBAPIError as error:
        raise as_ours(error.orig) from error
    except sqlite3.Error as error:
        raise as_ours(error) from error


def as_ours(error: BaseException | None) -> WorldError:
    """`error` of the database as one of ours."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & PRIMARY
    if code == sqlite3.SQLITE_FULL:
        return WorldError(
            "store.full",
            "The disk under the data folder is full; nothing of this was kept.",
            remedy="Free space on it. Devices resend by themselves; nothing acknowledged was lost.",
            http_status=507,
        )
    if code in LOCKED:
        return WorldError(
            "store.locked",
            "Another process holds the database; nothing of this was kept.",
            remedy="End the other process (a backup, a shell) or wait for it. Devices resend by themselves.",
        )
    if code in DAMAGED:
        return WorldError(
            "store.damaged",
            f"The database is damaged or no database: {error}.",
            remedy="Stop the server, keep a copy of the file, and restore the newest backup.",
        )
    if code in DISK:
        return WorldError(
            "store.disk",
            f"The disk under the data folder failed: {error}.",
            remedy="Look at free space, permissions and the kernel's log (dmesg). Devices resend by themselves.",
        )
    return WorldError(
        "store.failed",
        f"The database refused: {error}.",
        remedy="Run holdfast doctor; restore the last backup if it says that the file is damaged.",
    )
