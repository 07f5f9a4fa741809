"""Defines what a comparison of the read model with the write side finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How an order of the read model differs from the write side. Metrics use the values, so they never change."""

    #: The read model does not have the order.
    DOCUMENT_MISSING = "DOCUMENT_MISSING"
    #: The document is not what its journal entry gives, or has another hash than the write side at the same version.
    DOCUMENT_ALTERED = "DOCUMENT_ALTERED"
    #: The document is of an earlier version than the write side's.
    DOCUMENT_OLDER = "DOCUMENT_OLDER"
    #: The document is of a version that the write side lost when it was restored.
    VERSION_LOST = "VERSION_LOST"
    #: The journal entry of a version is missing.
    ENTRY_MISSING = "ENTRY_MISSING"
    #: The text of a journal entry does not give its hash, or its other fields are not those of its text.
    ENTRY_ALTERED = "ENTRY_ALTERED"
    #: The write side no longer has the order.
    ORDER_UNKNOWN = "ORDER_UNKNOWN"
    #: An event cannot be projected, and no record says so.
    PARKED_UNRECORDED = "PARKED_UNRECORDED"
    #: Readers are sent to an index without the documents.
    INDEX_SWAPPED = "INDEX_SWAPPED"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `order_id` is "" and `version` 0 when it concerns no single order or version."""

    kind: Kind
    order_id: str
    version: int
    detail: str


def counts(findings: Iterable[Finding]) -> Mapping[str, int]:
    """Returns the number of findings by kind."""
    return dict(sorted(Counter(str(finding.kind) for finding in findings).items()))
