"""`make bench` tells the claims of all benches, what is missing for the undecided ones, and fails if one is false."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.__main__ import BENCHES, conclude
from bench.harness.claim import at_most, compare
from bench.harness.claim_table import Told, missing

TRUE = compare("a is fast", "us", 1.0, 2.0, at_most(1))
FALSE = compare("b is fast", "us", 4_000.0, 2.0, at_most(1))
UNDECIDED = compare("c is fast", "us", None, 2.0, at_most(1), "no peer (set PEERS_SCRIPTS)")


def told(*claims: object) -> list[Told]:
    return [Told("relay", json.loads(claim.text())) for claim in claims]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("claims", "status"), [((TRUE, UNDECIDED), 0), ((TRUE, FALSE), 1)])
def test_a_false_claim_fails(claims: tuple[object, ...], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(told(*claims), []) == status
    assert "a is fast" in capsys.readouterr().out


def test_a_bench_that_failed_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(told(TRUE), ["relay: ended with status 1"]) == 1
    assert "FAILED relay" in capsys.readouterr().out


def test_each_undecided_claim_says_what_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    claims = told(TRUE, UNDECIDED)
    assert missing(claims) == {"no peer (set PEERS_SCRIPTS)": ["c is fast"]}
    conclude(claims, [])
    assert "not judged: no peer (set PEERS_SCRIPTS)\n    c is fast" in capsys.readouterr().out


def test_every_bench_has_a_target_of_its_own() -> None:
    makefile = (Path(__file__).parents[3] / "Makefile").read_text(encoding="utf-8")
    assert all(f"\nbench-{name}:" in makefile and bench.module in makefile for name, bench in BENCHES.items())
