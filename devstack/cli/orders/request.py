"""Turns words of the command line into parts of requests that several commands share."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail

Recipient = Annotated[
    str, typer.Option(metavar="NAME", help="Who gets it, where not the customer.", show_default=False)
]
Street = Annotated[
    list[str] | None, typer.Option(metavar="TEXT", help="Line of the address; repeat it.", show_default=False)
]
City = Annotated[str, typer.Option(metavar="NAME", help="Town.", show_default=False)]
PostalCode = Annotated[str, typer.Option(metavar="CODE", help="As the country writes it.", show_default=False)]
Region = Annotated[str, typer.Option(metavar="NAME", help="State or province.", show_default=False)]
Country = Annotated[str, typer.Option(metavar="CODE", help="ISO 3166 code of the country it goes to.")]
Currency = Annotated[str, typer.Option(metavar="CODE", help="ISO 4217 code of the amounts.")]
Lines = Annotated[
    list[str],
    typer.Option(
        "--line",
        metavar="LINE",
        # No word is longer than the column it stands in at 80 columns, so none is broken.
        help="What is ordered, as SKU:NAME:PRICE[:QUANTITY[:DISCOUNT%[:TAX%]]]; repeat it. "
        "CHAI:Chai:18.00:10:5%:19% is ten for 18.00 each, less 5 %, with 19 % tax. "
        "Or by name: sku=CHAI,name=Chai,price=18.00,quantity=10 and so on. "
        "A name with a colon or comma stands in double quotes.",
        show_default=False,
    ),
]

Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="LABEL", help="KEY=VALUE, like erp/id=4711; repeat it.", show_default=False),
]


def in_form(make: Any, *words: Any, as_json: bool) -> Any:
    """Returns `make(*words)`; ends the command with the message if a word has the wrong form."""
    from devstack.cli.orders.words import WrongWord

    try:
        return make(*words)
    except WrongWord as error:
        fail(str(error), ExitCode.USAGE, as_json=as_json)


def request_id_or_new(request_id: str) -> str:
    """Returns the given id, or a new one."""
    return request_id or str(uuid.uuid4())


def amount_if_given(text: str, currency: str, option: str, *, as_json: bool) -> Any:
    """Returns Money, or None if nothing was typed."""
    from devstack.cli.orders.words import money

    return in_form(money, text, currency, option, as_json=as_json) if text else None


def new_lines(words: Sequence[str], currency: str, *, as_json: bool) -> list[Any]:
    """Reads the lines of a new order."""
    from devstack.cli.orders.words import new_line

    return [in_form(new_line, word, currency, as_json=as_json) for word in words]


def postal_address(
    recipient: str, street: list[str] | None, city: str, postal_code: str, region: str, country: str
) -> Any:
    """Returns the address that an order goes to."""
    from google.type.postal_address_pb2 import PostalAddress

    return PostalAddress(
        recipients=[recipient] if recipient else [],
        address_lines=street or [],
        locality=city,
        postal_code=postal_code,
        administrative_area=region,
        region_code=country.upper(),
    )
