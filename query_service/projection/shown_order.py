"""Encodes an order as the contract shows it.

Whatever answers send of an order was encoded here, when the order was projected. Protobuf allows encoded messages to be
joined to a larger one, so answering encodes no order again.

An order has many small messages. They are described as nested dictionaries and built in one call, because building each
message from Python takes twice the time. What both views share is encoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from operator import itemgetter
from typing import Any

from google.protobuf.message import DecodeError
from msgspec.structs import asdict
from tandem.orders.v1 import order_types_pb2 as types

from query_service.projection import recorded_order as recorded
from query_service.projection.currency import NANOS_PER_UNIT, exponent_of, minor_units, units_and_nanos
from query_service.projection.errors import ProjectionError, Unprojectable
from query_service.projection.proto_json import integer, malformed, microseconds

#: Raise this number whenever the same event gives other bytes.
EDITION = 3
#: Bytes that begin with another print are of another edition, or of another shape of the order. Such an order must be
#: projected again, from the journal.
PRINT = sha256(repr((EDITION, recorded.shape())).encode()).digest()[:4]
#: The fields of a message by name. The value of a nested message is again such a dictionary.
Fields = dict[str, Any]
#: An amount in minor units and as the fields of its Money; None twice for no amount.
Amount = tuple[int | None, Fields | None]
AmountOf = Callable[[recorded.Money | None, str], Amount]
_NO_AMOUNT: Amount = (None, None)
_MICROSECONDS = 1_000_000
#: The digits of the largest 64-bit integer.
_DIGITS = 19
#: What both views show alike. The basic view, for a row of a list, also has a part of the customer and of an address.
_SHARED = (
    "order_id", "order_number", "version", "state", "payment_state", "fulfillment_state", "on_hold", "source",
    "currency_code", "total", "refund_due", "place_time", "update_time", "redacted", "labels",
)  # fmt: skip
_BASIC = {"customer": ("customer_id", "display_name"), "shipping_address": ("region_code", "locality")}
_shared_of = itemgetter(*_SHARED)
#: Leaves out of a message what both views share.
_WITHOUT_SHARED: Fields = dict.fromkeys(_SHARED)


def encoded(fields: Fields) -> tuple[bytes, bytes]:
    """Returns an encoded `Order` with these fields, and the same with those of ORDER_VIEW_BASIC only.

    Takes what both share out of `fields`. Raises ProjectionError (UNMAPPABLE) for a value that the contract of this
    release cannot express.
    """
    shared = dict(zip(_SHARED, _shared_of(fields), strict=True))
    fields.update(_WITHOUT_SHARED)
    basic: Fields = {}
    for part, names in _BASIC.items():
        if (whole := fields[part]) is not None:
            basic[part] = {name: whole[name] for name in names}
    try:
        alike = _encoded(shared)
        return alike + _encoded(fields), alike + _encoded(basic)
    except (TypeError, ValueError) as error:
        raise ProjectionError(Unprojectable.UNMAPPABLE, f"order: the contract cannot express it: {error}") from None


def _encoded(fields: Fields) -> bytes:
    return types.Order(**fields).SerializeToString(deterministic=True)


def differing_parts(found: bytes, wanted: bytes) -> list[str]:
    """Returns the names of the fields in which two encoded orders differ; none if one of them is illegible."""
    try:
        one, other = types.Order.FromString(found), types.Order.FromString(wanted)
    except DecodeError:
        return []
    return [name for name in one.DESCRIPTOR.fields_by_name if _alone(one, name) != _alone(other, name)]


def _alone(order: types.Order, field: str) -> types.Order:
    alone: Any = types.Order()
    alone.CopyFrom(order)
    for name in order.DESCRIPTOR.fields_by_name:
        if name != field:
            alone.ClearField(name)
    return alone  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def amount_in(currency_code: str) -> AmountOf:
    """Returns a function that reads an amount of this currency. It raises ProjectionError naming the field."""
    scale: int = 10 ** exponent_of(currency_code)
    #: Nanos → minor units, for all nanos that the currency allows.
    minor_units_in = {minor * (NANOS_PER_UNIT // scale): minor for minor in range(scale)}.get
    nothing: Fields = {"currency_code": currency_code}

    def amount(money: recorded.Money | None, field: str) -> Amount:
        if money is None:
            return _NO_AMOUNT
        units, nanos = money.units, money.nanos
        if money.currency_code == currency_code:
            if not units and not nanos:
                return 0, nothing
            minor = minor_units_in(nanos)
            # the fast path, nearly always
            if minor is not None and type(units) is str and units.isdecimal() and len(units) < _DIGITS:
                whole = int(units)
                return whole * scale + minor, {"currency_code": currency_code, "units": whole, "nanos": nanos}
        return _amount(money, field, currency_code)

    return amount


def _amount(money: recorded.Money, field: str, currency_code: str) -> Amount:
    if money.currency_code != currency_code:
        raise malformed(field, f"is not in {currency_code or 'the currency of the order, which names none'}")
    units = integer(money.units, f"{field}.units")
    try:
        amount = minor_units(units, money.nanos, currency_code)
    except ValueError as error:
        raise malformed(field, str(error)) from None
    if not amount:
        return 0, {"currency_code": currency_code}
    units, nanos = units_and_nanos(amount, currency_code)
    return amount, {"currency_code": currency_code, "units": units, "nanos": nanos}


def time_of(text: str | None, field: str) -> tuple[int | None, Fields | None]:
    """Returns a time in microseconds since 1970, and the fields of its Timestamp. Raises ProjectionError."""
    if text is None:
        return None, None
    time = microseconds(text, field)
    seconds, rest = divmod(time, _MICROSECONDS)
    return time, {"seconds": seconds, "nanos": rest * 1000}


def moved(movements: Sequence[recorded.Payment | recorded.Refund], amount: AmountOf, time: str) -> list[Fields]:
    """Returns the fields of payments or refunds. `time` is the name of their time."""
    return [
        {**asdict(one), "amount": amount(one.amount, "amount")[1], time: time_of(getattr(one, time), time)[1]}
        for one in movements
    ]


def handled(handlings: Sequence[recorded.Shipment | recorded.Return], *times: str) -> list[Fields]:
    """Returns the fields of shipments or returns. `times` are the names of their times."""
    return [
        {
            **asdict(one),
            "items": [asdict(item) for item in one.items],
            **{time: time_of(getattr(one, time), time)[1] for time in times},
        }
        for one in handlings
    ]
