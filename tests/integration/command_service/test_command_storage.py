"""What the serving process does beside commands: forgetting, making room, noticing that the database is away."""

from __future__ import annotations

import asyncio
import random
import signal
import urllib.request

import pytest

from command_service.application.errors import DependencyUnavailable, Overloaded
from command_service.domain import rules
from command_service.domain.errors import RuleViolated
from command_service.storage import housekeeping
from command_service.storage.availability import PATIENCE_SECONDS, DatabaseWatch
from command_service.storage.connection.round_trip import Answer, OutOfStep
from command_service.storage.housekeeping import Housekeeping
from command_service.storage.startup_checks import check_database
from command_service.storage.unit_of_work import PostgresUnitsOfWork
from service_runtime.process import StartupRefused
from tests.fixtures.command_process import caller, serving
from tests.fixtures.private_servers import PrivatePostgres
from tests.fixtures.write_model import execute
from tests.support.commands.command_application import Application, application, call, opened_pool, place_order
from tests.support.commands.orders import place_order_request
from tests.support.waiting import eventually

REMEMBERED = (
    "INSERT INTO command_log SELECT '{}', gen_random_uuid(), 'f', 'r', clock_timestamp() - interval '{}'"
    " FROM generate_series(1, {})"
)


async def test_old_answers_are_forgotten_in_batches_and_young_ones_kept(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "EXPIRY_BATCH", 10)
    counted: list[int] = []
    async with application(command_database) as orders:
        asked, command = call(), place_order()
        await orders.place(asked, command)
        await execute(
            command_database,
            REMEMBERED.format("old", "48 h 1 min", 25),
        )
        await execute(
            command_database,
            REMEMBERED.format("young", "47 h 59 min", 5),
        )
        keeper = Housekeeping(orders.pool, retention_hours=48, on_expired=counted.append)
        assert await keeper.expire_command_log() == 25
        assert counted == [10, 10, 5]
        assert await keeper.expire_command_log() == 0
        assert (await orders.place(asked, command)).replayed
    assert await execute(command_database, "SELECT count(*) FROM command_log WHERE principal = 'young'") == [(5,)]


async def test_a_repetition_after_the_promise_is_refused_not_done_twice(command_database: str) -> None:
    """The order id that the service makes follows from the request, so the second order would be the first one."""
    async with application(command_database) as orders:
        asked = call()
        command = place_order(asked.derived_id("order"))
        await orders.place(asked, command)
        await execute(command_database, "DELETE FROM command_log")
        with pytest.raises(RuleViolated) as refused:
            await orders.place(asked, command)
        assert refused.value.rule == rules.ORDER_ID_TAKEN
    assert await execute(command_database, "SELECT count(*) FROM outbox") == [(1,)]


