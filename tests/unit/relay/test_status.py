"""What a relay tells of itself: whether its loop moves, and whether it does what it should."""

from relay.publishing import status
from relay.publishing.status import RelayStatus


def test_a_loop_that_does_not_move_is_not_live_but_an_outage_is() -> None:
    relay = RelayStatus("poll")
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
