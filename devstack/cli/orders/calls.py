"""Calls the services from the command line. Answers are shown; a refusal ends the command with one sentence."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.numbers import whole
from devstack.cli.output import fail
from devstack.cli.terminal import say_json

if TYPE_CHECKING:
    import grpc

    from devstack.cli.stubs import Stubs

#: Seconds that one call may take while its service gives signs of life.
CALL_SECONDS = 30.0
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the audit trail.", show_default=False)]
RequestId = Annotated[
    str,
    typer.Option(metavar="UUID", help="Makes a retry harmless; a new one when not given.", show_default=False),
]
ExpectedVersion = Annotated[
    int,
    typer.Option(
        parser=whole(), metavar="N", help="Refuse unless the order has this version; 0 for any.", show_default=False
    ),
]
Token = Annotated[
    str,
    typer.Option(metavar="TOKEN", help="Consistency token: the answer is not older than it.", show_default=False),
]
Answer = TypeVar("Answer")


def with_stubs(work: Callable[[Stubs], Awaitable[Answer]]) -> Answer:
    """Runs `work` with channels to both services."""

    async def opened() -> Answer:
        from devstack.cli.stubs import open_stubs

        async with open_stubs() as stubs:
            return await work(stubs)

    return asyncio.run(opened())


async def answered(
    stubs: Stubs, service: str, call: Awaitable[Answer], *, as_json: bool, request_id: str = ""
) -> Answer:
    """Returns the answer of `command` or `query`; ends the command with 1 or 2 if refused, with 3 if it is down.

    With `request_id` the call changes something, and without an answer nobody knows whether it did.
    """
    import grpc

    from devstack.cli.patience import NoSignOfLife, answer_while_alive, sign_of

    hint = f" Whether it was done is not known: repeat it with --request-id {request_id}." if request_id else ""
    try:
        return await answer_while_alive(call, sign_of(stubs, service))
    except NoSignOfLife as silence:
        fail(f"{silence}{hint}", ExitCode.DOWN, as_json=as_json, reason="DEPENDENCY_UNAVAILABLE")
    except grpc.aio.AioRpcError as error:
        refused(error, service, stubs.address_of(service), as_json=as_json, hint=hint)


def cancel_by_signals() -> None:
    """Lets Ctrl-C and SIGTERM cancel the task that runs now, so that it can say how far it came."""
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)


def refused(error: grpc.aio.AioRpcError, service: str, address: str, *, as_json: bool, hint: str = "") -> NoReturn:
    """Ends the command with the service's message, or says that the service does not answer."""
    import grpc
    from tandem.orders.errors import from_rpc_error

    refusal = from_rpc_error(error)
    if not refusal.reason:  # the client itself reports it
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            message = f"The {service} service does not answer on {address}; start it with `make up`."
            fail(message, ExitCode.DOWN, as_json=as_json, reason="DEPENDENCY_UNAVAILABLE")
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            message = f"The {service} service on {address} did not answer in time.{hint}"
            fail(message, ExitCode.DOWN, as_json=as_json, reason="DEADLINE_EXCEEDED")
    code = _exit_code(error.code(), refusal.reason)
    fail(
        f"{refusal} ({refusal.reason or error.code().name}){hint if code is ExitCode.DOWN else ''}",
        code,
        as_json=as_json,
        reason=refusal.reason,
        metadata=refusal.metadata,
        violations=[vars(violation) for violation in refusal.violations],
    )


def _exit_code(code: grpc.StatusCode, reason: str) -> ExitCode:
    if reason in ("DEPENDENCY_UNAVAILABLE", "DEADLINE_EXCEEDED"):
        return ExitCode.DOWN
    return ExitCode.USAGE if code.name == "INVALID_ARGUMENT" else ExitCode.DEGRADED


def show_answer(answer: Any, print_table: Callable[[Any], None], *, as_json: bool) -> None:
    """Prints an answer: with `--json` as one document, else as `print_table` does."""
    if as_json:
        from devstack.cli.answer_json import answer_document

        say_json(answer_document(answer))
    else:
        print_table(answer)


def print_order_of(answer: Any) -> None:
    """Prints the order in a command's or a query's answer as a table."""
    from devstack.cli.order_screens.order_screen import print_order

    print_order(answer)
