"""Declares the settings of the command service. All come from environment variables."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from service_runtime.config import ListenAddress, OptionalAddress, ServiceSettings
from service_runtime.postgres_url import PostgresUrl


class CommandSettings(ServiceSettings):
    """The settings of the command service, from the environment variables `COMMAND_…`."""

    model_config = SettingsConfigDict(env_prefix="COMMAND_")

    database_url: PostgresUrl = Field(
        description="PostgreSQL to write to: the primary, version 15 or newer; of several hosts, separated by"
        " commas, the one that accepts writes (target_session_attrs=read-write)"
    )
    listen: ListenAddress = Field("127.0.0.1:50051", description="Where gRPC is served")
    probes_listen: ListenAddress = Field("127.0.0.1:9051", description="Where /livez, /readyz and /metrics are served")
    pool_size: int = Field(16, ge=1, le=1000, description="Connections to the database")
    max_concurrent_rpcs: int = Field(
        200, ge=1, le=1_000_000, description="Calls at once; more are refused with RESOURCE_EXHAUSTED"
    )
    max_connections: int = Field(
        4000, ge=1, le=1_000_000, description="Connections of callers; more are closed at once"
    )
    max_connection_age_seconds: float = Field(
        60.0,
        gt=0,
        le=86_400,
        description="Age at which a connection gets no new calls, so that callers spread over new replicas; its running"
        " calls and imports then get COMMAND_SHUTDOWN_GRACE_SECONDS. gRPC varies it by a tenth",
    )
    max_import_streams: int = Field(
        4,
        ge=1,
        description="Imports at once; more are refused. Together they use half of the pool",
    )
    max_message_bytes: int = Field(1_048_576, ge=1024, le=1 << 30, description="Largest request")
    max_event_bytes: int = Field(
        900_000,
        ge=100_000,
        description="Largest event, JSON text; must fit into a message of the broker, and never be lowered: orders"
        " that were accepted under a larger limit could not be changed any more",
    )
    deadline_cap_seconds: float = Field(30.0, gt=0, description="Longest time any call may take")
    shutdown_grace_seconds: float = Field(20.0, gt=0, description="Time that running calls get to end at a stop")
    replay_retention_hours: float = Field(
        48.0, ge=24, description="How long a repeated request gets the first response; at least 24"
    )
    export_listen: OptionalAddress = Field(
        "127.0.0.1:50053",
        description="Where exports are served over gRPC, to rebuild and check read models; empty: nowhere. Open it to"
        " operators and the read side only: exports contain all orders, with personal data",
    )
    export_pool_size: int = Field(
        4, ge=1, le=100, description="Most connections to the database for exports; opened when there is an export"
    )
    export_max_calls: int = Field(16, ge=1, le=1000, description="Exports at once; more are refused")
    export_orders_per_second: int = Field(
        0, ge=0, description="Most orders (or events) per second that all exports together read; 0: no limit"
    )
    export_deadline_seconds: float = Field(
        300.0, gt=0, description="Longest time of one statement of an export; the digest of all orders is the longest"
    )
    reflection: bool = Field(default=True, description="Whether gRPC reflection is served")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR")
    log_sql: bool = Field(default=False, description="Whether each transaction's SQL, without values, is logged")
