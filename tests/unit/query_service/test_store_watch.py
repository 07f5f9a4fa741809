"""What the poll of the store tells lists: from which place on a watch continues them, and what it still owes."""

from __future__ import annotations

import uuid

import pytest

from query_service.application.freshness.parked_orders import ParkedOrders
from query_service.application.freshness.view import FreshnessView
from query_service.application.ports.errors import ResumeTokenMalformed
from query_service.application.ports.read_store import Freshness, ParkedEvent
from query_service.application.watching.list_marks import ListMarks
from query_service.application.watching.resume_token import ResumePoint, read_resume_token
from query_service.projection.errors import Unprojectable
from query_service.storage.memory import MemoryStore
from query_service.store_watch import StoreWatch
from tests.support.source_mutants import Mutant, noticed
from tests.support.virtual_time import in_virtual_time

CREATED = 7_000


def a_parked_event(sequence: int, stored_at: int) -> ParkedEvent:
    return ParkedEvent(
        order_id=str(uuid.uuid4()),
        version=1,
        event_id=str(uuid.uuid4()),
        event_type="ORDER_PLACED",
        stream="ORDERS",
        sequence=sequence,
        stored_at=stored_at,
        parked_at=stored_at,
        reason=Unprojectable.UNMAPPABLE,
        detail="order_number is too long",
    )


async def serving(_: bool) -> None:
    return None


@in_virtual_time
async def listing() -> None:
    store, marks = MemoryStore(), ListMarks()
    freshness = Freshness(9, 1, (await store.identity()).generation, CREATED, 9)
    await store.record_freshness(freshness)
    await store.park(a_parked_event(4, CREATED + 1))
    await store.park(a_parked_event(0, CREATED + 2))  # a rebuild could not project it
    await store.park(a_parked_event(5, CREATED - 1))  # it was in the stream that this one has replaced
    watch = StoreWatch(store, FreshnessView(), ParkedOrders(), marks, serving)
    await watch._ask()
    assert watch.reason() is None
    assert read_resume_token(marks.token(freshness)) == ResumePoint(CREATED, 9, (4,))


def test_a_list_owes_only_messages_of_the_present_stream() -> None:
    listing()


@pytest.mark.mutant
def test_mutants_that_owe_what_the_stream_does_not_have_are_noticed() -> None:
    for guard in ("self.sequence > 0", "self.stored_at >= stream_created_at"):
        with noticed(Mutant(ParkedEvent.is_message_of, guard, "True"), or_raises=(ResumeTokenMalformed,)):
            listing()
