"""Lists the checks of every field of every request for an export, as `request_rules` does for commands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tandem.orders.partition import PARTITIONS
from tandem.orders.v1 import order_export_service_pb2 as contract

from command_service.wire.export_selections import VIEWS
from command_service.wire.values import time_of
from service_runtime.edge.field_checks import ANY, count, identifier, integer, must, timestamp, uuid
from service_runtime.edge.request_validation import Relation, Rules, Validator, When

_MAX_INT32, _MAX_INT64 = 2**31 - 1, 2**63 - 1
MAX_IDS, MAX_EVENT_TYPES, MAX_PARTS = 1_000, 100, 1_000

_PARTITIONS: Rules = {"partitions": count(0, PARTITIONS), "partitions[]": integer(0, PARTITIONS - 1)}
_ORDER_IDS: Rules = {"order_ids": count(0, MAX_IDS), "order_ids[]": uuid(required=True)}

REQUEST_RULES: Mapping[str, Rules] = {
    contract.ExportOrdersRequest.DESCRIPTOR.full_name: {
        "after_order_id": uuid(required=False),
        # Above the maximum it is the maximum.
        "page_size": integer(0, _MAX_INT32),
        **_PARTITIONS,
        "view": must("be a known view", VIEWS.__contains__),
        "customer_id": identifier(64),
        **_ORDER_IDS,
        "recorded_from_time": timestamp(required=False),
        "recorded_until_time": timestamp(required=False),
        "until_order_id": uuid(required=False),
    },
    contract.ExportEventsRequest.DESCRIPTOR.full_name: {
        "after_position": integer(0, _MAX_INT64),
        "page_size": integer(0, _MAX_INT32),
        "typed": ANY,
        **_ORDER_IDS,
        "until_time": timestamp(required=False),
        "event_types": count(0, MAX_EVENT_TYPES),
        "event_types[]": identifier(64, required=True),
    },
    contract.DigestOrdersRequest.DESCRIPTOR.full_name: _PARTITIONS,
    contract.SplitOrdersRequest.DESCRIPTOR.full_name: {"parts": integer(1, MAX_PARTS)},
}


def _times_in_order(request: Any) -> Iterator[tuple[str, str]]:
    if not (request.HasField("recorded_from_time") and request.HasField("recorded_until_time")):
        return
    if time_of(request.recorded_from_time) >= time_of(request.recorded_until_time):
        yield "recorded_until_time", "must be after recorded_from_time"


def _ids_in_order(request: Any) -> Iterator[tuple[str, str]]:
    # Equal ids are an export that is done, as a caller sees it that resumes after its last page.
    if request.until_order_id and request.until_order_id.lower() < request.after_order_id.lower():
        yield "until_order_id", "must not be before after_order_id"


validate = Validator(
    REQUEST_RULES,
    {
        contract.ExportOrdersRequest.DESCRIPTOR.full_name: (
            Relation(_times_in_order, When.AFTER),
            Relation(_ids_in_order, When.AFTER),
        )
    },
)
