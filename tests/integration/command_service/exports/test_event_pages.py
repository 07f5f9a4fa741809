"""What pages of the journal contain: each selected event once, by position, exactly as it is stored."""

from __future__ import annotations

from uuid import uuid4

from command_service.application.exporting.selections import EventSelection, View
from command_service.domain.commands import HoldOrder, ReleaseOrder
from command_service.domain.hash_chain import GENESIS, chain_hash, personal_digest
from tests.fixtures.write_model import execute
from tests.support.commands.command_application import application, call, place_order
from tests.support.commands.exports import exporting


async def test_the_journal_is_exported_as_it_is_stored(command_database: str) -> None:
    async with application(command_database) as orders, exporting(command_database) as exports:
        assert [(page.events, page.last, page.ended) for page in await exports.event_pages()] == [([], 0, True)]
        ids = [uuid4() for _ in range(3)]
        for order_id in ids:
            await orders.place(call(), place_order(order_id))
        for order_id in ids[:2]:
            await orders.change(call(), HoldOrder(order_id))
            await orders.change(call(), ReleaseOrder(order_id))
        events = await exports.events()
        assert [event.position for event in events] == list(range(1, 8))
        previous = dict.fromkeys(ids, GENESIS)
        for event in events:
            order_id = event.link.aggregate_id
            assert event.hash == chain_hash(previous[order_id], event.link)
            assert event.personal is not None
            assert event.salt is not None
            assert personal_digest(event.salt, event.personal) == event.link.personal_digest
            previous[order_id] = event.hash

        pages = await exports.event_pages(3, EventSelection(after=1))
        assert [[event.position for event in page.events] for page in pages] == [[2, 3, 4], [5, 6, 7]]
        assert [(page.last, page.ended) for page in pages] == [(4, False), (7, True)]
        assert [page.last for page in await exports.event_pages(3, EventSelection(after=7))] == [7]

        by_order = await exports.events(EventSelection(order_ids=(ids[0],)))
        assert [event.link.aggregate_version for event in by_order] == [1, 2, 3]
        by_type = await exports.events(EventSelection(event_types=("ORDER_HELD", "ORDER_RELEASED")))
        assert [event.position for event in by_type] == [4, 5, 6, 7]
        until = EventSelection(recorded_until=events[4].link.recorded_at)
        assert [event.position for event in await exports.events(until)] == [1, 2, 3, 4]


async def test_what_is_redacted_is_exported_without_it(command_database: str) -> None:
    async with application(command_database) as orders, exporting(command_database) as exports:
        order_id = uuid4()
        await orders.place(call(), place_order(order_id))
        await orders.change(call(), HoldOrder(order_id))
        before = await exports.events()
        await execute(
            command_database,
            "UPDATE outbox SET personal = NULL, salt = NULL WHERE aggregate_version = 1 RETURNING 1",
        )
        first, second = await exports.events()
        assert (first.personal, first.salt) == (None, None)
        assert (first.link, first.hash) == (before[0].link, before[0].hash)
        assert second == before[1]
        (exported,) = await exports.orders(View.JOURNAL)
        assert exported.events == [first, second]
