"""Holds `tandem customers`: erases the personal data of a customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from devstack.cli.orders.calls import CALL_SECONDS, AsJson, Reason, RequestId, answered, show_answer, with_stubs
from devstack.cli.orders.request import request_id_or_new
from devstack.cli.progress import progress_bar
from devstack.cli.terminal import say

if TYPE_CHECKING:
    from devstack.cli.stubs import Stubs

application = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@application.callback()
def _customers() -> None:
    """Erase the personal data of a customer.

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the service or what it needs does not answer.
    """


@application.command()
def redact(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="The customer's id.", show_default=False)],
    reason: Reason = "",
    request_id: RequestId = "",
    as_json: AsJson = False,
) -> None:
    """Erases the data of the customer from all their orders, for good.

    It goes on until no order remains. If it was interrupted, run it again. New orders of the customer are refused.
    """
    answer = with_stubs(lambda stubs: _redacted(stubs, customer, reason, request_id, as_json=as_json))
    show_answer(answer, _say_done, as_json=as_json)


async def _redacted(stubs: Stubs, customer: str, reason: str, request_id: str, *, as_json: bool) -> Any:
    """Repeats the call until no order remains, each time with a new request id, and returns the last answer."""
    from tandem.orders.v1.order_command_service_pb2 import RedactCustomerRequest

    with progress_bar("redacting", None, shown=not as_json) as advance:
        while True:
            request = RedactCustomerRequest(
                request_id=request_id_or_new(request_id), customer_id=customer, reason=reason
            )
            call = stubs.commands.RedactCustomer(request, timeout=CALL_SECONDS)
            answer = await answered(stubs, "command", call, as_json=as_json, request_id=request.request_id)
            advance(answer.redacted_orders)
            if answer.remaining_orders == 0:
                return answer
            request_id = ""


def _say_done(answer: Any) -> None:
    orders = "1 order is" if answer.redacted_orders == 1 else f"{answer.redacted_orders} orders are"
    say(f"Done: {orders} redacted, and none of the customer remains.")
    say("Copies elsewhere stay until they expire: messages of the stream, backups, dumps, copies of other consumers.")
