"""Declares the settings of notary and witness: environment variables that begin with `AUDIT_`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from audit.notes.keys import UnfitKey, check_name
from service_runtime.config import ListenAddress, ServiceSettings
from service_runtime.nats_servers import nats_servers
from service_runtime.postgres_url import check_postgres_url

NOTARY_PROBES, WITNESS_PROBES = "127.0.0.1:9055", "127.0.0.1:9056"
DEFAULT_ORIGIN = "tandem.local/orders"


def _nats_url(value: SecretStr) -> SecretStr:
    nats_servers(value.get_secret_value())
    return value


def _postgres_url(value: SecretStr) -> SecretStr:
    check_postgres_url(value.get_secret_value())
    return value


def _key_name(value: str) -> str:
    try:
        check_name(value)
    except UnfitKey as unfit:
        raise ValueError(str(unfit)) from None
    return value


class NotarySettings(ServiceSettings):
    """The settings of the process that writes the log."""

    model_config = SettingsConfigDict(env_prefix="AUDIT_")

    database_url: Annotated[SecretStr, AfterValidator(_postgres_url)] = Field(
        description="The database of the log, reached over TCP: postgresql://…"
    )
    nats_url: Annotated[SecretStr, AfterValidator(_nats_url)] = Field(
        description="NATS servers with the stream of events, separated by commas: nats://… or tls://…;"
        " one user:password@ is for all of them"
    )
    stream: str = Field("ORDERS", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The stream of events")
    origin: Annotated[str, AfterValidator(_key_name)] = Field(
        DEFAULT_ORIGIN, description="Name of the log, and of its key: a URL without scheme that is yours"
    )
    key_file: Path = Field(description="File of the log's signing key; `migrate` makes it if it is missing")
    witness_url: str = Field(
        "", pattern=r"^(https?://[^\s?#]+)?$", description="Where the witness answers: http://…; without one when empty"
    )
    witness_key: str = Field(
        "", description="The witness's verification key, or a file with it; its signatures are not verified when empty"
    )
    checkpoint_seconds: float = Field(10.0, ge=1, le=3600, description="Least time between two signed checkpoints")
    batch_events: int = Field(200, ge=1, le=2000, description="Most messages appended in one transaction")
    probes_listen: ListenAddress = Field(
        NOTARY_PROBES, description=f"Where /livez, /readyz and /metrics are served; {WITNESS_PROBES} for a witness"
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR")


class WitnessSettings(ServiceSettings):
    """The settings of a witness."""

    model_config = SettingsConfigDict(env_prefix="AUDIT_")

    witness_directory: Path = Field(description="Where the witness keeps its key and what it has signed")
    witness_name: Annotated[str, AfterValidator(_key_name)] = Field(
        "tandem.local/witness", description="Name of the witness, and of its key: a URL without scheme that is yours"
    )
    log_key: str = Field(description="The log's verification key, or a file with it")
    witness_listen: ListenAddress = Field("127.0.0.1:50054", description="Where the witness answers over HTTP")
    probes_listen: ListenAddress = Field(WITNESS_PROBES, description="As for the notary")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="As for the notary")

    @model_validator(mode="after")
    def _directory_is_given(self) -> Self:
        if not str(self.witness_directory).strip() or self.witness_directory == Path():
            raise ValueError("AUDIT_WITNESS_DIRECTORY is empty; name a directory")
        return self
