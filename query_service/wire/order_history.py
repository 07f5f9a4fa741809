"""Converts a step of an order's history to the contract's `HistoryEntry`."""

from __future__ import annotations

import json

from google.protobuf.json_format import ParseDict
from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1.order_events_pb2 import OrderEvent
from tandem.orders.v1.order_types_pb2 import Order

from query_service.application.questions.order_history import HistoryStep
from query_service.application.questions.verify_order_history import VerifiedHistory
from query_service.projection.order_document import EventDocument
from query_service.projection.upcast import upcast
from query_service.wire.money_and_time import time_message
from query_service.wire.order_changes import changes_between


def history_message(step: HistoryStep) -> contract.HistoryEntry:
    """Returns the message of a step. The event is sent without its order, because the changes are sent."""
    before = None if step.before is None else Order.FromString(step.before["order"])
    return contract.HistoryEntry(
        event=event_without_order(step.entry),
        changes=changes_between(before, Order.FromString(step.after["order"])),
        record_time=time_message(step.entry["recorded_at"]),
        hash=bytes.fromhex(step.entry["hash"]),
    )


def verified_message(verified: VerifiedHistory) -> contract.VerifyOrderHistoryResponse:
    """Returns the message of a verified history, without `read_info`."""
    try:
        head_hash = bytes.fromhex(verified.head_hash)
    except ValueError:  # altered, which a finding says
        head_hash = b""
    return contract.VerifyOrderHistoryResponse(
        valid=verified.valid,
        verified_versions=verified.verified,
        first_broken_version=verified.first_broken_version,
        finding=verified.finding,
        head_hash=head_hash,
        findings=[
            contract.HistoryFinding(version=one.version, copy=one.copy, detail=one.detail) for one in verified.findings
        ],
        parked_versions=verified.parked_versions,
        order_version=verified.order_version,
    )


def event_without_order(entry: EventDocument) -> OrderEvent:
    """Returns the event of a journal entry, without the order after it."""
    payload = upcast(json.loads(entry["payload"]), entry["schema_version"])
    payload.pop("order", None)
    event = OrderEvent()
    # A newer release may have recorded fields that this one does not know.
    ParseDict(payload, event, ignore_unknown_fields=True)
    return event
