"""`tandem orders …`: the order system's own calls, typed by hand; listed as an order lives."""

from __future__ import annotations

import typer

from devstack.cli.orders import changes as order_changes
from devstack.cli.orders import movements as order_movements
from devstack.cli.orders import payments as order_payments
from devstack.cli.orders import questions as order_questions
from devstack.cli.orders import reading as order_reading
from devstack.cli.orders import terms as order_terms
from devstack.cli.orders import watch as order_watch

application = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
for _command in (
    order_terms.place, order_reading.get, order_questions.search, order_reading.history, order_watch.watch,
    order_movements.pay,
    order_movements.ship, order_movements.deliver, order_terms.revise, order_terms.address, order_changes.cancel,
    order_movements.return_, order_movements.refund, order_changes.hold, order_changes.release,
    order_changes.label, order_questions.summarize, order_payments.payments, order_questions.customer,
):  # fmt: skip
    application.command(_command.__name__.rstrip("_"))(_command)


@application.callback()
def _orders() -> None:
    """Place, change and find orders.

    ORDER is the id of an order, or the number that people call it by.

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the service or what it needs does not answer.
    """
