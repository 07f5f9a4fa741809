"""Fences on the wire, where flights are cut, and when batches are chosen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.events.errors import Refused
from relay.events.message import Message
from relay.stream.publish_policy import PublishPolicy, batch_frames, chain_frames, cut
from tests.support.relay.events import message
from tests.support.source_mutants import Mutant, noticed


def lines(frame: bytes) -> list[bytes]:
    return frame.split(b"\r\n")


def test_a_chain_names_sequence_and_predecessor() -> None:
    frames = chain_frames([message(1), message(2)], 10, None, b"_INBOX.x.", each=True)
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


def test_the_last_of_a_chain_asks_for_an_ack_or_each() -> None:
    some = [message(i) for i in range(3)]
    asked = [lines(frame)[0].split()[2] for frame in chain_frames(some, 10, None, b"_I.")]
    assert asked[-1] == b"_I.13"
    assert not any(one.startswith(b"_I.") for one in asked[:-1])
    asked = [lines(frame)[0].split()[2] for frame in chain_frames(some, 10, None, b"_I.", each=True)]
    assert asked == [b"_I.11", b"_I.12", b"_I.13"]


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


def flights(policy: PublishPolicy, count: int, now: float, milliseconds_each: float, size: int = 256) -> None:
    """Flights that are acknowledged at `now`."""
    for _ in range(count):
        policy.stored(size, size * milliseconds_each / 1e3, now, atomic=False)


def test_auto_learns_that_each_publish_waits_for_the_disk() -> None:
    policy = PublishPolicy("auto")
    flights(policy, 2_000, 1.0, 1.0, size=2)  # a trickle takes its time on the way
    assert policy.measures(256, 1.0)
    assert not policy.measures(63, 1.0)
    flights(policy, 3, 2.0, 0.3)
    assert not policy.atomic(1_000, 2.0)
    flights(policy, 1, 2.0, 0.3)
    assert not policy.measures(256, 2.0)
    assert policy.atomic(1_000, 2.0)
    assert policy.atomic(2, 2.0)
    assert not policy.atomic(1, 2.0)
    assert not policy.atomic(1_000, 62.0)  # tried again
    assert policy.measures(256, 62.0)


def test_one_quick_flight_decides_for_the_chain_until_a_session_begins() -> None:
    policy = PublishPolicy("auto")
    flights(policy, 3, 1.0, 0.3)  # a busy machine
    flights(policy, 1, 1.0, 0.03)
    assert not policy.measures(256, 1.0)
    flights(policy, 100, 2.0, 0.3)
    assert not policy.atomic(1_000, 2.0)
    policy.begin(clustered=False)
    assert policy.measures(256, 3.0)
    flights(policy, 4, 3.0, 0.3)
    policy.begin(clustered=False)
    assert policy.atomic(1_000, 4.0)  # known from the session before


def test_chain_and_atomic_measure_nothing() -> None:
    for setting, atomic in (("chain", False), ("atomic", True)):
        policy = PublishPolicy(setting)  # type: ignore[arg-type]
        policy.begin(clustered=False)
        assert not policy.measures(256, 0.0)
        flights(policy, 10, 0.0, 0.3)
        assert policy.atomic(1_000, 0.0) is atomic


def test_in_a_cluster_nothing_is_sent_beside_something_undecided() -> None:
    for setting in ("auto", "atomic"):
        policy = PublishPolicy(setting)
        policy.begin(clustered=True)
        assert policy.atomic(2, 0.0)
        assert not policy.measures(1_000, 0.0)
        assert all(policy.alone(count, 0.0) for count in (1, 2, 1_000))
        assert policy.most_chained == 1
        assert policy.link(b"1:1") is None
        policy.begin(clustered=False)
        assert policy.link(b"1:1") == b"1:1"
        assert policy.most_chained == 256
        assert policy.alone(2, 0.0) is (setting == "atomic")
    chain = PublishPolicy("chain")
    with pytest.raises(Refused, match="set RELAY_PUBLISH to auto or atomic"):
        chain.begin(clustered=True)
    chain.begin(clustered=False)
    assert not chain.alone(2, 0.0)


def test_the_messages_of_a_refused_flight_are_suspects_until_the_last_is_stored() -> None:
    policy, flight, others = PublishPolicy("atomic"), groups("aabb"), [message(8), message(9)]
    policy.flight_refused(flight)
    assert policy.max_batch == 1_000
    assert policy.suspected([*others, flight[2]])
    assert not policy.suspected(others)
    policy.cleared([*others, *flight[:3]])
    assert policy.suspected(flight)
    policy.cleared(flight[3:])
    assert not policy.suspected(flight)


def test_when_one_is_named_the_others_are_no_suspects() -> None:
    policy, flight = PublishPolicy("atomic"), groups("aabb")
    policy.flight_refused(flight, too_large=True)
    assert policy.max_batch == 500
    policy.named()
    assert not policy.suspected(flight)
    assert not PublishPolicy("chain").atomic(1000, 0.0)


#: What goes wrong → the mutant.
MUTANTS = {
    "a chain expects one sequence for all": Mutant(chain_frames, "linked = sequence, _LINK", "linked = before, _LINK"),
    "a chain names no predecessor": Mutant(chain_frames, "sequence, _LINK, message_id", 'sequence, b"", b""'),
    "a batch is not fenced": Mutant(batch_frames, "if number == 1 else", "if False else"),
    "a batch is committed at each message": Mutant(batch_frames, "if number == count else", "if True else"),
    "groups are torn": Mutant(cut, "if not whole_groups or", "if True or"),
    "nothing is sent when one is too large": Mutant(
        cut, "max(1, bisect_right(sizes, max_bytes))", "bisect_right(sizes, max_bytes)"
    ),
    "a cluster is not known": Mutant(PublishPolicy.begin, "self._clustered = clustered", "self._clustered = False"),
    "a chain in a cluster": Mutant(PublishPolicy.begin, 'self._setting == "chain"', "False"),
    "a link in a cluster": Mutant(PublishPolicy.link, "None if self._clustered else", ""),
    "nothing is suspected": Mutant(PublishPolicy.suspected, "bool(suspects) and", "False and"),
    "they are suspects until one is stored": Mutant(
        PublishPolicy.cleared, "message.message_id == self._last_suspect", "message.message_id in self._suspects"
    ),
    "they are suspects for good": Mutant(PublishPolicy.cleared, "if self._suspects and", "if False and"),
    "the innocent stay suspects": Mutant(PublishPolicy.named, "self._suspects = frozenset()", "pass"),
    "a flight asks for no ack": Mutant(chain_frames, "if each or number == last", "if each"),
    "none is asked for each": Mutant(chain_frames, "if each or number == last", "if number == last"),
    "a batch of one": Mutant(PublishPolicy.atomic, "count < 2", "False"),
    "the disk is measured beside other flights": Mutant(PublishPolicy.alone, "or self.measures(count, now)", ""),
}


def check_what_is_alone() -> None:
    policy = PublishPolicy("auto")
    assert policy.measures(256, 0.0)
    assert policy.alone(256, 0.0)


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_policy_that_goes_wrong_is_noticed(mutant: str) -> None:
    with noticed(MUTANTS[mutant]):
        test_a_chain_names_sequence_and_predecessor()
        test_the_last_of_a_chain_asks_for_an_ack_or_each()
        test_a_batch_is_fenced_once_and_committed_once()
        test_cut_keeps_groups_whole_when_it_can()
        test_cut_by_bytes_takes_one_that_is_larger()
        test_auto_learns_that_each_publish_waits_for_the_disk()
        test_in_a_cluster_nothing_is_sent_beside_something_undecided()
        test_the_messages_of_a_refused_flight_are_suspects_until_the_last_is_stored()
        test_when_one_is_named_the_others_are_no_suspects()
        check_what_is_alone()
