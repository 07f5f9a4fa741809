"""Maps the roles of an outbox table to its columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

REQUIRED_ROLES = (
    "position",
    "transaction_id",
    "event_id",
    "aggregate_type",
    "aggregate_id",
    "event_type",
    "payload",
    "recorded_at",
)
OPTIONAL_ROLES = (
    "aggregate_version",
    "partition",
    "headers",
    "hash",
    "occurred_at",
    "personal",
    "salt",
    "personal_digest",
)
ROLES = REQUIRED_ROLES + OPTIONAL_ROLES


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The names of an outbox table's columns: `names` maps each role to its column.

    The table may lack the column of an `optional` role. A role that is not in `names` has no column.
    """

    names: Mapping[str, str]
    optional: frozenset[str]

    @classmethod
    def default(cls) -> ColumnNames:
        """Returns the names of a table in which every column is called like its role."""
        return cls({role: role for role in ROLES}, frozenset(OPTIONAL_ROLES))
