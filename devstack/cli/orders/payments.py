"""Holds `tandem orders payments`: money received and paid back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from devstack.cli.numbers import whole
from devstack.cli.orders.calls import CALL_SECONDS, AsJson, Token, answered, show_answer, with_stubs
from devstack.cli.orders.choices import PAYMENT_DIMENSIONS, chosen, listed
from devstack.cli.orders.questions import TimeZone
from devstack.cli.orders.reading import set_time

if TYPE_CHECKING:
    from devstack.cli.stubs import Stubs

_TIME = "like 2026-11-27T08:00:00Z"


def payments(
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="GROUP",
            help=f"{listed(PAYMENT_DIMENSIONS)}; up to three. By month if not given.",
            show_default=False,
        ),
    ] = None,
    begin: Annotated[
        str, typer.Option("--from", metavar="TIME", help=f"Moved at this time or later, {_TIME}.", show_default=False)
    ] = "",
    until: Annotated[
        str, typer.Option("--until", metavar="TIME", help=f"Moved before this time, {_TIME}.", show_default=False)
    ] = "",
    method: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Of this method; repeat it.", show_default=False)
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Of this sales channel; repeat it.", show_default=False)
    ] = None,
    currency: Annotated[str, typer.Option(metavar="CODE", help="In this currency.", show_default=False)] = "",
    time_zone: TimeZone = "",
    max_groups: Annotated[int, typer.Option(parser=whole(1, 10_000), metavar="N", help="1 to 10000 groups.")] = 1000,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Sums up money received and paid back, per currency.

    The figures are of every payment and refund there was, also of those that an order no longer lists.
    """
    from tandem.orders.v1.order_query_service_pb2 import PaymentDimension, ReadOptions, SummarizePaymentsRequest

    from devstack.cli.order_screens.payment_table import print_payments

    request = SummarizePaymentsRequest(
        methods=method or [],
        sources=source or [],
        currency_code=currency,
        group_by=[chosen(PaymentDimension, word, "--by", as_json=as_json) for word in by or ["month"]],
        time_zone=time_zone,
        max_groups=max_groups,
        read_options=ReadOptions(consistency_token=token),
    )
    for field, text, option in ((request.from_time, begin, "--from"), (request.until_time, until, "--until")):
        if text:
            set_time(field, text, option, as_json)

    async def asked(stubs: Stubs) -> Any:
        call = stubs.queries.SummarizePayments(request, timeout=CALL_SECONDS)
        return await answered(stubs, "query", call, as_json=as_json)

    show_answer(with_stubs(asked), print_payments, as_json=as_json)
