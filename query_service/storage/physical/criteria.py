"""Criteria as an Elasticsearch query: filters only, nothing is scored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from query_service.application.order_questions import OrderCriteria

Query = dict[str, Any]


def query(criteria: OrderCriteria) -> Query:
    """The query that finds exactly the orders that are meant."""
    excluded = [_terms("state", criteria.excluded_states)] if criteria.excluded_states else []
    return {"bool": {"filter": list(_filters(criteria)), "must_not": excluded}}


def _filters(criteria: OrderCriteria) -> Iterator[Query]:
    for beginnings in criteria.words:
        looked_up = [{"prefix": {"search_text": {"value": beginning}}} for beginning in beginnings]
        yield looked_up[0] if len(looked_up) == 1 else {"bool": {"should": looked_up}}
    alternatives = {
        "state": criteria.states,
        "payment_state": criteria.payment_states,
        "fulfillment_state": criteria.fulfillment_states,
        "customer_id": criteria.customer_ids,
        "source": criteria.sources,
        "skus": criteria.skus,
        "region_code": criteria.region_codes,
    }
    for field, values in alternatives.items():
        if values:
            yield _terms(field, values)
    if criteria.on_hold is not None:
        yield {"term": {"on_hold": criteria.on_hold}}
    if criteria.currency_code:
        yield {"term": {"currency_code": criteria.currency_code}}
    bounds = {
        "total": (criteria.min_total, criteria.max_total),
        "place_time": (criteria.placed_from, criteria.placed_until),
        "update_time": (criteria.updated_from, criteria.updated_until),
    }
    for field, (least, limit) in bounds.items():
        given = {name: bound for name, bound in (("gte", least), ("lt", limit)) if bound is not None}
        if given:
            yield {"range": {field: given}}


def _terms(field: str, values: tuple[str, ...]) -> Query:
    return {"terms": {field: list(values)}}
