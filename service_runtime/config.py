"""Reads and validates settings from the environment.

If a value is wrong, the process does not start, and the error has one line for each wrong value.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from service_runtime.host_names import is_host
from service_runtime.process import StartupRefused


class ServiceSettings(BaseSettings):
    """Settings of one process. A subclass sets `env_prefix`, for example `COMMAND_`.

    Values come from the environment. A value may also be in a file with the name of its variable in lower case, in the
    directory `TANDEM_SECRETS_DIR` (default `/run/secrets`). The environment overrides the file.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, allow_inf_nan=False)


Settings = TypeVar("Settings", bound=ServiceSettings)


def check_address(value: str) -> str:
    """Returns the value. Raises ValueError unless it is `HOST:PORT`."""
    host, _, port = value.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    # An IPv6 address needs brackets, or its last part would be taken for the port.
    is_number = port.isascii() and port.isdigit() and int(port) <= 65535
    if not is_number or not is_host(bare) or (":" in bare) != (bare != host):
        raise ValueError("must be HOST:PORT, for example 127.0.0.1:50051 or [::1]:50051")
    return value


#: An address `HOST:PORT` to listen on. With port 0 the system chooses a port.
ListenAddress = Annotated[str, AfterValidator(check_address)]
#: An address `HOST:PORT`, or "" for none.
OptionalAddress = Annotated[str, AfterValidator(lambda value: value and check_address(value))]


def host_and_port(address: str) -> tuple[str, int]:
    """Splits a validated `HOST:PORT` and removes the brackets of an IPv6 host."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def load_settings(settings_class: type[Settings]) -> Settings:
    """Reads environment and secret files. Raises StartupRefused, with one line for each wrong or missing variable."""
    try:
        return settings_class(_secrets_dir=_secrets_directory())  # type: ignore[call-arg]
    except ValidationError as error:
        prefix = settings_class.model_config.get("env_prefix", "")
        raise StartupRefused("\n".join(_sentence(prefix, problem) for problem in error.errors())) from None


def _secrets_directory() -> Path | None:
    named = os.environ.get("TANDEM_SECRETS_DIR")
    directory = Path(named or "/run/secrets")
    if directory.is_dir():
        return directory
    if named:
        raise StartupRefused(f"TANDEM_SECRETS_DIR: {named} is no directory; mount the secrets there or unset it")
    return None


def _sentence(prefix: str, problem: Any) -> str:
    if not problem["loc"]:  # a problem of several settings together, whose message names them
        return str(problem["msg"].removeprefix("Value error, "))
    name = prefix + "_".join(str(part) for part in problem["loc"]).upper()
    if problem["type"] == "missing":
        return f"{name} is not set"
    return f"{name}: {problem['msg'].removeprefix('Value error, ')}"


def settings_table(settings_class: type[ServiceSettings]) -> list[tuple[str, str, str]]:
    """Returns the rows (variable, default, description) of the reference page, in the order of definition."""
    prefix = settings_class.model_config.get("env_prefix", "")
    return [
        (
            f"{prefix}{name}".upper(),
            "required" if field.is_required() else str(field.get_default(call_default_factory=True)),
            field.description or "",
        )
        for name, field in settings_class.model_fields.items()
    ]
