"""Declares the outbox, the command log, and the tables `source`, `outbox_parked` and `relay_state` of the relay.

Rows of `outbox` are only added. The one exception is a redaction, which nulls `personal` and `salt`. The
table is partitioned by position. The function `extend_outbox` creates partitions `outbox_p<N>` before they are needed.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.types import UserDefinedType

from command_service.storage.tables.metadata import check, metadata, moment, required, text_column


class TransactionId(UserDefinedType[str]):
    """PostgreSQL's `xid8`: a transaction id that never wraps around."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Returns the type's name in DDL."""
        return "xid8"


source = Table(
    "source",
    metadata,
    required("epoch", BigInteger),
    text_column("system_identifier"),
    required("timeline", Integer),
    Index("source_one_row_idx", text("(true)"), unique=True),
    check("epoch", "epoch >= 1"),
)

outbox = Table(
    "outbox",
    metadata,
    # CACHE 1: with a larger cache, the positions of one order need not rise with its versions.
    required("position", BigInteger, Identity(always=True, cache=1)),
    required("transaction_id", TransactionId(), server_default=text("pg_current_xact_id()")),
    required("event_id", Uuid),
    text_column("aggregate_type"),
    required("aggregate_id", Uuid),
    required("aggregate_version", BigInteger),
    required("partition", SmallInteger),
    text_column("event_type"),
    required("payload", JSON),
    Column("personal", JSON),
    Column("salt", LargeBinary),
    required("personal_digest", LargeBinary),
    required("headers", JSON),
    required("hash", LargeBinary),
    moment("occurred_at"),
    moment("recorded_at"),
    PrimaryKeyConstraint("position"),
    Index(None, "transaction_id"),
    Index(None, "aggregate_id", "aggregate_version"),
    check("aggregate_version", "aggregate_version >= 1"),
    check("partition", "partition BETWEEN 0 AND 63"),
    check("hash", "octet_length(hash) = 32 AND octet_length(personal_digest) = 32"),
    check("personal", "(personal IS NULL) = (salt IS NULL)"),
    postgresql_partition_by="RANGE (position)",
)

command_log = Table(
    "command_log",
    metadata,
    required("principal", Text),
    required("request_id", Uuid),
    required("fingerprint", LargeBinary),
    # Null only until the transaction that executes the command stores the response.
    Column("response", LargeBinary),
    required("recorded_at", DateTime(timezone=True), server_default=text("clock_timestamp()")),
    # The order in a response that no event names; null otherwise. A redaction finds the response by it.
    Column("shows", Uuid),
    PrimaryKeyConstraint("principal", "request_id"),
    Index(None, "recorded_at"),
    Index(None, "shows", postgresql_where=text("shows IS NOT NULL")),
)

outbox_parked = Table(
    "outbox_parked",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    text_column("aggregate_type"),
    text_column("aggregate_id"),
    required("aggregate_version", BigInteger),
    text_column("reason"),
    moment("parked_at"),
)

relay_state = Table(
    "relay_state",
    metadata,
    Column("stream", Text, primary_key=True),
    moment("stream_created_at"),
    required("publish_epoch", BigInteger),
    required("last_sequence", BigInteger),
    Column("cursor", Text),  # null while nothing has been published
    moment("updated_at"),
)
