"""Holds `tandem export …`: all orders, the journal and digests, as the write side has them."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.numbers import whole
from devstack.cli.orders.calls import AsJson, answered, cancel_by_signals, refused, show_answer, with_stubs
from devstack.cli.orders.choices import EXPORT_VIEWS, chosen, listed
from devstack.cli.orders.reading import set_time
from devstack.cli.output import fail
from devstack.cli.terminal import say_json_line, say_whole

if TYPE_CHECKING:
    from devstack.cli.stubs import Stubs

#: Seconds that a digest of all orders may take while the service gives signs of life.
DIGEST_SECONDS = 600.0
Lines = Annotated[bool, typer.Option("--json", help="One JSON document in each line.")]
Ids = Annotated[
    list[str] | None,
    typer.Option("--order-id", metavar="ID", help="Only this order; repeat it.", show_default=False),
]
PageSize = Annotated[
    int, typer.Option(parser=whole(0, 2**31 - 1), metavar="N", help="Most on a page; 0: the service chooses.")
]
RecordedFrom = Annotated[
    str,
    typer.Option(
        metavar="TIME",
        help="Changed at this time or later, by the database's clock, like 2026-11-27T08:00:00Z.",
        show_default=False,
    ),
]
RecordedUntil = Annotated[
    str,
    typer.Option(metavar="TIME", help="Recorded before this time, by the database's clock.", show_default=False),
]

application = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@application.callback()
def exports() -> None:
    """Export what the write side has.

    An export contains personal data. Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the service does not answer.
    """


@application.command()
def orders(
    view: Annotated[str, typer.Option(metavar="VIEW", help=f"What of each order: {listed(EXPORT_VIEWS)}.")] = "order",
    after: Annotated[str, typer.Option(metavar="ID", help="Resume after this order id.", show_default=False)] = "",
    until: Annotated[str, typer.Option(metavar="ID", help="End with this order id.", show_default=False)] = "",
    customer: Annotated[str, typer.Option(metavar="ID", help="Only of this customer.", show_default=False)] = "",
    order_ids: Ids = None,
    recorded_from: RecordedFrom = "",
    recorded_until: RecordedUntil = "",
    page_size: PageSize = 0,
    as_json: Lines = False,
) -> None:
    """Exports orders by id, one in a line.

    A time range chooses orders by when their latest change was recorded.
    """
    from tandem.orders.v1.order_export_service_pb2 import ExportOrdersRequest, ExportView

    request = ExportOrdersRequest(
        after_order_id=after,
        page_size=page_size,
        view=chosen(ExportView, view, "--view", as_json=as_json),
        customer_id=customer,
        order_ids=order_ids or (),
        until_order_id=until,
    )
    if recorded_from:
        set_time(request.recorded_from_time, recorded_from, "--recorded-from", as_json)
    if recorded_until:
        set_time(request.recorded_until_time, recorded_until, "--recorded-until", as_json)

    def resume(page: Any) -> str:
        return f"--after {page.last_order_id}" if page.last_order_id else ""

    whole = WholeOrders()

    def print_page(page: Any, as_json: bool) -> int:
        return _print_orders(whole.of_page(page), as_json)

    with_stubs(lambda stubs: _export(stubs.exports.ExportOrders(request), stubs, print_page, resume, as_json))


@application.command()
def events(
    after: Annotated[
        int, typer.Option(parser=whole(), metavar="N", help="Resume after this position.", show_default=False)
    ] = 0,
    order_ids: Ids = None,
    event_types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Only this type, like ORDER_PAID; repeat it.", show_default=False),
    ] = None,
    recorded_until: RecordedUntil = "",
    page_size: PageSize = 0,
    as_json: Lines = False,
) -> None:
    """Exports the journal by position, one event in a line."""
    from tandem.orders.v1.order_export_service_pb2 import ExportEventsRequest

    request = ExportEventsRequest(
        after_position=after, order_ids=order_ids or (), event_types=event_types or (), page_size=page_size
    )
    if recorded_until:
        set_time(request.until_time, recorded_until, "--recorded-until", as_json)

    def resume(page: Any) -> str:
        return f"--after {page.last_position}"

    with_stubs(lambda stubs: _export(stubs.exports.ExportEvents(request), stubs, _print_events, resume, as_json))


@application.command()
def digest(as_json: AsJson = False) -> None:
    """Shows orders and digest of each bucket, of one moment."""
    from tandem.orders.v1.order_export_service_pb2 import DigestOrdersRequest

    async def asked(stubs: Stubs) -> Any:
        call = stubs.exports.DigestOrders(DigestOrdersRequest(), timeout=DIGEST_SECONDS)
        return await answered(stubs, "export", call, as_json=as_json)

    show_answer(with_stubs(asked), _print_digests, as_json=as_json)


async def _export(
    pages: AsyncIterable[Any],
    stubs: Stubs,
    print_page: Callable[[Any, bool], int],
    resume: Callable[[Any], str],
    as_json: bool,
) -> None:
    """Prints each page; at an end before the last page it says how to resume."""
    import grpc

    from devstack.cli.patience import NoSignOfLife, answer_while_alive, sign_of
    from devstack.cli.progress import progress_bar

    cancel_by_signals()
    done, heard, how = 0, time.monotonic(), ""

    async def print_all() -> None:
        nonlocal done, heard, how
        with progress_bar("export", None, shown=sys.stderr.isatty() and not sys.stdout.isatty()) as advance:
            async for page in pages:
                heard, how = time.monotonic(), resume(page)
                done += print_page(page, as_json)
                advance(done)

    def told() -> str:
        return f" {done} are exported; resume with {how}." if how else ""

    try:
        await answer_while_alive(print_all(), sign_of(stubs, "export"), lambda: heard)
    except NoSignOfLife as silence:
        fail(f"{silence}{told()}", ExitCode.DOWN, as_json=as_json, reason="DEPENDENCY_UNAVAILABLE")
    except grpc.aio.AioRpcError as error:
        refused(error, "export", stubs.address_of("export"), as_json=as_json, hint=told())
    except asyncio.CancelledError:
        fail(f"interrupted.{told()}", ExitCode.INTERRUPTED, as_json=as_json)


class WholeOrders:
    """Joins the parts of an order whose events stand on several pages."""

    def __init__(self) -> None:
        self._events: list[Any] = []

    def of_page(self, page: Any) -> list[Any]:
        """Returns the orders that are complete with this page."""
        complete = []
        for order in page.orders:
            if order.events_continue:
                self._events.extend(order.events)
                continue
            if self._events:
                rest = list(order.events)
                del order.events[:]
                order.events.extend([*self._events, *rest])
                self._events = []
            complete.append(order)
        return complete


def _print_orders(orders: Sequence[Any], as_json: bool) -> int:
    for order in orders:
        if as_json:
            _say_document(order)
        else:
            record_time = order.record_time.ToJsonString()
            say_whole(f"{order.order_id}  version {order.version}  {record_time}  {order.hash.hex()}")
    return len(orders)


def _print_events(page: Any, as_json: bool) -> int:
    for event in page.events:
        stored = event.stored
        if as_json:
            _say_document(stored)
        else:
            what = f"{stored.event_type}  {stored.order_id}  version {stored.order_version}"
            say_whole(f"{stored.position}  {stored.record_time.ToJsonString()}  {what}")
    return len(page.events)


def _say_document(message: Any) -> None:
    from devstack.cli.answer_json import answer_document

    say_json_line(answer_document(message))


def _print_digests(answer: Any) -> None:
    orders = sum(one.orders for one in answer.partitions)
    say_whole(f"{orders} orders at {answer.read_time.ToJsonString()}, source epoch {answer.source_epoch}")
    for one in answer.partitions:
        say_whole(f"bucket {one.partition:2}  {one.orders:8} orders  {one.digest.hex()}")
