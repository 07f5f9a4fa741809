"""`tandem orders search|history|summarize`: questions to the read side."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from devstack.cli.calls import AsJson, OrderId, Token, call, show
from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail

Text = Annotated[str, typer.Option("--text", help="Order number, SKU, product, customer or address; prefixes do.")]
Source = Annotated[str, typer.Option("--source", help="Only this sales channel.")]
State = Annotated[list[str] | None, typer.Option("--state", help="Only orders in this state; repeat it.")]
Customer = Annotated[str, typer.Option("--customer", help="Only this customer id.")]
Country = Annotated[str, typer.Option("--country", help="Only orders that go to this ISO 3166 code.")]


def add_to(application: typer.Typer) -> None:
    """Registers the commands."""
    for command in (search, history, summarize):
        application.command()(command)


def search(
    text: Text = "",
    source: Source = "",
    state: State = None,
    customer: Customer = "",
    country: Country = "",
    sort: Annotated[str, typer.Option(help="place-time-desc, place-time-asc, total-desc, …")] = "place-time-desc",
    page_size: Annotated[int, typer.Option(help="1 to 200.")] = 20,
    page_token: Annotated[str, typer.Option(help="From the page before.")] = "",
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Finds orders by text and filters."""
    from tandem.orders.v1.order_query_service_pb2 import OrderSort, ReadOptions, SearchOrdersRequest

    from devstack.cli.question_tables import print_orders

    request = SearchOrdersRequest(
        filter=_filter(text, source, state, customer, country, as_json),
        sort=_value(OrderSort, "ORDER_SORT_", sort, "--sort", as_json),
        page_size=page_size,
        page_token=page_token,
        read_options=ReadOptions(consistency_token=token),
    )
    answer = call("query", lambda stubs: stubs.queries.SearchOrders(request, timeout=15), as_json=as_json)
    show(answer, print_orders, as_json=as_json)


def history(
    order_id: OrderId,
    token: Token = "",
    page_size: Annotated[int, typer.Option(help="1 to 200.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Tells what happened to an order: from what to what, by whom, why."""
    from tandem.orders.v1.order_query_service_pb2 import GetOrderHistoryRequest, ReadOptions

    from devstack.cli.question_tables import print_history

    options = ReadOptions(consistency_token=token)
    request = GetOrderHistoryRequest(order_id=order_id, page_size=page_size, read_options=options)
    answer = call("query", lambda stubs: stubs.queries.GetOrderHistory(request, timeout=15), as_json=as_json)
    show(answer, print_history, as_json=as_json)


def summarize(
    by: Annotated[
        list[str] | None, typer.Option("--by", help="day, week, month, state, customer, product, country or source.")
    ] = None,
    text: Text = "",
    source: Source = "",
    state: State = None,
    customer: Customer = "",
    country: Country = "",
    include_cancelled: Annotated[bool, typer.Option(help="Cancelled orders count too.")] = False,
    percentile: Annotated[list[float] | None, typer.Option(help="Percentiles of the order total.")] = None,
    max_groups: Annotated[int, typer.Option(help="1 to 1,000.")] = 100,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Counts and sums orders by group, per currency; by state when nothing else is asked."""
    from tandem.orders.v1.order_query_service_pb2 import OrderDimension, ReadOptions, SummarizeOrdersRequest

    from devstack.cli.question_tables import print_summary

    request = SummarizeOrdersRequest(
        filter=_filter(text, source, state, customer, country, as_json),
        group_by=[_value(OrderDimension, "ORDER_DIMENSION_", word, "--by", as_json) for word in by or ["state"]],
        include_cancelled=include_cancelled,
        percentiles=percentile or [],
        max_groups=max_groups,
        read_options=ReadOptions(consistency_token=token),
    )
    answer = call("query", lambda stubs: stubs.queries.SummarizeOrders(request, timeout=30), as_json=as_json)
    show(answer, print_summary, as_json=as_json)


def _filter(text: str, source: str, state: list[str] | None, customer: str, country: str, as_json: bool) -> Any:
    from tandem.orders.v1.order_query_service_pb2 import OrderFilter
    from tandem.orders.v1.order_types_pb2 import OrderState

    return OrderFilter(
        text=text,
        sources=[source] if source else [],
        states=[_value(OrderState, "ORDER_STATE_", word, "--state", as_json) for word in state or []],
        customer_ids=[customer] if customer else [],
        region_codes=[country.upper()] if country else [],
    )


def _value(enum: Any, prefix: str, word: str, option: str, as_json: bool) -> Any:
    """The enum value that `word` names in everyday spelling."""
    try:
        return enum.Value(prefix + word.upper().replace("-", "_"))
    except ValueError:
        known = [name.removeprefix(prefix).lower().replace("_", "-") for name in enum.keys()[1:]]
        fail(f"{option} {word!r} is not one of {', '.join(known)}", ExitCode.USAGE, as_json=as_json)
