"""The reference pages say what the code says, and nothing is missing on them."""

from __future__ import annotations

import pytest
from tandem.orders.errors import EXCEPTIONS

from command_service.domain.rules import ALL_RULES
from docs.generator.pages import DIRECTORY, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_up_to_date(name: str) -> None:
    written = (DIRECTORY / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "run `make generate`"


def first_cells(name: str) -> list[str]:
    lines = (DIRECTORY / name).read_text(encoding="utf-8").splitlines()
    return [line.split("|")[1].strip().strip("`") for line in lines if line.startswith("| `")]


def test_every_rule_and_every_reason_has_a_line() -> None:
    assert first_cells("rules.md") == [rule.id for rule in ALL_RULES]
    assert sorted(first_cells("errors.md")) == sorted(EXCEPTIONS)
