"""What a unit of work promises on a real PostgreSQL: all or nothing, once per request id, in a chain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from tandem.orders.partition import partition_of

from command_service.application import execution
from command_service.application.errors import Conflict, ConnectionBroken, RequestIdReused, TimedOut
from command_service.application.ports import FirstCall, Recorded, UnitOfWork
from command_service.domain import rules
from command_service.domain.commands import PlaceOrder
from command_service.domain.decisions import decide_new
from command_service.domain.errors import RuleViolated
from command_service.domain.hash_chain import GENESIS, Link, chain_hash, personal_digest
from command_service.domain.money import Money
from command_service.domain.order_number import order_number_of
from command_service.storage import command_log, unit_of_work
from command_service.storage.command_log import CLAIM
from command_service.storage.orders import new_order
from command_service.storage.unit_of_work import PostgresUnitsOfWork
from tests.fixtures.write_model import execute, table_digests
from tests.support.commands.command_application import Application, application, call, opened_pool, place_order
from tests.support.faults.rough_way import rough_way
from tests.support.source_mutants import Mutant, noticed

WRITTEN_BY_PLACE_ORDER = {"customers", "orders", "order_lines", "outbox", "command_log"}
DIE = """
CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
"""


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {table for table in before if before[table] != after[table]}


async def test_a_command_writes_state_journal_and_memory_together(command_database: str) -> None:
    async with application(command_database) as orders:
        before = await table_digests(command_database)
        result = await orders.place(call(), place_order())
        assert not result.replayed
        assert changed(before, await table_digests(command_database)) == WRITTEN_BY_PLACE_ORDER
        assert await execute(command_database, "SELECT response FROM command_log") == [(result.response,)]
        assert await execute(command_database, "SELECT count(*) FROM order_lines") == [(2,)]


async def test_the_journal_holds_a_chain_that_anybody_can_check(command_database: str) -> None:
    asked, command = call(), place_order()
    started = datetime.now(UTC)
    async with application(command_database) as orders:
        await orders.place(asked, command)
    async with await psycopg.AsyncConnection.connect(command_database) as connection:
        cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
        await cursor.execute(
            "SELECT o.*, payload::text AS payload_text, headers::text AS headers_text, personal::text AS personal_text,"
            " transaction_id::text::bigint AS transaction, head_hash, head_event_id, orders.version,"
            " orders.recorded_at AS head_recorded_at, placed_at FROM outbox o JOIN orders ON order_id = aggregate_id"
        )
        row = await cursor.fetchone()
        assert row is not None
    link = Link(
        event_id=row["event_id"],
        aggregate_type="order",
        aggregate_id=command.order_id,
        aggregate_version=1,
        event_type="ORDER_CREATED",
        occurred_at=row["occurred_at"],
        recorded_at=row["recorded_at"],
        headers=row["headers_text"],
        payload=row["payload_text"],
        personal_digest=personal_digest(row["salt"], row["personal_text"]),
    )
    assert row["hash"] == row["head_hash"] == chain_hash(GENESIS, link)
    assert row["personal_digest"] == link.personal_digest
    assert (row["head_event_id"], row["version"]) == (row["event_id"], 1)
    assert row["occurred_at"] == row["recorded_at"] == row["head_recorded_at"] == row["placed_at"]
    assert abs((row["recorded_at"] - started).total_seconds()) < 60
    assert row["partition"] == partition_of(command.order_id)
    assert row["position"] >= 1
    assert row["transaction"] > 0
    assert row["event_id"].version == 7
    assert len(row["salt"]) == 16


async def test_a_repetition_gets_the_first_answer_and_writes_nothing(command_database: str) -> None:
    async with application(command_database) as orders:
        asked, command = call(), place_order()
        first = await orders.place(asked, command)
        before = await table_digests(command_database)
        for _ in range(3):
            again = await orders.place(asked, command)
            assert (again.response, again.replayed) == (first.response, True)
        assert await table_digests(command_database) == before


async def test_another_request_under_the_same_id_is_refused(command_database: str) -> None:
    async with application(command_database) as orders:
        asked = call()
        await orders.place(asked, place_order())
        before = await table_digests(command_database)
        with pytest.raises(RequestIdReused):
            await orders.place(replace(asked, fingerprint=b"other"), place_order())
        assert await table_digests(command_database) == before
        # Request ids of one caller mean nothing to another.
        assert not (await orders.place(replace(asked, principal="till"), place_order())).replayed


@pytest.mark.mutant
async def test_an_answer_to_another_request_is_noticed(command_database: str) -> None:
    with noticed(Mutant(execution._replayed, "earlier.fingerprint != call.fingerprint", "False")):
        await test_another_request_under_the_same_id_is_refused(command_database)


async def place(orders: Application, command: PlaceOrder) -> None:
    await orders.place(call(), command)


async def place_unseen(orders: Application, command: PlaceOrder) -> None:
    """As if what is taken had been taken after the claim, which looks for it."""

    async def nothing(_: UnitOfWork) -> None:
        pass

    await orders.place_through(nothing, call(), command)


Placing = Callable[[Application, PlaceOrder], Awaitable[None]]


async def check_an_id_or_number_taken_is_refused_by_its_rule(url: str, placing: Placing) -> None:
    async with application(url) as orders:
        first = place_order(order_number="N-1")
        await placing(orders, first)
        before = await table_digests(url)
        with pytest.raises(RuleViolated) as refused:
            await placing(orders, place_order(first.order_id))
        assert refused.value.rule == rules.ORDER_ID_TAKEN
        with pytest.raises(RuleViolated) as refused:
            await placing(orders, place_order(order_number="N-1"))
        assert refused.value.rule == rules.ORDER_NUMBER_TAKEN
        assert refused.value.details == {"order_number": "N-1", "source": "web"}
        assert await table_digests(url) == before
        await placing(orders, place_order(order_number="N-1", source="shop"))


@pytest.mark.parametrize("placing", [place, place_unseen])
async def test_an_id_or_number_taken_is_refused_by_its_rule(command_database: str, placing: Placing) -> None:
    await check_an_id_or_number_taken_is_refused_by_its_rule(command_database, placing)


@pytest.mark.mutant
async def test_a_number_that_nothing_holds_unique_is_noticed(command_database: str) -> None:
    """The one rule that the database alone can see."""
    await execute(command_database, "ALTER TABLE orders DROP CONSTRAINT orders_source_order_number_key")
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        await check_an_id_or_number_taken_is_refused_by_its_rule(command_database, place_unseen)


async def test_a_constraint_that_stands_for_no_rule_is_noticed(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_of_work, "ID_KEY", "")
    with pytest.raises(psycopg.errors.UniqueViolation):
        await check_an_id_or_number_taken_is_refused_by_its_rule(command_database, place_unseen)


async def check_a_duplicate_is_no_error_of_the_server(url: str) -> None:
    """The server writes each error down, and with a refused row all its values, 1.4 KB of them."""
    errors = 0

    def heard(piece: bytes) -> None:
        nonlocal errors
        errors += piece.count(b"C23505\0")

    async with rough_way(url) as (way, through), application(through) as orders:
        way.heard = heard
        first, other = place_order(order_number="N-1"), uuid4()
        await orders.place(call(), first)
        await orders.place(call(), place_order(order_number=order_number_of(other)))
        # The last one's number is made of its id, and is taken all the same.
        refused = [place_order(first.order_id), place_order(order_number="N-1"), place_order(other)]
        for command in refused:
            with pytest.raises(RuleViolated):
                await orders.place(call(), command)
        assert errors == 0, "the server wrote an error down"


async def test_a_duplicate_is_no_error_of_the_server(command_database: str) -> None:
    await check_a_duplicate_is_no_error_of_the_server(command_database)


@pytest.mark.mutant
async def test_a_duplicate_that_only_its_insert_finds_is_noticed(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        command_log, "CLAIM_FOR_NEW", f"{CLAIM}, $4::uuid IS NULL, $5::text || $6::text IS NULL, $7::text IS NULL"
    )
    with pytest.raises(AssertionError, match="wrote an error down"):
        await check_a_duplicate_is_no_error_of_the_server(command_database)


async def test_whatever_fails_in_a_batch_leaves_no_warning_of_the_driver(
    command_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with application(command_database) as orders:
        first = place_order(order_number="N-1")
        await place_unseen(orders, first)
        for _ in range(10):
            for taken in (place_order(first.order_id), place_order(order_number="N-1")):
                with pytest.raises(RuleViolated):
                    await place_unseen(orders, taken)
        async with await psycopg.AsyncConnection[Any].connect(command_database) as blocker:
            await blocker.execute("LOCK TABLE command_log")
            with pytest.raises(TimedOut):
                await orders.place(replace(call(), deadline=time.monotonic() + 0.2), place_order())
    assert [record.getMessage() for record in caplog.records if record.levelname != "INFO"] == []


async def test_refusals_are_not_remembered(command_database: str) -> None:
    async with application(command_database) as orders:
        asked, before = call(), await table_digests(command_database)
        with pytest.raises(RuleViolated):
            await orders.place(asked, place_order(expected_total=Money("EUR", 1)))
        assert await table_digests(command_database) == before
        corrected = replace(asked, fingerprint=b"corrected")
        assert not (await orders.place(corrected, place_order())).replayed


async def test_what_could_not_be_published_is_not_recorded(command_database: str) -> None:
    async with opened_pool(command_database) as pool:
        orders = Application(PostgresUnitsOfWork(pool), pool, max_event_bytes=2_000)
        before = await table_digests(command_database)
        with pytest.raises(RuleViolated) as refused:
            await orders.place(call(), place_order())
        assert refused.value.rule is rules.ORDER_SIZE
        assert int(refused.value.details["size"]) > 2_000
        assert await table_digests(command_database) == before


@pytest.mark.parametrize("table", sorted(WRITTEN_BY_PLACE_ORDER))
async def test_a_connection_lost_at_any_statement_leaves_nothing(command_database: str, table: str) -> None:
    when = "UPDATE" if table == "command_log" else "INSERT"
    await execute(command_database, DIE)
    await execute(command_database, f"CREATE TRIGGER die BEFORE {when} ON {table} FOR EACH ROW EXECUTE FUNCTION die()")
    async with application(command_database) as orders:
        before = await table_digests(command_database)
        asked, command = call(), place_order()
        with pytest.raises(ConnectionBroken):
            await orders.place(asked, command)
        assert await table_digests(command_database) == before
        await execute(command_database, f"DROP TRIGGER die ON {table}")
        assert not (await orders.place(asked, command)).replayed


async def test_a_connection_lost_before_the_commit_is_made_good(command_database: str) -> None:
    lost = 0

    async def lose_once(_: UnitOfWork) -> None:
        nonlocal lost
        if not lost:
            lost = 1
            await execute(
                command_database,
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE state = 'idle in transaction'"
                " AND datname = current_database() AND application_name = 'tandem-command'",
            )

    async with application(command_database) as orders:
        assert not (await orders.place_through(lose_once, call(), place_order())).replayed
        assert lost
        assert await execute(command_database, "SELECT count(*) FROM orders") == [(1,)]
        assert await execute(command_database, "SELECT count(*) FROM outbox") == [(1,)]


async def test_work_without_a_commit_never_happened(command_database: str) -> None:
    async with application(command_database) as orders:
        before = await table_digests(command_database)
        asked, command = call(), place_order()
        async with PostgresUnitsOfWork(orders.pool).begin() as unit:
            claimed = await unit.claim(asked, command.identity)
            assert isinstance(claimed, FirstCall)
            recorded = orders.recorder.record(asked, claimed, None, decide_new(command, claimed.now))
            assert isinstance(recorded, Recorded)
            sent = (*new_order(recorded.after, recorded.event), ("SELECT count(*) FROM orders", ()))
            assert await unit._transaction.fetch(*sent) == (1,)
        assert await table_digests(command_database) == before


@pytest.mark.parametrize(("conflicts", "succeeds"), [(2, True), (3, False)])
async def test_conflicts_are_tried_again_a_few_times(command_database: str, conflicts: int, succeeds: bool) -> None:
    # A sequence keeps counting through rollbacks.
    await execute(
        command_database,
        "CREATE SEQUENCE tries; CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF nextval('tries') <= {conflicts} THEN RAISE EXCEPTION USING ERRCODE = 'deadlock_detected'; END IF;"
        " RETURN NEW; END $$;"
        "CREATE TRIGGER conflict BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION conflict()",
    )
    async with application(command_database) as orders:
        if succeeds:
            assert not (await orders.place(call(), place_order())).replayed
        else:
            with pytest.raises(Conflict):
                await orders.place(call(), place_order())
        assert await execute(command_database, "SELECT count(*) FROM orders") == [(int(succeeds),)]


async def test_no_statement_waits_longer_than_any_call_may(command_database: str) -> None:
    async with opened_pool(command_database, statement_seconds=0.3) as pool:
        orders = Application(PostgresUnitsOfWork(pool), pool)
        async with await psycopg.AsyncConnection.connect(command_database) as blocker:
            await blocker.execute("LOCK TABLE orders")
            with pytest.raises(TimedOut):
                await orders.place(call(), place_order())
            await blocker.rollback()
        assert not (await orders.place(call(), place_order())).replayed


async def test_one_transaction_is_six_statements_in_two_round_trips(command_database: str) -> None:
    transactions: list[Sequence[str]] = []
    async with application(command_database, transactions.append) as orders:
        await orders.place(call(), place_order())
        line = place_order().lines[0]
        await orders.place(call(), place_order(lines=(line,) * 500, order_number=str(uuid4())))
    small, large = transactions
    assert small == large  # one text for any number of lines, so the server prepares it once
    assert [statement.split("(")[0].strip() for statement in small] == [
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        "INSERT INTO customers",
        "INSERT INTO command_log",
        "INSERT INTO orders",
        "INSERT INTO order_lines",
        "INSERT INTO outbox",
        "UPDATE command_log SET response = $3 WHERE principal = $1 AND request_id = $2",
        "COMMIT",
    ]


async def test_many_callers_at_once_make_as_many_orders(command_database: str) -> None:
    async with application(command_database) as orders:
        results = await asyncio.gather(*(orders.place(call(), place_order()) for _ in range(100)))
    assert not any(result.replayed for result in results)
    assert await execute(command_database, "SELECT count(*), count(DISTINCT aggregate_id) FROM outbox") == [(100, 100)]
