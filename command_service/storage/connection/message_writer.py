"""Writes statements as messages to the server, and names those that the server prepares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg.abc import AdaptContext, Transformer
from psycopg.adapt import PyFormat
from psycopg.adapt import Transformer as DriversTransformer

#: SQL with `$1` placeholders, and a value for each.
Statement = tuple[str, Sequence[Any]]
#: An SQL text and the types of its values. The server prepares each pair once per connection.
Key = tuple[str, tuple[int, ...]]

#: How many statements a connection prepares. Later ones run unprepared, so the server's memory stays bounded.
MOST_PREPARED = 200


class Message(NamedTuple):
    """A statement with its values as they are sent. Without a `name` it is not prepared."""

    key: Key
    name: bytes
    values: Sequence[Any]
    formats: Sequence[int] | None


class MessageWriter:
    """Writes the statements of one connection. It keeps the driver's objects that convert values."""

    def __init__(self, context: AdaptContext) -> None:
        """Takes the connection, whose adapters may change until the first statement is written."""
        #: The driver's converter, in both directions.
        self.values: Transformer = DriversTransformer(context)
        #: What the server has prepared.
        self.prepared: set[Key] = set()
        self._names: dict[Key, bytes] = {}

    def of(self, statement: Statement) -> Message:
        """Returns the message. Raises psycopg.Error when a value cannot be written."""
        message = self.unprepared(statement)
        name = self._names.get(message.key)
        if name is None:
            if len(self._names) >= MOST_PREPARED:
                return message
            name = self._names[message.key] = b"s%d" % len(self._names)
        return Message(message.key, name, message.values, message.formats)

    def unprepared(self, statement: Statement) -> Message:
        """Returns the message for a statement that is not prepared. Raises as `of`."""
        sql, values = statement
        if not values:
            return Message((sql, ()), b"", (), None)
        written = self.values.dump_sequence(values, [PyFormat.AUTO] * len(values))
        return Message((sql, self.values.types or ()), b"", written, self.values.formats)

    def forget(self) -> None:
        """Takes no statement for prepared any more. The names are used again."""
        self.prepared.clear()
        self._names.clear()
