"""Finds the order that a word means: its id, or the number that people use."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail

if TYPE_CHECKING:
    from devstack.cli.stubs import Stubs

OrderWord = Annotated[str, typer.Argument(metavar="ORDER", help="Id or number of the order.")]


async def order_id_of(stubs: Stubs, word: str, *, as_json: bool, token: str = "") -> str:
    """Returns the id. A number is looked up on the read side. Ends the command if no order has it, or several do."""
    try:
        return str(uuid.UUID(word))  # also where it was typed in another form, without hyphens for example
    except ValueError:
        return await _id_of_number(stubs, word, token, as_json)


async def _id_of_number(stubs: Stubs, number: str, token: str, as_json: bool) -> str:
    from tandem.orders.v1.order_query_service_pb2 import OrderFilter, OrderView, ReadOptions, SearchOrdersRequest

    from devstack.cli.orders.calls import CALL_SECONDS, answered

    request = SearchOrdersRequest(
        filter=OrderFilter(order_numbers=[number]),
        page_size=10,
        read_options=ReadOptions(consistency_token=token),
        view=OrderView.ORDER_VIEW_BASIC,
    )
    call = stubs.queries.SearchOrders(request, timeout=CALL_SECONDS)
    answer = await answered(stubs, "query", call, as_json=as_json)
    if not answer.orders:
        message = f"No order has the id or number {number!r}; a new order can be found by its number after a moment."
        fail(message, ExitCode.DEGRADED, as_json=as_json, reason="ORDER_NOT_FOUND")
    if len(answer.orders) > 1:
        named = ", ".join(f"{order.order_id} of {order.source or 'no source'}" for order in answer.orders)
        message = f"{answer.total_size} orders have the number {number!r}: {named}. Give the id."
        fail(message, ExitCode.USAGE, as_json=as_json)
    return answer.orders[0].order_id
