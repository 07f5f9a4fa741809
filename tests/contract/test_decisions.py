"""The index of decisions lists every decision with the title, date and status that its page gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DIRECTORY = Path(__file__).parents[2] / "docs" / "adr"
INDEX = (DIRECTORY / "README.md").read_text(encoding="utf-8")
PAGES = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.glob("[0-9]*.md")}
HEAD = re.compile(
    r"# (\d+)\. (.+)\n\n- Date: (\d{4}-\d\d-\d\d)\n- Status: (accepted|superseded by \d+)\n"
    r"- Look at it again when [^\n]+\n(?:  [^\n]+\n)*\n"
)
ROW = re.compile(r"^\| (\d+) \| \[(.+)\]\((.+)\) \| (.+) \| (.+) \| (.{20,}) \|$", re.MULTILINE)


def listed(index: str) -> list[tuple[str, ...]]:
    """File, number, title, date and status of each row of the index."""
    return [(file, number, title, date, status) for number, title, file, date, status, _ in ROW.findall(index)]


def stated(pages: dict[str, str]) -> list[tuple[str, ...]]:
    """The same from the pages themselves, by number; a page without the whole head has empty parts."""
    heads = {file: HEAD.match(text) for file, text in pages.items()}
    return [(file, *(head.groups() if head else ("", "", "", ""))) for file, head in sorted(heads.items())]


def test_the_index_says_what_the_pages_say() -> None:
    assert listed(INDEX) == stated(PAGES)


def test_a_page_has_the_number_of_its_file() -> None:
    assert [int(number) for _, number, *_ in stated(PAGES)] == [int(file[:4]) for file in sorted(PAGES)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# 5. Freshness", "# 5. Staleness"),
        ("- Date: 2", "- Date: 1"),
        ("- Status: accepted", "- Status: superseded by 9"),
        ("- Status: accepted", "- Status: old"),
        ("- Look at it again when ", "- Perhaps when "),
    ],
)
def test_a_page_that_differs_is_noticed(old: str, new: str) -> None:
    file = "0005-freshness-is-claimed-from-the-ack-floor.md"
    assert old in PAGES[file]
    assert listed(INDEX) != stated(PAGES | {file: PAGES[file].replace(old, new)})


def test_a_page_without_a_row_is_noticed() -> None:
    assert listed(INDEX) != stated(PAGES | {"0999-new.md": PAGES["0005-freshness-is-claimed-from-the-ack-floor.md"]})
