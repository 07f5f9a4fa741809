"""Holds `tandem orders place|revise|address`: what is ordered, by whom, and where it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from devstack.cli.orders.calls import (
    CALL_SECONDS,
    AsJson,
    ExpectedVersion,
    Reason,
    RequestId,
    answered,
    print_order_of,
    show_answer,
    with_stubs,
)
from devstack.cli.orders.changes import change
from devstack.cli.orders.lookup import OrderWord
from devstack.cli.orders.request import (
    City,
    Country,
    Currency,
    Labels,
    Lines,
    PostalCode,
    Recipient,
    Region,
    Street,
    amount_if_given,
    in_form,
    new_lines,
    postal_address,
    request_id_or_new,
)

if TYPE_CHECKING:
    from devstack.cli.stubs import Stubs

Total = Annotated[
    str, typer.Option(metavar="AMOUNT", help="Refuse unless the order's total equals this.", show_default=False)
]


def place(
    line: Lines,
    customer: Annotated[str, typer.Option(metavar="ID", help="Customer id.")] = "walk-in",
    name: Annotated[str, typer.Option(metavar="NAME", help="The customer's name.", show_default=False)] = "",
    email: Annotated[str, typer.Option(metavar="ADDRESS", help="The customer's e-mail.", show_default=False)] = "",
    phone: Annotated[str, typer.Option(metavar="NUMBER", help="The customer's phone.", show_default=False)] = "",
    recipient: Recipient = "",
    street: Street = None,
    postal_code: PostalCode = "",
    city: City = "",
    region: Region = "",
    country: Country = "NL",
    currency: Currency = "EUR",
    freight: Annotated[str, typer.Option(metavar="AMOUNT", help="Shipping costs.", show_default=False)] = "",
    expected_total: Total = "",
    source: Annotated[str, typer.Option(metavar="NAME", help="The sales channel.")] = "cli",
    number: Annotated[
        str,
        typer.Option(metavar="NUMBER", help="Order number; made when not given.", show_default=False),
    ] = "",
    label: Labels = None,
    note: Annotated[str, typer.Option(metavar="TEXT", help="Note about the order.", show_default=False)] = "",
    reason: Reason = "",
    request_id: RequestId = "",
    as_json: AsJson = False,
) -> None:
    """Places an order.

    It is printed with the token that makes any query see it.
    """
    from tandem.orders.v1.order_command_service_pb2 import PlaceOrderRequest
    from tandem.orders.v1.order_types_pb2 import Customer

    from devstack.cli.orders.words import labels

    request = PlaceOrderRequest(
        request_id=request_id_or_new(request_id),
        reason=reason,
        source=source,
        order_number=number,
        customer=Customer(customer_id=customer, display_name=name, email=email, phone=phone),
        shipping_address=postal_address(recipient, street, city, postal_code, region, country),
        lines=new_lines(line, currency, as_json=as_json),
        freight=amount_if_given(freight, currency, "--freight", as_json=as_json),
        expected_total=amount_if_given(expected_total, currency, "--expected-total", as_json=as_json),
        labels=in_form(labels, label or [], as_json=as_json),
        note=note,
    )

    async def sent(stubs: Stubs) -> Any:
        call = stubs.commands.PlaceOrder(request, timeout=CALL_SECONDS)
        return await answered(stubs, "command", call, as_json=as_json, request_id=request.request_id)

    show_answer(with_stubs(sent), print_order_of, as_json=as_json)


def revise(
    order: OrderWord,
    line: Lines,
    currency: Currency = "EUR",
    freight: Annotated[
        str, typer.Option(metavar="AMOUNT", help="Shipping costs; unchanged when not given.", show_default=False)
    ] = "",
    expected_total: Total = "",
    reason: Reason = "",
    request_id: RequestId = "",
    expected_version: ExpectedVersion = 0,
    as_json: AsJson = False,
) -> None:
    """Replaces all lines of an order that is not paid yet.

    A line keeps its number by its SKU, or by naming it, as in line=2,sku=TEA,name=Tea,price=1.50. Discount and tax
    too are those given here: what is left out is none.
    """
    details = {
        "lines": new_lines(line, currency, as_json=as_json),
        "freight": amount_if_given(freight, currency, "--freight", as_json=as_json),
        "expected_total": amount_if_given(expected_total, currency, "--expected-total", as_json=as_json),
    }
    change("ReviseOrder", order, reason, request_id, expected_version, details, as_json=as_json)


def address(
    order: OrderWord,
    country: Annotated[str, typer.Option(metavar="CODE", help="ISO 3166 code of the country it goes to.")],
    recipient: Recipient = "",
    street: Street = None,
    postal_code: PostalCode = "",
    city: City = "",
    region: Region = "",
    reason: Reason = "",
    request_id: RequestId = "",
    expected_version: ExpectedVersion = 0,
    as_json: AsJson = False,
) -> None:
    """Changes the shipping address, until something was shipped.

    The whole address is replaced.
    """
    details = {"shipping_address": postal_address(recipient, street, city, postal_code, region, country)}
    change("ChangeShippingAddress", order, reason, request_id, expected_version, details, as_json=as_json)
