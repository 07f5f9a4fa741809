"""Looks up the outbox table in the catalogue, and builds the SQL that reads it.

The *difference* of two snapshots `seen` and `upto` is the rows that `upto` sees and `seen` does not. The statements are
written so that the planner has one sensible plan. A small difference is found by the index on the transaction id (two
look-ups, `UNION ALL`), and a backlog is read along the primary key.
"""
# ruff: noqa: S608 - all that is put into SQL here is a quoted identifier

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from relay.events.columns import ColumnNames
from relay.events.errors import Refused
from relay.events.event import OutboxEvent
from relay.events.snapshot import Snapshot
from relay.outbox.database import DatabaseConnection

_INTEGERS = frozenset({"smallint", "integer", "bigint"})
_TIMES = frozenset({"timestamp with time zone", "timestamp without time zone"})
_JSON = frozenset({"json", "jsonb"})
_PLAIN = _INTEGERS | {"uuid", "bytea"}
_TYPES: Mapping[str, frozenset[str]] = {
    "position": _INTEGERS,
    "transaction_id": frozenset({"xid8"}),
    "recorded_at": _TIMES,
    "occurred_at": _TIMES,
    "aggregate_version": _INTEGERS,
    "partition": _INTEGERS,
}


#: Settings of a session that reads the outbox. With them, its statements get the one good plan whatever the statistics.
PLANNER_SETTINGS = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
#: The name of the statement that a source prepares. With many partitions, planning it costs more than running it.
PREPARED = "tandem_relay_difference"
_PREPARED_PARAMETERS = {
    "from_id": "xid8",
    "to_id": "xid8",
    "upto": "pg_snapshot",
    "ended": "xid8[]",
    "after": "bigint",
    "limit": "bigint",
}


