"""Alembic migrations of the embedded store."""
