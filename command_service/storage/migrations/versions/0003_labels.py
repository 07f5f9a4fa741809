"""Adds labels and a note to the orders."""

from command_service.storage.migrations import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql("0003_labels.sql")
