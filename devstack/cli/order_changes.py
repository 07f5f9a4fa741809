"""`tandem orders pay|ship|deliver|cancel|hold|release`: the commands that change an order."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from devstack.cli.calls import AsJson, ExpectedVersion, OrderId, Reason, RequestId, call, print_order_of, show
from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail

Items = Annotated[
    list[str] | None, typer.Option("--item", help="LINE:QUANTITY; repeat it. Everything that is left when not given.")
]


def add_to(application: typer.Typer) -> None:
    """Registers the commands."""
    for command in (pay, ship, deliver, cancel, hold, release):
        application.command()(command)


def pay(
    order_id: OrderId,
    amount: Annotated[str, typer.Argument(help="Amount that arrived, like 12.50.")],
    currency: Annotated[str, typer.Option(help="ISO 4217 code.")] = "EUR",
    method: Annotated[str, typer.Option(help="How it was paid.")] = "card",
    reference: Annotated[str, typer.Option(help="The payment provider's reference.")] = "",
    reason: Reason = "",
    request_id: RequestId = "",
    expected_version: ExpectedVersion = 0,
    as_json: AsJson = False,
) -> None:
    """Records money that arrived."""
    from devstack.cli.order_request import WrongLine, money

    try:
        value = money(amount, currency, "AMOUNT")
    except WrongLine as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)
    details = {"amount": value, "method": method, "reference": reference}
    _change("RecordPayment", order_id, reason, request_id, expected_version, as_json, details)


def ship(
    order_id: OrderId,
    item: Items = None,
    carrier: Annotated[str, typer.Option(help="Who carries it.")] = "",
    tracking_number: Annotated[str, typer.Option(help="The carrier's number.")] = "",
    shipment_id: Annotated[str, typer.Option(help="Unique within the order; made by the service when empty.")] = "",
    reason: Reason = "",
    request_id: RequestId = "",
    expected_version: ExpectedVersion = 0,
    as_json: AsJson = False,
) -> None:
    """Records goods that left, whole or in part."""
    details = {
        "items": _items(item, as_json),
        "carrier": carrier,
        "tracking_number": tracking_number,
        "shipment_id": shipment_id,
    }
    _change("ShipOrder", order_id, reason, request_id, expected_version, as_json, details)


def deliver(
    order_id: OrderId,
    shipment_id: Annotated[str, typer.Argument(help="Which shipment arrived.")],
    reason: Reason = "",
    request_id: RequestId = "",
    expected_version: ExpectedVersion = 0,
    as_json: AsJson = False,
) -> None:
    """Records that a shipment arrived."""
    _change("RecordDelivery", order_id, reason, request_id, expected_version, as_json, {"shipment_id": shipment_id})


def cancel(
    order_id: OrderId,
    item: Items = None,
    reason: Reason = "",
    request_id: RequestId = "",
    expected_version: ExpectedVersion = 0,
    as_json: AsJson = False,
) -> None:
    """Gives up the order, or unshipped pieces of it."""
    _change("CancelOrder", order_id, reason, request_id, expected_version, as_json, {"items": _items(item, as_json)})


def hold(
    order_id: OrderId,
    reason: Reason = "",
    request_id: RequestId = "",
    expected_version: ExpectedVersion = 0,
    as_json: AsJson = False,
) -> None:
    """Stops shipping until the order is released."""
    _change("HoldOrder", order_id, reason, request_id, expected_version, as_json)


def release(
    order_id: OrderId,
    reason: Reason = "",
    request_id: RequestId = "",
    expected_version: ExpectedVersion = 0,
    as_json: AsJson = False,
) -> None:
    """Lets shipping go on."""
    _change("ReleaseOrder", order_id, reason, request_id, expected_version, as_json)


def _items(words: list[str] | None, as_json: bool) -> list[Any]:
    from tandem.orders.v1.order_types_pb2 import LineQuantity

    items = []
    for word in words or []:
        line, _, quantity = word.partition(":")
        if not line.isdigit() or not quantity.isdigit():
            fail(f"--item {word!r}: write LINE:QUANTITY, like 1:2", ExitCode.USAGE, as_json=as_json)
        items.append(LineQuantity(line_number=int(line), quantity=int(quantity)))
    return items


def _change(
    method: str,
    order_id: str,
    reason: str,
    request_id: str,
    expected_version: int,
    as_json: bool,
    details: Mapping[str, Any] | None = None,
) -> None:
    from tandem.orders.v1 import order_command_service_pb2 as commands

    request = getattr(commands, f"{method}Request")(
        request_id=request_id or str(uuid.uuid4()), order_id=order_id, reason=reason, **(details or {})
    )
    if expected_version:
        request.expected_version = expected_version
    answer = call("command", lambda stubs: getattr(stubs.commands, method)(request, timeout=30), as_json=as_json)
    show(answer, print_order_of, as_json=as_json)
