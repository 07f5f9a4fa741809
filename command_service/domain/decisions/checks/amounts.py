"""Checks the currency, the sign and the size of every amount of a command."""

from __future__ import annotations

from command_service.domain import rules
from command_service.domain.errors import RuleViolated
from command_service.domain.money import MAX_AMOUNT, Money, decimal_text
from command_service.domain.order import Order


def charge(money: Money | None, currency: str, name: str) -> int:
    """Checks an amount that the customer has to pay (a unit price or the freight) and returns its minor units.

    None means that nothing is charged, and gives 0. Refuses another currency, a negative amount, and one above the
    limit. `name` is what the message calls the amount: `the freight`.
    """
    if money is None:
        return 0
    check_currency(money, currency, name)
    if money.minor_units < 0:
        message = f"{_capitalized(name)} must be zero or more; it is {decimal_text(money)}."
        raise RuleViolated(rules.AMOUNT_NEGATIVE, message)
    check_size(money, name)
    return money.minor_units


def movement(money: Money, currency: str, name: str) -> int:
    """Checks the amount of a payment or refund and returns its minor units.

    Refuses another currency, an amount that is not above zero, and one above the limit. `name` as for `charge`.
    """
    check_currency(money, currency, name)
    if money.minor_units <= 0:
        message = f"{_capitalized(name)} must be above zero; it is {decimal_text(money)}."
        raise RuleViolated(rules.AMOUNT_POSITIVE, message)
    check_size(money, name)
    return money.minor_units


def check_total(order: Order, expected: Money | None) -> None:
    """Refuses a total above the limit, and one that differs from `expected`. None: the caller expects no total."""
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
    """Refuses an amount in another currency than the order's. `name` as for `charge`."""
    if money.currency != currency:
        raise RuleViolated(
            rules.ONE_CURRENCY,
            f"{_capitalized(name)} must be in {currency}, the order's currency; it is in {money.currency}.",
            {"currency": currency, "other_currency": money.currency},
        )


def check_size(money: Money, name: str) -> None:
    """Refuses an amount above MAX_AMOUNT. `name` as for `charge`."""
    if money.minor_units > MAX_AMOUNT:
        limit = decimal_text(Money(money.currency, MAX_AMOUNT))
        message = f"{_capitalized(name)} must be at most {limit}; it is {decimal_text(money)}."
        raise RuleViolated(rules.AMOUNT_TOO_LARGE, message)


def _capitalized(name: str) -> str:
    return name[0].upper() + name[1:]
