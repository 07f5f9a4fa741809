"""`tandem orders …`: the order system's own calls, typed by hand."""

from __future__ import annotations

import asyncio
import uuid
from typing import Annotated, Any

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail, print_json

application = typer.Typer(no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
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
    _show(asyncio.run(_call("command", lambda stubs: stubs.commands.PlaceOrder(request, timeout=30), as_json)), as_json)


@application.command()
def get(
    order_id: Annotated[str, typer.Argument(help="UUID of the order.")],
    token: Annotated[str, typer.Option(help="Consistency token: the answer is not older than it.")] = "",
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
    answer = asyncio.run(_call("query", lambda stubs: stubs.queries.GetOrder(request, timeout=max_wait + 5), as_json))
    _show(answer, as_json)


async def _call(service: str, call: Any, as_json: bool) -> Any:
    """Makes one call; a refusal ends the command with its sentence (1), a service that is away with 3."""
    import grpc
    from tandem.orders.errors import from_rpc_error

    from devstack.cli.stubs import open_stubs

    async with open_stubs() as stubs:
        try:
            return await call(stubs)
        except grpc.aio.AioRpcError as error:
            refusal = from_rpc_error(error)
            if error.code() is grpc.StatusCode.UNAVAILABLE and not refusal.reason:
                message = (
                    f"The {service} service does not answer on {stubs.address_of(service)}; start it with `make up`."
                )
                fail(message, ExitCode.DOWN, as_json=as_json)
            fail(
                f"{refusal} ({refusal.reason or error.code().name})",
                ExitCode.USAGE if error.code() is grpc.StatusCode.INVALID_ARGUMENT else ExitCode.DEGRADED,
                as_json=as_json,
                reason=refusal.reason,
                metadata=refusal.metadata,
                violations=[vars(violation) for violation in refusal.violations],
            )


def _show(answer: Any, as_json: bool) -> None:
    if as_json:
        from google.protobuf.json_format import MessageToDict

        print_json(MessageToDict(answer))
        return
    from devstack.cli.order_table import print_order

    print_order(answer)
