"""Translates money, times, addresses and customers between the contract's messages and the domain's values.

Values of a request were checked against the request rules before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import cache
from operator import attrgetter
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money as MoneyMessage
from google.type.postal_address_pb2 import PostalAddress
from tandem.orders.minor_units import to_units as minor_units_to_units
from tandem.orders.v1 import order_types_pb2

from command_service.domain.money import Money, exponent_of, from_units
from command_service.domain.parties import ADDRESS_LISTS, Address, Customer

_CUSTOMER = tuple(field.name for field in fields(Customer))
_ADDRESS = tuple(field.name for field in fields(Address))
_LISTS = tuple(map(_ADDRESS.index, ADDRESS_LISTS))
_customer_values, _address_values = attrgetter(*_CUSTOMER), attrgetter(*_ADDRESS)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400
#: Sets an empty message to an amount of one currency, given in minor units.
MoneyFiller = Callable[[MoneyMessage, int], None]


def money_of(message: MoneyMessage) -> Money:
    """Converts a message to an amount in minor units."""
    return from_units(message.currency_code, message.units, message.nanos)


def optional_money(message: Any, field: str) -> Money | None:
    """Returns the amount in a field of `message`, or None if the field is absent."""
    return money_of(getattr(message, field)) if message.HasField(field) else None


def money_message(currency: str, minor_units: int) -> MoneyMessage:
    """Converts an amount in minor units to a message."""
    message = MoneyMessage()
    money_filler(currency)(message, minor_units)
    return message


@cache
def money_filler(currency: str) -> MoneyFiller:
    """Returns the function that fills messages with amounts of this currency. Raises UnknownCurrency."""
    places = exponent_of(currency)

    def fill(message: MoneyMessage, minor_units: int) -> None:
        message.currency_code = currency
        if minor_units:
            message.units, message.nanos = minor_units_to_units(minor_units, places)

    return fill


def timestamp_message(moment: datetime) -> Timestamp:
    """Converts a time to a message, exact to the microsecond."""
    message = Timestamp()
    fill_timestamp(message, moment)
    return message


def fill_timestamp(message: Timestamp, moment: datetime) -> None:
    """Sets an empty message to the time, exact to the microsecond."""
    since = moment - _EPOCH
    message.seconds, message.nanos = since.days * _DAY + since.seconds, since.microseconds * 1000


def time_of(message: Timestamp) -> datetime:
    """Converts a message to a time in UTC. Fractions of a microsecond are dropped."""
    return _EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)


def optional_time(message: Any, field: str) -> datetime | None:
    """Returns the time in a field of `message`, or None if the field is absent."""
    return time_of(getattr(message, field)) if message.HasField(field) else None


def address_of(message: PostalAddress) -> Address:
    """Converts a message to an address. Its `revision` is not kept, because it is always 0."""
    values = list(_address_values(message))
    for place in _LISTS:
        values[place] = tuple(values[place])
    return Address(*values)


def address_message(address: Address) -> PostalAddress:
    """Converts an address to a message."""
    message = PostalAddress()
    fill_address(message, address)
    return message


def fill_address(message: PostalAddress, address: Address) -> None:
    """Sets an empty message to the address."""
    for name, value in zip(_ADDRESS, _address_values(address), strict=True):
        if value:
            if name in ADDRESS_LISTS:
                getattr(message, name).extend(value)
            else:
                setattr(message, name, value)


def customer_of(message: order_types_pb2.Customer) -> Customer:
    """Converts a message to a customer."""
    return Customer(*_customer_values(message))


def fill_customer(message: order_types_pb2.Customer, customer: Customer) -> None:
    """Sets an empty message to the customer."""
    for name, value in zip(_CUSTOMER, _customer_values(customer), strict=True):
        if value:
            setattr(message, name, value)
