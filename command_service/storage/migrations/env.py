"""Runs the migrations for Alembic on the connection that `command_service.storage.schema` opened."""

from alembic import context

from command_service.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, transaction_per_migration=True
)
with context.begin_transaction():
    context.run_migrations()
