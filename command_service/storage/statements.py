"""SQL texts built once from the tables. Each is constant, whatever the number of rows, so that the server prepares it.

Placeholders are PostgreSQL's own (`$1`): the texts here are sent as they stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT and the columns whose values it takes, in the order of its placeholders."""

    sql: str
    columns: tuple[str, ...]

    def row(self, values: Mapping[str, Any]) -> list[Any]:
        """Parameters of the single-row form; raises KeyError when a column's value is missing."""
        return [values[column] for column in self.columns]

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
        """Parameters of the many-row form: one list per column."""
        return [[values[column] for values in rows] for column in self.columns]


def insert_row(table: Table, suffix: str = "") -> Insert:
    """Inserts one row; `suffix` follows the values, for example `ON CONFLICT DO NOTHING`."""
    columns = _written(table)
    places = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
    return Insert(f"{_into(table, columns)} VALUES ({places}){' ' if suffix else ''}{suffix}", _names(columns))


def insert_rows(table: Table) -> Insert:
    """Inserts any number of rows in one statement: an array per column."""
    columns = _written(table)
    arrays = ", ".join(
        f"${place}::{column.type.compile(_DIALECT).lower()}[]" for place, column in enumerate(columns, start=1)
    )
    return Insert(f"{_into(table, columns)} SELECT * FROM unnest({arrays})", _names(columns))  # noqa: S608


def _written(table: Table) -> list[Column[Any]]:
    """What the service writes: all columns but those the database fills."""
    return [column for column in table.columns if column.server_default is None and column.identity is None]


def _into(table: Table, columns: Sequence[Column[Any]]) -> str:
    return f"INSERT INTO {table.name} ({', '.join(_names(columns))})"


def _names(columns: Sequence[Column[Any]]) -> tuple[str, ...]:
    return tuple(column.name for column in columns)
