"""The words of a replay mean what the page says, or are refused by name; its pace keeps the rate."""

import pytest

from relay.config import RelaySettings
from relay.events.subject import overlap
from relay.replaying.pace import Pace, Progress
from relay.replaying.request import Bound, Misused, ReplayRequest, replay_settings

SETTINGS = RelaySettings.model_validate(
    {"database_url": "postgresql://relay@127.0.0.1:5432/shop", "nats_url": "nats://127.0.0.1:4222"}
)


def request(**words: object) -> ReplayRequest:
    given = {"stream": "R", "start": "1", "end": None, "filters": (), "rate": None} | words
    return ReplayRequest.parse(**given)  # type: ignore[arg-type]


def test_bounds_are_positions_or_times() -> None:
    assert Bound.parse("--from", "0") == Bound(position=0)
    assert Bound.parse("--from", "1970-01-01T01:00:01.000002+01:00") == Bound(time=1_000_002)
    for word in ("", "soon", "-1", "1.5", "9223372036854775808", "٣", "2026-01-01", "2026-01-01T00:00:00"):
        with pytest.raises(Misused, match="--from"):
            Bound.parse("--from", word)


def test_filters_are_types_and_aggregates() -> None:
    found = request(filters=["TYPE=B", "AGGREGATE=x=y", "TYPE=A", "TYPE=A"])
    assert (found.types, found.aggregates) == (["A", "B"], ["x=y"])
    for word in ("TYPE", "TYPE=", "type=A", "COLOUR=red", "TYPE=" + "x" * 201):
        with pytest.raises(Misused, match="--filter"):
            request(filters=[word])
    with pytest.raises(Misused, match="--filter"):
        request(filters=["TYPE=A"] * 101)


def test_only_the_same_events_have_the_same_identity() -> None:
    same = request(filters=["TYPE=A", "TYPE=B"], rate=5).identity("outbox")
    assert request(filters=["TYPE=B", "TYPE=A"]).identity("outbox") == same
    others = [
        request(filters=["TYPE=A"]), request(filters=["TYPE=A", "AGGREGATE=B"]), request(start="2"), request(end="2"),
        request(start="1970-01-01T00:00:00.000001Z"), request(end="1970-01-01T00:00:00.000002Z"),
    ]  # fmt: skip
    texts = {same, *(other.identity("outbox") for other in others), request().identity("shop.outbox")}
    assert len(texts) == len(others) + 2


def test_the_replays_stream_has_subjects_of_its_own() -> None:
    changed = replay_settings(SETTINGS, "R", max_age_seconds=60, max_bytes=1 << 20, replicas=3)
    assert changed.subject_template == "replay.R.orders.v1.{partition}.{event_type}"
    assert changed.barrier_subject == "replay.R.orders.v1.barrier"
    assert (changed.stream, changed.stream_max_age_seconds, changed.stream_replicas) == ("R", 60, 3)
    assert changed.database_url == SETTINGS.database_url
    for stream, limits, name in (
        ("ORDERS", {}, "--to"), ("a.b", {}, "--to"), ("", {}, "--to"), ("R", {"max_age_seconds": 1}, "--max-age"),
        ("R", {"max_bytes": 1}, "--max-bytes"), ("R", {"replicas": 2}, "--replicas"),
    ):  # fmt: skip
        with pytest.raises(Misused, match=name):
            replay_settings(SETTINGS, stream, **limits)
    within = SETTINGS.model_copy(update={"subject_template": "replay.{event_type}"})
    with pytest.raises(Misused, match="overlap"):
        replay_settings(within, "R")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a.>", "a.b", True), ("a.>", "a", False), ("a.*", "a.b", True), ("a.*.c", "*.b.*", True), (">", "x.y", True),
        ("a.b", "a.b.c", False), ("a.b", "a.c", False), ("a.*", "a.b.c", False), ("a.>", "b.>", False),
    ],
)  # fmt: skip
def test_subjects_overlap_if_one_matches_both(one: str, other: str, expected: bool) -> None:
    assert overlap(one, other) is overlap(other, one) is expected


def test_a_pace_spreads_events_and_makes_up_for_moments_only() -> None:
    pace = Pace(100)
    assert (pace.most(1_000), pace.most(3), Pace(5).most(1_000), Pace(None).most(1_000)) == (10, 3, 1, 1_000)
    assert list(pace.parts(range(3))) == [range(1), range(1, 2), range(2, 3)]
    assert [list(part) for part in Pace(200).parts([1, 2, 3])] == [[1, 2], [3]]
    assert list(Pace(None).parts([1, 2, 3])) == [[1, 2, 3]]
    assert list(pace.parts([])) == [[]]
    sent, now = 0, 50.0
    for _ in range(100):
        sent += 10
        pace.sent(10, now)
        now += pace.seconds(now) + 0.001  # a timer fires late
    assert now == pytest.approx(50 + sent / 100, abs=0.03)
    pace.sent(10, now + 60)  # after a minute without a row
    assert pace.seconds(now + 60) == pytest.approx(0.08)
    free = Pace(None)
    free.sent(1_000_000, 1.0)
    assert free.seconds(1.0) == 0


def test_progress_says_rate_and_time_left() -> None:
    progress = Progress(began=10.0)
    progress.begins(101, 200)
    assert progress.line(11.0) == "0 events, 0 in a second; position 100 of 200, time left unknown"
    progress.position, progress.events = 125, 20
    assert progress.line(20.0) == "20 events, 2 in a second; position 125 of 200, 30 s left"
    progress.begins(126, 300)
    assert progress.line(20.0) == "20 events, 2 in a second; position 125 of 300, 70 s left"
