"""Holds `tandem orders cancel|hold|release|label`, and sends any command that changes an order."""

from __future__ import annotations

from collections.abc import Mapping
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
from devstack.cli.orders.lookup import OrderWord, order_id_of
from devstack.cli.orders.request import Labels, in_form, request_id_or_new

if TYPE_CHECKING:
    from devstack.cli.stubs import Stubs

Items = Annotated[
    list[str] | None,
    typer.Option(
        "--item",
        metavar="LINE:QUANTITY",
        help="Pieces of a line; repeat it. Everything that is left when not given.",
        show_default=False,
    ),
]


def cancel(
    order: OrderWord,
    item: Items = None,
    reason: Reason = "",
    request_id: RequestId = "",
    expected_version: ExpectedVersion = 0,
    as_json: AsJson = False,
) -> None:
    """Cancels the order, or unshipped pieces of it."""
    details = {"items": line_quantities(item, as_json=as_json)}
    change("CancelOrder", order, reason, request_id, expected_version, details, as_json=as_json)


def hold(
    order: OrderWord,
    reason: Reason = "",
    request_id: RequestId = "",
    expected_version: ExpectedVersion = 0,
    as_json: AsJson = False,
) -> None:
    """Stops shipping until the order is released."""
    change("HoldOrder", order, reason, request_id, expected_version, {}, as_json=as_json)


def release(
    order: OrderWord,
    reason: Reason = "",
    request_id: RequestId = "",
    expected_version: ExpectedVersion = 0,
    as_json: AsJson = False,
) -> None:
    """Allows shipping again."""
    change("ReleaseOrder", order, reason, request_id, expected_version, {}, as_json=as_json)


def label(
    order: OrderWord,
    label: Labels = None,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Label to remove; repeat it.", show_default=False)
    ] = None,
    note: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help='New note; "" removes it. Unchanged when not given.', show_default=False),
    ] = None,
    reason: Reason = "",
    request_id: RequestId = "",
    expected_version: ExpectedVersion = 0,
    as_json: AsJson = False,
) -> None:
    """Sets and removes labels, and changes the note."""
    from devstack.cli.orders.words import labels

    details: dict[str, Any] = {
        "set_labels": in_form(labels, label or [], as_json=as_json),
        "remove_labels": remove or [],
        "note": note,
    }
    change("LabelOrder", order, reason, request_id, expected_version, details, as_json=as_json)


def line_quantities(words: list[str] | None, *, as_json: bool) -> list[Any]:
    """Returns what `--item` names; ends the command when a word has the wrong form."""
    from devstack.cli.orders.words import line_quantity

    return [in_form(line_quantity, word, as_json=as_json) for word in words or []]


def change(
    method: str,
    order: str,
    reason: str,
    request_id: str,
    expected_version: int,
    details: Mapping[str, Any],
    *,
    as_json: bool,
) -> None:
    """Sends the command `method` about an order and shows the order after it."""
    from tandem.orders.v1 import order_command_service_pb2 as commands

    request = getattr(commands, f"{method}Request")(request_id=request_id_or_new(request_id), reason=reason, **details)
    if expected_version:
        request.expected_version = expected_version

    async def sent(stubs: Stubs) -> Any:
        request.order_id = await order_id_of(stubs, order, as_json=as_json)
        call = getattr(stubs.commands, method)(request, timeout=CALL_SECONDS)
        return await answered(stubs, "command", call, as_json=as_json, request_id=request.request_id)

    show_answer(with_stubs(sent), print_order_of, as_json=as_json)
