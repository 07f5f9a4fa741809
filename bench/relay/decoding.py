"""Compares two ways to decode rows of the write-ahead log: a generated function, and a loop over the columns.

The loop reads the kind and length of each column and calls a reader for it. `relay.wal.tuple_program` generates Python
code that does the same without a loop. Nothing else runs, so the difference is what that module gains.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from bench.harness.rounds import Figures
from bench.relay.backlog import BASE_SLOT, Backlog
from relay.events.columns import ColumnNames
from relay.outbox.table import TableName
from relay.wal.pgoutput import INSERT, RELATION, read_relation
from relay.wal.tuple_decoder import TupleDecoder, find_layout
from relay.wal.tuple_program import Read

ROWS = 10_000
_PASSES = 5


@dataclass(frozen=True, slots=True)
class LoggedRows:
    """Insert messages of the outbox from the write-ahead log, and what is needed to decode them."""

    decoder: TupleDecoder
    inserts: Sequence[bytes]


async def logged_rows(backlog: Backlog) -> LoggedRows:
    """Returns the first rows of the backlog, as the server sends them to a relay."""
    async with await psycopg.AsyncConnection.connect(backlog.url, autocommit=True) as connection:
        layout = await find_layout(connection, TableName.parse("outbox"), ColumnNames.default())
        changes = await connection.execute(
            "SELECT data FROM pg_logical_slot_peek_binary_changes(%s, NULL, %s, 'proto_version', '1',"
            " 'publication_names', quote_ident(%s), 'binary', 'true')",
            [BASE_SLOT, ROWS, backlog.publication],
        )
        messages = [data async for (data,) in changes]
    relations = [read_relation(data) for data in messages if data[0] == RELATION]
    decoder = TupleDecoder(layout, next(one for one in relations if one.oid == layout.oid))
    return LoggedRows(decoder, [data for data in messages if data[0] == INSERT and data.startswith(decoder.head, 1)])


async def decode(rows: LoggedRows, read: Read) -> Figures:
    """Returns the CPU time that `read` needs to decode a row."""
    begun = time.process_time()
    for _ in range(_PASSES):
        for data in rows.inserts:
            read(data, 0)
    return {"us_per_row": 1e6 * (time.process_time() - begun) / (_PASSES * len(rows.inserts))}
