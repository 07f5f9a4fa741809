"""Calls are counted by their own method and status code, also when they were counted before."""

from __future__ import annotations

import pytest

from command_service.metrics import CommandMetrics
from tests.support.source_mutants import Mutant, noticed

PLACED, CANCELLED, NOT_FOUND = ("PlaceOrder", "OK"), ("CancelOrder", "OK"), ("PlaceOrder", "NOT_FOUND")


def check_each_call_counts_for_itself() -> None:
    metrics = CommandMetrics()
    for method, code in (PLACED, CANCELLED, NOT_FOUND, PLACED):
        metrics.call(method, code, 0.5)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    calls = [value("command_calls_total", method=method, code=code) for method, code in (PLACED, CANCELLED, NOT_FOUND)]
    assert calls == [2, 1, 1]
    assert value("command_call_seconds_count", method="PlaceOrder") == 3
    assert value("command_call_seconds_count", method="CancelOrder") == 1


def test_each_call_counts_for_itself() -> None:
    check_each_call_counts_for_itself()


@pytest.mark.mutant
def test_counts_of_another_call_are_noticed() -> None:
    first = Mutant(CommandMetrics.call, "self._ended.get((method, code))", "next(iter(self._ended.values()), None)")
    with noticed(first):
        check_each_call_counts_for_itself()
