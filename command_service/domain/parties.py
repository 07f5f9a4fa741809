"""Describes customer and addresses of an order, as the caller knew them when the order was placed."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Customer:
    """The customer at the time of the order. Everything except `customer_id` is personal."""

    customer_id: str
    display_name: str = ""
    email: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address. Everything except `region_code` (ISO 3166-1 alpha-2) is personal."""

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


# Storage and wire go by these names, so a new text needs a line in its class, a rule and a column.
#: The fields of a customer but for `customer_id`.
CONTACT_TEXTS = tuple(field.name for field in fields(Customer) if field.name != "customer_id")
#: The fields of an address.
ADDRESS_TEXTS = tuple(field.name for field in fields(Address) if field.type == "str")
ADDRESS_LISTS = tuple(field.name for field in fields(Address) if field.type == "tuple[str, ...]")
