"""What starts before its migration waits for it: `await-schema` ends when the schema is there, and not before."""

from __future__ import annotations

import asyncio
import signal

import psycopg

from command_service.storage.schema import migrate as migrate_database
from query_service.application.ports.generations import Part, Phase, Rebuild
from query_service.bootstrap import migrate as migrate_read_model
from query_service.connections import consumer_plan
from query_service.handlers.stream.consumer import create_consumer, plan_of
from tests.fixtures.command_process import CommandProcess
from tests.support.queries.read_side import ReadSide, empty_read_side, read_side
from tests.support.waiting import eventually

__all__ = ["empty_read_side", "read_side"]


def waiting(process: CommandProcess) -> list[str]:
    return [event["reason"] for event in process.events("waiting")]


async def test_command_waits_for_the_tables(postgres_database: str) -> None:
    process = CommandProcess({"COMMAND_DATABASE_URL": postgres_database})
    running = asyncio.create_task(process.run("await-schema"))
    try:
        await eventually(lambda: bool(process.log), "it says what it waits for")
        assert "no tables yet" in waiting(process)[0]
        assert not running.done()
        await asyncio.to_thread(migrate_database, postgres_database)
        assert await asyncio.wait_for(running, 120) == 0
        assert len(waiting(process)) == 1, "each reason is told once"
    finally:
        await process.kill()


async def test_command_waits_for_the_revision_of_this_version(postgres_database: str) -> None:
    await asyncio.to_thread(migrate_database, postgres_database)
    async with await psycopg.AsyncConnection.connect(postgres_database) as connection:
        cursor = await connection.execute("SELECT version_num FROM alembic_version")
        row = await cursor.fetchone()
        assert row is not None
        await connection.execute("UPDATE alembic_version SET version_num = 'older'")
    process = CommandProcess({"COMMAND_DATABASE_URL": postgres_database})
    running = asyncio.create_task(process.run("await-schema"))
    try:
        await eventually(lambda: bool(process.log), "it says what it waits for")
        assert "older" in waiting(process)[0]
        async with await psycopg.AsyncConnection.connect(postgres_database) as connection:
            await connection.execute("UPDATE alembic_version SET version_num = %s", row)
        assert await asyncio.wait_for(running, 120) == 0
    finally:
        await process.kill()


async def test_command_waits_for_the_server_and_stops_when_told() -> None:
    process = CommandProcess({"COMMAND_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"})
    running = asyncio.create_task(process.run("await-schema"))
    await eventually(lambda: bool(process.log), "it says what it waits for")
    assert "COMMAND_DATABASE_URL" in waiting(process)[0]
    process.signal(signal.SIGTERM)
    assert await asyncio.wait_for(running, 120) == 2, "what did not happen is not reported as done"


async def test_serving_waits_for_the_indices_and_not_for_the_stream(empty_read_side: ReadSide) -> None:
    async with empty_read_side.process("await-schema", nats_url="nats://127.0.0.1:1") as process:
        await process.wrote("does not exist")
        await empty_read_side.store.prepare()
        assert await process.ended() == 0


async def test_projecting_waits_for_the_consumer_too(empty_read_side: ReadSide) -> None:
    async with empty_read_side.process("await-schema", "--consumer") as process:
        await process.wrote("does not exist")
        await empty_read_side.store.prepare()
        await process.wrote("start the relay, which creates it")
        await empty_read_side.create_stream()
        await process.wrote("has no consumer projector")
        await migrate_read_model(empty_read_side.settings())
        assert await process.ended() == 0


async def test_projecting_waits_for_no_consumer_that_only_a_rebuild_replaces(read_side: ReadSide) -> None:
    """Messages have left the stream, so `migrate` makes no consumer, and a rebuild fills another generation."""
    await read_side.client.jetstream(timeout=60).delete_consumer(read_side.stream, "projector")
    generations = read_side.store.generations
    async with read_side.process("await-schema", "--consumer") as process:
        await process.wrote("has no consumer projector")
        await generations.create("g2")
        plan = plan_of(consumer_plan(read_side.settings()), "g2", 0)
        await create_consumer(read_side.client, plan, await generations.read_model())
        rebuild = Rebuild("id", "g1", "g2", Phase.FILLING, 1, parts=(Part(),))
        assert await generations.save(rebuild, await generations.rebuild())
        assert await process.ended() == 0


async def test_waiting_for_the_read_model_stops_when_told(empty_read_side: ReadSide) -> None:
    async with empty_read_side.process("await-schema", "--consumer", nats_url="nats://127.0.0.1:1") as process:
        await empty_read_side.store.prepare()
        await process.wrote("nats: ")
        process.process.terminate()
        assert await process.ended() == 2, "what did not happen is not reported as done"
