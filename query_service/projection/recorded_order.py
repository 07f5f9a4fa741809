"""Declares what the journal recorded of an order, as ProtoJSON has it, and reads it.

A field with its default value is absent, and int64 is text. Other legal forms are converted to these. Fields that this
release does not know are passed over. The classes have the contract's names, so a field is declared once: what is only
shown is copied by these names.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Annotated, Any, TypeVar

import msgspec

from query_service.projection.errors import ProjectionError
from query_service.projection.legal_forms import as_written
from query_service.projection.proto_json import malformed
from query_service.projection.upcast import CURRENT_SCHEMA_VERSION, upcast

Recorded = TypeVar("Recorded")
Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class _Message(msgspec.Struct, rename="camel", gc=False):
    """A message of the contract. It has no cycles, so the garbage collector need not know it."""


class Money(_Message):
    """A `google.type.Money`."""

    currency_code: str = ""
    units: str | int = 0
    nanos: Int32 = 0


class Address(_Message):
    """A `google.type.PostalAddress`."""

    revision: Int32 = 0
    region_code: str = ""
    language_code: str = ""
    postal_code: str = ""
    sorting_code: str = ""
    administrative_area: str = ""
    locality: str = ""
    sublocality: str = ""
    address_lines: list[str] = []
    recipients: list[str] = []
    organization: str = ""


class Customer(_Message):
    """The customer who ordered. The payload has only the id."""

    customer_id: str = ""
    display_name: str = ""
    email: str = ""
    phone: str = ""


class Line(_Message):
    """A line of the order."""

    line_number: Int32 = 0
    sku: str = ""
    product_name: str = ""
    unit_price: Money | None = None
    quantity: Int32 = 0
    discount_basis_points: Int32 = 0
    tax_rate_basis_points: Int32 = 0
    net_amount: Money | None = None
    tax_amount: Money | None = None
    cancelled_quantity: Int32 = 0
    shipped_quantity: Int32 = 0
    delivered_quantity: Int32 = 0
    returned_quantity: Int32 = 0


class LineQuantity(_Message):
    """A number of pieces of one line."""

    line_number: Int32 = 0
    quantity: Int32 = 0


class Payment(_Message):
    """A payment received."""

    payment_id: str = ""
    amount: Money | None = None
    method: str = ""
    reference: str = ""
    pay_time: str | None = None


class Shipment(_Message):
    """A shipment of some of the goods."""

    shipment_id: str = ""
    items: list[LineQuantity] = []
    carrier: str = ""
    tracking_number: str = ""
    ship_time: str | None = None
    deliver_time: str | None = None


class Return(_Message):
    """A return of some of the goods."""

    return_id: str = ""
    items: list[LineQuantity] = []
    return_time: str | None = None


class Refund(_Message):
    """A refund to the customer."""

    refund_id: str = ""
    amount: Money | None = None
    reference: str = ""
    refund_time: str | None = None


class Omitted(_Message):
    """How many of the oldest movements the order no longer lists."""

    payments: Int32 = 0
    shipments: Int32 = 0
    returns: Int32 = 0
    refunds: Int32 = 0


class Order(_Message):
    """The order after an event, without personal data."""

    order_id: str = ""
    order_number: str = ""
    version: str | int = 0
    state: str = "ORDER_STATE_UNSPECIFIED"
    payment_state: str = "PAYMENT_STATE_UNSPECIFIED"
    fulfillment_state: str = "FULFILLMENT_STATE_UNSPECIFIED"
    on_hold: bool = False
    source: str = ""
    customer: Customer | None = None
    billing_address: Address | None = None
    shipping_address: Address | None = None
    lines: list[Line] = []
    currency_code: str = ""
    freight: Money | None = None
    net_total: Money | None = None
    tax_total: Money | None = None
    total: Money | None = None
    paid_total: Money | None = None
    refunded_total: Money | None = None
    refund_due: Money | None = None
    payments: list[Payment] = []
    shipments: list[Shipment] = []
    returns: list[Return] = []
    refunds: list[Refund] = []
    place_time: str | None = None
    update_time: str | None = None
    redacted: bool = False
    omitted: Omitted | None = None
    labels: dict[str, str] = {}
    note: str = ""


class PersonalData(_Message):
    """The order's personal data, recorded apart from the payload. None: the payload has the value.

    What is read has the customer's texts too; see `contact`.
    """

    billing_address: Address | None = None
    shipping_address: Address | None = None
    labels: dict[str, str] | None = None
    note: str | None = None


class OrderPaid(_Message):
    """What ORDER_PAID adds to the order."""

    payment: Payment | None = None


class OrderRefunded(_Message):
    """What ORDER_REFUNDED adds to the order."""

    refund: Refund | None = None


class Payload(_Message):
    """An `OrderEvent` as far as the read model needs it."""

    event_id: str = ""
    order_id: str = ""
    order_version: str | int = ""
    event_type: str = ""
    order: Order | None = None
    actor: str = ""
    request_id: str = ""
    reason: str = ""
    order_paid: OrderPaid | None = None
    order_refunded: OrderRefunded | None = None


_CONTACT = {name: f"customer_{name}" for name in Customer.__struct_fields__ if name != "customer_id"}
_contact_of = attrgetter(*_CONTACT.values())
_WITH_CONTACT = msgspec.defstruct(
    "_WithContact", [(field, str, "") for field in _CONTACT.values()], bases=(PersonalData,), rename="camel", gc=False
)
_PAYLOADS, _PERSONAL_DATA = msgspec.json.Decoder(Payload), msgspec.json.Decoder[Any](_WITH_CONTACT)
_OBJECTS = msgspec.json.Decoder(dict[str, Any])


def contact(personal: PersonalData) -> dict[str, str]:
    """Returns the customer's texts by their names in `Customer`; "" for one that is not recorded."""
    return dict(zip(_CONTACT, _contact_of(personal), strict=True))


