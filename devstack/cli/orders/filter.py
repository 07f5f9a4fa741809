"""Declares the options that `search`, `summarize` and `watch` share: which orders a query is about."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.orders.choices import FULFILLMENT_STATES, PAYMENT_STATES, STATES, chosen, listed
from devstack.cli.output import fail


def _option(name: str, metavar: str, text: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text, show_default=False)


Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="WORD",
        help="Words of the order number, SKU, product, customer or address; prefixes match.",
        show_default=False,
    ),
]
Text = Annotated[str, _option("--text", "TEXT", "The same as WORD, for words that begin with a hyphen.")]
States = Annotated[list[str] | None, _option("--state", "STATE", f"{listed(STATES)}; repeat it.")]
PaymentStates = Annotated[list[str] | None, _option("--payment", "STATE", f"{listed(PAYMENT_STATES)}; repeat it.")]
FulfillmentStates = Annotated[
    list[str] | None, _option("--fulfillment", "STATE", f"{listed(FULFILLMENT_STATES)}; repeat it.")
]
Customer = Annotated[str, _option("--customer", "ID", "Only of this customer.")]
Country = Annotated[str, _option("--country", "CODE", "Only to the country of this ISO 3166 code.")]
Source = Annotated[str, _option("--source", "NAME", "Only of this sales channel.")]
Numbers = Annotated[list[str] | None, _option("--number", "NUMBER", "Only with this order number; repeat it.")]
Ids = Annotated[list[str] | None, _option("--order-id", "ID", "Only this order; repeat it.")]
References = Annotated[
    list[str] | None,
    _option("--payment-reference", "TEXT", "Only with this payment or refund reference; repeat it."),
]
TrackingNumbers = Annotated[
    list[str] | None, _option("--tracking-number", "TEXT", "Only with this tracking number; repeat it.")
]

Selector = Annotated[
    str, _option("--selector", "SELECTOR", "Only with such labels: a=b,c!=d,e in (x,y),f notin (z),g,!h.")
]


def order_filter(
    words: list[str] | None,
    text: str,
    states: list[str] | None,
    payment_states: list[str] | None,
    fulfillment_states: list[str] | None,
    customer: str,
    country: str,
    source: str,
    *,
    numbers: list[str] | None = None,
    ids: list[str] | None = None,
    references: list[str] | None = None,
    tracking_numbers: list[str] | None = None,
    selector: str = "",
    as_json: bool,
) -> Any:
    """Returns the filter for the options; ends the command if one names no value."""
    from tandem.orders.v1.order_query_service_pb2 import OrderFilter
    from tandem.orders.v1.order_types_pb2 import FulfillmentState, OrderState, PaymentState

    if words and text:
        fail("--text and WORD mean the same: give one of them", ExitCode.USAGE, as_json=as_json)

    def values(enum: Any, given: list[str] | None, option: str) -> list[Any]:
        return [chosen(enum, word, option, as_json=as_json) for word in given or []]

    return OrderFilter(
        text=text or " ".join(words or []),
        states=values(OrderState, states, "--state"),
        payment_states=values(PaymentState, payment_states, "--payment"),
        fulfillment_states=values(FulfillmentState, fulfillment_states, "--fulfillment"),
        customer_ids=_if_given(customer),
        region_codes=_if_given(country.upper()),
        sources=_if_given(source),
        order_numbers=numbers,
        order_ids=ids,
        payment_references=references,
        tracking_numbers=tracking_numbers,
        label_selector=selector,
    )


def _if_given(value: str) -> list[str]:
    return [value] if value else []
