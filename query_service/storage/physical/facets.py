"""Asks Elasticsearch for facets: how many matches have each value of a dimension or of a label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from query_service.application.ports.order_questions import DIMENSION_FIELDS, FACET_LIMIT, OrderSearch

_LABEL = "label"


def facets(asked: OrderSearch) -> dict[str, Any]:
    """Returns the aggregations of a search."""
    wanted: dict[str, Any] = {
        dimension.value: {"terms": {"field": DIMENSION_FIELDS[dimension], "size": FACET_LIMIT}}
        for dimension in asked.facets
    }
    if asked.facet_label:
        # Of all that a key may have, only the point means something in a pattern.
        pattern = asked.facet_label.replace(".", "\\.") + "=.*"
        wanted[_LABEL] = {"terms": {"field": "label_pairs", "include": pattern, "size": FACET_LIMIT}}
    return wanted


def counts(aggregations: Mapping[str, Any], name: str) -> list[tuple[str, int]]:
    """Returns the values that an aggregation found, most frequent first, ties by value."""
    return [(bucket["key"], bucket["doc_count"]) for bucket in aggregations[name]["buckets"]]


def label_values(aggregations: Mapping[str, Any], asked: OrderSearch) -> list[tuple[str, int]]:
    """Returns the values of the label that was asked for; none without one."""
    if not asked.facet_label:
        return []
    return [(pair.removeprefix(f"{asked.facet_label}="), count) for pair, count in counts(aggregations, _LABEL)]
