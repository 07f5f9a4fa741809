"""What the log says of an outage: when it begins and ends, once a minute that it lasts, and never much more."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from service_runtime import outage_log
from service_runtime.outage_log import MOST_LINES_A_MINUTE, OutageLog


def _told(steps: list[tuple[float, bool]]) -> list[tuple[float, str, int]]:
    """Time, event and count of the lines that steps (time, whether something worked) leave."""
    now = 0.0
    lines: list[tuple[float, str, int]] = []
    outages = OutageLog("away", "back", clock=lambda: now, what="store")
    for now, works in steps:
        with capture_logs() as logged:
            if works:
                outages.works()
            else:
                outages.failed(f"at {now}")
        assert all(line["what"] == "store" for line in logged)
        lines += [(now, line["event"], line.get("failures", 1)) for line in logged]
    return lines


def test_an_outage_of_three_minutes_with_ten_thousand_failures_a_minute() -> None:
    failing = [(n * 0.006, False) for n in range(30_000)]
    assert [(round(time), event, count) for time, event, count in _told([*failing, (180.0, True)])] == [
        (0, "away", 1),
        (60, "away", 10_001),
        (120, "away", 20_001),
        (180, "back", 30_000),
    ]


@pytest.mark.parametrize(
    ("steps", "events"),
    [
        ([(0, True), (1, True)], []),
        ([(0, False)], ["away"]),
        ([(0, False), (1, True)], ["away", "back"]),
        ([(0, False), (1, True), (2, True), (3, False)], ["away", "back", "away"]),
        ([(0, False), (59.9, False)], ["away"]),
        ([(0, False), (60, False), (61, False)], ["away", "away"]),
        ([(0, False), (1, True), (70, False), (71, False)], ["away", "back", "away"]),
    ],
)
def test_each_change_is_told_once(steps: list[tuple[float, bool]], events: list[str]) -> None:
    assert [event for _, event, _ in _told(steps)] == events


def test_another_kind_of_failure_is_told_at_once() -> None:
    outages = OutageLog("away", "back", clock=lambda: 1.0)
    with capture_logs() as logged:
        for kind in ("lost", "lost", "refused", "refused", "lost"):
            outages.failed("why", kind=kind)
        outages.works()
        outages.failed("why", kind="lost")
    told = [(line["event"], line.get("kind"), line.get("failures")) for line in logged]
    assert told == [
        ("away", "lost", None),
        ("away", "refused", 3),
        ("away", "lost", 5),
        ("back", None, 5),
        ("away", "lost", None),
    ]


def _flapping() -> list[tuple[float, bool]]:
    return [(n * 0.01, n % 2 == 1) for n in range(12_000)]  # for two minutes


def test_what_comes_and_goes_all_the_time_fills_no_log() -> None:
    assert len(_told(_flapping())) == 2 * MOST_LINES_A_MINUTE


@pytest.mark.mutant
def test_a_log_that_tells_each_change_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage_log, "MINUTE", 0.0)
    with pytest.raises(AssertionError):
        test_what_comes_and_goes_all_the_time_fills_no_log()
    with pytest.raises(AssertionError):
        test_an_outage_of_three_minutes_with_ten_thousand_failures_a_minute()
