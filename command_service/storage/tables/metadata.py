"""Declares the collection of tables, the names of their constraints, and the kinds of columns they share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Integer, MetaData, Text

#: PostgreSQL's own names, so that hand-written SQL and the tables here agree without effort.
NAMES = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}
metadata = MetaData(naming_convention=NAMES)


def required(name: str, kind: Any, *parts: Any, **options: Any) -> Column[Any]:
    """A column that is never null."""
    return Column(name, kind, *parts, nullable=False, **options)


def text_column(name: str) -> Column[Any]:
    """Text that may be empty and is never null."""
    return required(name, Text)


def amount(name: str) -> Column[Any]:
    """Minor units."""
    return required(name, BigInteger)


def pieces(name: str) -> Column[Any]:
    """A quantity."""
    return required(name, Integer)


def moment(name: str, *, nullable: bool = False) -> Column[Any]:
    """A point in time."""
    return Column(name, DateTime(timezone=True), nullable=nullable)


def check(name: str, condition: str) -> CheckConstraint:
    """A condition that each row meets."""
    return CheckConstraint(condition, name=name)


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    """The column holds one of these texts."""
    listed = ", ".join(f"'{value}'" for value in values)
    return check(column, f"{column} IN ({listed})")
