"""Declares the tables' metadata, the names of their constraints, and functions for columns of common kinds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Integer, MetaData, Text, text

#: The names that PostgreSQL itself gives to constraints, so that hand-written SQL and these tables agree.
NAMES = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}
#: The key in `Column.info` of a column that is written although the database has a value for it.
WRITTEN = "written"
metadata = MetaData(naming_convention=NAMES)


def required(name: str, kind: Any, *parts: Any, **options: Any) -> Column[Any]:
    """Returns a column that is never null."""
    return Column(name, kind, *parts, nullable=False, **options)


def text_column(name: str) -> Column[Any]:
    """Returns a text column that may be empty and is never null."""
    return required(name, Text)


def amount(name: str) -> Column[Any]:
    """Returns a column for an amount in minor units. It is never null."""
    return required(name, BigInteger)


def pieces(name: str) -> Column[Any]:
    """Returns a column for a number of pieces. It is never null."""
    return required(name, Integer)


def given_later(name: str, kind: Any, default: str) -> Column[Any]:
    """Returns a column that a later revision added. It is never null, and always written.

    Earlier rows have the SQL expression `default`. PostgreSQL adds such a column without rewriting the table.
    """
    return required(name, kind, server_default=text(default), info={WRITTEN: True})


def moment(name: str, *, nullable: bool = False) -> Column[Any]:
    """Returns a column for a point in time."""
    return Column(name, DateTime(timezone=True), nullable=nullable)


def check(name: str, condition: str) -> CheckConstraint:
    """Returns a CHECK constraint; the naming convention completes its `name`."""
    return CheckConstraint(condition, name=name)


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    """Returns a CHECK constraint that the column holds one of `values`."""
    listed = ", ".join(f"'{value}'" for value in values)
    return check(column, f"{column} IN ({listed})")
