"""Declares the relay's settings: environment variables that begin with `RELAY_`."""

from __future__ import annotations

import string
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from relay.events.columns import OPTIONAL_ROLES, REQUIRED_ROLES, ROLES, ColumnNames
from relay.events.subject import TEMPLATE_FIELDS, SubjectTemplate
from service_runtime.config import ListenAddress, ServiceSettings
from service_runtime.nats_files import UnfitFile, check_credentials, tls_context
from service_runtime.nats_servers import nats_servers
from service_runtime.postgres_url import check_postgres_url

DAY_SECONDS = 86_400
REPLICAS = (1, 3, 5)
#: NATS uses the name of a stream as one token in the subjects of its API, and as the name of a directory.
_STREAM = r"^[^\s.*>/\\\x00-\x1f\x7f]{1,255}$"
_LONGEST_NAME = 63


class RelaySettings(ServiceSettings):
    """The settings of one relay, which carries one outbox table into one stream."""

    model_config = SettingsConfigDict(env_prefix="RELAY_", frozen=True, extra="ignore", hide_input_in_errors=True)

    database_url: str = Field(description="the database with the outbox, reached over TCP: postgresql://…")
    nats_url: str = Field(
        description="NATS servers, separated by commas: nats://… or tls://…; one user:password@ is for all of them"
    )
    nats_credentials_file: str = Field("", description="NATS credentials (.creds) file, if the server wants one")
    nats_ca_file: str = Field("", description="certificate authority of the NATS server")
    nats_certificate_file: str = Field("", description="client certificate for NATS")
    nats_key_file: str = Field("", description="key of the client certificate for NATS")

    stream: str = Field(
        "ORDERS", pattern=_STREAM, description="name of the JetStream stream; this relay is its only publisher"
    )
    create_stream: bool = Field(True, description="create the stream when it is missing")
    stream_max_age_seconds: int = Field(
        7 * DAY_SECONDS, ge=60, le=100 * 366 * DAY_SECONDS, description="how long a created stream keeps messages"
    )
    stream_max_bytes: int = Field(8 << 30, ge=1 << 20, le=1 << 60, description="how large a created stream may become")
    stream_replicas: int = Field(
        1, description="how many servers of a cluster keep a created stream: 1, 3 or 5; more survive the loss of some"
    )
    subject_template: str = Field(
        "orders.v1.{partition}.{event_type}",
        description="subject of an event; fields: " + ", ".join(f"{{{name}}}" for name in TEMPLATE_FIELDS),
    )
    barrier_subject: str = Field("orders.v1.barrier", description="subject of barrier messages")
    event_source: str = Field(
        "/tandem/{source_epoch}/outbox", description="CloudEvents source; {source_epoch} is filled in"
    )

    table: str = Field("outbox", description="the outbox table, `name` or `schema.name`")
    source_table: str = Field("source", description="table that says which cluster the events belong to, if it exists")
    partitions: int = Field(64, ge=1, le=65_536, description="how many partitions, when the table has no such column")
    column_position: str = Field("position", description="column: bigint, drawn while the aggregate is locked")
    column_transaction_id: str = Field(
        "transaction_id", description="column: xid8 not null default pg_current_xact_id()"
    )
    column_event_id: str = Field("event_id", description="column: unique id of the event")
    column_aggregate_type: str = Field("aggregate_type", description="column: kind of aggregate")
    column_aggregate_id: str = Field("aggregate_id", description="column: the aggregate whose order is kept")
    column_event_type: str = Field("event_type", description="column: type of the event")
    column_payload: str = Field("payload", description="column: json, jsonb, text or bytea; published as stored")
    column_recorded_at: str = Field(
        "recorded_at", description="column: timestamptz, database clock; lag counts from it"
    )
    column_aggregate_version: str | None = Field(None, description="column (if it exists): version of the aggregate")
    column_partition: str | None = Field(None, description="column (if it exists): number for the subject")
    column_headers: str | None = Field(None, description="column (if it exists): JSON object sent with the event")
    column_hash: str | None = Field(None, description="column (if it exists): bytea sent as Tandem-Hash")
    column_occurred_at: str | None = Field(None, description="column (if it exists): business time, else recorded_at")
    column_personal: str | None = Field(None, description="column (if it exists): personal data, sent beside payload")
    column_salt: str | None = Field(None, description="column (if it exists): salt of the personal data's digest")
    column_personal_digest: str | None = Field(None, description="column (if it exists): digest of the personal data")

    mode: Literal["auto", "wal", "poll"] = Field(
        "auto",
        description="how events are found. auto: from the write-ahead log, polling whenever that cannot be read;"
        " wal: the same, but refuses to start where it can never be read; poll: only by polling",
    )
    publication: str = Field(
        "",
        description="publication for the log; empty: tandem_ and the table's name, beyond schema public with a digest",
    )
    publish: Literal["auto", "chain", "atomic"] = Field(
        "auto",
        description="chain: pipelined single publishes; atomic: batches; auto: atomic in a NATS cluster and where each"
        " publish syncs",
    )
    window_events: int = Field(4_096, ge=2, le=100_000, description="most events in flight")
    window_bytes: int = Field(16 << 20, ge=1 << 20, description="most bytes in flight")
    ack_timeout_seconds: float = Field(5.0, gt=0, le=60, description="an ack later than this is an unknown outcome")
    probes_listen: ListenAddress = Field("127.0.0.1:9052", description="/livez /readyz /metrics /lagz")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level that is logged")

    @field_validator("table", "source_table")
    @classmethod
    def _table_name(cls, value: str) -> str:
        if not all(0 < len(part.encode()) <= _LONGEST_NAME for part in value.rsplit(".", 1)):
            raise ValueError(f"must be name or schema.name, of up to {_LONGEST_NAME} bytes each")
        return value

    @field_validator("publication", *(f"column_{role}" for role in ROLES))
    @classmethod
    def _identifier(cls, value: str | None, info: ValidationInfo) -> str | None:
        role = str(info.field_name).removeprefix("column_")
        if not value and role in REQUIRED_ROLES:
            raise ValueError("is empty, but the relay cannot do without that column")
        if len((value or "").encode()) > _LONGEST_NAME:
            raise ValueError(f"is longer than the {_LONGEST_NAME} bytes that Postgres keeps of a name")
        return value

    @field_validator("database_url")
    @classmethod
    def _database_over_tcp(cls, value: str) -> str:
        check_postgres_url(value)
        return value

    @field_validator("nats_url")
    @classmethod
    def _nats_servers(cls, value: str) -> str:
        nats_servers(value)
        return value

    @field_validator("nats_credentials_file")
    @classmethod
    def _credentials(cls, value: str) -> str:
        if value:
            check_credentials(value)
        return value

    @model_validator(mode="after")
    def _tls_files(self) -> Self:
        files = self.nats_ca_file, self.nats_certificate_file, self.nats_key_file
        try:
            tls_context(files[0], "", "")
        except UnfitFile as unfit:
            raise ValueError(f"RELAY_NATS_CA_FILE: {files[0]} cannot be used: {unfit}") from None
        try:
            tls_context(*files)
        except UnfitFile as unfit:
            named = " and ".join(one for one in files[1:] if one)
            raise ValueError(
                f"RELAY_NATS_CERTIFICATE_FILE, RELAY_NATS_KEY_FILE: {named} cannot be used: {unfit}"
            ) from None
        return self

    @field_validator("stream_replicas")
    @classmethod
    def _odd_replicas(cls, value: int) -> int:
        if value not in REPLICAS:
            raise ValueError("must be 1, 3 or 5: an even number survives no more losses than the odd one below it")
        return value

    @field_validator("subject_template")
    @classmethod
    def _publishable_template(cls, value: str) -> str:
        SubjectTemplate(value)
        return value

    @field_validator("barrier_subject")
    @classmethod
    def _literal_subject(cls, value: str, info: ValidationInfo) -> str:
        if "{" in value:
            raise ValueError("must be a literal subject")
        SubjectTemplate(value)
        template = info.data.get("subject_template")
        if template is not None and SubjectTemplate(template).may_produce(value):
            raise ValueError("could also be the subject of an event by RELAY_SUBJECT_TEMPLATE; choose another")
        return value

    @field_validator("event_source")
    @classmethod
    def _source_fields(cls, value: str) -> str:
        fields = {tuple(field) for _, *field in string.Formatter().parse(value) if field[0] is not None}
        if not value or not fields <= {("source_epoch", "", None)} or not value.isascii() or not value.isprintable():
            raise ValueError("must hold printable ASCII, and no field but {source_epoch}")
        return value

    @property
    def database_name(self) -> str:
        """The database's address and name, without user and password: `127.0.0.1:5432/shop`."""
        parts = urlsplit(self.database_url)
        return f"{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def columns(self) -> ColumnNames:
        """The column names by role.

        An optional role that is not set has its own name, and its column may be missing. If it is set to an empty text,
        the role has no column.
        """
        given = {role: getattr(self, f"column_{role}") for role in ROLES}
        return ColumnNames(
            names={role: name if name is not None else role for role, name in given.items() if name != ""},
            optional=frozenset(role for role in OPTIONAL_ROLES if given[role] is None),
        )
