"""Says which process listens where in the local stack, and which settings follow from that."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from devstack.servers import Ports, ServerError
from devstack.servers.ports import HOST, free_port, require_free

#: Setting -> default port. With 0 the system chooses.
DEFAULT_PORTS: Mapping[str, int] = {
    "TANDEM_POSTGRES_PORT": 25432,
    "TANDEM_NATS_PORT": 24222,
    "TANDEM_NATS_MONITOR_PORT": 28222,
    "TANDEM_ELASTICSEARCH_PORT": 29200,
    "TANDEM_COMMAND_PORT": 50051,
    "TANDEM_QUERY_PORT": 50052,
    "TANDEM_EXPORT_PORT": 50053,
    "TANDEM_COMMAND_PROBES_PORT": 9051,
    "TANDEM_RELAY_PROBES_PORT": 9052,
    "TANDEM_SERVE_PROBES_PORT": 9053,
    "TANDEM_PROJECT_PROBES_PORT": 9054,
    "TANDEM_NOTARY_PROBES_PORT": 9055,
    "TANDEM_WITNESS_PROBES_PORT": 9056,
    "TANDEM_WITNESS_PORT": 50054,
}


def port_of(setting: str) -> int:
    """Returns the port in `setting`; raises ServerError when it is not a port number."""
    text = os.environ.get(setting, "").strip() or str(DEFAULT_PORTS[setting])
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise ServerError(f"{setting} must be a port number from 0 to 65535, not {text!r}.")
    return int(text)


def server_ports() -> Ports:
    """Returns the ports of the three servers."""
    return Ports(
        postgres=port_of("TANDEM_POSTGRES_PORT"),
        nats=port_of("TANDEM_NATS_PORT"),
        nats_monitor=port_of("TANDEM_NATS_MONITOR_PORT"),
        elasticsearch=port_of("TANDEM_ELASTICSEARCH_PORT"),
    )


#: Of our own processes.
_SERVICES = tuple(
    setting
    for setting in DEFAULT_PORTS
    if setting.endswith(("COMMAND_PORT", "QUERY_PORT", "EXPORT_PORT", "WITNESS_PORT", "PROBES_PORT"))
)


def service_address(setting: str) -> str:
    """Returns `HOST:PORT` for one of our own processes."""
    return f"{HOST}:{port_of(setting) or free_port()}"


async def require_free_services() -> None:
    """Returns when every port that our own processes were given is free; see `require_free`."""
    for setting in _SERVICES:
        if port := port_of(setting):
            await require_free(
                port, setting.removeprefix("TANDEM_").removesuffix("_PORT").replace("_", " ").lower(), setting
            )


@dataclass(frozen=True)
class Topology:
    """Every address of a running local stack."""

    postgres_url: str
    nats_url: str
    nats_monitor_url: str
    elasticsearch_url: str
    command: str
    query: str
    export: str
    command_probes: str
    relay_probes: str
    serve_probes: str
    project_probes: str
    notary_probes: str
    witness_probes: str
    witness: str

    def as_dict(self) -> dict[str, str]:
        """Maps field names to addresses."""
        return asdict(self)

    def settings(self) -> dict[str, str]:
        """Returns the environment variables for all our processes; each reads only its own prefix."""
        return {
            "COMMAND_DATABASE_URL": self.postgres_url,
            "COMMAND_LISTEN": self.command,
            "COMMAND_EXPORT_LISTEN": self.export,
            "COMMAND_PROBES_LISTEN": self.command_probes,
            "RELAY_DATABASE_URL": self.postgres_url,
            "RELAY_NATS_URL": self.nats_url,
            "RELAY_PROBES_LISTEN": self.relay_probes,
            "QUERY_READ_STORE": "physical",
            "QUERY_ELASTICSEARCH_URL": self.elasticsearch_url,
            "QUERY_NATS_URL": self.nats_url,
            "QUERY_EXPORT_ADDRESS": self.export,
            "QUERY_LISTEN": self.query,
        }
