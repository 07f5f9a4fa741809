"""Turns criteria into an Elasticsearch query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from query_service.application.ports.label_conditions import LabelCondition
from query_service.application.ports.order_questions import OrderCriteria

Query = dict[str, Any]


def query(criteria: OrderCriteria) -> Query:
    """Returns the query for the orders that match the criteria."""
    excluded = [_terms("state", criteria.excluded_states)] if criteria.excluded_states else []
    excluded += [_has_label(condition) for condition in criteria.labels if condition.negated]
    return {"bool": {"filter": list(_filters(criteria)), "must_not": excluded}}


def scored(criteria: OrderCriteria) -> Query:
    """Returns the same query with scores: 1 for exact matches, 0 for the others."""
    asked = query(criteria)
    asked["bool"]["should"] = [{"constant_score": {"filter": _is_exact(criteria), "boost": 1}}]
    asked["bool"]["minimum_should_match"] = 0
    return asked


def _is_exact(criteria: OrderCriteria) -> Query:
    return {"term": {"lookup_keys": criteria.lookup_key}}


def _filters(criteria: OrderCriteria) -> Iterator[Query]:
    words = [_any_beginning(beginnings) for beginnings in criteria.words]
    if criteria.lookup_key:
        yield {"bool": {"should": [{"bool": {"filter": words}}, _is_exact(criteria)], "minimum_should_match": 1}}
    else:
        yield from words
    alternatives = {
        "order_number": criteria.order_numbers,
        "order_id": criteria.order_ids,
        "payment_references": criteria.payment_references,
        "tracking_numbers": criteria.tracking_numbers,
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
    yield from (_has_label(condition) for condition in criteria.labels if not condition.negated)
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


def _has_label(condition: LabelCondition) -> Query:
    """Returns the query for orders that have the label, with one of the values if there are any."""
    if condition.values:
        return {"terms": {"label_pairs": condition.pairs}}
    return {"term": {"label_keys": condition.key}}


def _any_beginning(beginnings: Sequence[str]) -> Query:
    looked_up = [{"prefix": {"search_text": {"value": beginning}}} for beginning in beginnings]
    return looked_up[0] if len(looked_up) == 1 else {"bool": {"should": looked_up}}


def _terms(field: str, values: tuple[str, ...]) -> Query:
    return {"terms": {field: list(values)}}
