"""Checks conditions that involve several fields of a request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from service_runtime.edge.request_validation import Problem, Relation, When

#: The most items that all shipments of one imported order may have together. The event of an order with more would be
#: too large to be published.
MAX_SHIPPED_ITEMS = 10_000


def _too_many_items(request: Any) -> Iterator[Problem]:
    items = sum(len(shipment.items) for shipment in request.shipments)
    if items > MAX_SHIPPED_ITEMS:
        yield "shipments", f"have {items} items in all, at most {MAX_SHIPPED_ITEMS} are allowed"


def _other_currencies(request: Any) -> Iterable[Problem]:
    if len({money.currency_code for money in _amounts(request)}) <= 1:
        return ()
    return _differing(request)


def _differing(request: Any) -> Iterator[Problem]:
    amounts = [(f"{path}.currency_code", money.currency_code) for path, money in _named_amounts(request)]
    for path, currency in amounts[1:]:
        if currency != amounts[0][1]:
            yield path, f"is {currency}, but {amounts[0][0]} is {amounts[0][1]}: an order has one currency"


def _amounts(request: Any) -> list[Any]:
    """Returns the amounts of `_named_amounts` without the names, which only a refusal needs."""
    amounts = [line.unit_price for line in request.lines]
    amounts += [getattr(request, name) for name in ("freight", "expected_total") if request.HasField(name)]
    if "payments" in request.DESCRIPTOR.fields_by_name:
        amounts += [payment.amount for payment in request.payments]
    return amounts


def _named_amounts(request: Any) -> Iterator[tuple[str, Any]]:
    yield from ((f"lines[{index}].unit_price", line.unit_price) for index, line in enumerate(request.lines))
    yield from ((name, getattr(request, name)) for name in ("freight", "expected_total") if request.HasField(name))
    if "payments" in request.DESCRIPTOR.fields_by_name:
        yield from ((f"payments[{index}].amount", payment.amount) for index, payment in enumerate(request.payments))


#: Refuses too many items. Checked before the single fields, because checking very many items would take too long.
SHIPPED_ITEMS = Relation(_too_many_items, When.BEFORE)
#: Checks that all amounts are in the currency of the first line.
ONE_CURRENCY = Relation(_other_currencies, When.AFTER)
