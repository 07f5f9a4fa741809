"""Holds the Alembic migrations, forward only, in the installed package: SQL files and the revisions that run them."""

from __future__ import annotations

from pathlib import Path

from alembic import op

VERSIONS = Path(__file__).parent / "versions"


def run_sql(name: str) -> None:
    """Runs a SQL file of `versions` in the migration's transaction."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    # The driver itself: only without parameters does it take several statements at once.
    connection.execute((VERSIONS / name).read_text(encoding="utf-8"))
