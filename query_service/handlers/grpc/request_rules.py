"""Lists the rules of all requests: request → field path → what the field's value must be.

Every field of every served request has an entry, even if any value is valid. A test compares the table with the
contract. A refusal lists everything that is wrong with a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.handlers.grpc.list_rules import (
    CUSTOMER_ID,
    FACET_LABEL_KEY,
    FILTER,
    MAX_DIMENSIONS,
    MAX_GROUPS_RULE,
    ONE_CURRENCY,
    PAGE_SIZE,
    PAGE_TOKEN,
    PAYMENTS,
    PERCENTILES,
    SORT,
    TIME_ZONE,
    dimensions,
)
from service_runtime.edge.field_checks import ANY, NANOS_PER_UNIT, is_time, is_uuid, must
from service_runtime.edge.request_validation import Relation, Rules, Validator

MAX_WAIT_SECONDS = 5
#: A token for 64 orders has less than half of this.
MAX_TOKEN_LENGTH = 8192
MAX_BATCH = 200


def _is_wait(duration: Any) -> bool:
    nanos: int = duration.seconds * NANOS_PER_UNIT + duration.nanos
    return duration.nanos in range(NANOS_PER_UNIT) and 0 <= nanos <= MAX_WAIT_SECONDS * NANOS_PER_UNIT


_ORDER_ID = must("be a UUID such as 018f6b1e-7c3a-7d6e-9b2a-3f5e8c1d2a4b", is_uuid)
_READ_OPTIONS: Rules = {
    "read_options.consistency_token": must(
        f"be a token from an answer, at most {MAX_TOKEN_LENGTH} characters",
        lambda value: len(value) <= MAX_TOKEN_LENGTH,
    ),
    "read_options.max_wait": must(f"be within 0 s and {MAX_WAIT_SECONDS} s", _is_wait),
    "read_options.on_timeout": must("be FAIL or RETURN_STALE", lambda value: value in contract.OnTimeout.values()),
}

_VIEW = must("be BASIC or FULL", lambda value: value in contract.OrderView.values())

REQUEST_RULES: Mapping[str, Rules] = {
    contract.GetOrderRequest.DESCRIPTOR.full_name: {
        "order_id": _ORDER_ID,
        **_READ_OPTIONS,
        "version": must("be 1 or more", lambda value: value >= 1),
        "read_time": must("be a time within the years 1 to 9999", is_time),
    },
    contract.BatchGetOrdersRequest.DESCRIPTOR.full_name: {
        "order_ids": must(
            f"be 1 to {MAX_BATCH} UUIDs", lambda ids: 1 <= len(ids) <= MAX_BATCH and all(map(is_uuid, ids))
        ),
        "view": _VIEW,
        **_READ_OPTIONS,
    },
    contract.SearchOrdersRequest.DESCRIPTOR.full_name: {
        **FILTER,
        "sort": SORT,
        "view": _VIEW,
        "page_size": PAGE_SIZE,
        "page_token": PAGE_TOKEN,
        "facets": dimensions(0, len(contract.OrderDimension.values()) - 1),
        "facet_label_key": FACET_LABEL_KEY,
        **_READ_OPTIONS,
    },
    contract.GetOrderHistoryRequest.DESCRIPTOR.full_name: {
        "order_id": _ORDER_ID,
        "page_size": PAGE_SIZE,
        "page_token": PAGE_TOKEN,
        **_READ_OPTIONS,
    },
    contract.VerifyOrderHistoryRequest.DESCRIPTOR.full_name: {"order_id": _ORDER_ID, **_READ_OPTIONS},
    contract.SummarizeOrdersRequest.DESCRIPTOR.full_name: {
        **FILTER,
        "group_by": dimensions(1, MAX_DIMENSIONS),
        "include_cancelled": ANY,
        "percentiles": PERCENTILES,
        "max_groups": MAX_GROUPS_RULE,
        "time_zone": TIME_ZONE,
        **_READ_OPTIONS,
    },
    contract.GetCustomerSummaryRequest.DESCRIPTOR.full_name: {"customer_id": CUSTOMER_ID, **_READ_OPTIONS},
    contract.WatchOrdersRequest.DESCRIPTOR.full_name: {
        **FILTER,
        "resume_token": ANY,  # checked when it is decoded, and refused with a reason of its own
        "mode": must("be EVERY_CHANGE or LATEST", lambda value: value in contract.WatchMode.values()),
    },
    contract.SummarizePaymentsRequest.DESCRIPTOR.full_name: {**PAYMENTS, **_READ_OPTIONS},
    contract.GetReadModelStatusRequest.DESCRIPTOR.full_name: {},
}
#: Request → rules that compare several of its fields.
RELATIONS: Mapping[str, tuple[Relation, ...]] = {
    contract.SearchOrdersRequest.DESCRIPTOR.full_name: (ONE_CURRENCY,),
    contract.SummarizeOrdersRequest.DESCRIPTOR.full_name: (ONE_CURRENCY,),
    contract.WatchOrdersRequest.DESCRIPTOR.full_name: (ONE_CURRENCY,),
}

validate = Validator(REQUEST_RULES, RELATIONS)
