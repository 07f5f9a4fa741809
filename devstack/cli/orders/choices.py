"""Maps words to values of the contract's enums, for the help and for requests.

A test compares them with the contract. Loading the contract would make every `tandem --help` slow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from devstack.cli.exit_codes import ExitCode
from devstack.cli.output import fail

STATES = ("placed", "paid", "shipped", "delivered", "returned", "cancelled", "refunded")
PAYMENT_STATES = ("unpaid", "partially_paid", "paid", "refund_due", "partially_refunded", "refunded")
FULFILLMENT_STATES = (
    "unfulfilled", "partially_shipped", "shipped", "partially_delivered", "delivered", "partially_returned", "returned",
)  # fmt: skip
SORTS = (
    "place_time_desc", "place_time_asc", "total_desc", "total_asc", "update_time_desc", "order_number_asc",
    "update_time_asc", "order_number_desc",
)  # fmt: skip
DIMENSIONS = ("day", "week", "month", "state", "customer", "product", "country", "source")
EXPORT_VIEWS = ("order", "journal", "heads")
PAYMENT_DIMENSIONS = ("day", "week", "month", "method", "source")
#: Name of the contract's enum → the words that are offered for it.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "OrderState": STATES,
    "PaymentState": PAYMENT_STATES,
    "FulfillmentState": FULFILLMENT_STATES,
    "OrderSort": SORTS,
    "OrderDimension": DIMENSIONS,
    "ExportView": EXPORT_VIEWS,
    "PaymentDimension": PAYMENT_DIMENSIONS,
}


def listed(words: tuple[str, ...], conjunction: str = "or") -> str:
    """`a, b or c`."""
    return f"{', '.join(words[:-1])} {conjunction} {words[-1]}"


def chosen(enum: Any, word: str, option: str, *, as_json: bool) -> Any:
    """Returns the enum's value for a word; ends the command if there is none."""
    words = CHOICES[enum.DESCRIPTOR.name]
    spelled = word.lower().replace("-", "_")
    if spelled not in words:
        fail(f"{option} {word!r}: write {listed(words)}", ExitCode.USAGE, as_json=as_json)
    prefix = enum.DESCRIPTOR.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return enum.Value(prefix + spelled.upper())
