"""Attributes of the relay's objects exist from the start: none is made by a method that runs later."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import relay

#: The library's own, which its class makes.
INHERITED = {"NatsConnection._ps"}
ROOT = Path(relay.__file__).parent


def of_self(node: ast.AST) -> Iterator[str]:
    """Attributes of `self` that are assigned within `node`."""
    for one in ast.walk(node):
        if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store) and ast.unparse(one.value) == "self":
            yield one.attr


def late_attributes(text: str) -> list[str]:
    """`Class.attribute` for each that neither the class nor its `__init__` has."""
    late = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ClassDef):
            continue
        there = {ast.unparse(one.target) for one in node.body if isinstance(one, ast.AnnAssign)}
        methods = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
        for method in methods:
            if method.name == "__init__":
                there.update(of_self(method))
        late += sorted({f"{node.name}.{name}" for method in methods for name in of_self(method) if name not in there})
    return late


def test_no_attribute_is_made_late() -> None:
    late = [name for path in sorted(ROOT.rglob("*.py")) for name in late_attributes(path.read_text())]
    assert set(late) == INHERITED


@pytest.mark.mutant
def test_mutant_that_makes_one_in_a_method_is_named() -> None:
    text = (ROOT / "wal" / "reader.py").read_text()
    made = "        self._emit_due = 0.0\n"
    assert made in text
    assert late_attributes(text.replace(made, "")) == ["WalReader._emit_due"]
