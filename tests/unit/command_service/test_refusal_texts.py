"""What callers read when a rule refuses: every text, as it stands in `tests/golden/refusals.txt`.

A text says what the command needs, what the order is, and what the caller can do. After a change, read the new texts
and write them down: `python -m tests.unit.command_service.test_refusal_texts > tests/golden/refusals.txt`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

from command_service.domain import rules
from command_service.domain.decisions.checks.order_size import order_too_large
from command_service.domain.errors import RuleViolated, customer_redacted, order_id_taken, order_number_taken
from tests.support.commands.domain_orders import ORDER_ID, place_order
from tests.support.commands.refusals import Refused
from tests.unit.command_service import (
    test_goods_that_moved,
    test_import_order,
    test_labels,
    test_money_that_moved,
    test_order_changes,
    test_place_order,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "refusals.txt"


def refusals() -> Iterator[RuleViolated]:
    """One refusal for each case that tests of decisions know, and for the rules that no decision sees."""
    for rule, changes in test_place_order.REFUSED.values():
        yield Refused(rule, None, replace(place_order(), **changes)).refusal
    for module in (test_goods_that_moved, test_import_order, test_labels, test_money_that_moved, test_order_changes):
        yield from (refused.refusal for refused in module.REFUSED.values())
    yield order_id_taken(ORDER_ID)
    yield order_number_taken("A-1", "web")
    yield customer_redacted("C1")
    yield order_too_large(900_001, 900_000)


def texts() -> str:
    """The texts, each once, under the id of their rule, in the order of the rules."""
    found = {(refusal.rule, refusal.message) for refusal in refusals()}
    ordered = sorted(found, key=lambda pair: (rules.ALL_RULES.index(pair[0]), pair[1]))
    return "".join(
        f"{rule.id}\n" + "".join(f"    {message}\n" for _, message in group)
        for rule, group in groupby(ordered, key=lambda pair: pair[0])
    )


def test_every_text_is_written_down() -> None:
    assert texts() == GOLDEN.read_text(encoding="utf-8")


def test_every_rule_has_a_text() -> None:
    assert re.findall(r"^[a-z-]+$", texts(), re.MULTILINE) == [rule.id for rule in rules.ALL_RULES]


@pytest.mark.parametrize("refusal", list(refusals()), ids=lambda refusal: refusal.rule.id)
def test_a_text_says_what_is_needed_and_what_there_is(refusal: RuleViolated) -> None:
    """Two parts, or two sentences; it begins and ends like one, and is not the rule's own sentence."""
    assert re.fullmatch(r"[A-Z].{20,240}\.", refusal.message)
    assert ";" in refusal.message or ". " in refusal.message
    assert refusal.rule.sentence not in refusal.message


def test_an_unpaid_order_is_told_what_is_open() -> None:
    assert "with 23.00 EUR open" in test_goods_that_moved.REFUSED["shipping unpaid"].refusal.message


if __name__ == "__main__":
    sys.stdout.write(texts())
