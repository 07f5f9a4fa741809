"""`tandem orders pay|ship|deliver|return|refund`: money and goods that moved."""

from __future__ import annotations

from typing import Annotated

import typer

from devstack.cli.orders.calls import AsJson, ExpectedVersion, Reason, RequestId
from devstack.cli.orders.changes import Items, change, line_quantities
from devstack.cli.orders.lookup import OrderWord
from devstack.cli.orders.request import Currency, in_form

_MADE = "Unique within the order; made by the service when not given."
Reference = Annotated[str, typer.Option(metavar="TEXT", help="The payment provider's reference.", show_default=False)]


def pay(
    order: OrderWord,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="What arrived, like 12.50.")],
    currency: Currency = "EUR",
    method: Annotated[str, typer.Option(metavar="WORD", help="How it was paid: card, transfer, …")] = "card",
    reference: Reference = "",
    payment_id: Annotated[str, typer.Option(metavar="ID", help=_MADE, show_default=False)] = "",
    reason: Reason = "",
    request_id: RequestId = "",
    expected_version: ExpectedVersion = 0,
    as_json: AsJson = False,
) -> None:
    """Records money that arrived."""
    from devstack.cli.orders.words import money

    value = in_form(money, amount, currency, "AMOUNT", as_json=as_json)
    details = {"amount": value, "method": method, "reference": reference, "payment_id": payment_id}
    change("RecordPayment", order, reason, request_id, expected_version, details, as_json=as_json)


def ship(
    order: OrderWord,
    item: Items = None,
    carrier: Annotated[str, typer.Option(metavar="NAME", help="Who carries it.", show_default=False)] = "",
    tracking_number: Annotated[str, typer.Option(metavar="TEXT", help="The carrier's.", show_default=False)] = "",
    shipment_id: Annotated[str, typer.Option(metavar="ID", help=_MADE, show_default=False)] = "",
    reason: Reason = "",
    request_id: RequestId = "",
    expected_version: ExpectedVersion = 0,
    as_json: AsJson = False,
) -> None:
    """Records goods that left, whole or in part."""
    details = {
        "items": line_quantities(item, as_json=as_json),
        "carrier": carrier,
        "tracking_number": tracking_number,
        "shipment_id": shipment_id,
    }
    change("ShipOrder", order, reason, request_id, expected_version, details, as_json=as_json)


def deliver(
    order: OrderWord,
    shipment: Annotated[str, typer.Argument(metavar="SHIPMENT", help="Id of the shipment; `orders get` shows it.")],
    reason: Reason = "",
    request_id: RequestId = "",
    expected_version: ExpectedVersion = 0,
    as_json: AsJson = False,
) -> None:
    """Records that a shipment arrived."""
    details = {"shipment_id": shipment}
    change("RecordDelivery", order, reason, request_id, expected_version, details, as_json=as_json)


def return_(
    order: OrderWord,
    item: Annotated[list[str], typer.Option("--item", metavar="LINE:QUANTITY", help="What came back; repeat it.")],
    return_id: Annotated[str, typer.Option(metavar="ID", help=_MADE, show_default=False)] = "",
    reason: Reason = "",
    request_id: RequestId = "",
    expected_version: ExpectedVersion = 0,
    as_json: AsJson = False,
) -> None:
    """Records goods that came back."""
    details = {"items": line_quantities(item, as_json=as_json), "return_id": return_id}
    change("ReturnItems", order, reason, request_id, expected_version, details, as_json=as_json)


def refund(
    order: OrderWord,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="What was paid back, like 12.50.")],
    currency: Currency = "EUR",
    reference: Reference = "",
    refund_id: Annotated[str, typer.Option(metavar="ID", help=_MADE, show_default=False)] = "",
    reason: Reason = "",
    request_id: RequestId = "",
    expected_version: ExpectedVersion = 0,
    as_json: AsJson = False,
) -> None:
    """Records money that was paid back."""
    from devstack.cli.orders.words import money

    value = in_form(money, amount, currency, "AMOUNT", as_json=as_json)
    details = {"amount": value, "reference": reference, "refund_id": refund_id}
    change("RefundOrder", order, reason, request_id, expected_version, details, as_json=as_json)
