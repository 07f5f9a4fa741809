"""What somebody changes in the journal, past the service, shows: by the chain, or by the order's row."""

from __future__ import annotations

from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from command_service.domain.commands import HoldOrder, ReleaseOrder
from command_service.domain.hash_chain import Link, chain_hash, personal_digest
from tests.fixtures.write_model import execute
from tests.support.commands.command_application import application, call, place_order
from tests.support.commands.journal import journal_faults
from tests.support.source_mutants import Mutant, noticed

SECOND = "UPDATE outbox SET {} WHERE aggregate_version = 2"
#: What somebody with all rights does to the second of four events.
TAMPERINGS = {
    "another event id": SECOND.format("event_id = gen_random_uuid()"),
    "another kind of thing": SECOND.format("aggregate_type = 'orders'"),
    "another order": SECOND.format("aggregate_id = gen_random_uuid()"),
    "another version": SECOND.format("aggregate_version = 9"),
    "another type of event": SECOND.format("event_type = 'ORDER_RELEASED'"),
    "happened at another time": SECOND.format("occurred_at = occurred_at - interval '1 microsecond'"),
    "recorded at another time": SECOND.format("recorded_at = recorded_at + interval '1 microsecond'"),
    "by another actor": SECOND.format("headers = replace(headers::text, 'shop', 'till')::json"),
    "another content": SECOND.format("payload = replace(payload::text, 'Chai', 'Chay')::json"),
    "the same content in other words": SECOND.format("payload = (payload::text || ' ')::json"),
    "another address": SECOND.format("personal = replace(personal::text, 'Köln', 'Koln')::json"),
    "another salt": SECOND.format("salt = sha256(salt)"),
    "another digest": SECOND.format("personal_digest = sha256(personal_digest)"),
    "another hash": SECOND.format("hash = sha256(hash)"),
    "removed": "DELETE FROM outbox WHERE aggregate_version = 2",
    "the last one removed": "DELETE FROM outbox WHERE aggregate_version = 4",
    "the first one removed": "DELETE FROM outbox WHERE aggregate_version = 1",
    "all removed": "DELETE FROM outbox",
    "told in another order": "UPDATE outbox SET aggregate_version = 5 - aggregate_version",
    "another total in the row": "UPDATE orders SET total = total + 1, freight = freight + 1",
    "released in the row": "UPDATE orders SET on_hold = NOT on_hold",
    "another last event in the row": "UPDATE orders SET head_hash = sha256(head_hash)",
}
SAVE = "CREATE TABLE saved_outbox AS TABLE outbox; CREATE TABLE saved_orders AS TABLE orders"
RESTORE = """
DELETE FROM outbox;
INSERT INTO outbox OVERRIDING SYSTEM VALUE TABLE saved_outbox;
UPDATE orders SET total = s.total, freight = s.freight, on_hold = s.on_hold, head_hash = s.head_hash
FROM saved_orders s WHERE s.order_id = orders.order_id
"""


async def four_events(url: str) -> UUID:
    """An order that was placed, held, released and held again."""
    order_id = uuid4()
    async with application(url) as orders:
        await orders.place(call(), place_order(order_id))
        for change in (HoldOrder(order_id), ReleaseOrder(order_id), HoldOrder(order_id)):
            await orders.change(call(), change)
    assert await journal_faults(url) == []
    return order_id


async def test_whatever_is_changed_shows(command_database: str) -> None:
    await four_events(command_database)
    await execute(command_database, SAVE)
    for what, tampering in TAMPERINGS.items():
        await execute(command_database, tampering)
        assert await journal_faults(command_database), what
        await execute(command_database, RESTORE)
    assert await journal_faults(command_database) == []


async def test_an_event_that_is_forged_with_its_hash_shows_in_the_next_one(command_database: str) -> None:
    """The forger knows the layout and all that is hashed."""
    order_id = await four_events(command_database)
    async with await psycopg.AsyncConnection.connect(command_database, options="-c timezone=UTC") as connection:
        cursor = connection.cursor(row_factory=dict_row)
        await cursor.execute("SELECT *, payload::text, headers::text, personal::text FROM outbox ORDER BY position")
        first, second, *_ = await cursor.fetchall()
        forged = second["payload"].replace("Chai", "Chay")
        link = Link(
            **{name: second[name] for name in Link.__slots__ if name not in ("payload", "personal_digest")},
            payload=forged,
            personal_digest=personal_digest(second["salt"], second["personal"]),
        )
        await connection.execute(
            "UPDATE outbox SET payload = %s::json, hash = %s WHERE aggregate_version = 2",
            [forged, chain_hash(first["hash"], link)],
        )
    assert await journal_faults(command_database) == [f"{order_id}: version 3 does not follow from the one before"]


@pytest.mark.mutant
async def test_events_that_are_not_chained_are_noticed(command_database: str) -> None:
    with noticed(Mutant(chain_hash, "hashlib.sha256(previous)", "hashlib.sha256()")):
        await test_an_event_that_is_forged_with_its_hash_shows_in_the_next_one(command_database)


@pytest.mark.mutant
async def test_a_changed_text_that_the_chain_does_not_cover_is_noticed(command_database: str) -> None:
    with noticed(Mutant(chain_hash, "link.payload,", '"",')):
        await test_whatever_is_changed_shows(command_database)
