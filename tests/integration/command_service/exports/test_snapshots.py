"""A page and a digest are of one moment, whatever commands write meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from tandem.orders.partition import PARTITIONS, partition_of

from command_service.application.exporting.errors import ExportInterrupted
from command_service.application.exporting.ports import Digest, StoredEvent
from command_service.application.exporting.selections import View
from command_service.domain.commands import HoldOrder, ReleaseOrder
from command_service.storage.exports import comparison_statements, snapshots
from command_service.storage.exports.settled_position import settled_position
from command_service.storage.exports.snapshot import PostgresSnapshot
from tests.fixtures.write_model import execute
from tests.support.chance import new_seed
from tests.support.commands.command_application import Application, application, call, place_order
from tests.support.commands.exports import exporting, fetch
from tests.support.source_mutants import FAILURES, Mutant, noticed


async def placed(orders: Application, count: int) -> list[UUID]:
    ids = [uuid4() for _ in range(count)]
    for order_id in ids:
        await orders.place(call(), place_order(order_id))
    return sorted(ids)


def before_the_events(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    """Calls `act` within each page, between its orders and their events."""
    journals = PostgresSnapshot.journals

    async def late(self: PostgresSnapshot, ids: Sequence[UUID], after: int) -> AsyncGenerator[StoredEvent]:
        await act()
        async for event in journals(self, ids, after):
            yield event

    monkeypatch.setattr(PostgresSnapshot, "journals", late)


async def check_a_page_is_of_one_moment(url: str) -> None:
    async with application(url) as orders, exporting(url) as exports:
        (order_id,) = await placed(orders, 1)

        async def change() -> None:
            await orders.change(call(), HoldOrder(order_id))

        with pytest.MonkeyPatch.context() as patch:
            before_the_events(patch, change)
            (exported,) = await exports.orders(View.JOURNAL)
    assert exported.head.version == 1
    assert [event.link.aggregate_version for event in exported.events] == [1]
    assert exported.events[-1].hash == exported.head.hash


async def test_a_page_is_of_one_moment(command_database: str) -> None:
    await check_a_page_is_of_one_moment(command_database)


@pytest.mark.mutant
async def test_a_page_without_a_snapshot_would_be_seen(command_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "BEGIN", "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY")
    with pytest.raises(FAILURES):
        await check_a_page_is_of_one_moment(command_database)


async def test_no_order_is_left_out_or_repeated_while_commands_write(command_database: str) -> None:
    source = random.Random(new_seed())
    async with application(command_database) as orders, exporting(command_database) as exports:
        ids = await placed(orders, 30)
        stop = asyncio.Event()

        async def write(mine: list[UUID]) -> None:
            held = set[UUID]()
            while not stop.is_set():
                order_id = source.choice(mine)
                await orders.change(call(), ReleaseOrder(order_id) if order_id in held else HoldOrder(order_id))
                held ^= {order_id}
                await orders.place(call(), place_order())

        writing = [asyncio.create_task(write(ids[number::3])) for number in range(3)]
        pages = {view: await exports.order_pages(view, 4) for view in View}
        stop.set()
        await asyncio.gather(*writing)
        everything = await exports.orders()
    for view in View:
        for earlier, later in itertools.pairwise(pages[view]):
            assert earlier.read_time < later.read_time
        exported = [one for page in pages[view] for one in page.orders]
        exported_ids = [one.head.order_id for one in exported]
        assert exported_ids == sorted(set(exported_ids))
        assert set(ids) <= set(exported_ids) <= {one.head.order_id for one in everything}
        for page in pages[view]:
            assert all(one.head.recorded_at < page.read_time for one in page.orders)
    for one in (one for page in pages[View.JOURNAL] for one in page.orders):
        assert [event.link.aggregate_version for event in one.events] == list(range(1, one.head.version + 1))
        assert one.events[-1].hash == one.head.hash
    for image, version in ((one.image, one.head.version) for page in pages[View.ORDER] for one in page.orders):
        whole: Any = image
        assert (whole.version, whole.on_hold) == (version, version % 2 == 0)


async def digested(url: str) -> dict[int, Digest]:
    """The digests as their definition says, computed here."""
    texts: dict[int, list[bytes]] = {}
    for order_id, version, head_hash in await fetch(url, "SELECT order_id, version, head_hash FROM orders"):
        assert isinstance(order_id, UUID)
        assert isinstance(version, int)
        assert isinstance(head_hash, bytes)
        texts.setdefault(partition_of(order_id), []).append(order_id.bytes + version.to_bytes(8) + head_hash)
    return {
        partition: Digest(len(found), hashlib.sha256(b"".join(sorted(found))).digest())
        for partition, found in texts.items()
    }


async def check_the_digests(url: str) -> None:
    async with application(url) as orders, exporting(url) as exports:
        for order_id in (await placed(orders, 24))[::5]:
            await orders.change(call(), HoldOrder(order_id))
        async with exports.snapshots.open() as snapshot:
            digests = await snapshot.digests([])
            one_bucket = await snapshot.digests([next(iter(digests))])
        assert digests == await digested(url)
        assert one_bucket == {next(iter(digests)): next(iter(digests.values()))}
        assert set(digests) <= set(range(PARTITIONS))
        # The same versions with another content.
        await execute(url, "UPDATE orders SET head_hash = sha256(head_hash) RETURNING 1")
        async with exports.snapshots.open() as snapshot:
            changed = await snapshot.digests([])
        assert all(changed[partition] != digests[partition] for partition in digests)


async def test_digests_are_as_defined_and_cover_the_content(command_database: str) -> None:
    await check_the_digests(command_database)


@pytest.mark.mutant
async def test_a_digest_without_the_content_would_be_seen(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison_statements, "DIGESTED", "uuid_send(order_id) || int8send(version)")
    with pytest.raises(FAILURES):
        await check_the_digests(command_database)


async def test_orders_are_cut_into_equal_parts(command_database: str) -> None:
    async with application(command_database) as orders, exporting(command_database) as exports:
        async with exports.snapshots.open() as snapshot:
            assert await snapshot.cuts(5) == ([], 0)
        ids = await placed(orders, 11)
        async with exports.snapshots.open() as snapshot:
            assert await snapshot.cuts(1) == ([], 11)
            assert await snapshot.cuts(3) == ([ids[2], ids[6]], 11)
            assert await snapshot.cuts(1_000) == (ids[:-1], 11)


OWN_EVENT = """
INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, partition, event_type, payload,
                    personal_digest, headers, hash, occurred_at, recorded_at)
