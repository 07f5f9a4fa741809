"""What is in flight, and what an ack may be for."""

import pytest

from relay.stream.publish_window import PublishWindow
from tests.support.relay.events import message
from tests.support.source_mutants import Mutant, noticed


def test_an_ack_of_a_chain_is_for_a_flight() -> None:
    window = PublishWindow(10, max_events=5, max_bytes=100)
    assert window.settled
    assert window.room() == (5, 100)
    window.sent([message(1), message(2)], 30, now=1.0, timeout=5.0, atomic=False)
    window.sent([message(3)], 20, now=2.0, timeout=5.0, atomic=False)
    assert (window.sent_sequence, window.stored_sequence, window.outstanding) == (13, 10, 3)
    assert window.room() == (2, 50)
    assert window.deadline() == 6.0
    assert window.expected() == 12
    assert window.message_at(12) == message(2)
    assert window.message_at(13) == message(3)
    assert window.message_at(14) is None
    flight = window.acknowledged()
    assert flight is not None
    assert flight.messages == [message(1), message(2)]
    assert window.stored_sequence == 12
    assert window.deadline() == 7.0
    assert window.expected() == 13
    assert window.acknowledged() is not None
    assert window.settled
    assert window.deadline() is None
    assert window.expected() is None
    assert window.room() == (5, 100)


def test_acks_of_each_message_come_one_by_one() -> None:
    window = PublishWindow(10, max_events=5, max_bytes=100)
    window.sent([message(1), message(2)], 30, now=1.0, timeout=5.0, atomic=False, each=True)
    assert window.expected() == 11
    assert window.acknowledged() is None
    assert window.expected() == 12
    assert window.acknowledged() is not None
    assert window.settled


def test_a_batch_is_acknowledged_by_its_last_message() -> None:
    window = PublishWindow(0, max_events=10, max_bytes=100)
    window.sent([message(i) for i in range(4)], 40, now=0.0, timeout=1.0, atomic=True)
    assert window.expected() == 4
    flight = window.acknowledged()
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
    window.sent(first, 30, now=0.0, timeout=5.0, atomic=False, each=True)
    window.sent([barrier], 10, now=0.0, timeout=5.0, atomic=False)
    assert window.oldest() == 500
    window.acknowledged()
    assert window.oldest() == 800
    window.acknowledged()
    assert window.oldest() == 800
    window.acknowledged()
    assert window.oldest() is None
    assert not window.settled


#: What goes wrong → the mutant.
MUTANTS = {
    "each message of a flight is waited for": Mutant(
        PublishWindow.expected,
        "self.stored_sequence + 1 if first.each else first.last_sequence",
        "self.stored_sequence + 1",
    ),
    "one ack ends a flight of several": Mutant(
        PublishWindow.acknowledged, "self.stored_sequence < first.last_sequence", "False"
    ),
    "an ack for the flight is one for a message": Mutant(PublishWindow.acknowledged, "if first.each", "if True"),
    "what is stored takes room": Mutant(PublishWindow.acknowledged, "self._bytes -= first.size", "pass"),
    "what is sent takes none": Mutant(PublishWindow.sent, "self._bytes += size", "pass"),
    "sequences are not predicted": Mutant(PublishWindow.sent, "self.sent_sequence += len(messages)", "pass"),
    "flights wait without an end": Mutant(PublishWindow.sent, "now + timeout", "now + 100 * timeout"),
    "what is stored counts as outstanding": Mutant(
        PublishWindow.oldest, "max(0, self.stored_sequence - flight.last_sequence + len(flight.messages))", "0"
    ),
    "the wrong message is named": Mutant(
        PublishWindow.message_at, "flight.last_sequence - 1", "flight.last_sequence - 2"
    ),
}


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_window_that_goes_wrong_is_noticed(mutant: str) -> None:
    with noticed(MUTANTS[mutant], or_raises=(IndexError,)):
        test_an_ack_of_a_chain_is_for_a_flight()
        test_acks_of_each_message_come_one_by_one()
        test_a_batch_is_acknowledged_by_its_last_message()
        test_no_room_when_either_bound_is_reached()
        test_the_oldest_is_looked_for_among_what_has_no_ack()
