"""Lists, sums and counts over gRPC honour the token at *searchable*: with the guards on, and with each switched off."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import grpc
import pytest
import pytest_asyncio
from elasticsearch import AsyncElasticsearch
from tandem.orders.consistency_token import ConsistencyToken, encode
from tandem.orders.errors import DependencyUnavailable, from_rpc_error
from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.application.freshness.await_versions import Consistency
from query_service.application.freshness.coalesced_refresh import CoalescedRefresh
from query_service.application.freshness.list_gate import Admission, ListGate
from query_service.application.freshness.searchable import AskedSearchability
from query_service.application.freshness.view import Claims
from query_service.application.ports.order_questions import Edition
from tests.fixtures.elasticsearch import put_to_sleep
from tests.support.queries.asking import once_caught_up
from tests.support.queries.order_events import START, PublishedEvent, an_order, published, rfc3339
from tests.support.queries.query_serving import Server, apply, names, options, own_server, serving
from tests.support.queries.read_side import ReadSide, empty_read_side, eventually, read_side

__all__ = ["empty_read_side", "own_server", "read_side"]


@pytest_asyncio.fixture(loop_scope="session")
async def asleep(read_side: ReadSide, elasticsearch_url: str) -> AsyncIterator[ReadSide]:
    """A read side of which nothing becomes searchable by itself."""
    async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client:
        await put_to_sleep(client, f"{read_side.index_prefix}orders")
        await put_to_sleep(client, f"{read_side.index_prefix}order-events")
    async with read_side.projecting():  # a projector refreshes when it is asked
        yield read_side


async def count(server: Server, **fields: object) -> list[int]:
    """How many orders each of the three questions shows."""
    by = [contract.ORDER_DIMENSION_STATE]
    search = contract.SearchOrdersRequest(**fields)  # type: ignore[arg-type]
    listed = await once_caught_up(server.stub.SearchOrders, search)
    summarize = contract.SummarizeOrdersRequest(group_by=by, **fields)  # type: ignore[arg-type]
    summed = await once_caught_up(server.stub.SummarizeOrders, summarize)
    customer = contract.GetCustomerSummaryRequest(customer_id="KOENE", **fields)  # type: ignore[arg-type]
    theirs = await once_caught_up(server.stub.GetCustomerSummary, customer)
    return [listed.total_size, sum(total.orders for total in summed.totals), theirs.orders]


async def write_and_list(side: ReadSide, server: Server) -> None:
    """The check: what the token names is in every list."""
    written: list[PublishedEvent] = []
    for number in range(1, 6):
        written.append(published(an_order()))
        await apply(side, written[-1])
        assert await count(server, read_options=options(names(written[-1]), 5)) == [number] * 3


async def test_what_the_token_names_is_listed_without_waiting_for_the_index(
    asleep: ReadSide, own_server: Server
) -> None:
    await write_and_list(asleep, own_server)


async def pay_and_sum_up(side: ReadSide, server: Server) -> None:
    """The check: money that the token names is in the sums."""
    for number in range(1, 4):
        payment = {"amount": {"currencyCode": "EUR", "units": "5"}, "method": "card", "payTime": rfc3339(START)}
        paid = published(an_order(), "ORDER_PAID", payload_changes={"orderPaid": {"payment": payment}})
        await apply(side, paid)
        request = contract.SummarizePaymentsRequest(
            group_by=[contract.PAYMENT_DIMENSION_METHOD], read_options=options(names(paid), 5)
        )
        answer = await once_caught_up(server.stub.SummarizePayments, request)
        summed = [(list(group.keys), group.payments, group.paid.units, group.balance.units) for group in answer.groups]
        assert summed == [(["card"], number, 5 * number, 5 * number)]
        assert [total.payments for total in answer.totals] == [number]


async def test_money_that_the_token_names_is_summed_up(asleep: ReadSide, own_server: Server) -> None:
    await pay_and_sum_up(asleep, own_server)


@pytest.mark.mutant
async def test_entries_that_are_not_refreshed_are_noticed(
    asleep: ReadSide, own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: the journal is searched as it is."""

    async def catch_up(self: CoalescedRefresh) -> bool:
        return True

    monkeypatch.setattr(CoalescedRefresh, "catch_up", catch_up)
    with pytest.raises(AssertionError):
        await pay_and_sum_up(asleep, own_server)


