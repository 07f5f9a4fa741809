"""Compares the messages that the stream still has with the journal, in one pass over the stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from uuid import UUID

from audit.leaves.hash_chain import GENESIS, RecordedEvent, has_its_personal_data, link
from audit.leaves.stream_message import StreamMessage, UnfitMessage, claimed_ids, recorded_events
from audit.notary.stream_reader import StreamReader
from audit.proving.findings import Finding, Report
from audit.storage.position import Position
from audit.verifying.copies import STREAM, Linked, linked
from audit.verifying.sources import TOGETHER, Sources

#: The end of the stream is reached when nothing comes for so long.
SILENCE_SECONDS = 1.0


async def compare_stream(
    reader: StreamReader, sources: Sources, report: Report, *, order_id: UUID | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> int:  # fmt: skip
    """Compares the messages of one order, or of all; returns how many. Raises StreamMissing, NATS_ERRORS.

    An order's events are read again for each group of messages, so memory does not grow with the stream.
    """
    await reader.open(Position(0, 0))
    compared = 0
    while messages := await reader.batch(TOGETHER, SILENCE_SECONDS):
        events = [message for message in messages if message.is_event]
        if order_id is not None:
            events = [message for message in events if claimed_ids(message)[1] == order_id]
        ids = {found for message in events if (found := claimed_ids(message)[1]) is not None}
        journals = await sources.journals(sorted(ids))
        for message in events:
            for finding in message_findings(message, journals):
                report.add(finding)
        compared += len(events)
        advance(compared)
        if reader.pending == 0:
            break
    return compared


def message_findings(message: StreamMessage, journals: Mapping[UUID, Sequence[RecordedEvent]]) -> Iterator[Finding]:
    """Yields in what a message differs from the journal. `journals`: the events of its order, by order id."""
    _, order_id, claimed = claimed_ids(message)
    version = claimed or 0
    where = (str(order_id or ""), version)
    try:
        cuts = list(recorded_events(message))
    except UnfitMessage as unfit:
        yield Finding(f"message {message.sequence}: {unfit}", *where, copy=STREAM)
        return
    journal = {} if order_id is None else {one.event.version: one for one in linked(journals.get(order_id, ()))}
    own = journal.get(version)
    if own is None:
        yield Finding(f"it lacks this version, which is message {message.sequence}", *where, copy="journal")
        return
    difference = _difference(cuts, own, _hashes_before(journal, version))
    if difference is not None:
        copy, what = difference
        yield Finding(f"message {message.sequence}: {what}", *where, copy=copy)


def _hashes_before(journal: Mapping[int, Linked], version: int) -> list[bytes]:
    """Returns the hashes that an event may be linked to; none if the journal does not have the event before."""
    if version == 1:
        return [GENESIS]
    before = journal.get(version - 1)
    return [] if before is None else [one for one in (before.event.hash, before.computed) if one is not None]


def _difference(cuts: Sequence[RecordedEvent], own: Linked, previous: Sequence[bytes]) -> tuple[str, str] | None:
    """Returns the copy that differs, and in what. `cuts`: see `recorded_events`; `own` is the journal's event."""
    fitting = list(cuts)
    if previous:
        fitting = [event for event in cuts if any(link(one, event) == event.hash for one in previous)]
    journal_does = "does" if own.sound else "does not"
    if not fitting:
        return STREAM, f"its text does not give its hash; the journal's {journal_does}"
    if fitting[0].hash != own.event.hash:
        copy = STREAM if own.sound else "journal"
        return copy, f"its hash is not the journal's, whose text {journal_does} give it"
    # The relay leaves the digest out where the body gives it. Then only the journal can say that the body is altered.
    if fitting[0].personal_digest != own.event.personal_digest or not any(map(has_its_personal_data, fitting)):
        return STREAM, "its personal data does not give its digest"
    return None
