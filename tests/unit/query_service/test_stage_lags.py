"""Lags are counted by stage and duration, and can be added up over projectors and seconds."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.exposition import generate_latest

from query_service.application.lags.recent_lags import RecentLags
from query_service.application.lags.stage_lags import BOUNDS, StageHistogram, StageLags, quantile
from query_service.handlers.stream.projection_observer import trace_id_of
from query_service.metrics import ProjectMetrics

SECOND = 1_000_000
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Clock:
    now = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now


def lags() -> tuple[StageLags, Clock]:
    clock = Clock()
    return StageLags(clock), clock


def test_every_stage_is_measured_from_the_one_before() -> None:
    measured, clock = lags()
    start = clock.now
    clock.now += 111_000
    measured.applied(start, start + 1_000, start + 11_000, TRACE)
    applied_at = clock.now
    clock.now += SECOND
    measured.refreshed(applied_at)  # it began at that very moment: it may have missed the event
    assert measured.unsearchable_for() == 1.0
    measured.refreshed(applied_at + 1)
    assert measured.unsearchable_for() == 0.0
    totals = {stage: histogram.total for stage, histogram in measured.histograms.items()}
    assert totals == pytest.approx({"published": 0.001, "received": 0.01, "applied": 0.1, "searchable": 1.0})


def test_clocks_that_disagree_give_no_negative_duration() -> None:
    measured, clock = lags()
    measured.applied(clock.now + SECOND, clock.now, clock.now + 5, "")
    assert all(histogram.total >= 0 for histogram in measured.histograms.values())
    assert measured.histograms["published"].counts[0] == 1


def test_news_are_told_once() -> None:
    measured, clock = lags()
    for _ in range(3):
        measured.applied(clock.now, clock.now, clock.now, "")
    assert measured.unreported() == {stage: {0: 3} for stage in ("published", "received", "applied")}
    assert measured.unreported() == {}
    measured.applied(clock.now, clock.now, clock.now, "")
    measured.refreshed(clock.now + 1)
    assert measured.unreported()["searchable"] == {0: 4}


@given(st.lists(st.floats(0.0005, 4_000), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_right_to_its_bounds(durations: list[float], share: float) -> None:
    histogram = StageHistogram()
    for duration in durations:
        histogram.observe(duration, "", 0)
    exact = sorted(durations)[max(0, math.ceil(share * len(durations) - 1e-9) - 1)]
    found = quantile(histogram.counts, share)
    assert found <= exact * 2
    assert found >= min(exact / 2, BOUNDS[-1]) or exact <= BOUNDS[0]


def test_a_quantile_of_nothing_is_nothing() -> None:
    assert quantile([0] * (len(BOUNDS) + 1), 0.5) == 0.0


def test_the_last_minute_of_all_projectors_is_told() -> None:
    clock = Clock()
    recent = RecentLags(clock)
    assert recent.lags() == []
    slow, fast = BOUNDS.index(1.0), BOUNDS.index(0.01)
    recent.add("applied", {slow: 99})
    clock.now += 59 * SECOND
    recent.add("applied", {fast: 1})
    recent.add("unheard", {fast: 1})
    recent.add("received", {9_999: 1, fast: 0})
    [lag] = recent.lags()
    assert (lag.stage, lag.as_of) == ("applied", clock.now)
    assert 0.7 < lag.p50 <= 1.0
    clock.now += 2 * SECOND
    [lag] = recent.lags()
    assert lag.p99 <= 0.01  # the slow ones are more than a minute old
    clock.now += 3_600 * SECOND
    assert recent.lags() == [lag]  # an idle shop keeps its last figures, and says of when they are


def test_the_histogram_shows_a_trace() -> None:
    measured, clock = lags()
    metrics = ProjectMetrics()
    metrics.stages("g1", BOUNDS, measured.histograms)
    measured.applied(clock.now, clock.now + 1_200, clock.now + 1_300, TRACE)
    page = generate_latest(metrics.registry).decode()  # type: ignore[no-untyped-call]
    assert 'projector_stage_seconds_bucket{generation="g1",le="0.001",stage="published"} 0.0\n' in page
    bucket = 'projector_stage_seconds_bucket{generation="g1",le="0.0015",stage="published"} 1.0'
    assert f'{bucket} # {{trace_id="{TRACE}"}} 0.0012 1000.0\n' in page
    assert 'projector_stage_seconds_count{generation="g1",stage="published"} 1.0' in page


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [(f"00-{TRACE}-00f067aa0ba902b7-01", TRACE), ("", ""), ("00-short-00f067aa0ba902b7-01", ""), ("x", ""), (7, "")],
)
def test_the_trace_id_stands_in_the_recorded_traceparent(traceparent: object, trace_id: str) -> None:
    assert trace_id_of(json.dumps({"traceparent": traceparent, "actor": "a"})) == trace_id
    assert not trace_id_of('{"actor":"a"}')
