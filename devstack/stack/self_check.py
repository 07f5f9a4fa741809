"""Checks a running stack with one order, and times when it is accepted, published, readable and searchable."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import nats
from elasticsearch import ApiError, AsyncElasticsearch, TransportError
from google.type import money_pb2, postal_address_pb2
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig, DeliverPolicy
from tandem.orders.client import Session
from tandem.orders.errors import NotImplementedYet, ReadModelBehind, from_rpc_error
from tandem.orders.v1 import order_command_service_pb2 as commands
from tandem.orders.v1 import order_query_service_pb2 as queries
from tandem.orders.v1 import order_types_pb2 as types
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub
from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceStub

from devstack.stack.topology import Topology

if TYPE_CHECKING:  # the stubs' asynchronous flavour exists for the type checker only
    from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceAsyncStub
    from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceAsyncStub

CUSTOMER, SOURCE = "tandem-selfcheck", "selfcheck"
STAGE_TIMEOUT_SECONDS = 30.0


class SelfCheckFailed(Exception):  # noqa: N818 - reads as what happened
    """The order did not reach a stage; the message names it."""


@dataclass(frozen=True)
class Proof:
    """Milliseconds from sending the command to each stage."""

    order_id: str
    command_ms: float
    published_ms: float
    readable_ms: float
    searchable_ms: float

    def line(self) -> str:
        """One line for people."""
        return (
            f"command {self.command_ms:.0f} … published {self.published_ms:.0f} … "
            f"readable {self.readable_ms:.0f} … searchable {self.searchable_ms:.0f} ms"
        )


async def self_check(topology: Topology) -> Proof:
    """Sends one order (customer `tandem-selfcheck`, source `selfcheck`) through the stack, then cancels it.

    Raises SelfCheckFailed naming the stage that it did not reach.
    """
    order_id = str(uuid.uuid4())
    try:
        connection = await nats.connect(topology.nats_url, connect_timeout=5, max_reconnect_attempts=1)
    except (NatsError, OSError) as error:
        raise SelfCheckFailed(f"NATS does not answer on {topology.nats_url}: {error}") from error
    elasticsearch = AsyncElasticsearch(topology.elasticsearch_url)
    try:
        async with (
            grpc.aio.insecure_channel(topology.command) as command_channel,
            grpc.aio.insecure_channel(topology.query) as query_channel,
        ):
            events: asyncio.Queue[Msg] = asyncio.Queue()
            subscription = await connection.jetstream().subscribe(
                "orders.v1.*.ORDER_CREATED",
                cb=events.put,
                ordered_consumer=True,
                config=ConsumerConfig(deliver_policy=DeliverPolicy.NEW),
            )
            started = time.perf_counter()
            session = Session()
            stub = OrderCommandServiceStub(command_channel)
            published = asyncio.create_task(_stage("published", _published(events, order_id, started)))
            searchable = None
            try:
                session.wrote(await stub.PlaceOrder(_order(order_id), timeout=STAGE_TIMEOUT_SECONDS))
                command_ms = _since(started)
                searchable = asyncio.create_task(_stage("searchable", _searchable(elasticsearch, order_id, started)))
                readable_ms = await _readable(OrderQueryServiceStub(query_channel), session, order_id, started)
                proof = Proof(order_id, command_ms, await published, readable_ms, await searchable)
            finally:
                for task in (published, searchable):
                    if task is not None:
                        task.cancel()
                        await asyncio.gather(task, return_exceptions=True)
            await subscription.unsubscribe()
            await _cancel(stub, order_id)
            return proof
    except grpc.aio.AioRpcError as error:
        raise SelfCheckFailed(f"{from_rpc_error(error)} ({error.code().name})") from error
    except (NatsError, ApiError, TransportError) as error:
        raise SelfCheckFailed(f"the order was not followed to its end: {error}") from error
    finally:
        await elasticsearch.close()
        with contextlib.suppress(Exception):
            await connection.close()


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


async def _stage(name: str, reached: Coroutine[Any, Any, float]) -> float:
    try:
        return await asyncio.wait_for(reached, STAGE_TIMEOUT_SECONDS)
    except TimeoutError:
        raise SelfCheckFailed(f"the order was not {name} within {STAGE_TIMEOUT_SECONDS:.0f} s") from None


async def _published(events: asyncio.Queue[Msg], order_id: str, started: float) -> float:
    while (await events.get()).header.get("ce-subject") != order_id:  # type: ignore[union-attr]
        pass
    return _since(started)


async def _readable(stub: OrderQueryServiceAsyncStub, session: Session, order_id: str, started: float) -> float:
    request = queries.GetOrderRequest(order_id=order_id, read_options=session.read_options())
    while True:
        try:
            response = await stub.GetOrder(request, timeout=STAGE_TIMEOUT_SECONDS)
            break
        except grpc.aio.AioRpcError as error:
            # The very first order may take longer than one call waits.
            if not isinstance(from_rpc_error(error), ReadModelBehind) or _since(started) > STAGE_TIMEOUT_SECONDS * 1000:
                raise
    if response.order.order_id != order_id or response.order.customer.customer_id != CUSTOMER:
        raise SelfCheckFailed("the order that was read differs from the order that was placed")
    return _since(started)


async def _searchable(client: AsyncElasticsearch, order_id: str, started: float) -> float:
    while True:
        answer = await client.search(index="orders", query={"ids": {"values": [order_id]}}, source=False)
        if answer["hits"]["hits"]:
            return _since(started)
        await asyncio.sleep(0.02)


async def _cancel(stub: OrderCommandServiceAsyncStub, order_id: str) -> None:
    request = commands.CancelOrderRequest(request_id=str(uuid.uuid4()), order_id=order_id, reason="self-check done")
    try:
        await stub.CancelOrder(request, timeout=STAGE_TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError as error:
        # A stack without CancelOrder keeps the order; its source `selfcheck` distinguishes it from real orders.
        if not isinstance(from_rpc_error(error), NotImplementedYet):
            raise


def _order(order_id: str) -> commands.PlaceOrderRequest:
    return commands.PlaceOrderRequest(
        request_id=str(uuid.uuid4()),
        order_id=order_id,
        reason="self-check of the stack",
        source=SOURCE,
        customer=types.Customer(customer_id=CUSTOMER, display_name="Tandem self-check"),
        shipping_address=postal_address_pb2.PostalAddress(
            region_code="NL", postal_code="1012 JS", locality="Amsterdam", address_lines=["Dam 1"]
        ),
        lines=[
            commands.NewOrderLine(
                sku="BELL",
                product_name="Bicycle bell",
                unit_price=money_pb2.Money(currency_code="EUR", units=12, nanos=500_000_000),
                quantity=2,
                discount_basis_points=1_000,
                tax_rate_basis_points=2_100,
            )
        ],
        freight=money_pb2.Money(currency_code="EUR", units=4, nanos=950_000_000),
        # 2 x 12.50 less 10 % is 22.50; 21 % tax on it 4.725, half to even 4.72; freight 4.95
        expected_total=money_pb2.Money(currency_code="EUR", units=32, nanos=170_000_000),
    )
