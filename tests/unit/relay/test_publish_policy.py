"""Fences on the wire, where flights are cut, and when batches are chosen."""

from hypothesis import given
from hypothesis import strategies as st

from relay.message import Message
from relay.publish_policy import PublishPolicy, batch_frames, chain_frames, cut
from tests.unit.relay.events import message


def lines(frame: bytes) -> list[bytes]:
    return frame.split(b"\r\n")


def test_a_chain_names_sequence_and_predecessor() -> None:
    frames = chain_frames([message(1), message(2)], 10, None, b"_INBOX.x.")
    assert lines(frames[0])[:4] == [
        b"HPUB t.0.E _INBOX.x.11 69 70",
        b"NATS/1.0",
        b"Nats-Msg-Id: 1:1",
        b"Nats-Expected-Last-Sequence: 10",
    ]
    assert not any(b"Last-Msg-Id" in line for line in lines(frames[0]))
    assert b"Nats-Expected-Last-Sequence: 11" in lines(frames[1])
    assert b"Nats-Expected-Last-Msg-Id: 1:1" in lines(frames[1])
    assert b"Nats-Expected-Last-Msg-Id: 1:7" in lines(chain_frames([message(8)], 5, b"1:7", b"_I.")[0])


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5))
def test_frame_lengths_are_true(bodies: list[bytes]) -> None:
    messages = [message(i, body=body) for i, body in enumerate(bodies)]
    for frames in (chain_frames(messages, 0, b"x", b"_I."), batch_frames(messages, 0, b"b", b"_I.")):
        for frame, one in zip(frames, messages, strict=True):
            head, _, rest = frame.partition(b"\r\n")
            header_length, total = map(int, head.split()[-2:])
            assert len(rest) == total + 2
            assert rest[:header_length].endswith(b"\r\n\r\n")
            assert rest[header_length:] == one.body + b"\r\n"


def test_a_batch_is_fenced_once_and_committed_once() -> None:
    frames = batch_frames([message(i) for i in range(3)], 10, b"B", b"_I.")
    assert [b"Nats-Expected-Last-Sequence: 10" in frame for frame in frames] == [True, False, False]
    assert [b"Nats-Batch-Commit: 1" in frame for frame in frames] == [False, False, True]
    assert [b" _I." in lines(frame)[0] for frame in frames] == [True, False, True]
    assert b" _I.13 " in lines(frames[2])[0] + b" "
    assert b"Nats-Batch-Sequence: 2" in lines(frames[1])


def groups(text: str) -> list[Message]:
    return [message(i, group=group) for i, group in enumerate(text)]


def test_cut_keeps_groups_whole_when_it_can() -> None:
    assert cut(groups("aabbcc"), 0, 3, 10**6, whole_groups=True) == 2
    assert cut(groups("aabbcc"), 2, 3, 10**6, whole_groups=True) == 4
    assert cut(groups("ababab"), 0, 3, 10**6, whole_groups=True) == 3
    assert cut(groups("cababb"), 0, 4, 10**6, whole_groups=True) == 1
    assert cut(groups("abacdd"), 0, 5, 10**6, whole_groups=True) == 4
    assert cut(groups("aaaaaa"), 0, 4, 10**6, whole_groups=True) == 4
    assert cut(groups("aabb"), 0, 9, 10**6, whole_groups=True) == 4
    assert cut(groups("aabbcc"), 0, 3, 10**6, whole_groups=False) == 3


@given(st.text("abc", min_size=1, max_size=30), st.integers(1, 10), st.booleans())
def test_cut_takes_at_least_one_and_no_more_than_allowed(text: str, most: int, whole: bool) -> None:
    end = cut(groups(text), 0, most, 10**6, whole_groups=whole)
    assert 1 <= end <= most
    clean = [i for i in range(1, min(most, len(text)) + 1) if not set(text[:i]) & set(text[i:])]
    assert end == (max(clean) if whole and clean else min(most, len(text)))


def test_cut_by_bytes_takes_one_that_is_larger() -> None:
    messages = groups("ab")
    assert cut(messages, 0, 10, 1, whole_groups=False) == 1


def test_auto_learns_that_each_publish_waits_for_the_disk() -> None:
    policy = PublishPolicy("auto")
    assert not policy.atomic(1000, 0.0)
    for _ in range(10):
        policy.stored(256, 256 * 0.00003, 1.0, atomic=False)
    for _ in range(2_000):
        policy.stored(2, 0.002, 1.0, atomic=False)  # a trickle takes its time on the way
    assert not policy.atomic(1000, 1.0)
    slow(policy, 2.0)
    assert policy.atomic(1000, 2.0)
    assert policy.atomic(2, 2.0)
    assert not policy.atomic(1, 2.0)
    assert not policy.atomic(1000, 4.0)  # tried again


def slow(policy: PublishPolicy, now: float) -> None:
    """A thousand messages of a server that syncs each."""
    policy.stored(200, 0.4, now, atomic=False)  # acks come in bursts: one flight has the time of all
    for _ in range(4):
        policy.stored(200, 0.001, now, atomic=False)


def test_a_slow_moment_is_forgotten_soon_and_a_slow_server_is_not() -> None:
    policy = PublishPolicy("auto")
    slow(policy, 0.0)
    assert [policy.atomic(1000, now) for now in (0.0, 1.9, 2.0)] == [True, True, False]
    for now in (2.0, 6.0, 14.0, 30.0, 62.0, 122.0):
        slow(policy, now)
    assert [policy.atomic(1000, now) for now in (122.0, 181.9, 182.0)] == [True, True, False]
    for _ in range(5):
        policy.stored(200, 0.004, 182.0, atomic=False)
    slow(policy, 183.0)
    assert [policy.atomic(1000, now) for now in (184.9, 185.0)] == [True, False]


def test_a_refused_batch_goes_singly_and_later_ones_are_batches_again() -> None:
    policy = PublishPolicy("atomic")
    policy.batch_refused(100, too_large=True)
    assert policy.max_batch == 500
    assert not policy.atomic(100, 0.0)
    policy.stored(64, 0.1, 0.0, atomic=False)
    assert not policy.atomic(100, 0.0)
    policy.stored(64, 0.1, 0.0, atomic=False)
    assert policy.atomic(100, 0.0)
    assert not PublishPolicy("chain").atomic(1000, 0.0)
