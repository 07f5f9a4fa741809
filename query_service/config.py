"""Declares the settings of the query service. All come from environment variables."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from query_service.store_url import read_http_url
from service_runtime.config import ListenAddress, OptionalAddress, ServiceSettings
from service_runtime.nats_servers import NatsUrl

SERVE_PROBES, PROJECT_PROBES = "127.0.0.1:9053", "127.0.0.1:9054"


def _http_url(value: SecretStr) -> SecretStr:
    """Checks the URL as the client reads it, which has no default port for http. Raises ValueError."""
    try:
        read_http_url(value.get_secret_value())
    except ValueError:
        raise ValueError("must be one URL with its port, such as http://127.0.0.1:9200") from None
    return value


class QuerySettings(ServiceSettings):
    """The settings of the environment variables `QUERY_…`."""

    model_config = SettingsConfigDict(env_prefix="QUERY_")

    read_store: Literal["physical", "memory"] = Field(
        "physical",
        description="Where the read model is kept: physical (Elasticsearch), or memory (one process, for experiments)",
    )
    elasticsearch_url: Annotated[SecretStr, AfterValidator(_http_url)] = Field(
        SecretStr(""),
        description="Elasticsearch, required by the physical read store: one URL, http://… or https://…; user:password@"
        " is sent with each request",
        validate_default=False,
    )
    index_prefix: str = Field(
        "",
        pattern=r"^([a-z0-9][a-z0-9_.-]{0,63})?$",
        description="Put before the names of all indices: keeps installations apart that share an Elasticsearch",
    )
    nats_url: NatsUrl = Field(
        description="NATS servers with the stream of events, separated by commas: nats://… or tls://…;"
        " one user:password@ is for all of them"
    )
    stream: str = Field("ORDERS", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The stream of events")
    consumer: str = Field(
        "orders-projector", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The durable consumer all projectors share"
    )
    export_address: OptionalAddress = Field(
        "",
        description="The command service's export listener, HOST:PORT (COMMAND_EXPORT_LISTEN there). Rebuilding the"
        " read model and checking it for drift need it",
    )
    listen: ListenAddress = Field("127.0.0.1:50052", description="Where gRPC is served")
    probes_listen: ListenAddress | None = Field(
        None,
        description=f"Where /livez, /readyz and /metrics are served; {SERVE_PROBES} for serve and {PROJECT_PROBES} for"
        " project when not set",
    )
    max_concurrent_rpcs: int = Field(
        200, ge=1, le=1_000_000, description="Calls at once; more are refused with RESOURCE_EXHAUSTED"
    )
    max_watchers: int = Field(
        2000, ge=1, le=100_000, description="Watches at once (`WatchOrders`); more are refused with RESOURCE_EXHAUSTED"
    )
    watch_seconds: float = Field(
        600.0, gt=0, description="A watch ends after at most this long; its caller resumes it, perhaps on a new replica"
    )
    watch_silence_seconds: float = Field(
        5.0, gt=0, description="After this long without a change a watch sends a sign of life"
    )
    watch_buffer: int = Field(
        1000, ge=1, le=100_000, description="Changes that may wait for a slow watcher before its watch is ended"
    )
    max_message_bytes: int = Field(1_048_576, ge=1024, le=1 << 30, description="Largest request")
    deadline_cap_seconds: float = Field(30.0, gt=0, description="Longest time any call may take")
    shutdown_grace_seconds: float = Field(20.0, gt=0, description="Time that running calls get to end at a stop")
    reflection: bool = Field(default=True, description="Whether gRPC reflection is served")
    read_timeout_seconds: float = Field(
        2.0, gt=0, description="Longest time one request of serve to the store may take"
    )
    write_timeout_seconds: float = Field(
        30.0, gt=0, description="Longest time one request of project to the store may take"
    )
    finality_margin_seconds: float = Field(
        5.0,
        ge=0,
        description="An answer for a read_time is final when the read model is this much past it: longer than any"
        " transaction of the write side",
    )
    bulk_events: int = Field(500, ge=1, le=5000, description="Most events projected at once")
    bulk_bytes: int = Field(8_388_608, ge=1024, description="Most bytes of events projected at once")
    bulk_linger_ms: float = Field(1.0, ge=0, le=1000, description="How long a batch that is not full waits for more")
    bulk_concurrency: int = Field(4, ge=1, le=16, description="Batches in flight per projector")
    max_projectors: int = Field(10, ge=1, description="Projectors that may run at once; sizes the shared consumer")
    ack_wait_seconds: float = Field(
        5.0, ge=1, description="After this much silence of a projector its unfinished events go to another one"
    )
    drift_budget: float = Field(
        0.01,
        ge=0,
        le=1,
        description="The share of one processor core that a projector spends on checking the read model for drift, one"
        " projector at a time; 0: no checks",
    )
    drift_round_seconds: float = Field(
        60.0, gt=0, description="The least time between the starts of two checks of the whole read model"
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR")

    @model_validator(mode="after")
    def _store_is_known(self) -> Self:
        if self.read_store == "physical" and not self.elasticsearch_url.get_secret_value():
            raise ValueError("QUERY_ELASTICSEARCH_URL is not set; QUERY_READ_STORE=physical needs it")
        return self

    @property
    def max_ack_pending(self) -> int:
        """The number of unacknowledged events that all projectors together may have."""
        return max(2, self.bulk_concurrency) * self.bulk_events * self.max_projectors
