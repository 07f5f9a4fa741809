"""The business rules, as data. An id is stable: callers branch on it, so it is never renamed or used again.

The aggregate holds every rule; what SQL can hold as well, the tables' constraints hold a second time.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_LINES = 500
MAX_QUANTITY = 1_000_000


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: its stable id and the sentence that states it."""

    id: str
    sentence: str


ORDER_ID_TAKEN = Rule("order-id-taken", "An order id names one order for ever.")
ORDER_NUMBER_TAKEN = Rule("order-number-taken", "An order number is used once within its source.")
LINE_COUNT = Rule("line-count", f"An order has 1 to {MAX_LINES} lines.")
QUANTITY_RANGE = Rule("quantity-range", f"A line is of 1 to {MAX_QUANTITY} pieces.")
RATE_RANGE = Rule("rate-range", "Discount and tax rate are 0 to 10000 basis points.")
AMOUNT_NEGATIVE = Rule("amount-negative", "Prices and freight are not negative.")
AMOUNT_TOO_LARGE = Rule("amount-too-large", "No amount of an order exceeds 10^15 minor units.")
ONE_CURRENCY = Rule("one-currency", "All amounts of an order are in one currency.")
EXPECTED_TOTAL = Rule("expected-total", "The order's total equals the total that the caller expects.")
HOLD_OPEN_ONLY = Rule("hold-open-only", "Only an order with pieces left to ship can be held.")
HOLD_ONCE = Rule("hold-once", "An order that is held is not held again.")
RELEASE_HELD_ONLY = Rule("release-held-only", "Only an order that is held can be released.")

ALL_RULES: tuple[Rule, ...] = (
    ORDER_ID_TAKEN,
    ORDER_NUMBER_TAKEN,
    LINE_COUNT,
    QUANTITY_RANGE,
    RATE_RANGE,
    AMOUNT_NEGATIVE,
    AMOUNT_TOO_LARGE,
    ONE_CURRENCY,
    EXPECTED_TOTAL,
    HOLD_OPEN_ONLY,
    HOLD_ONCE,
    RELEASE_HELD_ONLY,
)
