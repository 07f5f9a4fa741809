"""Declares the settings of notary and witness: environment variables that begin with `AUDIT_`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from audit.notes.keys import UnfitKey, check_name
from service_runtime.config import ListenAddress, ServiceSettings
from service_runtime.nats_servers import NatsUrl
from service_runtime.postgres_url import PostgresUrl
from service_runtime.process import StartupRefused

NOTARY_PROBES, WITNESS_PROBES = "127.0.0.1:9055", "127.0.0.1:9056"
DEFAULT_ORIGIN = "tandem.local/orders"


def _key_name(value: str) -> str:
    try:
        check_name(value)
    except UnfitKey as unfit:
        raise ValueError(str(unfit)) from None
    return value


class AuditSettings(ServiceSettings):
    """The settings of notary and witness. Each needs some that have no default; see `require`."""

    model_config = SettingsConfigDict(env_prefix="AUDIT_")

    database_url: PostgresUrl = Field(
        SecretStr(""),
        description="The database of the log, reached over TCP: postgresql://…; required by the notary",
        validate_default=False,
    )
    nats_url: NatsUrl = Field(
        SecretStr(""),
        description="NATS servers with the stream of events, separated by commas: nats://… or tls://…;"
        " one user:password@ is for all of them; required by the notary",
        validate_default=False,
    )
    stream: str = Field("ORDERS", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The stream of events")
    origin: Annotated[str, AfterValidator(_key_name)] = Field(
        DEFAULT_ORIGIN, description="Name of the log, and of its key: a URL without scheme that is yours"
    )
    key: SecretStr = Field(SecretStr(""), description="The log's signing key; the notary needs it or AUDIT_KEY_FILE")
    key_file: Path | None = Field(None, description="File of the log's signing key; `migrate` makes a missing one")
    witness_url: str = Field(
        "", pattern=r"^(https?://[^\s?#]+)?$", description="Where the witness answers: http://…; without one when empty"
    )
    witness_key: str = Field(
        "", description="The witness's verification key, or a file with it; its signatures are not verified when empty"
    )
    checkpoint_seconds: float = Field(
        8.0,
        ge=1,
        le=3600,
        description="Least time between two signed checkpoints; the next one may come 1 s + AUDIT_LINGER_SECONDS later",
    )
    batch_events: int = Field(200, ge=1, le=2000, description="Most messages appended in one transaction")
    linger_seconds: float = Field(
        0.5, ge=0, le=10, description="How long the notary waits for more after a batch that is not full"
    )
    witness_directory: Path | None = Field(
        None, description="Where the witness keeps its key and what it has signed; required by the witness"
    )
    witness_name: Annotated[str, AfterValidator(_key_name)] = Field(
        "tandem.local/witness", description="Name of the witness, and of its key: a URL without scheme that is yours"
    )
    log_key: str = Field("", description="The log's verification key, or a file with it; required by the witness")
    witness_listen: ListenAddress = Field("127.0.0.1:50054", description="Where the witness answers over HTTP")
    probes_listen: ListenAddress | None = Field(
        None,
        description=f"Where /livez, /readyz and /metrics are served; {NOTARY_PROBES} for a notary and {WITNESS_PROBES}"
        " for a witness when not set",
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR")

    @model_validator(mode="after")
    def _is_of_one_process(self) -> Self:
        if not self.database_url.get_secret_value() and self.witness_directory is None:
            raise ValueError("set AUDIT_DATABASE_URL for a notary, or AUDIT_WITNESS_DIRECTORY for a witness")
        return self


def require(settings: AuditSettings, process: str, *names: str) -> None:
    """Raises StartupRefused unless all these settings of a process are given."""
    missing = [name for name in names if not _given(getattr(settings, name))]
    if missing:
        raise StartupRefused("\n".join(f"AUDIT_{name.upper()} is not set; {process} needs it" for name in missing))


def _given(value: object) -> bool:
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)