async def test_housekeeping_makes_partitions_ahead_and_goes_on_after_an_outage(
    command_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "PERIOD_SECONDS", 0.05)
    await execute(command_database, "SELECT setval('outbox_position_seq', 11_000_000)")
    await execute(command_database, "ALTER FUNCTION extend_outbox RENAME TO away")
    await execute(
        command_database,
        "CREATE SEQUENCE tries; CREATE FUNCTION extend_outbox(ahead integer) RETURNS integer LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM nextval('tries'); PERFORM pg_terminate_backend(pg_backend_pid()); RETURN 0; END $$",
    )
    partitions = "SELECT count(*) FROM pg_class WHERE relname ~ '^outbox_p[0-9]+$'"
    async with opened_pool(command_database) as pool:
        task = asyncio.create_task(Housekeeping(pool, retention_hours=48).run())
        try:
            async with asyncio.timeout(120):
                while await execute(command_database, "SELECT last_value >= 3 FROM tries") != [(True,)]:
                    await asyncio.sleep(0.02)
            await execute(command_database, "DROP FUNCTION extend_outbox; ALTER FUNCTION away RENAME TO extend_outbox")
            async with asyncio.timeout(120):
                while await execute(command_database, partitions) != [(5,)]:
                    await asyncio.sleep(0.02)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_count_that_is_none_reaches_no_counter(command_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    async with opened_pool(command_database) as pool:
        monkeypatch.setattr(Answer, "count", None)
        with pytest.raises(OutOfStep):
            await Housekeeping(pool, retention_hours=48, on_expired=counted.append).expire_command_log()
    assert counted == []


async def test_a_fault_of_housekeeping_ends_no_process(command_database: str) -> None:
    await execute(command_database, "SELECT setval('outbox_position_seq', 11_000_000)")  # partitions are to be made
    await execute(
        command_database,
        "ALTER FUNCTION extend_outbox RENAME TO away; CREATE FUNCTION extend_outbox(ahead integer) RETURNS text"
        " LANGUAGE sql AS $$ SELECT 'some' $$",
    )
    async with serving(command_database) as process, caller(process) as stub:
        await eventually(lambda: bool(process.events("side task failed")), "housekeeping fails")
        await stub.PlaceOrder(place_order_request(random.Random(1)), timeout=60)
        await execute(command_database, "DROP FUNCTION extend_outbox; ALTER FUNCTION away RENAME TO extend_outbox")
        await eventually(lambda: bool(process.events("outbox partitions made")), "housekeeping goes on")
        faults = process.events("side task failed")
        assert {(fault["task"], fault["error"]) for fault in faults} == {("housekeeping", "ValueError")}
        counted = await asyncio.to_thread(metrics_of, process.probes)
        assert f'command_side_task_faults_total{{task="housekeeping"}} {float(len(faults))}' in counted
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0


def metrics_of(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as response:
        return str(response.read().decode())


async def check_callers_above_what_may_wait_are_refused(url: str, max_waiting: int) -> None:
    async with opened_pool(url, size=1, max_waiting=max_waiting) as pool:
        orders = Application(PostgresUnitsOfWork(pool), pool)
        async with orders.units.begin():
            waiting = asyncio.create_task(orders.place(call(), place_order()))
            await eventually(lambda: pool.waiting == 1, "one caller waits")
            others = [asyncio.create_task(orders.place(call(), place_order())) for _ in range(3)]
            await asyncio.sleep(0)  # they have come as far as they can without waiting
            await asyncio.sleep(0)
            assert pool.waiting == 1
            assert all(isinstance(end, Overloaded) for end in await asyncio.gather(*others, return_exceptions=True))
        assert not (await waiting).replayed


async def test_callers_above_what_may_wait_are_refused_at_once(command_database: str) -> None:
    await check_callers_above_what_may_wait_are_refused(command_database, 1)


@pytest.mark.mutant
async def test_a_pool_without_bound_is_noticed(command_database: str) -> None:
    with pytest.raises(AssertionError):
        await check_callers_above_what_may_wait_are_refused(command_database, 0)


async def test_a_database_known_to_be_away_is_not_waited_for(command_database: str) -> None:
    async with opened_pool(command_database) as pool:
        orders = Application(PostgresUnitsOfWork(pool, available=lambda: False), pool)
        with pytest.raises(DependencyUnavailable):
            await orders.place(call(), place_order())


async def test_the_watch_tells_when_the_database_goes_and_comes_back(private_postgres: PrivatePostgres) -> None:
    server = await private_postgres()
    changes: list[bool] = []

    async def on_change(available: bool) -> None:
        changes.append(available)

    watch = DatabaseWatch(server.url, on_change)
    task = asyncio.create_task(watch.run())
    try:
        assert watch.available
        await server.kill()
        await eventually(lambda: changes == [False], "the watch sees the outage", timeout=PATIENCE_SECONDS + 120)
        assert watch.reason() is not None
        await server.start()
        await eventually(lambda: changes == [False, True], "the watch sees the return")
        assert watch.reason() is None
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("ALTER DATABASE {} SET synchronous_commit = off", "synchronous_commit is off"),
        ("ALTER SEQUENCE outbox_position_seq CACHE 20", "caches 20 values"),
        ("DELETE FROM source", "source, which names this database's incarnation, is empty"),
        ("UPDATE alembic_version SET version_num = '0000'", "revision 0000, this version needs [0-9]+; run `python -m"),
        ("DROP TABLE alembic_version", "has no tables yet; run `python -m command_service migrate`"),
    ],
)
async def test_a_database_that_cannot_keep_the_promises_is_refused(
    command_database: str, spoil: str, said: str
) -> None:
    await check_database(command_database)
    await execute(command_database, spoil.format(command_database.rpartition("/")[2]))
    with pytest.raises(StartupRefused, match=said) as refused:
        await check_database(command_database)
    assert len(str(refused.value).splitlines()) == 1


async def test_fsync_off_is_refused(private_postgres: PrivatePostgres) -> None:
    server = await private_postgres(settings={"fsync": "off"})
    with pytest.raises(StartupRefused, match="fsync is off") as refused:
        await check_database(server.url)
    assert "has no tables yet" in str(refused.value)


async def test_a_server_too_old_is_refused(command_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("command_service.storage.startup_checks.OLDEST_SERVER", 99)
    with pytest.raises(StartupRefused, match="is too old, version 99 or newer is needed"):
        await check_database(command_database)


async def test_a_dead_database_is_named_without_its_password() -> None:
    with pytest.raises(StartupRefused) as refused:
        await check_database("postgresql://me:secret@127.0.0.1:1/orders")
    assert "COMMAND_DATABASE_URL" in str(refused.value)
    assert "secret" not in str(refused.value)


async def test_a_password_that_is_wrong_is_not_shown(postgres_url: str) -> None:
    with pytest.raises(StartupRefused) as refused:
        await check_database(postgres_url.rpartition("/")[0].replace("//postgres@", "//nobody:secret@") + "/nowhere")
    assert "secret" not in str(refused.value)
