"""Decides in memory whether an order matches criteria. Stores that search by other means must decide the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from query_service.application.ports.order_questions import OrderCriteria
from query_service.projection.order_document import OrderDocument
from query_service.projection.words.asked import begins_words

Condition = Callable[[OrderDocument], bool]
#: (field of the document, field of the criteria): the order's value must be one of the alternatives.
_ONE_OF = (
    ("order_number", "order_numbers"),
    ("order_id", "order_ids"),
    ("state", "states"),
    ("payment_state", "payment_states"),
    ("fulfillment_state", "fulfillment_states"),
    ("customer_id", "customer_ids"),
    ("source", "sources"),
    ("region_code", "region_codes"),
)
#: The same for lists of the document: one of its values must be among the alternatives.
_ANY_OF = (
    ("payment_references", "payment_references"),
    ("tracking_numbers", "tracking_numbers"),
    ("skus", "skus"),
)
#: (field of the document, inclusive bound, exclusive bound).
_WITHIN = (
    ("total", "min_total", "max_total"),
    ("place_time", "placed_from", "placed_until"),
    ("update_time", "updated_from", "updated_until"),
)


def matcher(criteria: OrderCriteria) -> Condition:
    """Returns a function that tells whether an order matches. It checks only what the criteria ask for."""
    conditions = tuple(_conditions(criteria))
    return lambda order: all(condition(order) for condition in conditions)


def _conditions(criteria: OrderCriteria) -> Iterator[Condition]:
    if criteria.words:
        yield (
            lambda order: (
                criteria.lookup_key in order["lookup_keys"]
                or begins_words(order["search_text"].split(), criteria.words)
            )
        )
    if criteria.excluded_states:
        yield lambda order: order["state"] not in criteria.excluded_states
    if criteria.on_hold is not None:
        yield lambda order: order["on_hold"] == criteria.on_hold
    if criteria.currency_code:
        yield lambda order: order["currency_code"] == criteria.currency_code
    for field, name in _ONE_OF:
        if alternatives := frozenset(getattr(criteria, name)):
            yield _one_of(field, alternatives)
    for field, name in _ANY_OF:
        if alternatives := frozenset(getattr(criteria, name)):
            yield _any_of(field, alternatives)
    for label in criteria.labels:
        yield label.holds
    for field, least, limit in _WITHIN:
        bounds = getattr(criteria, least), getattr(criteria, limit)
        if bounds != (None, None):
            yield _within(field, *bounds)


def _one_of(field: str, alternatives: frozenset[str]) -> Condition:
    return lambda order: order[field] in alternatives  # type: ignore[literal-required]


def _any_of(field: str, alternatives: frozenset[str]) -> Condition:
    return lambda order: not alternatives.isdisjoint(order[field])  # type: ignore[literal-required]


def _within(field: str, least: int | None, limit: int | None) -> Condition:
    def within(order: OrderDocument) -> bool:
        value: int | None = order[field]  # type: ignore[literal-required]
        return value is not None and (least is None or value >= least) and (limit is None or value < limit)

    return within
