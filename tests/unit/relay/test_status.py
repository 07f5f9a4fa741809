"""What a relay tells of itself: whether its loop moves, and whether it does what it should."""

from relay.events.cursor import PollCursor
from relay.events.snapshot import Snapshot
from relay.events.source import Mode
from relay.publishing import status
from relay.publishing.status import RelayStatus

STORED = PollCursor(1, Snapshot(3, 4))


def test_a_loop_that_does_not_move_is_not_live_but_an_outage_is() -> None:
    relay = RelayStatus(Mode("poll"))
    assert relay.live() is None
    relay.state = status.RETRYING
    relay.failed("NATS cannot be reached")
    relay.moved()
    assert relay.live() is None
    assert relay.ready() == "RETRYING: NATS cannot be reached"
    relay.moved(expect_within=-1)
    assert "should have moved" in (relay.live() or "")
    relay.state = status.STANDBY
    assert relay.ready() is None


def test_progress_is_what_the_stream_has_stored_since() -> None:
    relay = RelayStatus(Mode("auto"), stream_sequence=7)
    for sequence, cursor, progressed in ((7, None, False), (8, STORED, True)):
        relay.reached(Mode("poll"), stream_sequence=sequence, cursor=cursor, inflight_bytes=5, parked_aggregates=1)
        assert (relay.last_progress is not None) is progressed
    relay.reached(Mode("poll"), stream_sequence=8, cursor=None, inflight_bytes=0, parked_aggregates=0)
    assert (relay.cursor, relay.page()["mode"]) == (STORED, "poll")
    assert relay.page()["cursor"] == "1;poll;;3:4:;end"
