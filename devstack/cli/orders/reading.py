"""Holds `tandem orders get|history`: one order or several, now or at an earlier moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.numbers import number, whole
from devstack.cli.orders.calls import CALL_SECONDS, AsJson, Token, answered, print_order_of, show_answer, with_stubs
from devstack.cli.orders.lookup import OrderWord, order_id_of
from devstack.cli.output import fail

if TYPE_CHECKING:
    from devstack.cli.stubs import Stubs

MaxWait = Annotated[float, typer.Option(parser=number(0, 5), metavar="SECONDS", help="How long to wait for the token.")]


def get(
    order: Annotated[list[str], typer.Argument(metavar="ORDER", help="Ids or numbers of orders, up to 200.")],
    token: Token = "",
    version: Annotated[
        int, typer.Option(parser=whole(), metavar="N", help="As of this version.", show_default=False)
    ] = 0,
    read_time: Annotated[
        str, typer.Option(metavar="TIME", help="As of this time, like 2026-11-27T08:00:00Z.", show_default=False)
    ] = "",
    max_wait: MaxWait = 2.0,
    as_json: AsJson = False,
) -> None:
    """Shows orders: one as it is or was, or several.

    Exit code 1 when there is no such order.
    """
    if version and read_time:
        fail("--version and --read-time: give one of them", ExitCode.USAGE, as_json=as_json)
    if len(order) == 1:
        _get_one(order[0], _options(token, max_wait), version, read_time, as_json)
    elif version or read_time:
        fail("--version and --read-time are of one order; give only one ORDER", ExitCode.USAGE, as_json=as_json)
    else:
        _get_several(order, _options(token, max_wait), as_json)


def history(
    order: OrderWord,
    token: Token = "",
    max_wait: MaxWait = 2.0,
    page_size: Annotated[
        int, typer.Option(parser=whole(1, 2**31 - 1), metavar="N", help="Changes on a page; at most 200.")
    ] = 200,
    page_token: Annotated[str, typer.Option(metavar="TOKEN", help="From the page before.", show_default=False)] = "",
    as_json: AsJson = False,
) -> None:
    """Shows what happened to an order: what, when, by whom, why."""
    from tandem.orders.v1.order_query_service_pb2 import GetOrderHistoryRequest

    from devstack.cli.order_screens.history_screen import print_history

    request = GetOrderHistoryRequest(page_size=page_size, page_token=page_token, read_options=_options(token, max_wait))

    async def asked(stubs: Stubs) -> Any:
        request.order_id = await order_id_of(stubs, order, as_json=as_json, token=token)
        call = stubs.queries.GetOrderHistory(request, timeout=CALL_SECONDS)
        return await answered(stubs, "query", call, as_json=as_json)

    show_answer(with_stubs(asked), print_history, as_json=as_json)


def _get_one(word: str, options: Any, version: int, read_time: str, as_json: bool) -> None:
    from tandem.orders.v1.order_query_service_pb2 import GetOrderRequest

    request = GetOrderRequest(read_options=options)
    if version:
        request.version = version
    if read_time:
        set_time(request.read_time, read_time, "--read-time", as_json)

    async def asked(stubs: Stubs) -> Any:
        request.order_id = await order_id_of(stubs, word, as_json=as_json, token=options.consistency_token)
        call = stubs.queries.GetOrder(request, timeout=CALL_SECONDS)
        return await answered(stubs, "query", call, as_json=as_json)

    show_answer(with_stubs(asked), print_order_of, as_json=as_json)


def _get_several(words: Sequence[str], options: Any, as_json: bool) -> None:
    from tandem.orders.v1.order_query_service_pb2 import BatchGetOrdersRequest

    from devstack.cli.order_screens.order_screen import print_several

    async def asked(stubs: Stubs) -> Any:
        token = options.consistency_token
        ids = [await order_id_of(stubs, word, as_json=as_json, token=token) for word in words]
        request = BatchGetOrdersRequest(order_ids=ids, read_options=options)
        call = stubs.queries.BatchGetOrders(request, timeout=CALL_SECONDS)
        return await answered(stubs, "query", call, as_json=as_json)

    answer = with_stubs(asked)
    show_answer(answer, print_several, as_json=as_json)
    raise typer.Exit(int(ExitCode.DEGRADED if answer.missing_order_ids else ExitCode.OK))


def _options(token: str, max_wait: float) -> Any:
    from google.protobuf.duration_pb2 import Duration
    from tandem.orders.v1.order_query_service_pb2 import ReadOptions

    wait = Duration()
    wait.FromMilliseconds(int(max_wait * 1000))
    return ReadOptions(consistency_token=token, max_wait=wait)


def set_time(field: Any, text: str, option: str, as_json: bool) -> None:
    """Sets a field to the time in the text of an option; ends the command when the text is no time."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
        field.FromDatetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):  # an offset may lead out of the years 1 to 9999
        message = f"{option} {text!r} is no time; write it like 2026-11-27T08:00:00Z"
        fail(message, ExitCode.USAGE, as_json=as_json)
