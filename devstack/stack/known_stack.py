"""Finds the stack that a command is about: the one that variables name, else the local stack that runs here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote, urlsplit

from devstack.servers.errors import ServerError
from devstack.servers.ports import HOST
from devstack.stack.record import read_record
from devstack.stack.topology import DEFAULT_PORTS, Topology, port_of
from service_runtime.host_names import is_host

NOTHING_RUNS = "Nothing runs here; start it with `make up`, or name a running stack (TANDEM_POSTGRES_URL=… and others)."

#: Variable -> the part of a stack it names, and what that is.
ADDRESS_VARIABLES: Mapping[str, tuple[str, str]] = {
    "TANDEM_POSTGRES_URL": ("postgres_url", "Postgres of the write side, with user and password"),
    "TANDEM_NATS_URL": ("nats_url", "NATS"),
    "TANDEM_NATS_MONITOR_URL": ("nats_monitor_url", "NATS' monitoring port"),
    "TANDEM_ELASTICSEARCH_URL": ("elasticsearch_url", "Elasticsearch"),
    "TANDEM_COMMAND_ADDRESS": ("command", "the command service"),
    "TANDEM_QUERY_ADDRESS": ("query", "the query service"),
    "TANDEM_EXPORT_ADDRESS": ("export", "the command service's exports"),
    "TANDEM_COMMAND_PROBES_ADDRESS": ("command_probes", "the command service's probe port"),
    "TANDEM_RELAY_PROBES_ADDRESS": ("relay_probes", "the relay's probe port"),
    "TANDEM_SERVE_PROBES_ADDRESS": ("serve_probes", "`query_service serve`'s probe port"),
    "TANDEM_PROJECT_PROBES_ADDRESS": ("project_probes", "`query_service project`'s probe port"),
    "TANDEM_NOTARY_PROBES_ADDRESS": ("notary_probes", "the notary's probe port"),
    "TANDEM_WITNESS_PROBES_ADDRESS": ("witness_probes", "the witness's probe port"),
    "TANDEM_WITNESS_ADDRESS": ("witness", "the witness"),
}


def check_named_addresses() -> None:
    """Raises ValueError if a variable names an unreachable address or an impossible port.

    The message is a sentence with the variable and without secrets.
    """
    for setting in DEFAULT_PORTS:
        try:
            port_of(setting)
        except ServerError as wrong:
            raise ValueError(str(wrong)) from None
    for variable, (field, _) in ADDRESS_VARIABLES.items():
        if value := os.environ.get(variable, "").strip():
            try:
                _check(field, value)
            except ValueError as wrong:
                raise ValueError(f"{variable}: {wrong}") from None


def _check(field: str, value: str) -> None:
    # What reads them is loaded only where a variable is set: `tandem` starts for every command.
    from service_runtime.config import check_address
    from service_runtime.nats_servers import nats_servers
    from service_runtime.postgres_url import check_postgres_url

    match field:
        case "postgres_url":
            check_postgres_url(value)
        case "nats_url":
            nats_servers(value)
        case "elasticsearch_url" | "nats_monitor_url":
            _check_http_url(value)
        case "command" | "query" | "export":
            _check_grpc_target(value)
        case _:
            check_address(value)


def _check_http_url(value: str) -> None:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not is_host(parts.hostname or "") or parts.port == 0:
        raise ValueError("must be a URL such as http://127.0.0.1:9200")


def _check_grpc_target(value: str) -> None:
    # gRPC knows more forms than HOST:PORT, such as dns:///command:50051, and checks them itself.
    if not value.isprintable() or " " in value:
        raise ValueError("must be HOST:PORT, or another address that gRPC knows")


def named_addresses() -> dict[str, str]:
    """Returns the addresses that the environment names: field of Topology -> address."""
    given = {field: os.environ.get(variable, "").strip() for variable, (field, _) in ADDRESS_VARIABLES.items()}
    return {field: address for field, address in given.items() if address}


def default_topology() -> Topology:
    """Returns a stack on loopback at the ports of `make up`, which the compose file has too."""
    at = {setting: f"{HOST}:{port_of(setting)}" for setting in DEFAULT_PORTS}
    password = quote(os.environ.get("TANDEM_POSTGRES_PASSWORD") or "tandem", safe="")
    return Topology(
        postgres_url=f"postgresql://tandem:{password}@{at['TANDEM_POSTGRES_PORT']}/tandem",
        nats_url=f"nats://{at['TANDEM_NATS_PORT']}",
        nats_monitor_url=f"http://{at['TANDEM_NATS_MONITOR_PORT']}",
        elasticsearch_url=f"http://{at['TANDEM_ELASTICSEARCH_PORT']}",
        command=at["TANDEM_COMMAND_PORT"],
        query=at["TANDEM_QUERY_PORT"],
        export=at["TANDEM_EXPORT_PORT"],
        command_probes=at["TANDEM_COMMAND_PROBES_PORT"],
        relay_probes=at["TANDEM_RELAY_PROBES_PORT"],
        serve_probes=at["TANDEM_SERVE_PROBES_PORT"],
        project_probes=at["TANDEM_PROJECT_PROBES_PORT"],
        notary_probes=at["TANDEM_NOTARY_PROBES_PORT"],
        witness_probes=at["TANDEM_WITNESS_PROBES_PORT"],
        witness=at["TANDEM_WITNESS_PORT"],
    )


def known_stack() -> Topology | None:
    """Returns the stack that commands use; None when none runs here and no variable names one.

    A variable wins over the stack that runs here. If none runs, parts without a variable are at their default ports.
    """
    named, record = named_addresses(), read_record()
    if record is None and not named:
        return None
    return replace(record.topology if record is not None else default_topology(), **named)