def shape() -> list[tuple[str, tuple[str, ...]]]:
    """Returns the names of all messages, and those of their fields."""
    return [(message.__name__, message.__struct_fields__) for message in _Message.__subclasses__()]


def read_payload(text: bytes | str, schema_version: int) -> Payload:
    """Returns an event's payload, converted to the present schema. Raises ProjectionError naming the wrong field."""
    if schema_version == CURRENT_SCHEMA_VERSION:
        return _read(_PAYLOADS, text, "payload")
    return _converted(upcast(parse_object(text, "payload"), schema_version), Payload, "payload")


def read_personal_data(text: bytes | str) -> PersonalData:
    """Returns an order's personal data. Raises ProjectionError naming the wrong field."""
    found: PersonalData = _read(_PERSONAL_DATA, text, "personal")
    return found


def parse_object(text: bytes | str, part: str) -> dict[str, Any]:
    """Parses a JSON object. Raises ProjectionError naming `part`."""
    try:
        return _OBJECTS.decode(text)
    except msgspec.ValidationError as error:
        raise _of_field(str(error), part) from None
    except (ValueError, RecursionError):
        raise malformed(part, "is no JSON") from None


def _read(decoder: msgspec.json.Decoder[Recorded], text: bytes | str, part: str) -> Recorded:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        return _converted(parse_object(text, part), decoder.type, part)
    except (ValueError, RecursionError):
        raise malformed(part, "is no JSON") from None


def _converted(found: dict[str, Any], declared: type[Recorded], part: str) -> Recorded:
    try:
        return msgspec.convert(as_written(found, declared), declared)
    except msgspec.ValidationError as error:
        raise _of_field(str(error), part) from None


def _of_field(error: str, part: str) -> ProjectionError:
    """Returns the error for a value of another type: "Expected `int`, got `str` - at `$.order.lines[...].sku`"."""
    problem, _, place = error.partition(" - at `$")
    return malformed(f"{part}{place.rstrip('`')}", problem[:1].lower() + problem[1:])
