"""What is in flight, and what an ack may be for."""

from relay.stream.publish_window import PublishWindow
from tests.support.relay.events import message


def test_acks_of_a_chain_come_one_by_one() -> None:
    window = PublishWindow(10, max_events=5, max_bytes=100)
    assert window.settled
    assert window.room() == (5, 100)
    window.sent([message(1), message(2)], 30, now=1.0, timeout=5.0, atomic=False)
    window.sent([message(3)], 20, now=2.0, timeout=5.0, atomic=False)
    assert (window.sent_sequence, window.stored_sequence, window.outstanding) == (13, 10, 3)
    assert window.room() == (2, 50)
    assert window.deadline() == 6.0
    assert window.expected() == 11
    assert window.acknowledged(11) is None
    assert window.message_at(12) == message(2)
    assert window.message_at(13) == message(3)
    assert window.message_at(14) is None
    flight = window.acknowledged(12)
    assert flight is not None
    assert flight.messages == [message(1), message(2)]
    assert window.deadline() == 7.0
    assert window.acknowledged(13) is not None
    assert window.settled
    assert window.deadline() is None
    assert window.expected() is None
    assert window.room() == (5, 100)


def test_a_batch_is_acknowledged_by_its_last_message() -> None:
    window = PublishWindow(0, max_events=10, max_bytes=100)
    window.sent([message(i) for i in range(4)], 40, now=0.0, timeout=1.0, atomic=True)
    assert window.expected() == 4
    flight = window.acknowledged(4)
    assert flight is not None
    assert flight.atomic
    assert window.settled


def test_no_room_when_either_bound_is_reached() -> None:
    window = PublishWindow(0, max_events=2, max_bytes=100)
    window.sent([message(1)], 100, now=0.0, timeout=1.0, atomic=False)
    assert window.room() == (0, 0)
    window = PublishWindow(0, max_events=1, max_bytes=100)
    window.sent([message(1)], 1, now=0.0, timeout=1.0, atomic=False)
    assert window.room() == (0, 0)


def test_the_oldest_is_looked_for_among_what_has_no_ack() -> None:
    window = PublishWindow(10, max_events=100, max_bytes=10_000)
    assert window.oldest() is None
    first = [message(n)._replace(recorded_at=at) for n, at in ((1, 500), (2, 900), (3, 800))]
    barrier = message(4)._replace(position=None, recorded_at=None)
    window.sent(first, 30, now=0.0, timeout=5.0, atomic=False)
    window.sent([barrier], 10, now=0.0, timeout=5.0, atomic=False)
    assert window.oldest() == 500
    window.acknowledged(11)
    assert window.oldest() == 800
    window.acknowledged(12)
    assert window.oldest() == 800
    window.acknowledged(13)
    assert window.oldest() is None
    assert not window.settled
