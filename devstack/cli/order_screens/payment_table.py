"""Shows figures of money received and paid back."""

from __future__ import annotations

from collections.abc import Iterable

from tandem.orders.v1.order_query_service_pb2 import PaymentSummary, SummarizePaymentsResponse

from devstack.cli.order_screens.order_screen import freshness
from devstack.cli.order_screens.order_words import amount
from devstack.cli.tables import Column, Rows
from devstack.cli.terminal import say, show

_COLUMNS = (
    Column("group", folds=True, named=False),
    *(Column(heading, right=True) for heading in ("payments", "paid", "refunds", "refunded", "balance")),
)


def print_payments(answer: SummarizePaymentsResponse) -> None:
    """Prints one row per group and currency, then the totals."""
    groups = [(" · ".join(key or "none" for key in group.keys), group) for group in answer.groups]
    show(payment_rows([*groups, *(("all", total) for total in answer.totals)]))
    more = "; there are more groups (--max-groups)" if answer.truncated else ""
    ending = "" if len(answer.groups) == 1 else "s"
    say(f"{len(answer.groups)} group{ending}{more}; {freshness(answer.read_info)}")


def payment_rows(named: Iterable[tuple[str, PaymentSummary]]) -> Rows:
    """Returns a row of figures for each name."""
    return Rows(
        _COLUMNS,
        [
            (
                name, f"{summary.payments:,}", amount(summary.paid), f"{summary.refunds:,}", amount(summary.refunded),
                amount(summary.balance),
            )
            for name, summary in named
        ],
    )  # fmt: skip
