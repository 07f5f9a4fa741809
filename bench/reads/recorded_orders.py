"""Fills a write model with orders like those of the sampled stream, by copying the sample orders in SQL."""

from __future__ import annotations

import time

import psycopg

from bench.harness.progress import tell
from bench.reads.order_messages import SAMPLES

CHUNK = 50_000
_ORDER = "('a0000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))"
_EVENT = "('b0000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))"
#: A recorded text in which the ids of the copy replace those of the sample order.
_TEXT = (
    "replace(replace(replace({column}::text, e.aggregate_id::text, {order}), e.event_id::text, {event}),"
    " o.order_number, 'M' || n)::{kind}"
)
#: A text as the hash covers it: its length, and its bytes.
_FRAMED = "int4send(octet_length(convert_to({text}, 'UTF8'))) || convert_to({text}, 'UTF8')"
#: The fields that the hash of an order's first event covers, after 32 zero bytes; see `hash_chain`.
_HASHED = (
    "{event}",
    "e.aggregate_type",
    "{order}",
    "'1'",
    "e.event_type",
    "(extract(epoch FROM e.occurred_at) * 1000000)::bigint::text",
    "(extract(epoch FROM e.recorded_at) * 1000000)::bigint::text",
    "e.headers::text",
    "{payload}::text",
)
#: Copy `n` is a copy of the sample order number n modulo SAMPLES.
_SAMPLE = (
    " FROM generate_series(%(first)s::bigint, %(last)s) n"
    " JOIN (SELECT *, row_number() OVER (ORDER BY position) - 1 AS number FROM outbox WHERE aggregate_version = 1"
    " ORDER BY position LIMIT %(samples)s) e ON e.number = n %% %(samples)s"
    " JOIN orders o ON o.order_id = e.aggregate_id"
)
_HEADS = "UPDATE orders o SET head_hash = e.hash FROM outbox e WHERE e.event_id = o.head_event_id"
_COPY = (
    "INSERT INTO orders SELECT (jsonb_populate_record(o, jsonb_build_object('order_id', {order}, 'order_number',"
    " 'M' || n, 'head_event_id', {event}))).*" + _SAMPLE,
    "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, partition, event_type, payload,"
    " personal, salt, personal_digest, headers, hash, occurred_at, recorded_at)"
    " SELECT {event}::uuid, e.aggregate_type, {order}::uuid, 1, e.partition, e.event_type, {payload}, e.personal,"
    " e.salt, e.personal_digest, e.headers, {hash}, e.occurred_at, e.recorded_at" + _SAMPLE,
)


async def record_orders(url: str, count: int) -> None:
    """Adds orders with one event each until the write model at `url`, which has the sample orders, has `count`."""
    started = time.monotonic()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SET synchronous_commit = off")
        kinds = await connection.execute(
            "SELECT data_type FROM information_schema.columns WHERE table_name = 'outbox' AND column_name = 'payload'"
        )
        [kind] = await kinds.fetchone() or ["text"]
        parts = {"order": _ORDER, "event": _EVENT}
        parts["payload"] = _TEXT.format(column="e.payload", kind=kind, **parts)
        fields = " || ".join(_FRAMED.format(text=field.format(**parts)) for field in _HASHED)
        parts["hash"] = f"sha256(decode(repeat('00', 32), 'hex') || {fields} || e.personal_digest)"
        for first in range(1, count - SAMPLES + 1, CHUNK):
            last = min(first + CHUNK - 1, count - SAMPLES)
            await connection.execute("SELECT extend_outbox(2)")
            for statement in _COPY:
                await connection.execute(statement.format(**parts), {"first": first, "last": last, "samples": SAMPLES})
        await connection.execute(_HEADS)
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    tell(f"{count} orders recorded after {time.monotonic() - started:.0f} s")
