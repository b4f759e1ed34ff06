"""Opening the database, and bringing its tables up to date.

1. WAL, ``synchronous=FULL``: a commit has reached the disk (fdatasync) before it returns.
2. A database of a newer version than this program is never touched.
3. Migrations run only when somebody asks for them (`upgrade`); a server whose database is behind says so and stops.
"""

from __future__ import annotations

import sqlite3
from importlib import resources
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from holdfast.adapters.store.failures import translated
from holdfast_core.kernel.errors import WorldError

MIGRATIONS = Path(str(resources.files("holdfast.adapters.store"))) / "migrations"
BUSY_MS = 5_000
"""How long a statement waits for another process's lock before it is refused as locked."""


def open_engine(path: Path) -> Engine:
    """An engine for the SQLite file at `path`."""
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _pragmas(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        try:
            cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
        except sqlite3.Error:
            connection.close()  # the pool does not know it yet, and would leave the file open
            raise
        cursor.close()

    return engine


def _config(engine: Engine) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = engine
    return config


def upgrade(engine: Engine) -> tuple[str | None, str]:
    """Bring the tables up to this program's version; return the version before (`None`: new) and after.

    Raises:
        WorldError: ``store.*``.
    """
    before = version(engine)
    check_version(engine, allow_older=True)
    with translated():
        command.upgrade(_config(engine), "head")
    return before, _head(engine)


def version(engine: Engine) -> str | None:
    """The database's migration, or `None` when it has no tables yet."""
    with translated(), engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _head(engine: Engine) -> str:
    head = ScriptDirectory.from_config(_config(engine)).get_current_head()
    assert head is not None  # noqa: S101  (the package ships at least one migration)
    return head


def check_version(engine: Engine, *, allow_older: bool = False) -> None:
    """Refuse a database that this program must not write.

    Raises:
        WorldError: ``store.newer``, ``store.older``, or the database could not be read.
    """
    current, head = version(engine), _head(engine)
    known = {script.revision for script in ScriptDirectory.from_config(_config(engine)).walk_revisions()}
    if current is not None and current not in known:
        raise WorldError(
            "store.newer",
            f"The data was written by a newer Holdfast (schema {current}, this one knows {head}).",
            remedy="Run the newer version, or restore a backup made by this one.",
        )
    if current != head and not allow_older:
        raise WorldError(
            "store.older",
            f"The data is of schema {current or 'none'}, this program needs {head}.",
            remedy="Run holdfast upgrade; it makes a backup first.",
        )
