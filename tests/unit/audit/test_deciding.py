"""Which leaves a message adds: events once, new epochs, and evidence of what is no event as it must be."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.leaves.hash_chain import GENESIS, has_its_personal_data, link, microseconds
from audit.leaves.leaf import Leaf, LeafKind, epoch_leaf, event_leaf, refused_leaf
from audit.leaves.stream_message import StreamMessage, claimed_ids, recorded_events, source_epoch
from audit.notary.deciding import Decider, Decision, read
from command_service.domain.hash_chain import Link, chain_hash
from tests.support.audit_events import EventWriter, barrier, message_of
from tests.support.source_mutants import Mutant, noticed


def decided(*messages: StreamMessage, epoch: int = 1, **known: object) -> Decision:
    """What an empty log decides."""
    given = {"known": {}, "earlier": {}} | known
    return Decider(epoch, **given).decide([read(message) for message in messages])  # type: ignore[arg-type]


def kinds(decision: Decision) -> list[str]:
    """The kinds of the leaves."""
    return [leaf.kind.value for _, leaf in decision.leaves]


def test_each_event_is_a_leaf_and_a_new_epoch_too() -> None:
    writer = EventWriter()
    first, second = writer.event(1), writer.event(1)
    found = decided(barrier(1), message_of(first, 2), barrier(3, 2), message_of(second, 4, 2), epoch=0)
    assert found.leaves == [
        (1, epoch_leaf(1)),
        (2, event_leaf(first.event_id, first.order_id, 1, first.hash)),
        (3, epoch_leaf(2)),
        (4, event_leaf(second.event_id, second.order_id, 2, second.hash)),
    ]
    assert (found.epoch, found.repeated, found.unchecked, found.refusals) == (2, 0, 0, [])


def test_an_event_that_the_log_has_adds_nothing() -> None:
    event = EventWriter().event(1)
    assert decided(message_of(event, 1), message_of(event, 2)).repeated == 1
    found = decided(message_of(event, 9), known={event.event_id: event.hash})
    assert (found.leaves, found.repeated) == ([], 1)


def test_an_event_whose_predecessor_is_unknown_is_taken_and_counted() -> None:
    writer = EventWriter()
    writer.event(1)
    found = decided(message_of(writer.event(1), 1))
    assert (kinds(found), found.unchecked) == (["event"], 1)


def test_after_a_restore_a_version_may_follow_an_older_one() -> None:
    writer = EventWriter()
    first = writer.event(1)
    lost = EventWriter("lost", dict(writer.heads)).event(1)
    second = writer.event(1)
    third = writer.event(1)
    earlier = {(first.order_id, 1): [first.hash], (first.order_id, 2): [lost.hash]}
    found = decided(message_of(second, 1), message_of(third, 2), earlier=earlier)
    assert (kinds(found), found.unchecked) == (["event", "event"], 0)


def what_is_forged_is_refused() -> None:
    """Each change of a message past the write side is refused, and each is a leaf."""
    writer = EventWriter()
    first = writer.event(1)
    event = writer.event(1)
    good = message_of(event, 2)
    forged = [
        good._replace(body=good.body.replace(b'"total": 1', b'"total": 2')),
        good._replace(body=good.body.replace("ü".encode(), b"u")),
        good._replace(body=good.body[:-1]),
        good._replace(body=b"\xff"),
        message_of(event, 2, ce_type="ORDER_SHIPPED"),
        message_of(event, 2, Tandem_Hash="00" * 32),
        message_of(event, 2, Tandem_Hash="00"),
        message_of(event, 2, Tandem_Recorded_After="yesterday"),
        message_of(event, 2, Tandem_Version="-1"),
        message_of(event, 2, Tandem_Personal_Digest=""),
    ]
    for message in forged:
        found = decided(message_of(first, 1), message)
        assert kinds(found) == ["event", "refused"], message
        assert len(found.refusals) == 1
        assert found.refusals[0].reason
    leaves = {decided(message_of(first, 1), message).leaves[1][1].hash for message in forged[:4]}
    assert len(leaves) == 4


def test_what_is_forged_is_refused() -> None:
    what_is_forged_is_refused()


@pytest.mark.mutant
@pytest.mark.parametrize(
    "guard", ["not any(link(previous, event) == event.hash for previous in before)", "not has_its_personal_data(event)"]
)
def test_a_hash_that_is_not_recomputed_is_noticed(guard: str) -> None:
    with noticed(Mutant(Decider._right_cut, guard, "False")):
        what_is_forged_is_refused()


def a_history_that_is_rewritten_is_refused() -> None:
    """The same event, consistently chained with another content, contradicts the leaf of the first."""
    first = EventWriter().event(1)
    rewritten = EventWriter().event(1, payload='{"total": 100}')
    found = decided(message_of(rewritten, 7), known={first.event_id: first.hash})
    assert kinds(found) == ["refused"]
    found.forget_refusals([found.leaves[0][1].hash])
    assert (found.leaves, found.refusals) == ([], [])


def test_a_history_that_is_rewritten_is_refused() -> None:
    a_history_that_is_rewritten_is_refused()


def leaves_differ_in_everything() -> None:
    """Leaves of different events have different bytes."""
    one, other = UUID(int=1), UUID(int=2)
    leaves = [
        event_leaf(one, one, 1, bytes(32)),
        event_leaf(other, one, 1, bytes(32)),
        event_leaf(one, other, 1, bytes(32)),
        event_leaf(one, one, 2, bytes(32)),
        event_leaf(one, one, 1, b"\x01" * 32),
        epoch_leaf(1),
        epoch_leaf(2),
        refused_leaf(b"", one, one, 1),
        refused_leaf(b"x", one, one, 1),
        refused_leaf(b"x"),
    ]
    assert len({leaf.data for leaf in leaves}) == len({leaf.name for leaf in leaves}) + 2 == len(leaves)


def test_leaves_differ_in_everything() -> None:
    leaves_differ_in_everything()
    assert event_leaf(UUID(int=1), UUID(int=2), 3, bytes(32)).data == (
        b"tandem-audit/v1 event\n00000000-0000-0000-0000-000000000001\n00000000-0000-0000-0000-000000000002\n3\n"
        + b"00" * 32
        + b"\n"
    )
    assert LeafKind("event") is LeafKind.EVENT


@pytest.mark.mutant
def test_a_leaf_without_the_hash_is_noticed() -> None:
    data = Leaf.data.fget  # type: ignore[attr-defined]
    with noticed(Mutant(data, ", self.chain_hash.hex()]", "]")):
        leaves_differ_in_everything()


@given(
    st.text(),
    st.text(),
    st.datetimes(timezones=st.just(UTC)),
    st.integers(1, 2**62),
    st.binary(min_size=32, max_size=32),
)
def test_the_chain_is_that_of_the_write_side(
    payload: str, headers: str, at: datetime, version: int, before: bytes
) -> None:
    event = (
        EventWriter()
        .event(3)
        ._replace(
            payload=payload,
            headers=headers,
            occurred_at=microseconds(at),
            recorded_at=microseconds(at),
            version=version,
        )
    )
    theirs = Link(
        event.event_id,
        "order",
        event.order_id,
        version,
        event.event_type,
        at,
        at,
        headers,
        payload,
        event.personal_digest,
    )
    assert link(before, event) == chain_hash(before, theirs)
    assert bytes(32) == GENESIS


def test_a_body_is_cut_where_its_hash_says() -> None:
    tricky = EventWriter().event(1, payload='{"a": {"x":1,"personal":{"y":"\\",\\"salt\\":"}}}')
    found = decided(message_of(tricky, 1))
    assert (kinds(found), found.refusals) == (["event"], [])
    redacted = EventWriter().event(1)._replace(personal=None, salt=None)
    [cut] = recorded_events(message_of(redacted, 1))
    assert cut == redacted
    assert has_its_personal_data(cut)


def test_what_cannot_be_read_is_none() -> None:
    message = StreamMessage(1, {"ce-id": "x", "Tandem-Epoch": "one"}, b"")
    assert claimed_ids(message) == (None, None, None)
    assert source_epoch(message) is None
    assert kinds(decided(message, message)) == ["refused"]
