"""Creates databases with the project's tables, and fills the outbox: one order and two events per transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence

import psycopg

from bench.harness.progress import tell
from bench.harness.servers import Servers
from bench.relay.order_samples import Sample
from devstack.stack.service_process import run_once

EVENTS_PER_TRANSACTION = 2
#: Two payloads, which `small_samples` pads to SMALL_BYTES. `@` is replaced by the order's id.
SMALL: Sequence[Sample] = tuple(
    Sample(
        kind,
        '{"orderId":"@","status":"PLACED","currency":"EUR","totalCents":"12999","customerId":"C000123",'
        '"placedAt":"2026-01-31T12:00:00.123456Z","lines":['
        '{"sku":"SKU-1207","quantity":"1","priceCents":"4999","name":"Blue widget"},'
        '{"sku":"SKU-9182","quantity":"2","priceCents":"2500","name":"Red widget"},'
        '{"sku":"SKU-77","quantity":"3","priceCents":"1000","name":"Green widget"}]%s}',
        None,
    )
    for kind in ("ORDER_CREATED", "ORDER_PAID")
)
SMALL_BYTES = 400

# `bench_load` is a procedure, because it commits after each transaction. Each transaction also writes one row of
# `bench_orders`, as an application would.
_PREPARE = """
CREATE TABLE bench_orders(
  id uuid PRIMARY KEY, customer_id int NOT NULL, status text NOT NULL, total_cents bigint NOT NULL
);
CREATE TABLE bench_sample(number int PRIMARY KEY, event_type text NOT NULL, payload text NOT NULL, personal text);
CREATE PROCEDURE bench_transaction(first int) LANGUAGE plpgsql AS $$
DECLARE
  samples int := (SELECT count(*) FROM bench_sample);
  id uuid := gen_random_uuid();
BEGIN
  INSERT INTO bench_orders VALUES (id, first % 10000, 'PLACED', 12999);
  INSERT INTO outbox(event_id, aggregate_type, aggregate_id, aggregate_version, partition, event_type, payload,
                     personal, salt, personal_digest, headers, hash, occurred_at, recorded_at)
  SELECT gen_random_uuid(), 'order', id, version, get_byte(sha256(uuid_send(id)), 1) & 63, event_type,
         replace(payload, '@', id::text)::json, personal::json,
         CASE WHEN personal IS NOT NULL THEN uuid_send(id) END, sha256(uuid_send(id)),
         json_build_object('actor', 'bench', 'request_id', id, 'schema_version', '1', 'source_epoch', '1'),
         sha256(uuid_send(id)), clock_timestamp(), clock_timestamp()
    FROM generate_series(1, 2) AS version JOIN bench_sample ON number = (first * 2 + version - 1) % samples
   ORDER BY version;
END $$;
CREATE PROCEDURE bench_load(transactions int) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..transactions LOOP
    CALL bench_transaction(i);
    COMMIT;
  END LOOP;
END $$;
"""


def small_samples() -> list[Sample]:
    """Returns the small payloads, padded so that each is published with SMALL_BYTES bytes."""
    filled = []
    for sample in SMALL:
        bare = len(sample.payload.replace("@", "0" * 36)) - len("%s")
        note = ',"note":"' + "x" * (SMALL_BYTES - bare - len(',"note":""')) + '"'
        filled.append(Sample(sample.event_type, sample.payload % note, None))
    return filled


async def make_database(servers: Servers, name: str, samples: Sequence[Sample]) -> str:
    """Creates a database with the command service's tables and with what `load` needs. Returns its URL."""
    url = await servers.postgres.ensure_database(name)
    await run_once(
        "migrate", ["command_service", "migrate"], {"COMMAND_DATABASE_URL": url}, servers.directory / f"migrate-{name}"
    )
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(_PREPARE)
        async with connection.cursor() as cursor:
            await cursor.executemany(
                "INSERT INTO bench_sample VALUES (%s, %s, %s, %s)",
                [(number, one.event_type, one.payload, one.personal) for number, one in enumerate(samples)],
            )
    return url


async def load(url: str, events: int) -> None:
    """Writes `events` rows into the outbox, two per transaction."""
    started = time.monotonic()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SET synchronous_commit = off")
        await connection.execute("CALL bench_load(%s)", [events // EVENTS_PER_TRANSACTION])
        await connection.execute("VACUUM ANALYZE outbox")
        await connection.execute("CHECKPOINT")
        row = await (await connection.execute("SELECT count(*), avg(length(payload::text)) FROM outbox")).fetchone()
    assert row is not None
    tell(f"loaded {row[0]} events of {row[1]:.0f} bytes on average in {time.monotonic() - started:.0f} s")
