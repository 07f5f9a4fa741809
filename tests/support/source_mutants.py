"""Switches off guards in a copy of a function's source, for tests that must notice it."""

from __future__ import annotations
import __future__

import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

import pytest

#: The exception of `pytest.raises` when the expected error is not raised.
FAILURES = (AssertionError, pytest.fail.Exception)


@dataclass(frozen=True)
class Mutant:
    """A copy of `function` with `new` in place of `old`, which its source must contain exactly once.

    Modules that imported the function run the mutant too: its code is replaced, not its name.
    """

    function: Callable[..., Any]
    old: str
    new: str

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Replaces the function by the mutant within the block."""
        function = inspect.unwrap(self.function)
        assert isinstance(function, FunctionType), f"{self.function} is no function written in Python"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(function, "__code__", self._code(function))
            yield

    def _code(self, function: FunctionType) -> CodeType:
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(self.old) == 1, f"{function.__qualname__} does not say {self.old!r} once"
        flags = __future__.annotations.compiler_flag
        pending: list[CodeType] = [
            compile(source.replace(self.old, self.new), "mutant", "exec", flags, dont_inherit=True)
        ]
        while pending:
            code = pending.pop()
            if code.co_name == function.__name__:
                return code
            pending += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        raise AssertionError(f"{function.__qualname__} is not in its own source")


@contextmanager
def noticed(*mutants: Mutant, or_raises: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Asserts that the block, a test of the guarantee, fails while all mutants are active.

    `or_raises`: errors that the mutants raise instead of a wrong result.
    """
    with ExitStack() as working:
        for mutant in mutants:
            working.enter_context(mutant.at_work())
        with pytest.raises((*FAILURES, *or_raises)):
            yield
