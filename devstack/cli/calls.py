"""Making one call from the command line: its answer is shown, its refusal ends the command with one sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail, print_json

if TYPE_CHECKING:
    import grpc

    from devstack.cli.stubs import Stubs

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
OrderId = Annotated[str, typer.Argument(help="UUID of the order.")]
Reason = Annotated[str, typer.Option(help="Why, for the audit trail.")]
RequestId = Annotated[str, typer.Option(help="UUID that makes a repetition harmless; made when not given.")]
ExpectedVersion = Annotated[int, typer.Option(help="Refuse unless the order has this version.")]
Token = Annotated[str, typer.Option(help="Consistency token: the answer is not older than it.")]


def call(service: str, make: Callable[[Stubs], Awaitable[Any]], *, as_json: bool) -> Any:
    """Makes the call on `command` or `query`; exit code 1 or 2 when it is refused, 3 when the service is away."""
    return asyncio.run(_call(service, make, as_json))


async def _call(service: str, make: Callable[[Stubs], Awaitable[Any]], as_json: bool) -> Any:
    import grpc

    from devstack.cli.stubs import open_stubs

    async with open_stubs() as stubs:
        try:
            return await make(stubs)
        except grpc.aio.AioRpcError as error:
            refused(error, service, stubs.address_of(service), as_json=as_json)


def refused(error: grpc.aio.AioRpcError, service: str, address: str, *, as_json: bool) -> NoReturn:
    """Ends the command with what the service said, or with the fact that nobody answers."""
    import grpc
    from tandem.orders.errors import from_rpc_error

    refusal = from_rpc_error(error)
    if error.code() is grpc.StatusCode.UNAVAILABLE and not refusal.reason:
        message = f"The {service} service does not answer on {address}; start it with `make up`."
        fail(message, ExitCode.DOWN, as_json=as_json)
    fail(
        f"{refusal} ({refusal.reason or error.code().name})",
        ExitCode.USAGE if error.code() is grpc.StatusCode.INVALID_ARGUMENT else ExitCode.DEGRADED,
        as_json=as_json,
        reason=refusal.reason,
        metadata=refusal.metadata,
        violations=[vars(violation) for violation in refusal.violations],
    )


def show(answer: Any, print_table: Callable[[Any], None], *, as_json: bool) -> None:
    """Prints an answer: with `--json` as ProtoJSON, else as `print_table` does."""
    if as_json:
        from google.protobuf.json_format import MessageToDict

        print_json(MessageToDict(answer, always_print_fields_with_no_presence=False))
    else:
        print_table(answer)


def print_order_of(answer: Any) -> None:
    """Prints the order in a command's or a query's answer as a table."""
    from devstack.cli.order_table import print_order

    print_order(answer)
