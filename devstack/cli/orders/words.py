"""Reads numbers, amounts and lines as typed. Only the form is checked here; the services know the rules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from google.type.money_pb2 import Money
from tandem.orders.v1.order_command_service_pb2 import NewOrderLine
from tandem.orders.v1.order_types_pb2 import LineQuantity

LINE_FORM = "SKU:NAME:PRICE[:QUANTITY[:DISCOUNT%[:TAX%]]]"
NAMED_FORM = 'sku=TEA,name="Tea: green",price=1.50,quantity=2,discount=5%,tax=19%'
_PARTS = ("sku", "name", "price", "quantity", "discount", "tax")
#: Only by name: the number of the line that a revision replaces.
_NUMBER_PART = "line"
_NAMED_PARTS = (*_PARTS, _NUMBER_PART)
_DEFAULTS = {"quantity": "1", "discount": "0", "tax": "0", _NUMBER_PART: "0"}
_NANOS = 1_000_000_000
#: ASCII digits only: `١٢` and `1_000` are numbers to Python, and typing errors here.
_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)")
_WHOLE = re.compile(r"-?[0-9]+")
_MAX_INT32, _MAX_INT64 = 2**31 - 1, 2**63 - 1


class WrongWord(ValueError):  # noqa: N818 - reads as what it is
    """A word has the wrong form. The message names the word and shows the right form."""


def money(text: str, currency: str, what: str) -> Money:
    """Reads `12.50` as Money, exactly; raises WrongWord naming `what`."""
    if not _NUMBER.fullmatch(text):
        raise WrongWord(
            f"{what}: {text!r} is no amount; write it like 12.50, in digits 0 to 9 with a point before the decimals"
        )
    amount = Decimal(text)
    nanos = int(amount.scaleb(9).to_integral_value()) if len(text) < 60 else _MAX_INT64 * _NANOS
    if len(text.partition(".")[2].rstrip("0")) > 9:
        raise WrongWord(f"{what}: {text!r} has more than nine decimals")
    units, rest = divmod(abs(nanos), _NANOS)
    if units >= _MAX_INT64:
        raise WrongWord(f"{what}: {text[:30]!r} is too large for any amount")
    sign = -1 if text.startswith("-") else 1
    return Money(currency_code=currency, units=sign * units, nanos=sign * rest)


def whole_number(text: str, what: str) -> int:
    """Reads `12` as an integer; raises WrongWord naming `what`."""
    if not _WHOLE.fullmatch(text):
        raise WrongWord(f"{what}: {text!r} is no whole number; write it in digits 0 to 9, like 12")
    if len(text) > 12 or abs(int(text)) > _MAX_INT32:
        raise WrongWord(f"{what}: {text[:30]!r} is too large")
    return int(text)


def basis_points(text: str, what: str) -> int:
    """Reads `2.5%` as hundredths of a percent; raises WrongWord naming `what`."""
    number = text.removesuffix("%")
    if not _NUMBER.fullmatch(number):
        raise WrongWord(f"{what}: {text!r} is no percentage; write it like 19% or 2.5%, with a point")
    if len(number.partition(".")[2].rstrip("0")) > 2:
        raise WrongWord(f"{what}: {text!r} is finer than a hundredth of a percent")
    if len(number) > 12:
        raise WrongWord(f"{what}: {text[:30]!r} is too large")
    return int(Decimal(number) * 100)


def new_line(text: str, currency: str) -> NewOrderLine:
    """Reads a line, by position (`LINE_FORM`) or by name (`NAMED_FORM`); raises WrongWord.

    A part in double quotes may hold anything, a quote in it is doubled; `\\:` is a colon. An empty part has its
    default.
    """
    where = f"--line {text!r}"
    named = re.match(rf"\s*({'|'.join(_NAMED_PARTS)})\s*=", text) is not None
    parts = _named_parts(text, where) if named else _placed_parts(text, where)
    price = "PRICE" if named else "PRICE (after SKU:NAME; a colon in a name is written \\: or the name in quotes)"
    given = _DEFAULTS | {name: value for name, value in parts.items() if value or name not in _DEFAULTS}
    return NewOrderLine(
        sku=given["sku"],
        product_name=given["name"],
        unit_price=money(given["price"], currency, f"{where}, {price}"),
        quantity=whole_number(given["quantity"], f"{where}, QUANTITY"),
        discount_basis_points=basis_points(given["discount"], f"{where}, DISCOUNT%"),
        tax_rate_basis_points=basis_points(given["tax"], f"{where}, TAX%"),
        line_number=whole_number(given[_NUMBER_PART], f"{where}, line"),
    )


def _placed_parts(text: str, where: str) -> dict[str, str]:
    parts = split(text, ":")
    if not 3 <= len(parts) <= len(_PARTS):
        many = (
            f" ({len(parts)} parts; a colon in a name is written \\: or the name in quotes)" if len(parts) > 3 else ""
        )
        raise WrongWord(f"{where}: write {LINE_FORM}{many}, or {NAMED_FORM}")
    return dict(zip(_PARTS, parts, strict=False))


def _named_parts(text: str, where: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in split(text, ",", r"\s*[a-z]+\s*=|"):
        name, separator, value = part.partition("=")
        if not separator or name.strip() not in _NAMED_PARTS or name.strip() in parts:
            raise WrongWord(f"{where}: {part!r} is none of its parts, or is there twice; write {NAMED_FORM}")
        parts[name.strip()] = value
    if missing := [name for name in ("sku", "name", "price") if name not in parts]:
        raise WrongWord(f"{where}: {', '.join(missing)} is missing; write {NAMED_FORM}")
    return parts


def split(text: str, separator: str, name: str = "") -> list[str]:
    """Splits at separators. A part in double quotes may contain them, and a backslash escapes one.

    `name` is a pattern of what may precede the quotes.
    """
    part = re.compile(
        rf'({name})(?:"((?:[^"]|"")*)"(?={separator}|\Z)|((?:\\[{separator}\\]|[^{separator}])*))', re.DOTALL
    )
    parts, at = [], 0
    while at <= len(text):
        found = part.match(text, at)
        assert found is not None, "a part may be empty"
        named, quoted, bare = found.groups()
        value = quoted.replace('""', '"') if quoted is not None else re.sub(rf"\\([{separator}\\])", r"\1", bare)
        parts.append(named + value)
        at = found.end() + 1
    return parts


def labels(words: Sequence[str]) -> dict[str, str]:
    """Reads labels such as `erp/id=4711`; raises WrongWord."""
    found: dict[str, str] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not (key and separator):
            raise WrongWord(f"--label {word!r}: write KEY=VALUE, like erp/id=4711")
        if key in found:
            raise WrongWord(f"--label {word!r}: the key {key} is there twice")
        found[key] = value
    return found


def line_quantity(text: str) -> LineQuantity:
    """Reads `1:2`, two pieces of line 1; raises WrongWord."""
    line, _, quantity = text.partition(":")
    if not re.fullmatch(r"[0-9]{1,10}:[0-9]{1,10}", text):
        raise WrongWord(f"--item {text!r}: write LINE:QUANTITY, like 1:2")
    where = f"--item {text!r}"
    return LineQuantity(line_number=whole_number(line, where), quantity=whole_number(quantity, where))