VALUES (gen_random_uuid(), 'order', gen_random_uuid(), 1, 0, 'ORDER_HELD', '{}', sha256(''), '{}', sha256(''), now(),
        now())
RETURNING position
"""


async def check_an_event_that_commits_late_is_not_skipped(url: str) -> None:
    async with (
        await psycopg.AsyncConnection.connect(url) as slow,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as quick,
        exporting(url) as exports,
    ):
        first = await (await slow.execute(OWN_EVENT)).fetchone()
        second = await (await quick.execute(OWN_EVENT)).fetchone()
        assert first is not None
        assert second is not None
        assert first < second
        reading = asyncio.ensure_future(exports.events())
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%virtualtransaction = ANY%' AND state = 'idle'"
        )
        async with asyncio.timeout(60):
            while not reading.done() and (await (await quick.execute(waiting)).fetchone()) == (0,):
                await asyncio.sleep(0.01)
        await slow.commit()
        assert [(event.position,) for event in await reading] == [first, second]


async def test_an_event_that_commits_late_is_not_skipped(command_database: str) -> None:
    await check_an_event_that_commits_late_is_not_skipped(command_database)


@pytest.mark.mutant
async def test_an_export_up_to_the_highest_position_would_be_seen(command_database: str) -> None:
    with noticed(Mutant(settled_position, "while writers and", "while False and")):
        await check_an_event_that_commits_late_is_not_skipped(command_database)


async def test_a_connection_that_breaks_says_how_to_go_on(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with application(command_database) as orders, exporting(command_database) as exports:
        await placed(orders, 2)

        async def end_sessions() -> None:
            await execute(
                command_database,
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'tandem-export'",
            )

        with monkeypatch.context() as patch:
            before_the_events(patch, end_sessions)
            with pytest.raises(ExportInterrupted, match="postgres cannot be reached; resume the export after its last"):
                await exports.orders(View.JOURNAL)
        assert len(await exports.orders(View.JOURNAL)) == 2
