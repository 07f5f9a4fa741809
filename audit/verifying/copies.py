"""Compares what the copies of one order say. Does no I/O.

No copy is taken for the truth. A finding names the copy that differs from the others, and says which ones agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from tandem.orders.v1.order_query_service_pb2 import VerifyOrderHistoryResponse
from tandem.orders.v1.order_types_pb2 import Order

from audit.leaves.hash_chain import GENESIS, RecordedEvent, has_its_personal_data, link
from audit.proving.findings import Finding
from audit.storage.leaf_rows import LeafRow
from audit.verifying.state import state_faults

TEXT, HASH, ROW, LOG, INDEX, STREAM = "journal text", "journal hash", "orders row", "audit log", "index", "stream"
#: Digits of a hash that a sentence shows.
_DIGITS = 12


class State(NamedTuple):
    """An order as the state tables have it."""

    version: int
    hash: bytes
    order: Order


class Copies(NamedTuple):
    """The copies of one order. `leaves` by event id. `read_model` is None if the read model does not have the order."""

    order_id: UUID
    state: State | None
    events: Sequence[RecordedEvent]
    leaves: Mapping[UUID, LeafRow]
    read_model: VerifyOrderHistoryResponse | None


class Linked(NamedTuple):
    """An event of the journal, and the hash that its text and the event before give. None without an event before."""

    event: RecordedEvent
    computed: bytes | None

    @property
    def sound(self) -> bool:
        """Whether the text gives the hash."""
        return self.computed == self.event.hash


def linked(events: Sequence[RecordedEvent]) -> list[Linked]:
    """Returns an order's events with computed hashes. A changed event does not spoil the hash of the next one."""
    found: list[Linked] = []
    before: Linked | None = None
    for event in events:
        previous: list[bytes] = []
        if event.version == 1:
            previous = [GENESIS]
        elif before is not None and before.event.version == event.version - 1:
            previous = [one for one in (before.event.hash, before.computed) if one is not None]
        hashes = [link(one, event) for one in previous]
        computed = event.hash if event.hash in hashes else next(iter(hashes), None)
        before = Linked(event, computed)
        found.append(before)
    return found


def differences(copies: Copies) -> Iterator[Finding]:
    """Yields what differs between the copies of an order, oldest version first for the journal."""
    order_id = str(copies.order_id)
    expected = 1
    for one in linked(copies.events):
        for version in range(expected, one.event.version):
            yield Finding("the journal does not have this version", order_id, version, copy="journal")
        expected = one.event.version + 1
        yield from _of_version(copies, one)
    yield from _of_state(copies, expected - 1)
    yield from _of_index(copies)


def _of_version(copies: Copies, one: Linked) -> Iterator[Finding]:
    event = one.event
    where = (str(copies.order_id), event.version)
    votes: dict[str, bytes] = {HASH: event.hash}
    if one.computed is not None:
        votes[TEXT] = one.computed
    if copies.state is not None and copies.state.version == event.version:
        votes[ROW] = copies.state.hash
    if (row := copies.leaves.get(event.event_id)) is not None:
        votes[LOG] = row.leaf.chain_hash or b""
        if row.leaf.hash != row.hash:
            yield Finding("its row's hash is not that of its content", *where, row.leaf_index, copy=LOG)
    if copies.read_model is not None and copies.read_model.order_version == event.version:
        votes[INDEX] = copies.read_model.head_hash
    if len(set(votes.values())) > 1:
        yield _dissent(votes, *where)
    if not has_its_personal_data(event):
        yield Finding("its personal data does not give its digest", *where, copy="journal personal data")


def _dissent(votes: Mapping[str, bytes], order_id: str, version: int) -> Finding:
    camps: dict[bytes, list[str]] = {}
    for copy, hashed in votes.items():
        camps.setdefault(hashed, []).append(copy)
    fewest, *others = sorted(camps.items(), key=lambda camp: len(camp[1]))
    said = "; ".join(f"{', '.join(names)} agree on {hashed.hex()[:_DIGITS]}" for hashed, names in others)
    what = f"another hash ({fewest[0].hex()[:_DIGITS]}) than the other copies: {said}"
    return Finding(what, order_id, version, copy=", ".join(fewest[1]))


def _of_state(copies: Copies, last: int) -> Iterator[Finding]:
    order_id, state = str(copies.order_id), copies.state
    if state is None:
        yield Finding("the state tables do not have this order", order_id, copy="orders row")
        return
    for version in range(last + 1, state.version + 1):
        yield Finding("the journal does not have this version", order_id, version, copy="journal")
    event = next((event for event in copies.events if event.version == state.version), None)
    if event is not None and (faults := state_faults(state.order, event)):
        what = f"these fields are not what the journal's event gives: {', '.join(faults)}"
        yield Finding(what, order_id, state.version, copy="state tables")


def _of_index(copies: Copies) -> Iterator[Finding]:
    order_id = str(copies.order_id)
    if copies.read_model is None:
        yield Finding("the read model does not have this order", order_id, copy=INDEX)
        return
    for found in copies.read_model.findings:
        yield Finding(found.detail, order_id, found.version, copy=f"index {found.copy}")
