"""The part of the store's port that answers questions about money received and paid back.

Amounts are minor units, times are microseconds since 1970. The figures are made of the journal's entries, each of which
counts once. So a payment counts although its order no longer lists it, and after the customer's data was erased.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from query_service.application.calendars.time_zone import TimeZone


@dataclass(frozen=True, slots=True)
class PaymentCriteria:
    """Which movements of money a question is about. Empty or None: no condition; all conditions must be met.

    A refund has no method. `moved_from` is inclusive, `moved_until` is not.
    """

    moved_from: int | None = None
    moved_until: int | None = None
    methods: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    currency_code: str = ""


class PaymentDimension(StrEnum):
    """What money is grouped by, apart from its currency."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    METHOD = "METHOD"
    SOURCE = "SOURCE"


#: Dimension → field of a MoneyDocument.
PAYMENT_FIELDS: Mapping[PaymentDimension, str] = {dimension: dimension.lower() for dimension in PaymentDimension}
#: The dimensions whose keys depend on a time zone → the name of their calendar key.
PAYMENT_CALENDAR: Mapping[PaymentDimension, str] = {
    PaymentDimension.DAY: "place_day",
    PaymentDimension.WEEK: "place_week",
    PaymentDimension.MONTH: "place_month",
}


@dataclass(frozen=True, slots=True)
class PaymentSummaries:
    """Asks for figures by group: the first `size` groups by their keys.

    Days, weeks and months are those of `zone`; None: of UTC.
    """

    criteria: PaymentCriteria
    dimensions: tuple[PaymentDimension, ...]
    size: int = 1000
    zone: TimeZone | None = None


@dataclass(frozen=True, slots=True)
class PaymentFigures:
    """How many payments and refunds one group has, and their sums."""

    keys: tuple[str, ...]
    currency_code: str
    payments: int = 0
    paid: int = 0
    refunds: int = 0
    refunded: int = 0

    def __add__(self, other: PaymentFigures) -> PaymentFigures:
        return PaymentFigures(
            self.keys,
            self.currency_code,
            self.payments + other.payments,
            self.paid + other.paid,
            self.refunds + other.refunds,
            self.refunded + other.refunded,
        )


@dataclass(frozen=True, slots=True)
class FoundPayments:
    """The first groups by key and currency, and totals per currency over all groups.

    `truncated`: there are more groups. `totals` include them.
    """

    groups: list[PaymentFigures]
    totals: list[PaymentFigures]
    truncated: bool
    #: The generation that answered; "" when the answer does not tell it.
    generation: str = field(default="", compare=False)


def found_payments(parts: Iterable[PaymentFigures], size: int, generation: str = "") -> FoundPayments:
    """Adds up the parts of each group, and returns the first `size` groups and the totals."""
    groups: dict[tuple[tuple[str, ...], str], PaymentFigures] = {}
    totals: dict[str, PaymentFigures] = {}
    for part in parts:
        group, currency = (part.keys, part.currency_code), part.currency_code
        groups[group] = groups.get(group, PaymentFigures(part.keys, currency)) + part
        totals[currency] = totals.get(currency, PaymentFigures((), currency)) + part
    sorted_groups = [groups[group] for group in sorted(groups)]
    of_currencies = [totals[code] for code in sorted(totals)]
    return FoundPayments(sorted_groups[:size], of_currencies, len(groups) > size, generation)


class PaymentQuestions(Protocol):
    """Answers questions about money received and paid back."""

    async def payments(self, asked: PaymentSummaries) -> FoundPayments:
        """Returns figures by group. Sees every entry that was acknowledged before the call.

        Raises RebuildNeeded when an earlier release wrote some of the entries.
        """