def _ignore_token(monkeypatch: pytest.MonkeyPatch) -> None:
    async def admit(self: ListGate, wanted: Consistency) -> Admission:
        return Admission(Claims())

    monkeypatch.setattr(ListGate, "admit", admit)


def _skip_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    async def missing(
        self: AskedSearchability, applied: Mapping[str, Edition], within: float, *, settled: bool = False
    ) -> Mapping[str, int]:
        """Applied is not searchable."""
        return {}

    monkeypatch.setattr(AskedSearchability, "missing", missing)


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", [_ignore_token, _skip_refresh])
async def test_each_guard_switched_off_is_noticed(
    asleep: ReadSide, own_server: Server, monkeypatch: pytest.MonkeyPatch, mutant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    mutant(monkeypatch)
    with pytest.raises((AssertionError, grpc.aio.AioRpcError)):
        await write_and_list(asleep, own_server)


async def test_many_callers_share_their_refreshes(asleep: ReadSide, own_server: Server) -> None:
    refreshes = await _refreshes(asleep)
    started = asyncio.get_running_loop().time()

    async def caller() -> None:
        for _ in range(3):
            event = published(an_order())
            await apply(asleep, event)
            request = contract.SearchOrdersRequest(page_size=200, read_options=options(names(event), 5))
            page = await once_caught_up(own_server.stub.SearchOrders, request)
            assert event.order_id in {order.order_id for order in page.orders}

    await asyncio.gather(*(caller() for _ in range(30)))
    took = asyncio.get_running_loop().time() - started
    assert await _refreshes(asleep) - refreshes <= took / 0.05 + 2


async def _refreshes(side: ReadSide) -> int:
    _, answer = await side.store._connection.request("GET", f"/{side.store.names.orders}/_stats/refresh")
    return int(answer["_all"]["primaries"]["refresh"]["external_total"])


async def test_a_token_of_sixty_four_orders(asleep: ReadSide, own_server: Server) -> None:
    events = [published(an_order()) for _ in range(64)]
    asking = asyncio.create_task(
        count(own_server, read_options=options(encode(ConsistencyToken(1, {e.order_id: 1 for e in events})), 5))
    )
    for start in range(0, 64, 16):
        await apply(asleep, *events[start : start + 16])
    assert await asking == [64, 64, 64]


async def test_an_absent_store_is_unavailable_and_no_empty_list(read_side: ReadSide, unused_tcp_port: int) -> None:
    async with serving(read_side, unused_tcp_port, elasticsearch_url="http://127.0.0.1:1") as server:
        calls: list[Awaitable[object]] = [
            server.stub.SearchOrders(contract.SearchOrdersRequest(), timeout=60),
            server.stub.GetCustomerSummary(contract.GetCustomerSummaryRequest(customer_id="X"), timeout=60),
            server.stub.BatchGetOrders(contract.BatchGetOrdersRequest(order_ids=[str(uuid.uuid4())]), timeout=60),
            server.stub.GetOrderHistory(contract.GetOrderHistoryRequest(order_id=str(uuid.uuid4())), timeout=60),
            server.stub.GetReadModelStatus(contract.GetReadModelStatusRequest(), timeout=60),
        ]
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await call
            assert isinstance(from_rpc_error(refusal.value), DependencyUnavailable)


async def test_the_reference_store_serves_the_same_questions(read_side: ReadSide, unused_tcp_port: int) -> None:
    async with serving(read_side, unused_tcp_port, read_store="memory") as server:
        event = published(an_order())
        asking = asyncio.create_task(count(server, read_options=options(names(event), 5)))
        await read_side.publish(event)
        assert await asking == [1, 1, 1]

        async def done() -> bool:
            state = await server.stub.GetReadModelStatus(contract.GetReadModelStatusRequest(), timeout=60)
            return (state.read_store, state.pending_events) == ("memory", 0)

        await eventually(done, "nothing is pending")
