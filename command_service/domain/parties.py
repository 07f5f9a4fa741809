"""Describes the customer and the addresses of an order, as the caller gave them."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Customer:
    """The customer as given when the order was placed. Every field except `customer_id` is personal data."""

    customer_id: str
    display_name: str = ""
    email: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address. Every field except `region_code` (ISO 3166-1 alpha-2 or `XK`) is personal data."""

    region_code: str
    language_code: str = ""
    postal_code: str = ""
    sorting_code: str = ""
    administrative_area: str = ""
    locality: str = ""
    sublocality: str = ""
    address_lines: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    organization: str = ""


# Storage and wire use these names. A new field therefore needs a line in its class, a request rule and a column.
#: The fields of a customer, except `customer_id`.
CONTACT_TEXTS = tuple(field.name for field in fields(Customer) if field.name != "customer_id")
#: The fields of an address that are one text, and those that are a list of texts.
ADDRESS_TEXTS = tuple(field.name for field in fields(Address) if field.type == "str")
ADDRESS_LISTS = tuple(field.name for field in fields(Address) if field.type == "tuple[str, ...]")
