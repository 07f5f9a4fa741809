"""When counts are steady, and what is said when they are not the committed ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.counts import baseline
from bench.counts.baseline import differences, report
from bench.counts.counting import Document, as_document
from bench.counts.steady import ENOUGH, NotSteady, Samples


def seen(*requests: int) -> Samples:
    samples = Samples("asked")
    for number in requests:
        samples.add("asked", {"requests": number, "bytes": 10 * number})
    return samples


@pytest.mark.parametrize(
    ("requests", "steady"),
    [
        ((), False),
        ((1, 1), False),
        ((1, 2, 1, 1), True),
        ((2, 2, 2, 1), False),
        ((2, 1, 2, 2, *range(3, ENOUGH - 2)), False),
        ((2, 1, 2, 2, *range(3, ENOUGH - 1)), True),
    ],
)
def test_the_smallest_sample_must_be_seen_three_times(requests: tuple[int, ...], steady: bool) -> None:
    assert seen(*requests).steady is steady


def test_what_is_seen_too_seldom_does_not_count() -> None:
    assert seen(2, 2, 1, 2, 3, 3, 3, 3).figures() == {"asked": {"requests": 2, "bytes": 20}}
    with pytest.raises(NotSteady, match=r"asked was not counted 3 times alike: 2 times \{'requests': 1"):
        seen(1, 1, 2).figures()
    with pytest.raises(NotSteady, match="never"):
        seen().figures()


def counted(**figures: int | None) -> Document:
    return as_document({"commands.PlaceOrder": figures})


def test_equal_counts_need_no_words() -> None:
    assert differences(counted(sends=3, statements=2), counted(sends=3, statements=2)) == []
    assert differences(counted(sends=None), counted(sends=3)) == []


def test_each_difference_is_named_with_both_figures() -> None:
    found = differences(counted(statements=3, sends=1, acks=1), counted(statements=2, sends=4, bytes=9))
    assert found == [
        "commands.PlaceOrder.statements rose from 2 to 3.",
        "commands.PlaceOrder.sends fell from 4 to 1; write the lower figure down.",
        "commands.PlaceOrder.bytes is counted no more; it was 9.",
        "commands.PlaceOrder.acks is new: 1.",
    ]
    assert "make counts WRITE=1" in report(found)
    assert report(found).startswith("\n".join(found))


def test_what_is_written_is_what_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "BASELINE", tmp_path / "baselines" / "counts.json")
    baseline.write(counted(statements=2, sends=4))
    assert baseline.committed() == counted(statements=2, sends=4)
    baseline.write(counted(statements=1, sends=None))
    assert json.loads(baseline.BASELINE.read_text()) == {"commands": {"PlaceOrder": {"statements": 1, "sends": 4}}}
