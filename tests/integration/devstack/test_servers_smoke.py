"""The three servers of a test run, talked to for real with the clients that the services use."""

import nats
import psycopg
from elasticsearch import AsyncElasticsearch
from nats.js.api import DiscardPolicy, StorageType, StreamConfig

from tests.fixtures.postgres import Templates, with_database


async def test_postgres_is_durable_and_decodes_its_log(postgres_database: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as connection:
        for setting, wanted in {"fsync": "on", "synchronous_commit": "on", "wal_level": "logical"}.items():
            row = await (await connection.execute(f"SHOW {setting}")).fetchone()
            assert row == (wanted,), setting
        await connection.execute("CREATE TABLE t (id int PRIMARY KEY, name text)")
        await connection.execute("INSERT INTO t VALUES (1, 'Ünïcode')")
        row = await (await connection.execute("SELECT lower(name) FROM t")).fetchone()
        assert row == ("ünïcode",)


async def test_databases_of_tests_are_apart_and_vanish(postgres_url: str, migrated_template: Templates) -> None:
    runs = 0

    async def migrate(url: str) -> None:
        nonlocal runs
        runs += 1
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute("CREATE TABLE seen (by text)")

    template = await migrated_template("smoke", migrate)
    assert await migrated_template("smoke", migrate) is template
    assert runs == 1
    async with template.database() as one, template.database() as other:
        async with await psycopg.AsyncConnection.connect(one) as connection:
            # a prepared transaction and a slot would each keep a database from being dropped
            await connection.execute("SELECT pg_create_logical_replication_slot(current_database(), 'pgoutput')")
            await connection.execute("INSERT INTO seen VALUES ('one')")
            await connection.commit()
            await connection.execute("INSERT INTO seen VALUES ('prepared')")
            await connection.execute("PREPARE TRANSACTION 'left behind'")
        async with await psycopg.AsyncConnection.connect(other) as connection:
            row = await (await connection.execute("SELECT count(*) FROM seen")).fetchone()
            assert row == (0,)
    async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
        names = [url.rpartition("/")[2] for url in (one, other)]
        left = await connection.execute("SELECT datname FROM pg_database WHERE datname = ANY(%s)", [names])
        assert await left.fetchall() == []
    assert with_database(postgres_url, names[0]) == one


async def test_nats_keeps_a_stream_on_file_and_refuses_a_wrong_sequence(
    nats_url: str, stream_name: str, subject_prefix: str
) -> None:
    client = await nats.connect(nats_url)
    try:
        jetstream = client.jetstream(timeout=60)
        stream = await jetstream.add_stream(
            StreamConfig(
                name=stream_name,
                subjects=[f"{subject_prefix}.>"],
                storage=StorageType.FILE,
                discard=DiscardPolicy.NEW,
                allow_atomic=True,
            )
        )
        assert stream.config.storage == StorageType.FILE
        assert stream.config.allow_atomic
        subject = f"{subject_prefix}.a"
        ack = await jetstream.publish(subject, b"1", headers={"Nats-Expected-Last-Sequence": "0"})
        assert ack.seq == 1
        refused = await client.request(subject, b"2", headers={"Nats-Expected-Last-Sequence": "0"})
        assert b"10071" in refused.data
        message = await jetstream.get_msg(stream_name, 1)
        assert message.data == b"1"
    finally:
        await client.close()


async def test_elasticsearch_holds_the_newer_version(elasticsearch_url: str, index_prefix: str) -> None:
    async with AsyncElasticsearch(elasticsearch_url, request_timeout=120) as client:
        index = f"{index_prefix}orders"
        await client.indices.create(index=index, mappings={"dynamic": "strict", "properties": {"n": {"type": "long"}}})
        newer, older = 2**50 + 2048, 2**50 + 1024
        await client.index(index=index, id="a", document={"n": 2}, version=newer, version_type="external")
        late = await client.options(ignore_status=409).index(
            index=index, id="a", document={"n": 1}, version=older, version_type="external"
        )
        assert late["status"] == 409
        found = await client.get(index=index, id="a")
        assert (found["_source"], found["_version"]) == ({"n": 2}, newer)
