"""What a standby concludes from as many rows as events."""

from dataclasses import replace

from relay.events.cursor import PollCursor, WalCheckpoint, WalCursor
from relay.events.snapshot import Snapshot
from relay.lag.standby_coverage import StandbyCoverage

CHECKPOINT = WalCheckpoint("slot", "publication", 1, Snapshot.parse("10:10:"))
END = WalCursor(1, CHECKPOINT, 5, 1, 12, behind=3)
NOW = Snapshot.parse("13:13:")


def test_as_many_rows_as_events_are_the_same() -> None:
    coverage = StandbyCoverage()
    assert coverage.better_than(END) is None
    assert coverage.learn(END, 3, NOW)
    assert coverage.better_than(END) == PollCursor(1, NOW)


def test_more_or_fewer_rows_than_events_tell_nothing() -> None:
    coverage = StandbyCoverage()
    for rows in (2, 4):
        assert not coverage.learn(END, rows, NOW)
    assert coverage.better_than(END) is None


def test_a_later_checkpoint_or_another_history_is_not_bettered() -> None:
    coverage = StandbyCoverage()
    coverage.learn(END, 3, NOW)
    later = replace(CHECKPOINT, snapshot=Snapshot.parse("14:14:"))
    assert coverage.better_than(replace(END, checkpoint=later)) is None
    assert coverage.better_than(replace(END, epoch=2)) is None


def test_a_polled_cursor_is_exact_by_itself() -> None:
    coverage = StandbyCoverage()
    assert not coverage.learn(PollCursor(1, NOW), 0, NOW)
    assert coverage.better_than(PollCursor(1, NOW)) is None
