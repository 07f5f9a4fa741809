"""The list of rules: complete, with ids of their own, and each seen to refuse something."""

from __future__ import annotations

import re

from command_service.domain import rules
from command_service.domain.rules import Rule
from tests.unit.command_service import (
    test_goods_that_moved,
    test_import_order,
    test_money_that_moved,
    test_order_changes,
    test_place_order,
)

ONLY_THE_DATABASE_SEES = {rules.ORDER_NUMBER_TAKEN}


def test_every_rule_is_listed_under_an_id_of_its_own() -> None:
    assert len({rule.id for rule in rules.ALL_RULES}) == len(rules.ALL_RULES)
    assert {value for value in vars(rules).values() if isinstance(value, Rule)} == set(rules.ALL_RULES)
    assert all(re.fullmatch("[a-z]+(-[a-z]+)*", rule.id) for rule in rules.ALL_RULES)
    assert all(rule.sentence.endswith(".") for rule in rules.ALL_RULES)


def test_every_rule_is_tried() -> None:
    tried = {rule for rule, _ in test_place_order.REFUSED.values()}
    for module in (test_goods_that_moved, test_import_order, test_money_that_moved, test_order_changes):
        tried |= {refused.rule for refused in module.REFUSED.values()}
    assert tried == set(rules.ALL_RULES) - ONLY_THE_DATABASE_SEES
