"""How PostgreSQL carries the commands' statements out: prepared once, and with one partition of the journal only."""

from __future__ import annotations

from uuid import uuid4

import pytest

from bench.commands.plans import partitions_touched
from bench.commands.statements import Statement, recording_pool
from command_service.domain import commands
from command_service.domain.errors import RuleViolated
from command_service.domain.parties import Address
from command_service.storage.command_log import ANSWER, CLAIM, CLAIM_FOR_NEW, RECALL
from command_service.storage.connection.command_connection import CommandConnection
from command_service.storage.orders import ADD_CUSTOMER, ADD_EVENT, ADD_LINES, ADD_ORDER, CHANGE_ORDER
from command_service.storage.stored_orders import LOAD, LOCK
from command_service.storage.transaction import BEGIN, COMMIT, ROLLBACK
from command_service.storage.unit_of_work import PostgresUnitsOfWork
from tests.fixtures.postgres import Templates
from tests.fixtures.write_model import execute, migrated_database
from tests.integration.command_service.test_order_changes import a_life
from tests.support.commands.command_application import Application, call, opened_pool, place_order

#: Rows of a partition.
SIZE = 5_000_000
PREPARED = "SELECT statement FROM pg_prepared_statements"
#: What a PlaceOrder, HoldOrder and ReleaseOrder are made of.
OFTEN_SENT = {
    *(BEGIN, CLAIM, CLAIM_FOR_NEW, LOCK, LOAD, ADD_CUSTOMER, ADD_ORDER.sql, ADD_LINES.sql, CHANGE_ORDER.sql),
    *(ADD_EVENT.sql, ANSWER, COMMIT),
}
#: Mutant: the newest link of the chain is looked up in the journal, of which every partition must then be searched.
FROM_THE_JOURNAL = "SELECT hash FROM outbox WHERE aggregate_id = $1 ORDER BY aggregate_version DESC LIMIT 1"


async def statements_of_a_life(url: str) -> list[Statement]:
    """All that the service sends for an order and each command on it."""
    async with recording_pool(url) as (pool, sent):
        orders = Application(PostgresUnitsOfWork(pool), pool)
        placing = place_order()
        await orders.place(call(), placing)
        for command in a_life(placing.order_id):
            await orders.change(call(), command)
    return sent


async def fill_the_first_partition(url: str) -> None:
    """Events in the first one; the next event goes to the second, and a third is there already."""
    await statements_of_a_life(url)
    await execute(url, f"SELECT setval(pg_get_serial_sequence('outbox', 'position'), {SIZE})")
    await execute(url, "SELECT extend_outbox(1)")


async def test_every_command_touches_the_newest_partition_alone(migrated_template: Templates) -> None:
    async with migrated_database(migrated_template) as first, migrated_database(migrated_template) as url:
        sent = await statements_of_a_life(first)
        await fill_the_first_partition(url)
        assert len({sql for sql, _ in sent} - {BEGIN, COMMIT}) >= 15, "all the statements that there are"
        assert await partitions_touched(url, sent) == {"outbox_p1"}
        looked_up: Statement = (FROM_THE_JOURNAL, (uuid4(),))
        assert len(await partitions_touched(url, [*sent, looked_up])) >= 3, "a look into the journal is noticed"


async def check_statements_stay_prepared(url: str) -> None:
    async with opened_pool(url, size=1) as pool:
        orders = Application(PostgresUnitsOfWork(pool), pool)
        asked, placing = call(), place_order()
        await orders.place(asked, placing)
        for lines in range(1, 11):
            await orders.change(call(), commands.HoldOrder(placing.order_id))
            await orders.change(call(), commands.ReleaseOrder(placing.order_id))
            await orders.place(call(), place_order(lines=placing.lines * lines, billing_address=Address("FR")))
        # One of each, whatever the values and however many rows.
        assert await prepared_in(orders) == sorted(OFTEN_SENT)
        with pytest.raises(RuleViolated):
            await orders.change(call(), commands.ReleaseOrder(placing.order_id))
        assert (await orders.place(asked, placing)).replayed
        assert await prepared_in(orders) == sorted({*OFTEN_SENT, RECALL, ROLLBACK}), (
            "refusals and repetitions drop none"
        )


async def prepared_in(orders: Application) -> list[str]:
    async with orders.pool.connection() as connection:
        rows = await (await connection.execute(PREPARED)).fetchall()
    return sorted(str(sql) for (sql,) in rows)


async def test_statements_stay_prepared(command_database: str) -> None:
    await check_statements_stay_prepared(command_database)


@pytest.mark.mutant
async def test_a_rollback_that_drops_them_is_noticed(command_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CommandConnection, "end_transaction", CommandConnection.start_anew)
    with pytest.raises(AssertionError, match="drop none"):
        await check_statements_stay_prepared(command_database)
