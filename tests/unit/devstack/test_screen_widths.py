"""Screens at 45, 80 and 120 columns: what one copies from them is there whole, and no line is cut or too long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len
from tandem.orders.v1 import order_query_service_pb2 as q

from devstack.cli import tables
from devstack.cli.order_screens.order_screen import print_order
from devstack.cli.order_screens.payment_table import print_payments
from devstack.cli.order_screens.question_tables import print_customer, print_orders, print_summary
from devstack.cli.stack.status_screen import picture
from devstack.cli.tables import Column, Rows
from devstack.cli.terminal import show
from devstack.stack.system_status import ProcessStatus, SystemStatus
from tests.support import screens

ORDER = (screens.ORDER_ID, screens.ORDER_NUMBER)
FIGURES = ("1,234", "56,789", "1,234,567.00 EUR", "234,567.89 EUR", "1,473,455.89 EUR", "1,194.04 EUR", "9,999.00 EUR")
STATUS = SystemStatus(
    (
        ProcessStatus("postgres", "tandem:secret@127.0.0.1:25432/tandem", "up", "version 18.6"),
        ProcessStatus("query-serve", "127.0.0.1:50052", "degraded", "elasticsearch: no answer within two seconds"),
    )
)
#: Screen → what draws it, and what must be there in one piece.
SCREENS: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "order": (
        lambda: print_order(q.GetOrderResponse(order=screens.partly_paid_and_shipped())),
        (*ORDER, screens.PAYMENT_ID, screens.SHIPMENT_ID, "00340434161094015902", "164.89 EUR", "64.89 EUR"),
    ),
    "search": (lambda: print_orders(screens.found()), (*ORDER, "164.89 EUR", "2026-11-27", "placed")),
    "summary": (
        lambda: print_summary(screens.summary(), [q.OrderDimension.ORDER_DIMENSION_STATE]),
        ("placed", "1 group;", *FIGURES),
    ),
    "payments": (lambda: print_payments(screens.payments()), ("2026-05", "1,234", "1,230,246.00 EUR")),
    "customer": (lambda: print_customer(screens.customer()), (*ORDER, *FIGURES, "ALFKI")),
    "status": (lambda: show(picture(STATUS)), ("127.0.0.1:50052", "query-serve", "degraded")),
}


@pytest.mark.parametrize("width", [45, 80, 120])
@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_fits(
    screen: str, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    draw, whole = SCREENS[screen]
    draw()
    out = capsys.readouterr().out
    for word in whole:
        assert word in out, (word, out)
    assert "…" not in out
    assert [line for line in out.splitlines() if cell_len(line) > width] == []


@pytest.mark.mutant
def test_a_table_that_is_never_stacked_would_be_noticed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "45")
    monkeypatch.setattr(Rows, "_least_width", lambda _: 0)
    print_orders(screens.found())
    assert screens.ORDER_ID not in capsys.readouterr().out


def test_an_order_says_where_it_stands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_order(q.GetOrderResponse(order=screens.partly_paid_and_shipped(), read_info=screens.read_info()))
    out = " ".join(capsys.readouterr().out.split())
    for text in (
        f"id {screens.ORDER_ID}", "version 5", "state placed, on hold", "payment partially paid",
        "fulfillment partially shipped", "customer ALFKI, Alfreds Futterkiste, maria@example.org",
        "ship to Alfreds Futterkiste, Obere Straße 57, 12209 Berlin, DE", "source web",
        "placed 2026-11-27 08:00:00 UTC", "changed 2026-11-27 10:00:00 UTC", "3 cancelled", "4 shipped", "19 %",
        "total 164.89 EUR", "paid 100.00 EUR", "open 64.89 EUR", "refund due 0.00 EUR", "4 of line 1",
        "as of 2026-11-27 11:00:00 UTC",
    ):  # fmt: skip
        assert text in out, (text, out)
    assert "bill to" not in out


def test_a_long_word_in_a_narrow_place_goes_on_in_the_next_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    show(Rows([Column("a"), Column("b", folds=True)], [("x" * 30, "y" * 30)]))
    out = capsys.readouterr().out
    assert (out.count("x"), out.count("y")) == (30, 30)
    assert max(map(len, out.splitlines())) <= 20
    assert tables.Facts([("empty", "")]) is not None
