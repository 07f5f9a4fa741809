"""`tandem orders …`: the order system's own calls, typed by hand."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from devstack.cli import order_changes, order_questions
from devstack.cli.calls import AsJson, OrderId, Token, call, print_order_of, show
from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail

application = typer.Typer(no_args_is_help=True)
order_changes.add_to(application)
order_questions.add_to(application)
LINE_FORM = "SKU:NAME:PRICE[:QUANTITY[:DISCOUNT%[:TAX%]]]"


@application.command()
def place(
    line: Annotated[list[str], typer.Option("--line", help=f"A line, {LINE_FORM}; repeat it.", show_default=False)],
    customer: Annotated[str, typer.Option(help="Customer id.")] = "walk-in",
    name: Annotated[str, typer.Option(help="The customer's name.")] = "",
    currency: Annotated[str, typer.Option(help="ISO 4217 code.")] = "EUR",
    country: Annotated[str, typer.Option(help="ISO 3166 code of the shipping address.")] = "NL",
    freight: Annotated[str, typer.Option(help="Amount.")] = "",
    source: Annotated[str, typer.Option(help="The sales channel.")] = "cli",
    number: Annotated[str, typer.Option(help="Order number; made by the service when not given.")] = "",
    request_id: Annotated[str, typer.Option(help="UUID that makes a repetition harmless; made when not given.")] = "",
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")] = "",
    as_json: AsJson = False,
) -> None:
    """Places an order and prints it, with the token that makes any query see it."""
    from devstack.cli.order_request import WrongLine, place_order_request

    try:
        request = place_order_request(
            lines=line, customer_id=customer, display_name=name, currency=currency, country=country, freight=freight,
            source=source, order_number=number, request_id=request_id or str(uuid.uuid4()), reason=reason,
        )  # fmt: skip
    except WrongLine as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)
    answer = call("command", lambda stubs: stubs.commands.PlaceOrder(request, timeout=30), as_json=as_json)
    show(answer, print_order_of, as_json=as_json)


@application.command()
def get(
    order_id: OrderId,
    token: Token = "",
    version: Annotated[int, typer.Option(help="As of this version.")] = 0,
    max_wait: Annotated[float, typer.Option(help="Seconds to wait for the token.")] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Reads an order from the read side."""
    from google.protobuf.duration_pb2 import Duration
    from tandem.orders.v1.order_query_service_pb2 import GetOrderRequest, ReadOptions

    wait = Duration()
    wait.FromMilliseconds(int(max_wait * 1000))
    request = GetOrderRequest(order_id=order_id, read_options=ReadOptions(consistency_token=token, max_wait=wait))
    if version:
        request.version = version
    answer = call("query", lambda stubs: stubs.queries.GetOrder(request, timeout=max_wait + 5), as_json=as_json)
    show(answer, print_order_of, as_json=as_json)
