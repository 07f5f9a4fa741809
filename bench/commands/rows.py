"""Creates write models of a given size by copying one real order with INSERT … SELECT."""

from __future__ import annotations

import time

import psycopg
from psycopg import sql

from bench.commands.calls import orders
from bench.commands.statements import record
from bench.harness.checkout import WORKING_TREE, Checkout
from bench.harness.progress import tell
from bench.harness.servers import WithPostgres
from devstack.stack.service_process import run_once

CHUNK = 250_000
#: The id of a copied row: its first digit is a letter for the kind, its last twelve digits are the number of the copy.
_ID = "('{}0000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"
#: The statements that copy. Parameters: the original order's ids, and the first and last number of the copies.
_MULTIPLY = (
    "INSERT INTO orders SELECT (jsonb_populate_record(o, jsonb_build_object('order_id', {order}, 'order_number',"
    " 'M' || n, 'head_event_id', {event}))).* FROM orders o, generate_series(%(first)s::bigint, %(last)s) n"
    " WHERE o.order_id = %(seed)s",
    "INSERT INTO order_lines SELECT (jsonb_populate_record(l, jsonb_build_object('order_id', {order}))).*"
    " FROM order_lines l, generate_series(%(first)s::bigint, %(last)s) n"
    " WHERE l.order_id = %(seed)s AND l.line_number = 1",
    "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, aggregate_version, partition, event_type, payload,"
    " personal, salt, personal_digest, headers, hash, occurred_at, recorded_at)"
    " SELECT {event}, aggregate_type, {order}, 1, partition, event_type, '{{}}', personal, salt, personal_digest,"
    " headers, hash, occurred_at, recorded_at FROM outbox o, generate_series(%(first)s::bigint, %(last)s) n"
    " WHERE o.position = 1 AND o.aggregate_id = %(seed)s",
    "INSERT INTO command_log (principal, request_id, fingerprint, response) SELECT principal, {request}, fingerprint,"
    " substr(response, 1, 100) FROM command_log c, generate_series(%(first)s::bigint, %(last)s) n"
    " WHERE c.request_id = %(request)s",
)


async def make_write_model(servers: WithPostgres, name: str, rows: int, checkout: Checkout = WORKING_TREE) -> str:
    """Creates a database with `rows` rows each of orders, lines, events and logged commands. Returns its URL.

    `checkout` is the code that creates the tables; only that of the working tree can fill them.
    """
    url = await servers.postgres.ensure_database(name)
    settings = {**checkout.environment, "COMMAND_DATABASE_URL": url}
    await run_once("migrate", ["command_service", "migrate"], settings, servers.directory / name)
    if rows == 0:
        return url
    (seed,) = orders(1)
    await record(url, [seed], [])
    started = time.monotonic()
    seeds = {"seed": seed.order_id, "request": seed.request_id}
    ids = {"order": _ID.format("a"), "event": _ID.format("b"), "request": _ID.format("c")}
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SET synchronous_commit = off")
        for first in range(1, rows + 1, CHUNK):
            last = min(first + CHUNK - 1, rows)
            await connection.execute("SELECT extend_outbox(2)")
            for statement in _MULTIPLY:
                await connection.execute(statement.format(**ids), {**seeds, "first": first, "last": last})
            tell(f"{name}: {last} of {rows} rows after {time.monotonic() - started:.0f} s")
        await connection.execute("ANALYZE")
        await connection.execute("CHECKPOINT")
    tell(f"{name}: {rows} rows of each table loaded in {time.monotonic() - started:.0f} s")
    return url


async def copy_write_model(servers: WithPostgres, template: str, name: str) -> str:
    """Creates a database as a copy of another one, to which nobody is connected. Returns its URL."""
    command = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    async with await psycopg.AsyncConnection.connect(servers.postgres.url, autocommit=True) as connection:
        await connection.execute(command)
    return servers.postgres.database_url(name)


async def partitions_changed(url: str) -> set[str]:
    """Returns the outbox partitions that were written or read since `forget_changes`.

    A partition that housekeeping adds meanwhile does not count, because Postgres reads no rows from it.
    """
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        rows = await connection.execute(
            "SELECT relname FROM pg_stat_user_tables WHERE relname ~ '^outbox_p[0-9]+$'"
            " AND n_tup_ins + n_tup_upd + n_tup_del + coalesce(seq_tup_read, 0) + coalesce(idx_scan, 0) > 0"
        )
        return {str(name) for (name,) in await rows.fetchall()}


async def forget_changes(url: str) -> None:
    """Resets the database's counters that `partitions_changed` reads."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SELECT pg_stat_reset()")
