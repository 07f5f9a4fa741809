"""Every promise of docs/architecture.md names tests that prove it, and mutants of it that a test has caught."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TESTS = PROJECT / "tests"
FILES = list(TESTS.rglob("test_*.py"))
PAGE = (PROJECT / "docs/architecture.md").read_text(encoding="utf-8")
PROMISED, PROVED = "What must hold, and what holds it", "What proves the promises"
MARKER = re.compile(r"pytest\.mark\.(\w+)")
NAME = re.compile(r"`((?:[\w-]+/)*test_\w+\.py)::(test_\w+)`")


@dataclass(frozen=True)
class Promise:
    """One row of the second table: the tests that it names as (file, function)."""

    what: str
    tests: list[tuple[str, str]]
    mutants: list[tuple[str, str]]


def table(page: str, title: str) -> list[list[str]]:
    """The cells of the section's table, without its heading."""
    _, found, section = page.partition(f"## {title}\n")
    assert found, f"there is no section {title!r}"
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def promises(page: str) -> list[Promise]:
    """What the page names as proof, promise by promise."""
    return [Promise(what, NAME.findall(tests), NAME.findall(mutants)) for what, tests, mutants in table(page, PROVED)]


@cache
def functions(file: Path) -> Mapping[str, Collection[str]]:
    """The test functions of a file, and the markers that each carries itself."""
    return {
        node.name: [found[1] for found in map(MARKER.match, map(ast.unparse, node.decorator_list)) if found]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def faults(page: str) -> list[str]:
    """What is wrong with the table, one sentence each."""
    named = [promise.what for promise in promises(page)]
    found = [f"the promise {row[0]!r} has no proof" for row in table(page, PROMISED) if row[0] not in named]
    for promise in promises(page):
        if not promise.tests:
            found.append(f"{promise.what!r} names no test")
        if not promise.mutants:
            found.append(f"{promise.what!r} names no mutant")
        for kind, names in (("test", promise.tests), ("mutant", promise.mutants)):
            for file, name in names:
                files = [path for path in FILES if str(path).endswith(f"/{file}")]
                if len(files) != 1:
                    found.append(f"{len(files)} files are called {file}: name one, with its directory if need be")
                elif name not in functions(files[0]):
                    found.append(f"{file} has no {name}")
                elif "long" in functions(files[0])[name]:
                    found.append(f"{file}::{name} is run by `make test-long` only")
                elif ("mutant" in functions(files[0])[name]) != (kind == "mutant"):
                    found.append(f"{file}::{name} is no {kind}: the marker `mutant` tells them apart")
    return found


def test_every_promise_has_a_test_and_a_mutant() -> None:
    assert len(promises(PAGE)) >= 12
    assert faults(PAGE) == []


def test_what_is_called_a_mutant_is_marked_as_one() -> None:
    unmarked = [
        f"{path.relative_to(TESTS)}::{name}"
        for path in FILES
        for name, markers in functions(path).items()
        if name.startswith("test_mutant") and "mutant" not in markers
    ]
    assert unmarked == []


def without(column: int) -> str:
    """The page, where the first promise has nothing in that column."""
    before, title, after = PAGE.partition(PROVED)
    lines = after.splitlines()
    row = next(number for number, line in enumerate(lines) if "::" in line)
    cells = lines[row].split(" | ")
    cells[column] = "…"
    lines[row] = " | ".join(cells)
    return before + title + "\n".join(lines)


def exchanged(old: str, new: str) -> str:
    """The page with one name in place of another."""
    assert old in PAGE
    return PAGE.replace(old, new)


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("page", "fault"),
    [
        (without(1), "names no test"),
        (without(2), "names no mutant"),
        (exchanged("| No event is lost | `", "| No event goes astray | `"), "'No event is lost' has no proof"),
        (exchanged("test_repeat.py::", "test_repeated.py::"), "0 files are called test_repeated.py"),
        (exchanged("`test_repeat.py::", "`test_config.py::"), "2 files are called test_config.py"),
        (exchanged("::test_five_kills`", "::test_six_kills`"), "test_kill.py has no test_six_kills"),
        (exchanged("::test_five_kills`", "::test_a_hundred_kills`"), "is run by `make test-long` only"),
        (
            exchanged("::test_other_answers_that_pass_are_noticed`", "::test_takes_plain_acks_and_leaves_the_rest`"),
            "is no mutant",
        ),
        (
            exchanged(
                "::test_five_kills`",
                "::test_five_kills`, `test_plain_acks.py::test_other_answers_that_pass_are_noticed`",
            ),
            "is no test",
        ),
    ],
    ids=["no test", "no mutant", "no row", "no file", "two files", "no function", "long", "not marked", "marked"],
)
def test_a_promise_without_proof_is_noticed(page: str, fault: str) -> None:
    assert any(fault in sentence for sentence in faults(page)), faults(page)
