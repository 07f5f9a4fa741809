"""What a history says to people: names, amounts and ids, from any change between two orders."""

from __future__ import annotations

import pytest
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.v1 import order_query_service_pb2 as q
from tandem.orders.v1 import order_types_pb2 as t
from tandem.orders.v1.order_events_pb2 import OrderEvent, OrderImported

from devstack.cli.order_screens.change_words import change_words
from devstack.cli.order_screens.history_screen import print_history
from query_service.wire.order_changes import changes_between
from tests.support.screens import PAYMENT_ID, at, money, partly_paid_and_shipped

#: (field, old, new) → words.
CHANGES = [
    (("paid_total", '{"currencyCode":"EUR"}', '{"currencyCode":"EUR","units":"100"}'),
     "paid total: 0.00 EUR → 100.00 EUR"),
    (("total", "", '{"currencyCode":"JPY","units":"300"}'), "total: – → 300 JPY"),
    (("state", '"ORDER_STATE_PLACED"', '"ORDER_STATE_PAID"'), "state: placed → paid"),
    (("payment_state", "", '"PAYMENT_STATE_REFUND_DUE"'), "payment state: – → refund due"),
    (("on_hold", "false", "true"), "on hold: no → yes"),
    (("place_time", "", '"2026-11-27T08:00:00Z"'), "place time: – → 2026-11-27 08:00:00 UTC"),
    (("customer.display_name", '"A \\"B\\""', '"[/red]"'), 'customer display name: A "B" → [/red]'),
    (("shipping_address.recipients", '["A","B"]', ""), "shipping address recipients: A, B → –"),
    (("lines[2].quantity", "1", "3"), "line 2, quantity: 1 → 3"),
    (("lines[2].tax_rate_basis_points", "700", "1900"), "line 2, tax rate: 7 % → 19 %"),
    (("lines[2]", '{"sku":"TOFU","quantity":1}', ""), "line 2: 1 × TOFU  at 0.00 → –"),
    ((f"payments[{PAYMENT_ID}]", "", '{"amount":{"currencyCode":"EUR","units":"100"},"method":"card"}'),
     f"payment {PAYMENT_ID}: 100.00 EUR, card"),
    (("payments[a].b[c]]", "", '{"method":"card"}'), "payment a].b[c]: 0.00, card"),
    (("shipments[S].1].deliver_time", "", '"2026-11-27T08:00:00Z"'),
     "shipment S].1, deliver time: – → 2026-11-27 08:00:00 UTC"),
    (("shipments[S1].items[2].quantity", "1", "2"), "shipment S1, line 2, quantity: 1 → 2"),
    (("shipments[S1].items[2]", "", '{"lineNumber":2,"quantity":3}'), "shipment S1, line 2: 3"),
    (("labels[erp/id]", '"4711"', '"4712"'), "label erp/id: 4711 → 4712"),
    (("labels[a]", "", '"b c"'), "label a: b c"),
    (("note", '"ring"', ""), "note: ring → –"),
    (("no such field", "1", "2"), "no such field: 1 → 2"),
    (("total", "{", "[1]"), "total: { → [1]"),
    (("state", "null", '"SOMETHING_NEW"'), "state: none → something new"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_a_change_in_words(change: tuple[str, str, str], words: str) -> None:
    field, old, new = change
    assert change_words(q.FieldChange(field=field, old_value=old, new_value=new)) == words


def test_every_change_of_an_order_has_words() -> None:
    """Whatever the read side tells of an order that is new, gone or changed: no wire text is left."""
    before, after = t.Order(), partly_paid_and_shipped()
    after.returns.add(return_id="R", items=[t.LineQuantity(line_number=1, quantity=1)], return_time=at(5))
    after.refunds.add(refund_id="F", amount=money(1), reference="re_1", refund_time=at(6))
    moved = t.Order()
    moved.CopyFrom(after)
    moved.shipping_address.MergeFrom(PostalAddress(locality="Köln"))
    moved.shipments[0].deliver_time.CopyFrom(at(7))
    for old, new in ((before, after), (after, before), (after, moved)):
        for change in changes_between(old, new):
            words = change_words(change)
            assert not any(sign in words for sign in ('{"', "_STATE_", "currencyCode", "basis_points")), words


def test_a_history_is_read_by_people(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    after = partly_paid_and_shipped()
    first = q.HistoryEntry(
        event=OrderEvent(
            order_version=1, event_type="ORDER_IMPORTED", actor="anonymous", occur_time=at(0),
            order_imported=OrderImported(payments=1, shipments=1),
        ),
        changes=changes_between(None, after),
    )  # fmt: skip
    held = t.Order()
    held.CopyFrom(after)
    held.on_hold = False
    second = q.HistoryEntry(
        event=OrderEvent(order_version=2, event_type="ORDER_RELEASED", reason="[stock] is there", occur_time=at(1)),
        changes=changes_between(after, held),
    )
    print_history(q.GetOrderHistoryResponse(entries=[first, second], next_page_token="next"))
    assert capsys.readouterr().out.splitlines() == [
        "v1  2026-11-27 08:00:00 UTC  imported by anonymous",
        "    state: placed",
        "    total: 164.89 EUR",
        "    paid total: 100.00 EUR",
        "    lines: 2",
        "    payments: 1, shipments: 1",
        "v2  2026-11-27 09:00:00 UTC  released: [stock] is there",
        "    on hold: yes → no",
        "next page: --page-token next",
    ]
