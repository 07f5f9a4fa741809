"""Text from outside is never markup and never steers a terminal: every screen, with every kind of such text."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer
from google.type.money_pb2 import Money
from google.type.postal_address_pb2 import PostalAddress
from hypothesis import given
from hypothesis import strategies as st
from tandem.orders.v1 import order_query_service_pb2 as q
from tandem.orders.v1 import order_types_pb2 as t
from tandem.orders.v1.order_events_pb2 import OrderEvent

from devstack.cli import terminal
from devstack.cli.exit_codes import ExitCode
from devstack.cli.order_screens.history_screen import print_history
from devstack.cli.order_screens.order_screen import print_order, print_several
from devstack.cli.order_screens.payment_table import print_payments
from devstack.cli.order_screens.question_tables import print_customer, print_orders, print_summary
from devstack.cli.output import fail
from devstack.cli.progress import progress_bar
from devstack.cli.relay.screen import screen
from devstack.cli.stack.status_screen import picture
from devstack.cli.stream.tails import _printer
from devstack.stack.relay_status import RelayPage, RelaysStatus
from devstack.stack.system_status import ProcessStatus, SystemStatus
from service_runtime import plain_text
from service_runtime.plain_text import json_text, visible

#: Text from outside → how it is to be seen.
TEXTS = {
    "[/red]": "[/red]",
    "MK[red]": "MK[red]",
    "Bob [/] Smith": "Bob [/] Smith",
    "USB cable [/1m]": "USB cable [/1m]",
    "[bold]b[/bold]": "[bold]b[/bold]",
    "[link=http://x]y[/link]": "[link=http://x]y[/link]",
    ":smile: :warning:": ":smile: :warning:",
    "\\[red]": "\\[red]",
    "x[": "x[",
    "a\x1b[31mb": "a\\x1b[31mb",
    "a\x1b]0;title\x07": "a\\x1b]0;title\\x07",
    "a\x9b31mb": "a\\x9b31mb",
    "a\rb": "a\\rb",
    "a\nb": "a\\nb",
    "a\tb": "a\\tb",
    "a\x00b\x7f": "a\\x00b\\x7f",
    "a\u202egnp.exe": "a\\u202egnp.exe",
    "\u2066a\u2069": "\\u2066a\\u2069",
    "a\u200eb": "a\\u200eb",
    "a\u200bb": "a\\u200bb",
    "a\ufeffb\u00ad": "a\\ufeffb\\xad",
    "a\u2028b": "a\\u2028b",
    "\u3164": "\\u3164",
    "a\U000e0041": "a\\U000e0041",
    "a\ud8ffb": "a\\ud8ffb",
    # What is only unusual stays as it is.
    "Łukasz Müller": "Łukasz Müller",
    "می\u200cخواهم": "می\u200cخواهم",
    "👩\u200d💻": "👩\u200d💻",
    "東京都港区": "東京都港区",
}
#: Those that a message of the contract can hold: text is UTF-8 there.
SENT = [text for text in TEXTS if "\ud8ff" not in text]


def euros(units: int) -> Money:
    return Money(currency_code="EUR", units=units)


def order(text: str) -> t.Order:
    """An order that says `text` wherever an order can."""
    address = PostalAddress(recipients=[text], address_lines=[text], locality=text, region_code="DE")
    return t.Order(
        order_id=text,
        order_number=text,
        version=2,
        state=t.ORDER_STATE_PLACED,
        source=text,
        customer=t.Customer(customer_id=text, display_name=text, email=text, phone=text),
        shipping_address=address,
        billing_address=PostalAddress(recipients=[text], region_code="FR"),
        currency_code="EUR",
        lines=[
            t.OrderLine(
                line_number=1, sku=text, product_name=text, quantity=1, unit_price=euros(1), net_amount=euros(1)
            )
        ],
        total=euros(1),
        payments=[t.Payment(payment_id=text, amount=euros(1), method=text, reference=text)],
        shipments=[t.Shipment(shipment_id=text, carrier=text, tracking_number=text)],
        returns=[t.Return(return_id=text)],
        refunds=[t.Refund(refund_id=text, amount=euros(1), reference=text)],
    )


def history(text: str) -> q.GetOrderHistoryResponse:
    changes = [
        q.FieldChange(field=f"payments[{text}]", new_value=json.dumps({"paymentId": text, "reference": text})),
        q.FieldChange(field="customer.display_name", old_value=json.dumps(text), new_value=json.dumps(text)),
        q.FieldChange(field=text, old_value=text, new_value=text),
    ]
    event = OrderEvent(order_version=2, event_type=text, actor=text, reason=text)
    return q.GetOrderHistoryResponse(entries=[q.HistoryEntry(event=event, changes=changes)], next_page_token=text)


def summary(text: str) -> q.OrderSummary:
    return q.OrderSummary(keys=[text, text], currency_code="EUR", orders=1, total=euros(1))


def relays(text: str) -> RelaysStatus:
    page = {
        "state": text, "leader": True, "mode": text, "mode_reason": text, "last_error": text, "last_error_at": text,
        "loss": text, "oldest_unpublished_age_seconds": 0.0, "backlog_events": 0,
        "slot": {"name": text, "status": text, "active": True, "retained_bytes": 1, "safe_bytes": None},
    }  # fmt: skip
    return RelaysStatus([RelayPage(text, page)])


def failing(text: str) -> None:
    with pytest.raises(typer.Exit):
        fail(f"The order {text} was refused", ExitCode.DEGRADED)


def progressing(text: str) -> None:
    with progress_bar(text, 3) as advance:
        advance(3)


#: Where text from outside is printed: name → what prints it.
PRINTERS: dict[str, Callable[[str], Any]] = {
    "orders get": lambda text: print_order(q.GetOrderResponse(order=order(text))),
    "orders get of several": lambda text: print_several(
        q.BatchGetOrdersResponse(orders=[order(text)], missing_order_ids=[text])
    ),
    "orders search": lambda text: print_orders(q.SearchOrdersResponse(orders=[order(text)], next_page_token=text)),
    "orders history": lambda text: print_history(history(text)),
    "orders summarize": lambda text: print_summary(
        q.SummarizeOrdersResponse(groups=[summary(text)], totals=[summary(text)]),
        [q.OrderDimension.ORDER_DIMENSION_PRODUCT, q.OrderDimension.ORDER_DIMENSION_CUSTOMER],
    ),
    "orders payments": lambda text: print_payments(
        q.SummarizePaymentsResponse(groups=[q.PaymentSummary(keys=[text, text], currency_code="EUR", paid=euros(1))])
    ),
    "orders customer": lambda text: print_customer(
        q.GetCustomerSummaryResponse(
            customer=t.Customer(customer_id=text, display_name=text, email=text, phone=text),
            totals=[summary(text)],
            recent_orders=[order(text)],
        )
    ),
    "status": lambda text: terminal.show(picture(SystemStatus((ProcessStatus(text, text, "down", text),)))),
    "relay status": lambda text: terminal.show(screen(relays(text))),
    "tails": lambda text: _printer(False)(text, 1, text, text, 1, text),
    "a refusal": failing,
    "a progress": progressing,
}


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def steering(out: str) -> list[str]:
    """What in the output would steer a terminal, our own line ends left out."""
    return [c for c in out if c != "\n" and visible(c) != c]


@pytest.mark.parametrize("command", PRINTERS)
def test_text_from_outside_is_printed_as_it_is(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for text, seen in TEXTS.items():
        if command not in ("status", "relay status", "tails", "a refusal", "a progress") and text not in SENT:
            continue
        PRINTERS[command](text)
        captured = capsys.readouterr()
        out = captured.out + captured.err
        assert steering(out) == [], (command, text)
        if command != "a progress":  # which says nothing about so few
            assert seen.replace(" ", "") in "".join(out.split()), (command, text)


@pytest.mark.mutant
@pytest.mark.parametrize("command", PRINTERS)
def test_markup_and_steering_would_be_noticed(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard is what makes text visible; without it the same table fails."""
    if command == "a progress":
        return
    monkeypatch.setattr(plain_text, "_steers", lambda _: False)
    PRINTERS[command]("a\x1b[31mb")
    captured = capsys.readouterr()
    monkeypatch.undo()
    assert steering(captured.out + captured.err) != []


def test_a_bar_is_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    progressing("[/red] [bold]x[/bold]")
    assert "[/red] [bold]x[/bold]" in screen.getvalue()


def documents() -> Iterator[Any]:
    for text in TEXTS:
        yield text
        yield {text: [text, {"x": text}]}


def test_documents_mean_the_same_and_steer_nothing() -> None:
    for document in documents():
        for indent in (2, None):
            out = json_text(document, indent=indent)
            assert json.loads(out) == document
            assert steering(out) == []


@given(st.text())
def test_nothing_that_steers_remains(text: str) -> None:
    out = visible(text)
    assert out == visible(out)
    assert out.isprintable() or all(c.isprintable() or visible(c) == c for c in out)
    assert steering(out) == []
