"""Who has a number in hand finds its order; sums that no number of the contract holds are refused by name."""

from __future__ import annotations

import uuid

import grpc
import pytest
from tandem.orders.errors import SumTooLarge
from tandem.orders.v1 import order_query_service_pb2 as contract

from tests.support.queries.order_events import money, published
from tests.support.queries.query_client import SEARCH, Client, an_event, client, token_of, whose
from tests.support.queries.read_side import ReadSide, shared_read_side

__all__ = ["client", "shared_read_side"]


async def test_who_has_a_number_in_hand_finds_its_order_first(shared_read_side: ReadSide, client: Client) -> None:
    customer, key = "IN-HAND", uuid.uuid4().hex
    order = an_event(customer, order_number=f"NO-{key}").order
    order.payments.add(payment_id="P", reference=f"ch_{key}").amount.CopyFrom(order.freight)
    order.shipments.add(shipment_id="S", tracking_number=f"1Z {key}")
    order.update_time.CopyFrom(order.place_time)
    wanted = published(order)
    # They have the number as a word, and stand before it in every sort by time.
    others = [an_event(customer, total=200 + n, order_number=f"NO-{key} {n}") for n in range(3)]
    await shared_read_side.publish(wanted, *others)
    token = token_of(wanted, *others)
    filters = {
        "order_numbers": [order.order_number],
        "order_ids": [order.order_id.upper()],
        "payment_references": [f"ch_{key}"],
        "tracking_numbers": [f"1Z {key}"],
    }
    by_customer = [contract.ORDER_DIMENSION_CUSTOMER]
    for field, values in filters.items():
        filter_ = whose(customer, **{field: values})
        page = await client.search(filter=filter_, facets=by_customer, read_options=token)
        assert [found.order_id for found in page.orders] == [order.order_id], field
        assert [(count.key, count.orders) for count in page.facets[0].counts] == [(customer, 1)]
        figures = await client.summarize(filter=filter_, group_by=by_customer, read_options=token)
        assert [group.orders for group in figures.groups] == [1], field
        page = await client.search(filter=whose(customer, text=values[0].lower()), read_options=token)
        assert page.orders[0].order_id == order.order_id, field
    for sort in contract.OrderSort.values():
        request = SEARCH(filter=whose(customer, text=order.order_number), sort=sort, page_size=1, read_options=token)
        seen = await client.all_pages(request, between=_nothing)
        assert seen[0] == order.order_id
        assert sorted(seen) == sorted(event.order_id for event in (wanted, *others))


async def _nothing() -> None:
    """Nothing happens between two pages."""


async def test_a_sum_that_no_number_holds_is_refused_by_name(shared_read_side: ReadSide, client: Client) -> None:
    customer = f"RICH-{uuid.uuid4().hex}"
    events = []
    for source in ("much", "much", "little"):
        order = an_event(customer, source=source, currency_code="JPY").order
        for field in ("freight", "net_total", "tax_total", "paid_total", "refunded_total", "refund_due"):
            getattr(order, field).CopyFrom(money(0, 0, "JPY"))
        del order.lines[:]
        order.total.CopyFrom(money(2**63 - 1 if source == "much" else 1, 0, "JPY"))
        events.append(published(order))
    await shared_read_side.publish(*events)
    token, by = token_of(*events), [contract.ORDER_DIMENSION_SOURCE]
    with pytest.raises(SumTooLarge) as refusal:
        await client.summarize(filter=whose(customer), group_by=by, read_options=token)
    assert refusal.value.code is grpc.StatusCode.OUT_OF_RANGE
    assert refusal.value.metadata == {"figure": "total", "group": "much", "currency_code": "JPY"}
    assert "the group much in JPY" in refusal.value.message
    request = contract.GetCustomerSummaryRequest(customer_id=customer, read_options=token)
    with pytest.raises(SumTooLarge) as refusal:
        await client.ask(client.stub.GetCustomerSummary, request)
    assert refusal.value.metadata == {"figure": "total", "group": "", "currency_code": "JPY"}
    little = await client.summarize(filter=whose(customer, sources=["little"]), group_by=by, read_options=token)
    assert [group.total.units for group in little.groups] == [1]
    page = await client.search(filter=whose(customer), facets=by, read_options=token)
    assert [(count.key, count.orders) for count in page.facets[0].counts] == [("much", 2), ("little", 1)]
