"""Counts what one command costs in Postgres: on the connection, as the protocol tells it, and in the log."""

from __future__ import annotations

from typing import Any

import psycopg

from bench.counts.postgres_tap import PostgresTap
from bench.counts.steady import Figures
from bench.counts.tcp_proxy import TcpProxy

#: The log's records of the transaction that wrote an event. Those by which Postgres makes room in tables and indices
#: are left out, since when it does so depends on chance.
_RECORDS = """
    SELECT count(*)
    FROM pg_get_wal_records_info(%(begin)s::pg_lsn, pg_current_wal_flush_lsn())
    WHERE xid = (SELECT transaction_id::xid FROM outbox
                 WHERE aggregate_id = %(order_id)s AND aggregate_version = %(version)s)
    AND record_type NOT IN ('NEWROOT', 'INSERT_UPPER') AND record_type NOT LIKE 'PRUNE%%'
    AND resource_manager NOT IN ('Sequence', 'XLOG')"""


class CommandCounter:
    """Counts from `begin` on. `inspector` is a connection to the same database that is not counted."""

    def __init__(self, proxy: TcpProxy[PostgresTap], inspector: psycopg.AsyncConnection[Any]) -> None:
        self._proxy, self._inspector = proxy, inspector
        self._before: Figures = {}
        self._log_position = ""

    async def begin(self) -> None:
        """Begins to count one command."""
        self._log_position = str((await self._row("SELECT pg_current_wal_insert_lsn()"))[0])
        self._before = self._totals()

    async def figures(self, order_id: str, version: int) -> Figures:
        """Returns the counts of the command that brought an order to a version."""
        found: dict[str, int | None] = {}
        for name, after in self._totals().items():
            before = self._before[name]
            found[name] = None if after is None or before is None else after - before
        parameters = {"begin": self._log_position, "order_id": order_id, "version": version}
        found["wal_records"] = int((await self._row(_RECORDS, parameters))[0])
        return found

    async def _row(self, query: str, parameters: dict[str, Any] | None = None) -> tuple[Any, ...]:
        row = await (await self._inspector.execute(query.encode(), parameters)).fetchone()
        assert row is not None
        return tuple(row)

    def _totals(self) -> Figures:
        taps = [passed.tap for passed in self._proxy.passed]
        sends = [passed.sends() for passed in self._proxy.passed]
        return {
            "statements": sum(tap.statements for tap in taps),
            "statements_parsed": sum(tap.parsed for tap in taps),
            "round_trips": sum(tap.round_trips for tap in taps),
            "sends": None if None in sends else sum(number or 0 for number in sends),
            "bytes_sent": sum(tap.bytes_sent for tap in taps),
            "bytes_received": sum(tap.bytes_received for tap in taps),
        }
