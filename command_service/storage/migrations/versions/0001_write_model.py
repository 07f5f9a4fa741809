"""Creates the write model's tables."""

from command_service.storage.migrations import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql("0001_write_model.sql")
