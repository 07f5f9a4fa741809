"""CONTRIBUTING names every file that a new field touches, and no other: a field that is there already shows it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SECTION = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## How to add a field\n")[2]
PARTY, _, REST = SECTION.partition("\n## ")[0].partition("A text of the order itself")
CODE = ("command_service", "query_service")
REVISION_FILES = 2


def named(text: str) -> set[str]:
    """The files that a text names; of a directory none."""
    return set(re.findall(r"`((?:protos|command_service|query_service)/[\w./]+\.\w+)`", text))


def code_of(path: Path) -> str:
    """A module's code without comments and docstrings, which may speak of anything."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [
                one for one in node.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
            ]
    return ast.unparse(tree)


def naming(*words: str) -> set[str]:
    """The files of the services' code in which one of the words stands as a name or a text."""
    word = re.compile(rf"\b(?:{'|'.join(words)})\b")
    files = [path for service in CODE for path in (PROJECT / service).rglob("*.py")]
    return {path.relative_to(PROJECT).as_posix() for path in files if word.search(code_of(path))}


def counted(text: str, whose: str) -> int:
    """The number of files that CONTRIBUTING says a field takes."""
    match = re.search(rf"(\d+)(?: files)?{whose}", text)
    assert match, whose
    return int(match[1])


def test_a_text_of_an_address_stands_in_the_files_that_are_named() -> None:
    files = {name for name in named(PARTY) if not name.startswith("protos/")}
    assert naming("sorting_code", "sortingCode") == files
    assert counted(PARTY, " for an address") == len(files) + REVISION_FILES


def test_a_text_of_the_customer_stands_in_the_files_that_are_named() -> None:
    assert all(
        re.search(r"\b(customer_)?phone\b", (PROJECT / name).read_text(encoding="utf-8")) for name in named(PARTY)
    )
    # Its phone is searched too, which is no part of keeping and showing it.
    searched = {f"query_service/projection/{name}.py" for name in ("evolve", "words/phones", "words/stored")}
    assert naming("phone") - searched == {name for name in named(PARTY) if not name.startswith("protos/")}
    assert counted(PARTY, " for the customer") == len(named(PARTY)) + REVISION_FILES


@pytest.mark.parametrize("name", sorted(named(REST)))
def test_a_text_of_the_order_stands_in_each_file_that_is_named(name: str) -> None:
    assert re.search(r"\bsource\b", (PROJECT / name).read_text(encoding="utf-8"))


def test_the_files_of_a_text_of_the_order_are_counted() -> None:
    assert counted(REST, " files") == len(named(REST)) + REVISION_FILES
