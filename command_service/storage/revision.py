"""Names the schema revision that this version needs. It loads nothing that only a migration needs."""

from __future__ import annotations

from pathlib import Path

MIGRATIONS = Path(__file__).parent / "migrations"


def required_revision() -> str:
    """Returns the revision that this version of the service needs: the last of the numbered migrations."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))
