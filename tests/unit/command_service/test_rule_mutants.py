"""Each place where a rule refuses is switched off once: some test of a refusal must notice, or nobody would."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import CodeType, FunctionType, ModuleType

import pytest

from command_service.domain import decisions
from command_service.domain.errors import Refusal
from tests.support.commands.domain_orders import HOLD, decision, place_order, placed
from tests.support.commands.refusals import Refused
from tests.unit.command_service import (
    test_goods_that_moved,
    test_import_order,
    test_labels,
    test_money_that_moved,
    test_order_changes,
    test_place_order,
)


@dataclass(frozen=True)
class Guard:
    """One `if` that ends in a refusal: its module, its function and its line."""

    module: ModuleType
    function: str
    line: int

    def __str__(self) -> str:
        return f"{self.module.__name__.rpartition('.')[2]}.{self.function}:{self.line}"


def refuses(node: ast.If) -> bool:
    """Whether the branch itself raises a refusal of a rule."""
    return any(isinstance(step, ast.Raise) and "rules." in ast.unparse(step) for step in node.body)


def guards() -> Iterator[Guard]:
    for found in pkgutil.walk_packages(decisions.__path__, f"{decisions.__name__}."):
        module = importlib.import_module(found.name)
        for function in ast.parse(inspect.getsource(module)).body:
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.If) and refuses(node):
                        yield Guard(module, function.name, node.lineno)


def without(guard: Guard) -> CodeType:
    """The function's code with the guard's condition never true."""
    tree = ast.parse(inspect.getsource(guard.module))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and node.lineno == guard.line:
            node.test = ast.copy_location(ast.Constant(value=False), node.test)
    compiled = compile(tree, "mutant", "exec")
    return next(code for code in compiled.co_consts if isinstance(code, CodeType) and code.co_name == guard.function)


def refusals() -> Iterator[Refused]:
    for rule, changes in test_place_order.REFUSED.values():
        yield Refused(rule, None, replace(place_order(), **changes))
    for module in (test_goods_that_moved, test_import_order, test_labels, test_money_that_moved, test_order_changes):
        yield from module.REFUSED.values()


def unnoticed() -> bool:
    """Whether all tests of refusals still pass."""
    for refused in refusals():
        try:
            decision(refused.state, refused.command, refused.now)
        except Refusal as refusal:
            if getattr(refusal, "rule", None) != refused.rule:
                return False
        except Exception:
            return False
        else:
            return False
    return True


GUARDS = list(guards())


def test_there_are_guards_and_all_tests_pass_with_them() -> None:
    assert len(GUARDS) >= 25
    assert unnoticed()


@pytest.mark.mutant
@pytest.mark.parametrize("guard", GUARDS, ids=str)
def test_a_rule_switched_off_is_noticed(monkeypatch: pytest.MonkeyPatch, guard: Guard) -> None:
    function = getattr(guard.module, guard.function)
    assert isinstance(function, FunctionType)
    monkeypatch.setattr(function, "__code__", without(guard))
    assert not unnoticed()
    monkeypatch.undo()
    assert decision(placed(), HOLD).order.on_hold
