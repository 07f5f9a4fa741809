"""Describes one row of an outbox table, whatever its columns are called."""

from __future__ import annotations

from typing import NamedTuple


class OutboxEvent(NamedTuple):
    """One row of the outbox, as stored.

    Texts are the column's own text, byte columns are lower-case hex, times are µs since 1970 (None if the column is
    empty or not finite). The order of the fields matters: a poll selects the columns in this order, readers of the log
    fill the fields by number, and `MessageBuilder.event` unpacks them in this order.
    """

    position: int
    transaction_id: str
    event_id: str | None
    aggregate_type: str | None
    aggregate_id: str | None
    aggregate_version: int | None
    partition: int | None
    event_type: str | None
    payload: str | bytes | None
    personal: str | None
    salt: str | None
    personal_digest: str | None
    headers: str | None
    hash: str | None
    occurred_at: int | None
    recorded_at: int | None
