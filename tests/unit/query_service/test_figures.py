"""Figures as messages: what the contract's numbers hold, and what is refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tandem.orders.v1 import order_query_service_pb2 as contract

from query_service.application.ports.errors import SumTooLarge
from query_service.application.ports.order_questions import OrderFigures, rank
from query_service.wire import figures
from query_service.wire.figures import fill_summary

MOST = 2**63 - 1


def of(currency: str, *keys: str, **sums: int) -> OrderFigures:
    return replace(OrderFigures(keys, currency, orders=3), **sums)  # type: ignore[arg-type]


def summary_message(group: OrderFigures) -> contract.OrderSummary:
    message = contract.OrderSummary()
    fill_summary(message, group)
    return message


@pytest.mark.parametrize(
    ("currency", "most"), [("JPY", MOST), ("EUR", MOST * 100 + 99), ("KWD", MOST * 1000 + 999), ("CLF", MOST * 10_000)]
)
@pytest.mark.parametrize("figure", ["net_total", "tax_total", "freight", "total"])
def test_an_amount_may_be_as_large_as_money_can(figure: str, currency: str, most: int) -> None:
    message: Any = summary_message(of(currency, "DE", "PLACED", **{figure: most}))
    assert getattr(message, figure).units == MOST
    with pytest.raises(
        SumTooLarge, match=f"the {figure} of the group DE, PLACED in {currency} does not fit"
    ) as refusal:
        summary_message(of(currency, "DE", "PLACED", **{figure: most + 10_000}))
    assert (refusal.value.figure, refusal.value.group, refusal.value.currency_code) == (figure, "DE, PLACED", currency)


def test_the_group_of_orders_without_a_key_has_a_name_too() -> None:
    with pytest.raises(SumTooLarge, match="the total of the group none, PLACED in JPY") as refusal:
        summary_message(of("JPY", "", "PLACED", total=MOST + 1))
    assert refusal.value.group == "none, PLACED"


def test_pieces_are_counted_in_64_bits_too() -> None:
    assert summary_message(of("JPY", quantity=MOST)).quantity == MOST
    with pytest.raises(SumTooLarge, match="the quantity of all these orders"):
        summary_message(of("JPY", quantity=MOST + 1))


@pytest.mark.mutant
def test_without_the_check_it_would_be_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "_LARGEST", 2**80)
    with pytest.raises(ValueError, match="range"):
        summary_message(of("JPY", total=MOST + 1))


def test_groups_are_ranked_by_units_of_whatever_currency() -> None:
    totals = {"CLF": 10_001, "KWD": 10_000, "USD": 1_100, "EUR": 9_999, "JPY": 5_000}
    ranked = sorted((of(currency, total=total) for currency, total in totals.items()), key=rank)
    assert [group.currency_code for group in ranked] == ["JPY", "EUR", "USD", "KWD", "CLF"]
