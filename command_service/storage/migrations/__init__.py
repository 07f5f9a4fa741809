"""Holds the Alembic migrations, which only go forward: SQL files, and the revisions that run them."""

from __future__ import annotations

from pathlib import Path

from alembic import op

VERSIONS = Path(__file__).parent / "versions"


def run_sql(name: str) -> None:
    """Runs a SQL file of `versions` in the migration's transaction."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    # Called on the driver, which accepts several statements in one text only without parameters.
    connection.execute((VERSIONS / name).read_text(encoding="utf-8"))
