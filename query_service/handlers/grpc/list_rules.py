"""Lists the rules for filters, pages and groups in requests for lists, sums and histories."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tandem.orders.label_keys import is_label_key
from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1 import order_types_pb2 as types

from query_service.application.calendars.time_zone import time_zone_names
from query_service.handlers.grpc.answering import DEFAULT_PAGE_SIZE, DEFAULT_PAYMENT_GROUPS, MAX_PAGE_SIZE
from query_service.projection.currency import minor_units
from query_service.projection.words.folding import fold
from query_service.wire.label_selector import MAX_CONDITIONS, WrongSelector, label_conditions
from service_runtime.edge.field_checks import ANY, Check, is_time, is_uuid, must
from service_runtime.edge.request_validation import Problem, Relation, Rules

MAX_GROUPS, MAX_DIMENSIONS, MAX_PERCENTILES = 1000, 3, 20
MAX_PAYMENT_GROUPS = 10_000
MAX_SELECTOR_LENGTH = 2_000
MAX_TEXT_LENGTH, MAX_KEY_LENGTH, MAX_REFERENCE_LENGTH, MAX_ALTERNATIVES = 200, 64, 200, 200
_REGION, _CURRENCY = re.compile("[A-Z]{2}"), re.compile("[A-Z]{3}")


def _is_text(text: str) -> bool:
    return len(text) <= MAX_TEXT_LENGTH and (not text or bool(fold(text)))


def _each(check: Callable[[Any], bool], most: int = MAX_ALTERNATIVES) -> Callable[[Iterable[Any]], bool]:
    def holds(values: Iterable[Any]) -> bool:
        given = list(values)
        return len(given) <= most and all(check(value) for value in given)

    return holds


def _is_key(value: str) -> bool:
    return 1 <= len(value) <= MAX_KEY_LENGTH


def _keys(what: str, longest: int = MAX_KEY_LENGTH) -> Check:
    return must(
        f"be up to {MAX_ALTERNATIVES} {what} of 1 to {longest} characters",
        _each(lambda value: 1 <= len(value) <= longest),
    )


def _known(enum: Any) -> Callable[[int], bool]:
    known = frozenset(enum.values()) - {0}
    return lambda value: value in known


def _states(enum: Any, what: str) -> Check:
    return must(f"be known {what}, not UNSPECIFIED", _each(_known(enum)))


def _is_amount(money: Any) -> bool:
    if _CURRENCY.fullmatch(money.currency_code) is None:
        return False
    try:
        minor_units(money.units, money.nanos, money.currency_code)
    except ValueError:
        return False
    return True


_AMOUNT = must(
    "be an amount with an ISO 4217 currency, no finer than its minor unit, units and nanos of one sign",
    _is_amount,
)
_CURRENCY_CODE = must("be an ISO 4217 code such as EUR", lambda value: not value or bool(_CURRENCY.fullmatch(value)))
_TIME = must("be a time within the years 1 to 9999", is_time)
#: A page that is too large is shortened, not refused: see `answering.page_size`.
PAGE_SIZE = must(
    f"be 0 or more: 0 is {DEFAULT_PAGE_SIZE}, and above {MAX_PAGE_SIZE} is {MAX_PAGE_SIZE}", lambda value: value >= 0
)
PAGE_TOKEN = ANY  # checked when it is decoded, and refused with a reason of its own
CUSTOMER_ID = must(f"be 1 to {MAX_KEY_LENGTH} characters", _is_key)
SORT = must("be a known sort", lambda value: value in contract.OrderSort.values())
MAX_GROUPS_RULE = must(f"be 1 to {MAX_GROUPS}, or 0 for 100", lambda value: 0 <= value <= MAX_GROUPS)
PERCENTILES = must(
    f"be up to {MAX_PERCENTILES} numbers within 0 and 100", _each(lambda value: 0 <= value <= 100, MAX_PERCENTILES)
)


TIME_ZONE = must(
    "be the name of a time zone in the IANA database, such as Europe/Berlin, or empty for UTC",
    lambda value: not value or value in time_zone_names(),
)


def dimensions(least: int, most: int, enum: Any = contract.OrderDimension) -> Check:
    """Returns the rule for `least` to `most` distinct dimensions."""
    known = _known(enum)
    return must(
        f"be {least} to {most} known dimensions, each once",
        lambda values: least <= len(values) <= most and len(set(values)) == len(values) and all(map(known, values)),
    )


def _selector_problems(selector: str) -> Iterator[Problem]:
    if len(selector) > MAX_SELECTOR_LENGTH:
        yield "", f"has {len(selector)} characters, at most {MAX_SELECTOR_LENGTH} are allowed"
        return
    try:
        label_conditions(selector)
    except WrongSelector as error:
        yield "", str(error)


LABEL_SELECTOR = Check(
    f"empty or a label selector of at most {MAX_SELECTOR_LENGTH} characters and {MAX_CONDITIONS} conditions, such as"
    " `a=b,c!=d,e in (x,y),f notin (z),g,!h`",
    _selector_problems,
)
FACET_LABEL_KEY = must("be empty or the key of a label", lambda value: not value or is_label_key(value))

FILTER: Rules = {
    "filter.text": must(f"be at most {MAX_TEXT_LENGTH} characters with a letter or digit among them", _is_text),
    "filter.states": _states(types.OrderState, "order states"),
    "filter.payment_states": _states(types.PaymentState, "payment states"),
    "filter.fulfillment_states": _states(types.FulfillmentState, "fulfillment states"),
    "filter.on_hold": ANY,
    "filter.customer_ids": _keys("customer ids"),
    "filter.sources": _keys("sources"),
    "filter.skus": _keys("SKUs"),
    "filter.region_codes": must(
        f"be up to {MAX_ALTERNATIVES} ISO 3166 codes such as DE",
        _each(lambda value: _REGION.fullmatch(value) is not None),
    ),
    "filter.currency_code": _CURRENCY_CODE,
    "filter.min_total": _AMOUNT,
    "filter.max_total": _AMOUNT,
    "filter.placed_from_time": _TIME,
    "filter.placed_until_time": _TIME,
    "filter.updated_from_time": _TIME,
    "filter.updated_until_time": _TIME,
    "filter.order_numbers": _keys("order numbers"),
    "filter.order_ids": must(f"be up to {MAX_ALTERNATIVES} UUIDs", _each(is_uuid)),
    "filter.payment_references": _keys("references", MAX_REFERENCE_LENGTH),
    "filter.tracking_numbers": _keys("tracking numbers", MAX_REFERENCE_LENGTH),
    "filter.label_selector": LABEL_SELECTOR,
}


def _two_currencies(request: Any) -> Iterator[Problem]:
    asked = request.filter
    named = {asked.currency_code, asked.min_total.currency_code, asked.max_total.currency_code}
    if len(named - {""}) > 1:
        yield (
            "filter.currency_code",
            "must be the currency of min_total and max_total: totals of two currencies are not compared",
        )


#: The fields by which money is selected and grouped.
PAYMENTS: Rules = {
    "from_time": _TIME,
    "until_time": _TIME,
    "methods": _keys("methods"),
    "sources": _keys("sources"),
    "currency_code": _CURRENCY_CODE,
    "group_by": dimensions(1, MAX_DIMENSIONS, contract.PaymentDimension),
    "time_zone": TIME_ZONE,
    "max_groups": must(
        f"be 1 to {MAX_PAYMENT_GROUPS}, or 0 for {DEFAULT_PAYMENT_GROUPS}",
        lambda value: 0 <= value <= MAX_PAYMENT_GROUPS,
    ),
}
ONE_CURRENCY = Relation(_two_currencies)
