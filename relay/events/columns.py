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
    """`names`: role → column. An `optional` role may lack its column; a role that is not named has none."""

    names: Mapping[str, str]
    optional: frozenset[str]

    @classmethod
    def default(cls) -> ColumnNames:
        """Returns names where every column is called like its role."""
        return cls({role: role for role in ROLES}, frozenset(OPTIONAL_ROLES))
