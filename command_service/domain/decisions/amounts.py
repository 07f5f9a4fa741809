"""Checks every amount of an order: its currency, its sign, its size."""

from __future__ import annotations

from command_service.domain import rules
from command_service.domain.errors import RuleViolated
from command_service.domain.money import MAX_AMOUNT, Money, decimal_text
from command_service.domain.order import Order


def charge(money: Money | None, currency: str, name: str) -> int:
    """Returns the minor units of a charge, 0 for None. `name` says what it is: `the freight`."""
    if money is None:
        return 0
    check_currency(money, currency, name)
    if money.minor_units < 0:
        message = f"{_capitalized(name)} must be zero or more; it is {decimal_text(money)}."
        raise RuleViolated(rules.AMOUNT_NEGATIVE, message)
    check_size(money, name)
    return money.minor_units


def movement(money: Money, currency: str, name: str) -> int:
    """Returns the minor units of a payment or refund."""
    check_currency(money, currency, name)
    if money.minor_units <= 0:
        message = f"{_capitalized(name)} must be above zero; it is {decimal_text(money)}."
        raise RuleViolated(rules.AMOUNT_POSITIVE, message)
    check_size(money, name)
    return money.minor_units


def check_total(order: Order, expected: Money | None) -> None:
    """Checks the order's total against the limit, and against the caller's expected total if there is one."""
    total = Money(order.currency, order.total)
    check_size(total, "the total")
    if expected is None:
        return
    check_currency(expected, order.currency, "the expected total")
    if expected != total:
        raise RuleViolated(
            rules.EXPECTED_TOTAL,
            f"The expected total is {decimal_text(expected)}; the order costs {decimal_text(total)}."
            " Correct the lines, the freight or the expected total.",
            {"total": decimal_text(total), "expected_total": decimal_text(expected)},
        )


def check_currency(money: Money, currency: str, name: str) -> None:
    """Checks that the amount is in the order's currency."""
    if money.currency != currency:
        raise RuleViolated(
            rules.ONE_CURRENCY,
            f"{_capitalized(name)} must be in {currency}, the order's currency; it is in {money.currency}.",
            {"currency": currency, "other_currency": money.currency},
        )


def check_size(money: Money, name: str) -> None:
    """Checks that the amount is within the limit."""
    if money.minor_units > MAX_AMOUNT:
        limit = decimal_text(Money(money.currency, MAX_AMOUNT))
        message = f"{_capitalized(name)} must be at most {limit}; it is {decimal_text(money)}."
        raise RuleViolated(rules.AMOUNT_TOO_LARGE, message)


def _capitalized(name: str) -> str:
    return name[0].upper() + name[1:]
