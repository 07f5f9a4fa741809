"""Outbox tables for relay tests: one like the product's, one of a foreign application."""

from __future__ import annotations

import psycopg

from relay.events.columns import ColumnNames

#: Like the product's table: partitioned, all columns, positions from a sequence without cache.
OUTBOX = """
CREATE TABLE outbox (
    position bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    event_id uuid NOT NULL DEFAULT gen_random_uuid(),
    aggregate_type text NOT NULL DEFAULT 'order',
    aggregate_id uuid NOT NULL,
    aggregate_version bigint NOT NULL,
    partition smallint NOT NULL DEFAULT 0,
    event_type text NOT NULL DEFAULT 'ORDER_REVISED',
    payload json NOT NULL DEFAULT '{"x":1}',
    personal json,
    salt bytea,
    personal_digest bytea,
    headers json NOT NULL DEFAULT '{"actor":"test"}',
    hash bytea,
    occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (position)
) PARTITION BY RANGE (position);
CREATE TABLE outbox_p0 PARTITION OF outbox FOR VALUES FROM (0) TO (5000000);
CREATE TABLE outbox_p1 PARTITION OF outbox FOR VALUES FROM (5000000) TO (10000000);
CREATE INDEX ON outbox (transaction_id);
CREATE TABLE aggregate (id uuid PRIMARY KEY, version bigint NOT NULL DEFAULT 0);
CREATE TABLE command_log (request text PRIMARY KEY);
"""

#: A foreign application's table: other names and types, and only one optional column.
FOREIGN = """
CREATE SCHEMA shop;
CREATE TABLE shop."Domain Events" (
    seq bigserial PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    uuid text NOT NULL DEFAULT gen_random_uuid()::text,
    kind text NOT NULL DEFAULT 'basket',
    "key" text NOT NULL,
    "type" text NOT NULL DEFAULT 'basket.changed',
    body jsonb NOT NULL DEFAULT '{"y": 2}',
    created_at timestamp NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    version int NOT NULL
);
CREATE INDEX ON shop."Domain Events" (xid);
CREATE TABLE aggregate (id uuid PRIMARY KEY, version bigint NOT NULL DEFAULT 0);
CREATE TABLE command_log (request text PRIMARY KEY);
"""

FOREIGN_TABLE = "shop.Domain Events"
FOREIGN_ENVIRONMENT = {
    "RELAY_TABLE": FOREIGN_TABLE,
    "RELAY_COLUMN_POSITION": "seq",
    "RELAY_COLUMN_TRANSACTION_ID": "xid",
    "RELAY_COLUMN_EVENT_ID": "uuid",
    "RELAY_COLUMN_AGGREGATE_TYPE": "kind",
    "RELAY_COLUMN_AGGREGATE_ID": "key",
    "RELAY_COLUMN_AGGREGATE_VERSION": "version",
    "RELAY_COLUMN_EVENT_TYPE": "type",
    "RELAY_COLUMN_PAYLOAD": "body",
    "RELAY_COLUMN_RECORDED_AT": "created_at",
}

#: How writers add an event: (aggregate id, version).
INSERT_OUTBOX = "INSERT INTO outbox (aggregate_id, aggregate_version) VALUES (%s, %s) RETURNING position"
INSERT_FOREIGN = 'INSERT INTO shop."Domain Events" ("key", version) VALUES (%s, %s) RETURNING seq'


def foreign_columns() -> ColumnNames:
    """Returns the columns of FOREIGN by role."""
    prefix = "RELAY_COLUMN_"
    names = {k.removeprefix(prefix).lower(): v for k, v in FOREIGN_ENVIRONMENT.items() if k.startswith(prefix)}
    return ColumnNames(names, frozenset())


async def create(url: str, ddl: str) -> None:
    """Runs the DDL in the database at `url`."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(ddl)
