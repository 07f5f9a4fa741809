"""Documents of the command line: one style, which readers of ProtoJSON take as well."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict
from tandem.orders.v1 import order_export_service_pb2 as e
from tandem.orders.v1 import order_query_service_pb2 as q
from tandem.orders.v1 import order_types_pb2 as t

from devstack.cli.answer_json import answer_document
from devstack.cli.orders import choices
from tests.support.screens import customer, found, partly_paid_and_shipped, payments, read_info


def test_an_order_as_a_document() -> None:
    document = answer_document(partly_paid_and_shipped())
    assert document["order_id"] == partly_paid_and_shipped().order_id
    assert (document["version"], document["state"], document["on_hold"]) == (5, "ORDER_STATE_PLACED", True)
    assert document["total"] == {"currency_code": "EUR", "units": 164, "nanos": 890_000_000}
    assert document["place_time"] == "2026-11-27T08:00:00Z"
    assert document["returns"] == []
    assert document["redacted"] is False
    assert "refund_due" not in document
    assert document["shipments"][0]["items"] == [{"line_number": 1, "quantity": 4}]


def test_a_reader_of_proto_json_gets_the_same_message_back() -> None:
    history = q.GetOrderHistoryResponse(entries=[q.HistoryEntry(hash=b"\x00\xff", changes=[q.FieldChange(field="x")])])
    answers = (
        q.GetOrderResponse(order=partly_paid_and_shipped(), read_info=read_info()), found(), customer(), payments(),
        history,
        q.GetReadModelStatusResponse(stages=[q.StageLag(stage="applied", p50=Duration(nanos=5_000_000))]),
    )  # fmt: skip
    for answer in answers:
        document = json.loads(json.dumps(answer_document(answer)))
        assert ParseDict(document, type(answer)()) == answer


def test_the_choices_are_those_of_the_contract() -> None:
    enums: dict[str, Any] = {
        enum.DESCRIPTOR.name: enum
        for enum in (
            t.OrderState,
            t.PaymentState,
            t.FulfillmentState,
            q.OrderSort,
            q.OrderDimension,
            q.PaymentDimension,
            e.ExportView,
        )
    }
    assert choices.CHOICES.keys() == enums.keys()
    for name, enum in enums.items():
        values = [choices.chosen(enum, word, "--x", as_json=False) for word in choices.CHOICES[name]]
        assert values == list(enum.values())[1:]
        spelled = [word.upper().replace("_", "-") for word in choices.CHOICES[name]]
        assert [choices.chosen(enum, word, "--x", as_json=False) for word in spelled] == values
