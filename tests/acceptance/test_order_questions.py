"""Every question over gRPC, to `serve` and `project` as real processes that are fed by a stream."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.type.money_pb2 import Money
from tandem.orders.client import channel_options
from tandem.orders.errors import (
    CustomerNotFound,
    InvalidRequest,
    OrderNotFound,
    PageTokenMalformed,
    ReadModelBehind,
    from_rpc_error,
)
from tandem.orders.v1 import order_query_service_pb2 as contract
from tandem.orders.v1 import order_types_pb2 as types

from query_service.bootstrap import migrate
from relay.events.digest import base64url
from tests.support.queries.order_events import START, an_order, money, published
from tests.support.queries.query_client import SEARCH, Client, an_event, client, token_of, whose
from tests.support.queries.read_side import ReadSide, eventually, read_side_on, shared_read_side

__all__ = ["client", "shared_read_side"]


# -- with the token of what was just written -------------------------------------------------------------------------


async def test_what_was_written_is_found_at_once(shared_read_side: ReadSide, client: Client) -> None:
    for number in range(60):
        event = an_event(f"ONCE-{number}", order_number=f"ONCE-{number}-{uuid.uuid4().hex}")
        publishing = asyncio.create_task(shared_read_side.publish(event))
        kind = number % 3
        options = token_of(event)
        if kind == 0:
            text = event.order.order_number
            page = await client.search(filter=contract.OrderFilter(text=text), read_options=options)
            assert [order.order_id for order in page.orders] == [event.order_id]
            assert page.orders[0] == event.order
        elif kind == 1:
            filter_, by = whose(f"ONCE-{number}"), [contract.ORDER_DIMENSION_CUSTOMER]
            figures = await client.summarize(filter=filter_, group_by=by, read_options=options)
            assert [(group.keys[0], group.orders) for group in figures.groups] == [(f"ONCE-{number}", 1)]
        else:
            request = contract.GetCustomerSummaryRequest(customer_id=f"ONCE-{number}", read_options=options)
            summary = await client.ask(client.stub.GetCustomerSummary, request)
            assert [order.order_id for order in summary.recent_orders] == [event.order_id]
        await publishing


async def test_a_list_that_lacks_what_the_token_names_is_refused(client: Client) -> None:
    missing = an_event("LACKING")
    options = token_of(missing)
    options.max_wait.FromMilliseconds(50)
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await client.stub.SearchOrders(SEARCH(read_options=options), timeout=60)
    behind = from_rpc_error(refusal.value)
    assert isinstance(behind, ReadModelBehind)
    assert behind.metadata["order_id"] == missing.order_id
    options.on_timeout = contract.ON_TIMEOUT_RETURN_STALE
    assert (await client.search(read_options=options)).read_info.stale


# -- lists -------------------------------------------------------------------------------------------------------------


async def test_people_find_an_order_by_anything_they_know_of_it(shared_read_side: ReadSide, client: Client) -> None:
    event = an_event("KNOWN", order_number="SO-4711-KNOWN")
    await shared_read_side.publish(event)
    for text in ("4711-known", "konig essen", "KÖNIGLICH", "maubelstr 90", "cheese-11", "queso", "brandenburg"):
        page = await client.search(filter=whose("KNOWN", text=text), read_options=token_of(event))
        assert [order.order_id for order in page.orders] == [event.order_id], text
    for text in ("onig", "konig nobody"):
        assert not (await client.search(filter=whose("KNOWN", text=text))).orders


async def test_pages_totals_and_facets(shared_read_side: ReadSide, client: Client) -> None:
    events = [an_event("PAGED", total=number, source=("web", "phone")[number % 2]) for number in range(25)]
    await shared_read_side.publish(*events)
    request = SEARCH(
        filter=whose("PAGED"),
        sort=contract.ORDER_SORT_TOTAL_ASC,
        page_size=10,
        facets=[contract.ORDER_DIMENSION_SOURCE, contract.ORDER_DIMENSION_PRODUCT],
        read_options=token_of(*events),
    )
    first = await client.ask(client.stub.SearchOrders, request)
    assert (len(first.orders), first.total_size) == (10, 25)
    assert [(facet.dimension, [(c.key, c.orders) for c in facet.counts]) for facet in first.facets] == [
        (contract.ORDER_DIMENSION_SOURCE, [("web", 13), ("phone", 12)]),
        (contract.ORDER_DIMENSION_PRODUCT, [("CHEESE-11", 25), ("NOODLE-42", 25)]),
    ]

    async def nothing() -> None:
        """Nothing goes on."""

    assert await client.all_pages(request, nothing) == [event.order_id for event in events]


async def test_a_page_token_of_another_question_is_refused(shared_read_side: ReadSide, client: Client) -> None:
    events = [an_event("TOKEN") for _ in range(3)]
    await shared_read_side.publish(*events)
    first = await client.search(filter=whose("TOKEN"), page_size=1, read_options=token_of(*events))
    token = first.next_page_token
    assert (await client.search(filter=whose("TOKEN"), page_size=2, page_token=token)).orders
    for fields in (
        {"filter": whose("OTHER"), "page_token": token},
        {"filter": whose("TOKEN"), "page_token": token, "sort": contract.ORDER_SORT_TOTAL_ASC},
        {"filter": whose("TOKEN"), "page_token": token[:-4] + "AAAA"},
        {"filter": whose("TOKEN"), "page_token": "p1."},
    ):
        with pytest.raises(PageTokenMalformed):
            await client.search(**fields)


async def test_what_is_wrong_with_a_question_is_said_field_by_field(client: Client) -> None:
    wrong = contract.OrderFilter(text="?", min_total=Money(currency_code="EUR", nanos=1), region_codes=["Germany"])
    with pytest.raises(InvalidRequest) as refusal:
        await client.search(filter=wrong, page_size=-500)
    named = {violation.field for violation in refusal.value.violations}
    assert named == {"filter.text", "filter.min_total", "filter.region_codes", "page_size"}


async def test_a_page_of_huge_orders_is_cut_and_none_is_lost(shared_read_side: ReadSide, client: Client) -> None:
    events = []
    for number in range(16):
        order = an_order(str(uuid.uuid4()), 1)
        order.customer.customer_id = "HUGE"
        order.total.CopyFrom(money(number))
        line = order.lines[0]
        del order.lines[:]
        order.lines.extend([line] * 500)
        for line_number, one in enumerate(order.lines, start=1):
            one.line_number, one.product_name, one.sku = line_number, "ä" * 200, f"SKU-{line_number}"
        events.append(published(order))
    await shared_read_side.publish(*events)
    await eventually(lambda: shared_read_side.shows(events), "the orders are there")
    request = SEARCH(filter=whose("HUGE"), page_size=200, read_options=token_of(*events))
    pages = 0

    async def another() -> None:
        nonlocal pages
        pages += 1

    assert sorted(await client.all_pages(request, another)) == sorted(event.order_id for event in events)
    assert pages >= 1
    batch = contract.BatchGetOrdersRequest(order_ids=[event.order_id for event in events])
    with pytest.raises(InvalidRequest, match="fewer"):
        await client.ask(client.stub.BatchGetOrders, batch)


# -- by id -----------------------------------------------------------------------------------------------------------


async def test_a_batch(shared_read_side: ReadSide, client: Client) -> None:
    events = [an_event("BATCH") for _ in range(5)]
    publishing = asyncio.create_task(shared_read_side.publish(*events))
    unknown = str(uuid.uuid4())
    ids = [events[3].order_id.upper(), unknown, events[0].order_id]
    request = contract.BatchGetOrdersRequest(order_ids=ids, read_options=token_of(*events))
    answer = await client.ask(client.stub.BatchGetOrders, request)
    assert list(answer.orders) == [events[3].order, events[0].order]
    assert list(answer.missing_order_ids) == [unknown]
    await publishing


async def test_a_history_tells_from_what_to_what_by_whom(shared_read_side: ReadSide, client: Client) -> None:
    first = an_event("HISTORY")
    paid = types.Order()
    paid.CopyFrom(first.order)
    paid.version, paid.state = 2, types.ORDER_STATE_PAID
    paid.payments.append(types.Payment(payment_id="p-1", amount=money(100), method="card"))
    moved = types.Order()
    moved.CopyFrom(paid)
    moved.version, moved.shipping_address.locality = 3, "Lübeck"
    events = [
        first,
        published(paid, "ORDER_PAID", payload_changes={"orderPaid": {"previousState": "ORDER_STATE_PLACED"}}),
        published(moved, "ORDER_SHIPPING_ADDRESS_CHANGED"),
    ]
    publishing = asyncio.create_task(shared_read_side.publish(*events))
    request = contract.GetOrderHistoryRequest(order_id=first.order_id, page_size=2, read_options=token_of(events[-1]))
    page = await client.ask(client.stub.GetOrderHistory, request)
    assert [entry.event.order_version for entry in page.entries] == [1, 2]
    entry = page.entries[1]
    assert (entry.event.event_type, entry.event.actor, entry.event.event_id) == (
        "ORDER_PAID",
        "tests",
        events[1].event_id,
    )
    assert entry.event.order_paid.previous_state == types.ORDER_STATE_PLACED
    assert not entry.event.HasField("order")
    assert entry.record_time.ToDatetime(UTC) == START + timedelta(days=1, seconds=2)
    assert base64url(entry.hash.hex()) == events[1].headers["Tandem-Hash"]
    assert [(change.field, change.old_value, change.new_value) for change in entry.changes] == [
        ("state", '"ORDER_STATE_PLACED"', '"ORDER_STATE_PAID"'),
        (
            "payments[p-1]",
            "",
            '{"paymentId":"p-1","amount":{"currencyCode":"EUR","units":"100"},"method":"card"}',
        ),
    ]
    request.page_token = page.next_page_token
    last = await client.ask(client.stub.GetOrderHistory, request)
    assert [(c.field, c.old_value, c.new_value) for e in last.entries for c in e.changes] == [
        ("shipping_address.locality", '"Brandenburg"', '"Lübeck"')
    ]
    assert not last.next_page_token
    other = contract.GetOrderHistoryRequest(order_id=str(uuid.uuid4()), page_token=page.next_page_token)
    with pytest.raises(PageTokenMalformed):
        await client.ask(client.stub.GetOrderHistory, other)
    other.page_token = ""
    with pytest.raises(OrderNotFound):
        await client.ask(client.stub.GetOrderHistory, other)
    await publishing


# -- figures -----------------------------------------------------------------------------------------------------------


async def test_figures_by_group(shared_read_side: ReadSide, client: Client) -> None:
    events = [an_event("FIGURES", total=total, source=source) for total, source in ((10, "a"), (31, "a"), (5, "b"))]
    cancelled = an_order(str(uuid.uuid4()), 1)
    cancelled.customer.customer_id, cancelled.source = "FIGURES", "a"
    cancelled.state = types.ORDER_STATE_CANCELLED
    events.append(published(cancelled))
    await shared_read_side.publish(*events)
    fields = {
        "filter": whose("FIGURES"),
        "group_by": [contract.ORDER_DIMENSION_SOURCE, contract.ORDER_DIMENSION_MONTH],
        "percentiles": [50.0, 100.0],
        "read_options": token_of(*events),
    }
    answer = await client.summarize(**fields)
    assert [(list(group.keys), group.orders, group.total.units) for group in answer.groups] == [
        (["a", "2026-05"], 2, 41),
        (["b", "2026-05"], 1, 5),
    ]
    assert MessageToDict(answer.groups[0].average_total) == {
        "currencyCode": "EUR",
        "units": "20",
        "nanos": 500_000_000,
    }
    assert [one.percentile for one in answer.groups[0].percentiles] == [50, 100]
    assert [one.total.units for one in answer.groups[0].percentiles] == pytest.approx([10, 31], rel=0.01)
    assert [(total.currency_code, total.orders, list(total.keys)) for total in answer.totals] == [("EUR", 3, [])]
    assert not answer.truncated
    assert (await client.summarize(**fields, max_groups=1)).truncated
    with_cancelled = await client.summarize(**fields, include_cancelled=True)
    assert [total.orders for total in with_cancelled.totals] == [4]
    by_product = await client.summarize(**{**fields, "group_by": [contract.ORDER_DIMENSION_PRODUCT]})
    assert {group.keys[0]: (group.orders, group.quantity, group.freight.units) for group in by_product.groups} == {
        "CHEESE-11": (3, 36, 0),
        "NOODLE-42": (3, 30, 0),
    }


async def test_a_customer(shared_read_side: ReadSide, client: Client) -> None:
    events = [an_event("CUSTOMER", total=total) for total in range(12)]
    await shared_read_side.publish(*events)
    request = contract.GetCustomerSummaryRequest(customer_id="CUSTOMER", read_options=token_of(*events))
    summary = await client.ask(client.stub.GetCustomerSummary, request)
    assert summary.customer.display_name == "Königlich Essen"
    assert (summary.orders, summary.cancelled_orders, len(summary.recent_orders)) == (12, 0, 10)
    assert [(total.currency_code, total.total.units) for total in summary.totals] == [("EUR", sum(range(12)))]
    assert summary.first_place_time.ToDatetime(UTC) == summary.last_place_time.ToDatetime(UTC) == START
    with pytest.raises(CustomerNotFound):
        await client.ask(client.stub.GetCustomerSummary, contract.GetCustomerSummaryRequest(customer_id="NOBODY"))


# -- the read model itself ---------------------------------------------------------------------------------------------


async def test_the_state_of_the_read_model_and_the_freshness_of_lists(
    nats_url: str,
    elasticsearch_url: str,
    tmp_path_factory: pytest.TempPathFactory,
    unused_tcp_port_factory: Callable[[], int],
) -> None:
    async with read_side_on(nats_url, elasticsearch_url, tmp_path_factory.mktemp("state")) as side:
        await side.create_stream()
        await migrate(side.settings())
        address = f"127.0.0.1:{unused_tcp_port_factory()}"
        async with (
            side.process("serve", listen=address),
            grpc.aio.insecure_channel(address, options=channel_options()) as channel,
        ):
            client = Client(channel)

            async def state() -> contract.GetReadModelStatusResponse:
                request = contract.GetReadModelStatusRequest()
                return await client.ask(client.stub.GetReadModelStatus, request, wait_for_ready=True)

            async def pending(count: int) -> bool:
                return (await state()).pending_events == count

            events = [an_event("STATE") for _ in range(3)]
            await side.publish(*events)
            await eventually(lambda: pending(3), "three events are pending")
            before = await state()
            assert (before.read_store, before.parked_orders, before.HasField("as_of")) == ("physical", 0, False)
            barrier = datetime.now(UTC)
            poison = an_event("STATE", order_number="9" * 40_000)
            await side.publish(poison)
            await side.publish_barrier(barrier)
            async with side.process("project"):
                await eventually(lambda: pending(0), "all events are done with")

                async def parked() -> bool:
                    return (await state()).parked_orders == 1

                await eventually(parked, "the poison is parked")

                async def listed() -> bool:
                    info = (await client.search()).read_info
                    return info.HasField("as_of") and info.as_of.ToDatetime(UTC) == barrier

                await eventually(listed, "lists say how fresh they are")
            after = await state()
            assert after.as_of.ToDatetime(UTC) == barrier
            assert (after.generation, after.source_epoch, after.staleness.ToTimedelta() > timedelta()) == (
                "g1",
                1,
                True,
            )
            assert (await client.search()).total_size == 3
