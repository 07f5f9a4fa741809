"""A bench runs as a process of its own, whose claims are read from its output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.__main__ import Bench, run
from bench.harness.claim import at_most, compare
from bench.harness.claim_table import Told

TRUE = compare("a is fast", "us", 1.0, 2.0, at_most(1)).text()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that can be run as a bench; its code is written by the test."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "some_bench.py"


@pytest.mark.parametrize(("status", "failure"), [(0, ""), (3, "ended with status 3 and 1 claims")])
def test_a_run_gives_claims_and_says_how_it_failed(bench: Path, status: int, failure: str) -> None:
    bench.write_text(f"print('starts'); print({TRUE!r}); exit({status})")
    assert run("relay", Bench("some_bench"), 60.0) == ([Told("relay", json.loads(TRUE))], failure)


def test_a_bench_that_takes_too_long_is_ended(bench: Path) -> None:
    bench.write_text("import time; time.sleep(60)")
    assert run("relay", Bench("some_bench"), 0.3) == ([], "not done within 0.005 minutes")
