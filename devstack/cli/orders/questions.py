"""Holds `tandem orders search|summarize|customer`: lists and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from devstack.cli.numbers import number, whole
from devstack.cli.orders.calls import CALL_SECONDS, AsJson, Token, answered, show_answer, with_stubs
from devstack.cli.orders.choices import DIMENSIONS, SORTS, chosen, listed
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

if TYPE_CHECKING:
    from devstack.cli.stubs import Stubs

TimeZone = Annotated[
    str,
    typer.Option(
        metavar="ZONE",
        help="Days, weeks and months of this zone, like Europe/Berlin; UTC if not given.",
        show_default=False,
    ),
]


def search(
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
    facet_label: Annotated[
        str, typer.Option(metavar="KEY", help="Count all matches by this label.", show_default=False)
    ] = "",
    sort: Annotated[str, typer.Option(metavar="SORT", help=f"{listed(SORTS)}.")] = SORTS[0],
    page_size: Annotated[
        int, typer.Option(parser=whole(1, 2**31 - 1), metavar="N", help="Orders on a page; at most 200.")
    ] = 20,
    page_token: Annotated[str, typer.Option(metavar="TOKEN", help="From the page before.", show_default=False)] = "",
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Finds orders by words and filters."""
    from tandem.orders.v1.order_query_service_pb2 import OrderSort, OrderView, ReadOptions, SearchOrdersRequest

    from devstack.cli.order_screens.question_tables import print_orders

    request = SearchOrdersRequest(
        filter=order_filter(
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
        ),
        sort=chosen(OrderSort, sort, "--sort", as_json=as_json),
        page_size=page_size,
        page_token=page_token,
        facet_label_key=facet_label,
        view=OrderView.ORDER_VIEW_FULL if as_json else OrderView.ORDER_VIEW_BASIC,
        read_options=ReadOptions(consistency_token=token),
    )
    _ask("SearchOrders", request, print_orders, as_json)


def summarize(
    words: Words = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="GROUP",
            help=f"{listed(DIMENSIONS)}; up to three. By state if not given.",
            show_default=False,
        ),
    ] = None,
    text: Text = "",
    state: States = None,
    payment: PaymentStates = None,
    fulfillment: FulfillmentStates = None,
    customer: Customer = "",
    country: Country = "",
    source: Source = "",
    selector: Selector = "",
    include_cancelled: Annotated[bool, typer.Option("--include-cancelled", help="Cancelled orders count too.")] = False,
    percentile: Annotated[
        list[float] | None,
        typer.Option(
            parser=number(0, 100),
            metavar="P",
            help="Percentile of the order total, 0 to 100; repeat it.",
            show_default=False,
        ),
    ] = None,
    max_groups: Annotated[int, typer.Option(parser=whole(1, 1000), metavar="N", help="1 to 1000 groups.")] = 100,
    time_zone: TimeZone = "",
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Counts and sums orders by group, per currency."""
    from tandem.orders.v1.order_query_service_pb2 import OrderDimension, ReadOptions, SummarizeOrdersRequest

    from devstack.cli.order_screens.question_tables import print_summary

    request = SummarizeOrdersRequest(
        filter=order_filter(
            words, text, state, payment, fulfillment, customer, country, source, selector=selector, as_json=as_json
        ),
        group_by=[chosen(OrderDimension, word, "--by", as_json=as_json) for word in by or ["state"]],
        include_cancelled=include_cancelled,
        percentiles=percentile or [],
        max_groups=max_groups,
        time_zone=time_zone,
        read_options=ReadOptions(consistency_token=token),
    )
    _ask("SummarizeOrders", request, lambda answer: print_summary(answer, request.group_by), as_json)


def customer(
    customer_id: Annotated[str, typer.Argument(metavar="CUSTOMER", help="Customer id.")],
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Sums up a customer: figures and latest orders."""
    from tandem.orders.v1.order_query_service_pb2 import GetCustomerSummaryRequest, ReadOptions

    from devstack.cli.order_screens.question_tables import print_customer

    request = GetCustomerSummaryRequest(customer_id=customer_id, read_options=ReadOptions(consistency_token=token))
    _ask("GetCustomerSummary", request, print_customer, as_json)


def _ask(method: str, request: Any, print_table: Any, as_json: bool) -> None:
    async def asked(stubs: Stubs) -> Any:
        call = getattr(stubs.queries, method)(request, timeout=CALL_SECONDS)
        return await answered(stubs, "query", call, as_json=as_json)

    show_answer(with_stubs(asked), print_table, as_json=as_json)
