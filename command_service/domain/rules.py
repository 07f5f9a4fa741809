"""Lists the business rules as data.

The id of a rule is never renamed or reused, because callers' programs depend on it. The domain enforces every rule. The
tables' constraints enforce a second time the rules that SQL can express.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

MAX_LINES = 500
MAX_QUANTITY = 1_000_000
MAX_LABELS = 32
#: How far a caller's clock may be ahead of the database's.
CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Rule:
    """A business rule: its stable id, and the sentence that states it in the documentation."""

    id: str
    sentence: str


ORDER_ID_TAKEN = Rule("order-id-taken", "An order id is used once, for ever.")
ORDER_NUMBER_TAKEN = Rule("order-number-taken", "An order number is used once within its source.")
LINE_COUNT = Rule("line-count", f"An order has 1 to {MAX_LINES} lines.")
ORDER_SIZE = Rule(
    "order-size", "Lines, addresses and imported movements leave room for everything that may happen to the order."
)
QUANTITY_RANGE = Rule("quantity-range", f"A line has 1 to {MAX_QUANTITY} pieces.")
RATE_RANGE = Rule("rate-range", "Discount and tax rate are 0 to 10000 basis points; 10000 are 100 %.")
AMOUNT_NEGATIVE = Rule("amount-negative", "Prices and freight are not negative.")
AMOUNT_TOO_LARGE = Rule("amount-too-large", "No amount of an order exceeds 10^15 minor units.")
ONE_CURRENCY = Rule("one-currency", "All amounts of an order are in one currency.")
EXPECTED_TOTAL = Rule("expected-total", "The order's total equals the expected total, if the caller gives one.")
AMOUNT_POSITIVE = Rule("amount-positive", "Payments and refunds are above zero.")
LINE_UNKNOWN = Rule("line-unknown", "A command names lines, and pieces of them, by the line numbers of the order.")
LINE_NAMED_ONCE = Rule("line-named-once", "A line is named at most once per command or shipment.")
MOVEMENT_ID_TAKEN = Rule(
    "movement-id-taken", "Ids of payments, shipments, returns and refunds are each used once within an order."
)
TIME_IN_FUTURE = Rule(
    "time-in-future",
    f"No recorded time is more than {CLOCK_TOLERANCE.seconds // 60} minutes in the future.",
)
TIME_ORDER = Rule(
    "time-order",
    "No payment is before its order, no delivery before its shipment, no return before the first delivery.",
)
ORDER_CANCELLED = Rule(
    "order-cancelled", "A cancelled order is neither revised, redirected, shipped nor cancelled again."
)
OPEN_PIECES_ONLY = Rule(
    "open-pieces-only", "Only pieces that are neither shipped nor cancelled can be shipped or cancelled."
)
SHIP_NOT_ON_HOLD = Rule("ship-not-on-hold", "An order on hold is not shipped.")
SHIP_PAID_ONLY = Rule("ship-paid-only", "Only a paid order is shipped.")
SHIPMENT_UNKNOWN = Rule("shipment-unknown", "A delivery names a shipment of the order.")
DELIVERED_ONCE = Rule("delivered-once", "A shipment is delivered once.")
RETURN_DELIVERED_ONLY = Rule(
    "return-delivered-only", "Only pieces that were delivered and not yet returned can be returned."
)
REFUND_AT_MOST_DUE = Rule("refund-at-most-due", "A refund is at most what is due.")
ADDRESS_UNTIL_SHIPPED = Rule("address-until-shipped", "The shipping address can be changed until the first shipment.")
REVISE_UNPAID_ONLY = Rule("revise-unpaid-only", "Lines and freight can be revised until the order is paid.")
REVISE_UNSHIPPED_ONLY = Rule("revise-unshipped-only", "Lines and freight can be revised until the first shipment.")
REVISE_NOT_BELOW_PAID = Rule("revise-not-below-paid", "A revision does not make an order cost less than what was paid.")
HOLD_OPEN_ONLY = Rule("hold-open-only", "Only an order with pieces left to ship can be held.")
HOLD_ONCE = Rule("hold-once", "An order on hold is not held again.")
RELEASE_HELD_ONLY = Rule("release-held-only", "Only an order on hold can be released.")
LABEL_COUNT = Rule("label-count", f"An order has at most {MAX_LABELS} labels.")
LABEL_UNREDACTED_ONLY = Rule("label-unredacted-only", "A redacted order gets no labels and no note.")
ADDRESS_UNREDACTED_ONLY = Rule("address-unredacted-only", "A redacted order gets no other address.")
CUSTOMER_REDACTED = Rule("customer-redacted", "A redacted customer gets no new orders.")

ALL_RULES: tuple[Rule, ...] = (
    ORDER_ID_TAKEN,
    ORDER_NUMBER_TAKEN,
    LINE_COUNT,
    ORDER_SIZE,
    QUANTITY_RANGE,
    RATE_RANGE,
    AMOUNT_NEGATIVE,
    AMOUNT_TOO_LARGE,
    ONE_CURRENCY,
    EXPECTED_TOTAL,
    AMOUNT_POSITIVE,
    LINE_UNKNOWN,
    LINE_NAMED_ONCE,
    MOVEMENT_ID_TAKEN,
    TIME_IN_FUTURE,
    TIME_ORDER,
    ORDER_CANCELLED,
    OPEN_PIECES_ONLY,
    SHIP_NOT_ON_HOLD,
    SHIP_PAID_ONLY,
    SHIPMENT_UNKNOWN,
    DELIVERED_ONCE,
    RETURN_DELIVERED_ONLY,
    REFUND_AT_MOST_DUE,
    ADDRESS_UNTIL_SHIPPED,
    REVISE_UNPAID_ONLY,
    REVISE_UNSHIPPED_ONLY,
    REVISE_NOT_BELOW_PAID,
    HOLD_OPEN_ONLY,
    HOLD_ONCE,
    RELEASE_HELD_ONLY,
    LABEL_COUNT,
    LABEL_UNREDACTED_ONLY,
    ADDRESS_UNREDACTED_ONLY,
    CUSTOMER_REDACTED,
)
