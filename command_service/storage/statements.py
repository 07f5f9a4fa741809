"""Builds the SQL texts of INSERTs and UPDATEs from the tables, once at import.

A text does not depend on the number of rows, so a statement for many rows needs to be prepared only once. The
placeholders are PostgreSQL's own (`$1`), and the texts are sent unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from command_service.storage.connection.message_writer import Statement
from command_service.storage.tables.metadata import WRITTEN

_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Write:
    """An INSERT or UPDATE, and the columns whose values fill its placeholders, in the order of the placeholders."""

    sql: str
    columns: tuple[str, ...]

    def of_row(self, values: Mapping[str, Any]) -> Statement:
        """Returns the statement with the values of one row. Raises KeyError when a column's value is missing."""
        return self.sql, [values[column] for column in self.columns]

    def of_rows(self, rows: Sequence[Mapping[str, Any]]) -> Statement:
        """Returns the statement with the values of many rows, as one list per column. Raises KeyError like `of_row`."""
        return self.sql, [[values[column] for values in rows] for column in self.columns]


def insert_row(table: Table, suffix: str = "") -> Write:
    """Returns an INSERT of one row. `suffix` is SQL after the values, for example `ON CONFLICT DO NOTHING`."""
    columns = _written(table)
    places = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
    return Write(f"{_into(table, columns)} VALUES ({places}){' ' if suffix else ''}{suffix}", _names(columns))


def insert_rows(table: Table) -> Write:
    """Returns an INSERT of any number of rows, which gets one array per column."""
    columns = _written(table)
    return Write(f"{_into(table, columns)} SELECT * FROM unnest({_arrays(columns)})", _names(columns))  # noqa: S608


def update_row(table: Table, key: str, columns: Sequence[str]) -> Write:
    """Returns an UPDATE that sets `columns` of one row. The first placeholder is the row's value of `key`."""
    assigned = ", ".join(f"{column} = ${place}" for place, column in enumerate(columns, start=2))
    return Write(f"UPDATE {table.name} SET {assigned} WHERE {key} = $1", (key, *columns))  # noqa: S608


def update_rows(table: Table, keys: Sequence[str], columns: Sequence[str]) -> Write:
    """Returns an UPDATE that sets `columns` of any number of rows, found by `keys`. It gets one array per column."""
    names = (*keys, *columns)
    assigned = ", ".join(f"{column} = new.{column}" for column in columns)
    found = " AND ".join(f"{table.name}.{key} = new.{key}" for key in keys)
    arrays = _arrays([table.columns[name] for name in names])
    return Write(
        f"UPDATE {table.name} SET {assigned} FROM unnest({arrays}) AS new({', '.join(names)}) WHERE {found}",  # noqa: S608
        names,
    )


def _arrays(columns: Sequence[Column[Any]]) -> str:
    return ", ".join(
        f"${place}::{column.type.compile(_DIALECT).lower()}[]" for place, column in enumerate(columns, start=1)
    )


def _written(table: Table) -> list[Column[Any]]:
    """Returns the table's columns without those that the database fills (by a default or an identity)."""
    return [
        column
        for column in table.columns
        if (column.server_default is None and column.identity is None) or column.info.get(WRITTEN)
    ]


def _into(table: Table, columns: Sequence[Column[Any]]) -> str:
    return f"INSERT INTO {table.name} ({', '.join(_names(columns))})"


def _names(columns: Sequence[Column[Any]]) -> tuple[str, ...]:
    return tuple(column.name for column in columns)
