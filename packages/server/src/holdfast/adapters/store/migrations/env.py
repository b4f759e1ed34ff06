"""Alembic's entry: runs the migrations on the engine that `schema` hands over, in one transaction."""

from alembic import context

from holdfast.adapters.store.tables import metadata

with context.config.attributes["engine"].begin() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
