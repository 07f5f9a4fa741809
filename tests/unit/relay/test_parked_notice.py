"""A notice about a parked event names the event as far as a stream accepts it, and nothing else of it."""

import pytest

from relay.events.message import FENCE_BYTES, MessageLimits
from relay.events.parked_notice import LONGEST_REASON, LONGEST_VALUE, ParkedNotices, retried
from relay.stream.jetstream_api import parse_headers
from relay.stream.publish_policy import batch_frames, chain_frames
from tests.support.relay.events import EVENT, builder
from tests.support.source_mutants import Mutant, noticed


def notices(max_payload: int = 1 << 20) -> ParkedNotices:
    limits = MessageLimits(max_payload)
    return ParkedNotices("orders.v1.barrier", source_epoch=2, publish_epoch=5, term=9, limits=limits)


def headers_of(raw: bytes) -> dict[str, str]:
    return parse_headers(b"NATS/1.0\r\n" + raw + b"\r\n")


def test_a_notice_names_the_event_and_has_no_body() -> None:
    notice = notices().parked(EVENT, "2;poll;;1:2:", "42", "it is too large")
    assert notice is not None
    assert (notice.subject, notice.body) == (b"orders.v1.barrier", b"")
    assert notice.message_id == b"5:parked:2.42"
    assert (notice.position, notice.recorded_at, notice.group) == (42, None, "901")
    assert headers_of(notice.headers) == {
        "Tandem-Cursor": "2;poll;;1:2:;42",
        "Tandem-Term": "9",
        "Tandem-Epoch": "2",
        "Tandem-Parked": "relay",
        "Tandem-Parked-Reason": "it%20is%20too%20large",
        "Tandem-Position": "42",
        "Tandem-Event-Id": EVENT.event_id,
        "Tandem-Event-Type": "ORDER_PAID",
        "Tandem-Aggregate": "order",
        "Tandem-Aggregate-Id": EVENT.aggregate_id,
        "Tandem-Version": "3",
    }


def test_a_discard_and_a_retry_are_told_apart() -> None:
    discarded = notices().discarded(EVENT, "c", "1")
    assert discarded is not None
    assert discarded.message_id == b"5:discarded:2.42"
    assert headers_of(discarded.headers)["Tandem-Unparked"] == "discarded"
    assert "Tandem-Parked" not in headers_of(discarded.headers)
    event = builder().event(EVENT, "c", "1")
    assert headers_of(retried(event).headers) == {**headers_of(event.headers), "Tandem-Unparked": "retried"}


@pytest.mark.parametrize("hostile", ["x" * 100_000, "é" * 500, "a\r\nNats-Expected-Stream: other", "", None])
def test_whatever_the_ids_are_the_notice_is_small_and_has_no_line_of_theirs(hostile: str | None) -> None:
    event = EVENT._replace(event_id=hostile, aggregate_id=hostile, aggregate_type=hostile, event_type=hostile)
    notice = notices().parked(event, "c", "1", "r" * 9_999)
    assert notice is not None
    assert notice.size < 8_000
    assert notice.message_id == b"5:parked:2.42"
    found = headers_of(notice.headers)
    assert set(found) >= {"Tandem-Cursor", "Tandem-Position", "Tandem-Parked", "Tandem-Version"}
    assert "Nats-Expected-Stream" not in found
    assert len(found["Tandem-Parked-Reason"]) == LONGEST_REASON


def test_a_stream_of_tiny_messages_gets_no_ids_and_at_last_no_notice() -> None:
    whole = notices().parked(EVENT, "c", "1", "why")
    assert whole is not None
    smaller = notices(whole.size - 1).parked(EVENT, "c", "1", "why")
    assert smaller is not None
    assert "Tandem-Aggregate-Id" not in headers_of(smaller.headers)
    assert headers_of(smaller.headers)["Tandem-Position"] == "42"
    assert notices(FENCE_BYTES + 20).parked(EVENT, "c", "1", "why") is None


def check_room(event_id: str) -> None:
    """Whatever follows whatever, a frame is no larger than the size by which its message was judged."""
    widest = 2**63 - 1
    event = EVENT._replace(event_id=event_id, position=widest)
    limits = MessageLimits(1 << 20)
    widest_notices = ParkedNotices("s", source_epoch=widest, publish_epoch=widest, term=widest, limits=limits)
    parked = widest_notices.parked(event, "c", "1", "why")
    discarded = widest_notices.discarded(event, "c", "1")
    assert parked is not None
    assert discarded is not None
    published = retried(builder(source_epoch=widest, publish_epoch=widest, term=widest).event(event, "c", "1"))
    sequence = [parked, discarded, published, discarded]
    inbox = b"_INBOX.0123456789abcdef."
    frames = [
        *chain_frames(sequence, widest, discarded.message_id, inbox),
        *batch_frames(sequence, widest, b"b" * 64, inbox),
    ]
    for frame, message in zip(frames, sequence * 2, strict=True):
        length = int(frame.partition(b"\r\n")[0].split()[-1])
        assert length <= message.size, message.message_id


@pytest.mark.parametrize("length", [36, 64, 255, LONGEST_VALUE])
def test_what_is_added_when_a_message_is_sent_fits_into_the_room_for_it(length: int) -> None:
    check_room("x" * length)


@pytest.mark.mutant
def test_a_notice_whose_id_is_as_long_as_that_of_the_event_is_noticed() -> None:
    with noticed(Mutant(ParkedNotices._notice, ".{event.position}", ".{event.event_id}")):
        check_room("x" * 255)
