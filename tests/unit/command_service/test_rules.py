"""The list of rules: complete, with ids of their own, and each seen to refuse something."""

from __future__ import annotations

import re

from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.schema import CreateTable

from command_service.domain import rules
from command_service.domain.rules import Rule
from command_service.storage.tables import metadata
from command_service.storage.tables.rule_constraints import HELD_BY
from tests.unit.command_service import (
    test_goods_that_moved,
    test_import_order,
    test_labels,
    test_money_that_moved,
    test_order_changes,
    test_place_order,
)

#: Rules on what was before, on the clock, on how many rows there are, or on what the caller expects.
ABOUT_CHANGES = {
    *(rules.LINE_COUNT, rules.EXPECTED_TOTAL, rules.TIME_IN_FUTURE, rules.TIME_ORDER, rules.ORDER_CANCELLED),
    *(rules.SHIP_NOT_ON_HOLD, rules.SHIP_PAID_ONLY, rules.SHIPMENT_UNKNOWN, rules.DELIVERED_ONCE),
    *(rules.ADDRESS_UNTIL_SHIPPED, rules.REVISE_UNPAID_ONLY, rules.REVISE_UNSHIPPED_ONLY, rules.REVISE_NOT_BELOW_PAID),
    *(rules.HOLD_OPEN_ONLY, rules.HOLD_ONCE, rules.RELEASE_HELD_ONLY, rules.LABEL_COUNT),
    *(rules.LABEL_UNREDACTED_ONLY, rules.ADDRESS_UNREDACTED_ONLY),
}
ONLY_THE_DATABASE_SEES = {rules.ORDER_ID_TAKEN, rules.ORDER_NUMBER_TAKEN, rules.CUSTOMER_REDACTED}
#: Tried in test_event_room: it is about the event's text, which the decisions do not see.
ONLY_THE_JOURNAL_SEES = {rules.ORDER_SIZE}


def test_every_rule_is_listed_under_an_id_of_its_own() -> None:
    assert len({rule.id for rule in rules.ALL_RULES}) == len(rules.ALL_RULES)
    assert {value for value in vars(rules).values() if isinstance(value, Rule)} == set(rules.ALL_RULES)
    assert all(re.fullmatch("[a-z]+(-[a-z]+)*", rule.id) for rule in rules.ALL_RULES)
    assert all(rule.sentence.endswith(".") for rule in rules.ALL_RULES)


def test_every_rule_is_tried() -> None:
    tried = {rule for rule, _ in test_place_order.REFUSED.values()}
    for module in (test_goods_that_moved, test_import_order, test_labels, test_money_that_moved, test_order_changes):
        tried |= {refused.rule for refused in module.REFUSED.values()}
    assert tried == set(rules.ALL_RULES) - ONLY_THE_DATABASE_SEES - ONLY_THE_JOURNAL_SEES


def test_what_sql_can_hold_it_holds() -> None:
    # No constraint compares an order with its customer's mark; the claim of a new order locks and reads it.
    assert set(HELD_BY) | ABOUT_CHANGES | ONLY_THE_JOURNAL_SEES | {rules.CUSTOMER_REDACTED} == set(rules.ALL_RULES)
    assert not set(HELD_BY) & ABOUT_CHANGES
    dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]
    ddl = "".join(str(CreateTable(table).compile(dialect=dialect)) for table in metadata.tables.values())
    names = set(re.findall(r"CONSTRAINT (\w+) ", ddl))
    assert {name for constraints in HELD_BY.values() for name in constraints} <= names
