"""Holds `tandem orders watch`: prints changes of orders as they become readable, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devstack.cli.orders.calls import CALL_SECONDS, answered, refused, with_stubs
from devstack.cli.orders.filter import (
    Country,
    Customer,
    FulfillmentStates,
    Ids,
    Numbers,
    PaymentStates,
    References,
    Selector,
    Source,
    States,
    Text,
    TrackingNumbers,
    Words,
    order_filter,
)
from devstack.cli.terminal import complain, say_json_line, say_whole, when_nobody_reads

if TYPE_CHECKING:
    from tandem.orders.order_watch_async import AsyncOrderWatch, WatchedOrder

    from devstack.cli.stubs import Stubs

AsLines = Annotated[bool, typer.Option("--json", help="One JSON document a line: WatchOrdersResponse.")]


def watch(
    words: Words = None,
    text: Text = "",
    state: States = None,
    payment: PaymentStates = None,
    fulfillment: FulfillmentStates = None,
    customer: Customer = "",
    country: Country = "",
    source: Source = "",
    number: Numbers = None,
    order_id: Ids = None,
    payment_reference: References = None,
    tracking_number: TrackingNumbers = None,
    selector: Selector = "",
    latest: Annotated[
        bool, typer.Option("--latest", help="Only the latest state of an order, when changes come fast.")
    ] = False,
    resume: Annotated[
        str,
        typer.Option(metavar="TOKEN", help="Continue after this resume token; else from now on.", show_default=False),
    ] = "",
    as_json: AsLines = False,
) -> None:
    """Prints changes of orders as they become readable, until Ctrl-C. It resumes by itself after outages.

    At the end it prints the token with which --resume continues.
    """
    from tandem.orders.v1.order_query_service_pb2 import WatchMode, WatchOrdersRequest

    wanted = order_filter(
        words,
        text,
        state,
        payment,
        fulfillment,
        customer,
        country,
        source,
        numbers=number,
        ids=order_id,
        references=payment_reference,
        tracking_numbers=tracking_number,
        selector=selector,
        as_json=as_json,
    )
    mode = WatchMode.WATCH_MODE_LATEST if latest else WatchMode.WATCH_MODE_EVERY_CHANGE
    request = WatchOrdersRequest(filter=wanted, resume_token=resume, mode=mode)
    with_stubs(lambda stubs: _until_stopped(stubs, request, as_json))


async def _until_stopped(stubs: Stubs, request: Any, as_json: bool) -> None:
    import grpc
    from tandem.orders.errors import OrderError
    from tandem.orders.order_watch_async import watch_orders_async
    from tandem.orders.v1.order_query_service_pb2 import GetReadModelStatusRequest

    # The watch itself waits out an outage. At the beginning a service that does not answer is reported at once.
    status = stubs.queries.GetReadModelStatus(GetReadModelStatusRequest(), timeout=CALL_SECONDS)
    await answered(stubs, "query", status, as_json=as_json)
    watch = watch_orders_async(stubs.queries, request)
    printing = asyncio.create_task(_print(watch, as_json))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, printing.cancel)
    when_nobody_reads(printing.cancel)
    try:
        await printing
    except asyncio.CancelledError:
        if watch.resume_token and not as_json:
            complain(f"continue with --resume {watch.resume_token}")
    except OrderError as error:
        if isinstance(error.__cause__, grpc.aio.AioRpcError):
            refused(error.__cause__, "query", stubs.address_of("query"), as_json=as_json)
        raise


async def _print(watch: AsyncOrderWatch, as_json: bool) -> None:
    async for change in watch:
        _print_change(change, as_json)


def _print_change(change: WatchedOrder, as_json: bool) -> None:
    from tandem.orders.v1.order_query_service_pb2 import WatchOrdersResponse

    from devstack.cli.answer_json import answer_document
    from devstack.cli.order_screens.order_words import order_state, time

    if as_json:
        say_json_line(answer_document(WatchOrdersResponse(event=change.event, resume_token=change.resume_token)))
        return
    event, order = change.event, change.order
    assert event is not None
    by = f"  by {event.actor}" if event.actor else ""
    say_whole(
        f"{time(event.occur_time)}  {event.event_type.removeprefix('ORDER_'):<24}  {order.order_number}"
        f"  {order.order_id}  v{order.version}  {order_state(order)}{by}"
    )
