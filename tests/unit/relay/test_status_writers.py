"""The relay's status is written by its loop and read by pages and metrics: nothing decides by it.

The code is read, not run: each use of an attribute of the status counts, in every module of the relay.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import relay

ROOT = Path(relay.__file__).parent
WRITES, CALLS, READS = "writes", "calls", "reads"
#: (module, how it uses the status) → the only attributes that it may use so; None: all of them.
ALLOWED: dict[tuple[str, str], frozenset[str] | None] = {
    ("publishing/loop.py", WRITES): None,
    ("publishing/loop.py", CALLS): None,
    ("publishing/session.py", CALLS): frozenset({"moved", "reached"}),
    ("bootstrap.py", CALLS): frozenset({"page"}),
    ("bootstrap.py", READS): frozenset({"live", "ready", "stream_sequence"}),
    ("metrics.py", READS): None,
}


def uses(text: str) -> Iterator[tuple[str, str]]:
    """(how, attribute) for each attribute of something called `status` or `_status`."""
    tree = ast.parse(text)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        of = node.value
        name = of.attr if isinstance(of, ast.Attribute) else of.id if isinstance(of, ast.Name) else ""
        if name in {"status", "_status"}:
            how = CALLS if id(node) in called else READS if isinstance(node.ctx, ast.Load) else WRITES
            yield how, node.attr


def faults(module: str, text: str) -> list[str]:
    """What `module` does with the status and may not."""
    found = []
    for how, attribute in uses(text):
        allowed = ALLOWED.get((module, how), frozenset())
        if allowed is not None and attribute not in allowed:
            found.append(f"relay/{module} {how} status.{attribute}")
    return found


def test_the_loop_alone_writes_the_status_and_nothing_decides_by_it() -> None:
    texts = {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted(ROOT.rglob("*.py"))}
    assert [fault for module, text in texts.items() for fault in faults(module, text)] == []
    used = {(module, how) for module, text in texts.items() for how, _ in uses(text)}
    assert used == set(ALLOWED)


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("lag/observer.py", "self._own.leading", "self._status.leader"),
        ("adoption/adoption.py", "ended.cursor ==", "self._loop.status.cursor =="),
        ("publishing/loop.py", "if leader is None:", "if self.status.leader:"),
        ("publishing/session.py", "self._report()", "self._parts.status.cursor = None"),
        ("publishing/session.py", "self._report()", "self._parts.status.failed('')"),
        ("bootstrap.py", "self.status = self._loop.status", "self._loop.status.state = ''"),
    ],
)
def test_mutants_are_named(module: str, old: str, new: str) -> None:
    text = (ROOT / module).read_text()
    assert old in text
    assert faults(module, text.replace(old, new))
