"""The embedded store: SQLite in WAL mode through SQLAlchemy Core, with everything hot held in memory."""

from holdfast.adapters.store.embedded import EmbeddedStore
from holdfast.adapters.store.schema import open_engine, upgrade

__all__ = ["EmbeddedStore", "open_engine", "upgrade"]