@dataclass(frozen=True, slots=True)
class TableName:
    """A table's name. `schema` is None if the search path finds the table."""

    schema: str | None
    name: str

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Reads `name` or `schema.name`."""
        schema, _, name = text.rpartition(".")
        return cls(schema or None, name)

    def beside(self, name: str) -> TableName:
        """Returns the name of another table in the same schema."""
        return TableName(self.schema, name)

    @property
    def quoted(self) -> str:
        """The quoted name for SQL that psycopg gets with parameters: each `%` is doubled."""
        return self.plain.replace("%", "%%")

    @property
    def plain(self) -> str:
        """The quoted name for SQL that people read, and for the parameter of `to_regclass`."""
        parts = [self.schema, self.name] if self.schema else [self.name]
        return sql.Identifier(*parts).as_string()

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


@dataclass(frozen=True, slots=True)
class Query:
    """A statement with its parameters by name."""

    text: str
    parameters: Mapping[str, Any] | None


class OutboxTable:
    """Builds the SQL that reads one outbox table.

    Rows up to the position `floor` were restored from another cluster, so their transaction ids mean nothing here.
    The adoption has delivered them (see `relay.adoption`). They are read again only if the stream is filled anew from
    the first row. Without an adoption, `floor` is 0.
    """

    def __init__(self, name: TableName, columns: Mapping[str, str], types: Mapping[str, str]) -> None:
        self.name = name
        self.floor = 0
        self.has_personal = "personal" in columns
        #: Roles whose values consist of digits, letters and dashes in every row, because of the column's type.
        self.plain_roles = frozenset(role for role in columns if types[role] in _PLAIN)
        #: Roles whose values are JSON, which has control characters between its tokens only.
        self.json_roles = frozenset(role for role in columns if types[role] in _JSON)
        #: Roles whose values are bytes, in hex.
        self.byte_roles = frozenset(role for role in columns if types[role] == "bytea")
        #: Columns and expressions as SQL. `event_id` is a text, as the stream has it. `recorded_at` is in µs.
        self.position = self._position = _quoted(columns["position"])
        self.transaction_id = self._transaction = _quoted(columns["transaction_id"])
        self.event_id = _expression("event_id", columns, types)
        self.recorded_at = self._recorded_at = _expression("recorded_at", columns, types)
        self.event_type = _expression("event_type", columns, types)
        self.aggregate_id = _expression("aggregate_id", columns, types)
        self._position_column = columns["position"]
        self._select = ", ".join(f"{_expression(role, columns, types)} AS {role}" for role in OutboxEvent._fields)

    def by_transaction(self, seen: Snapshot, upto: Snapshot, after: int, limit: int) -> Query:
        """Returns the query for the first `limit` rows of the difference after the position `after`.

        It uses the index on the transaction id. `seen` does not see transactions that began after it, and those that
        were open then. Of the second kind, only those that `upto` sees as ended are looked up, so a transaction that
        stays open costs nothing. `+ 0` keeps the planner from using the primary key. Columns become texts only for the
        rows within the limit.
        """
        text = f"""
            SELECT {self._select} FROM (
                SELECT * FROM (
                    SELECT * FROM {self.name.quoted}
                    WHERE {self._transaction} >= %(from_id)s::xid8 AND {self._transaction} < %(to_id)s::xid8
                      AND pg_visible_in_snapshot({self._transaction}, %(upto)s::pg_snapshot)
                      AND {self._position} + 0 > %(after)s::bigint
                    UNION ALL
                    SELECT * FROM {self.name.quoted}
                    WHERE {self._transaction} = ANY(%(ended)s::xid8[]) AND {self._position} + 0 > %(after)s::bigint
                ) AS fresh ORDER BY {self._position} + 0 LIMIT %(limit)s::bigint
            ) AS chosen ORDER BY {self._position}"""
        return Query(text, self._difference(seen, upto) | {"after": max(after, self.floor), "limit": limit})

    def prepare_by_transaction(self) -> str:
        """Returns the PREPARE statement for `by_transaction`."""
        numbered = {name: f"${number}" for number, name in enumerate(_PREPARED_PARAMETERS, 1)}
        query = self.by_transaction(Snapshot(3, 3), Snapshot(3, 3), 0, 0)
        return f"PREPARE {PREPARED} ({', '.join(_PREPARED_PARAMETERS.values())}) AS {query.text % numbered}"

    def execute_by_transaction(self, seen: Snapshot, upto: Snapshot, after: int, limit: int) -> str:
        """Returns the EXECUTE statement for the prepared one. Its literals are safe: they are numbers and snapshots."""
        values = self._difference(seen, upto) | {"after": max(after, self.floor), "limit": limit}
        literals = (
            f"'{{{','.join(values[name])}}}'" if name == "ended" else f"'{values[name]}'"
            for name in _PREPARED_PARAMETERS
        )
        return f"EXECUTE {PREPARED} ({', '.join(literals)})"

    def by_position(
        self,
        seen: Snapshot | None,
        upto: Snapshot,
        after: int,
        limit: int,
        until: int | None,
        condition: str = "",
        more: Mapping[str, Any] | None = None,
    ) -> Query:
        """Returns the query for the first `limit` rows of the difference after `after`, along the primary key.

        `seen` None stands for a snapshot that sees nothing. `until` limits the positions; None for no limit.
        `condition` is further SQL, ` AND …`, with the parameters `more`.
        """
        after = max(after, self.floor) if seen else after
        restored = f"{self._position} <= %(floor)s::bigint OR" if self.floor and not seen else ""
        text = f"""
            SELECT {self._select} FROM {self.name.quoted}
            WHERE {self._position} > %(after)s::bigint
              {f"AND {self._position} <= %(until)s::bigint" if until is not None else ""}
              AND ({restored} pg_visible_in_snapshot({self._transaction}, %(upto)s::pg_snapshot))
              {f"AND NOT pg_visible_in_snapshot({self._transaction}, %(seen)s::pg_snapshot)" if seen else ""}{condition}
            ORDER BY {self._position} LIMIT %(limit)s::bigint"""
        parameters: dict[str, Any] = {"upto": upto.text, "after": after, "limit": limit, "floor": self.floor}
        if until is not None:
            parameters["until"] = until
        if seen:
            parameters["seen"] = seen.text
        parameters |= more or {}
        return Query(text, parameters)

    def count_since(self, seen: Snapshot, now: Snapshot, limit: int, covered: Sequence[int] = ()) -> Query:
        """Returns the query for (rows, least recorded_at in µs) of the difference, which counts at most `limit` rows.

        Rows of the transactions `covered` are not counted.
        """
        text = f"""
            SELECT count(*), min(recorded_at) FROM (
                SELECT {self._recorded_at} AS recorded_at FROM {self.name.quoted}
                WHERE {self._transaction} >= %(from_id)s::xid8 AND {self._transaction} < %(to_id)s::xid8
                  AND pg_visible_in_snapshot({self._transaction}, %(upto)s::pg_snapshot)
                  AND {self._transaction} <> ALL(%(covered)s::xid8[])
                  AND {self._position} + 0 > %(floor)s::bigint
                UNION ALL
                SELECT {self._recorded_at} FROM {self.name.quoted}
                WHERE {self._transaction} = ANY(%(ended)s::xid8[])
                  AND {self._transaction} <> ALL(%(covered)s::xid8[])
                  AND {self._position} + 0 > %(floor)s::bigint
                LIMIT %(limit)s::bigint
            ) AS uncovered"""
        more = {"limit": limit, "covered": [str(one) for one in covered], "floor": self.floor}
        return Query(text, self._difference(seen, now) | more)

    def transactions_between(self, seen: Snapshot, upto: Snapshot, limit: int) -> Query:
        """Returns the query for the first `limit` ids, ascending, of the transactions with rows in the difference."""
        text = f"""
            SELECT DISTINCT id::text::numeric AS id FROM (
                SELECT {self._transaction} AS id FROM {self.name.quoted}
                WHERE {self._transaction} >= %(from_id)s::xid8 AND {self._transaction} < %(to_id)s::xid8
                  AND pg_visible_in_snapshot({self._transaction}, %(upto)s::pg_snapshot)
                  AND {self._position} + 0 > %(floor)s::bigint
                UNION ALL
                SELECT {self._transaction} FROM {self.name.quoted}
                WHERE {self._transaction} = ANY(%(ended)s::xid8[]) AND {self._position} + 0 > %(floor)s::bigint
            ) AS fresh ORDER BY id LIMIT %(limit)s::bigint"""
        return Query(text, self._difference(seen, upto) | {"limit": limit, "floor": self.floor})

    def joined(
        self, table: str, column: str, after: int, limit: int, parameters: Mapping[str, Any] | None = None
    ) -> Query:
        """Returns the query for rows whose positions are in `column` of another table, after `after`, by position.

        `table` is the SQL of that table or subquery, `parameters` are the parameters in that SQL.
        """
        text = f"""
            SELECT {self._select} FROM {self.name.quoted} JOIN {table} ON {self._position} = {column}
            WHERE {column} > %(after)s::bigint ORDER BY {column} LIMIT %(limit)s::bigint"""
        return Query(text, {"after": after, "limit": limit, **(parameters or {})})

    async def require_sequence_behind(self, connection: DatabaseConnection, position: int) -> None:
        """Raises Refused if the sequence would allocate positions that rows have, as after a partial restore."""
        row = await (
            await connection.execute(
                "SELECT sequence, pg_sequence_last_value(sequence::regclass) FROM"
                " pg_get_serial_sequence(%s, %s) AS sequence WHERE sequence IS NOT NULL",
                [self.name.plain, self._position_column],
            )
        ).fetchone()
        if row is not None and (row[1] or 0) < position:
            raise Refused(
                f"sequence {row[0]} is at {row[1] or 'its start'}, but table {self.name} has rows up to {position}:"
                f" SELECT setval('{row[0]}', {position})"
            )

    @staticmethod
    def counted(rows: Query) -> Query:
        """Returns the query for (number, least recorded_at in µs) of the rows that the query `rows` finds."""
        return Query(f"SELECT count(*), min(recorded_at) FROM ({rows.text}) AS uncovered", rows.parameters)

    @staticmethod
    def _difference(seen: Snapshot, upto: Snapshot) -> dict[str, Any]:
        ended = [str(one) for one in seen.ended_until(upto)]
        return {"from_id": str(seen.xmax), "to_id": str(upto.xmax), "upto": upto.text, "ended": ended}


async def find_table(connection: DatabaseConnection, name: TableName, columns: ColumnNames) -> OutboxTable:
    """Looks up the table, and checks that it has the columns, types and indexes that reading it needs.

    Raises Refused, which says what is missing and how to add it.
    """
    found = await (await connection.execute("SELECT to_regclass(%s)::oid", [name.plain])).fetchone()
    if found is None or found[0] is None:
        raise Refused(f"table {name} does not exist in this database: create it, or set RELAY_TABLE")
    table_oid = found[0]
    rows = await connection.execute(
        "SELECT attname, format_type(atttypid, NULL), attnum FROM pg_attribute"
        " WHERE attrelid = %s::oid AND attnum > 0 AND NOT attisdropped",
        [table_oid],
    )
    there = {column: (kind, number) for column, kind, number in await rows.fetchall()}
    types: dict[str, str] = {}
    names: dict[str, str] = {}
    for role, column in columns.names.items():
        if column in there:
            names[role], types[role] = column, there[column][0]
        elif role not in columns.optional:
            raise Refused(f"table {name} has no column {column!r}: {_remedy(role, name, column)}")
    for role, allowed in _TYPES.items():
        if role in types and types[role] not in allowed:
            wanted = " or ".join(sorted(allowed))
            raise Refused(f"column {names[role]!r} of table {name} is {types[role]}, but {role} must be {wanted}")
    await _require_indexes(connection, table_oid, name, names, {c: number for c, (_, number) in there.items()})
    await _require_uncached_sequence(connection, table_oid, name, there[names["position"]][1])
    return OutboxTable(name, names, types)


async def _require_indexes(
    connection: DatabaseConnection,
    table_oid: int,
    name: TableName,
    names: Mapping[str, str],
    numbers: Mapping[str, int],
) -> None:
    rows = await connection.execute(
        "SELECT DISTINCT indkey[0] FROM pg_index WHERE indrelid = %s::oid AND indisvalid AND indpred IS NULL",
        [table_oid],
    )
    first_columns = {number for (number,) in await rows.fetchall()}
    for role in ("position", "transaction_id"):
        if numbers[names[role]] not in first_columns:
            raise Refused(
                f"table {name} has no index that begins with {names[role]!r}, so every poll would read all of it:"
                f" CREATE INDEX ON {name.quoted} ({_quoted(names[role])})".replace("%%", "%")
            )


async def _require_uncached_sequence(
    connection: DatabaseConnection, table_oid: int, name: TableName, attribute: int
) -> None:
    rows = await connection.execute(
        """SELECT s.seqrelid::regclass::text, s.seqcache FROM pg_sequence s JOIN pg_depend d
             ON d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid
            WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %(table)s::oid AND d.refobjsubid = %(column)s
           UNION
           SELECT s.seqrelid::regclass::text, s.seqcache FROM pg_sequence s JOIN pg_depend d
             ON d.refclassid = 'pg_class'::regclass AND d.refobjid = s.seqrelid AND d.classid = 'pg_attrdef'::regclass
             JOIN pg_attrdef a ON a.oid = d.objid
            WHERE a.adrelid = %(table)s::oid AND a.adnum = %(column)s""",
        {"table": table_oid, "column": attribute},
    )
    for sequence, cache in await rows.fetchall():
        if cache != 1:
            raise Refused(
                f"sequence {sequence} of table {name} has CACHE {cache}, so positions of one aggregate need not rise:"
                f" ALTER SEQUENCE {sequence} CACHE 1"
            )


def _remedy(role: str, name: TableName, column: str) -> str:
    if role == "transaction_id":
        return (
            f"ALTER TABLE {name.quoted} ADD COLUMN {_quoted(column)} xid8 NOT NULL DEFAULT pg_current_xact_id(),"
            " and an index on it"
        ).replace("%%", "%")
    return f"set RELAY_COLUMN_{role.upper()} to the column that holds it"


def _quoted(column: str) -> str:
    return sql.Identifier(column).as_string().replace("%", "%%")


def _expression(role: str, columns: Mapping[str, str], types: Mapping[str, str]) -> str:
    if role not in columns:
        return "NULL::bigint" if _TYPES.get(role) in (_INTEGERS, _TIMES) else "NULL::text"
    column, kind = _quoted(columns[role]), types[role]
    if kind in _TIMES:
        return f"CASE WHEN isfinite({column}) THEN (extract(epoch FROM {column}) * 1000000)::bigint END"
    if kind in _INTEGERS and role in _TYPES:
        return f"{column}::bigint"
    if kind == "bytea":
        return column if role == "payload" else f"encode({column}, 'hex')"
    return f"{column}::text"
