"""Alembic migrations, forward only, run from the installed package: files of SQL and the revisions that run them."""

from __future__ import annotations

from pathlib import Path

from alembic import op

VERSIONS = Path(__file__).parent / "versions"


def run_sql(name: str) -> None:
    """Runs a file of SQL statements of `versions` in the migration's transaction."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    # The driver itself: only without parameters does it take several statements at once.
    connection.execute((VERSIONS / name).read_text(encoding="utf-8"))
