"""Runs real servers on this machine without Docker: Postgres, NATS with JetStream, Elasticsearch.

`LocalServers(directory)` runs all three; `PostgresServer`, `NatsServer` and `ElasticsearchServer` run one each with the
same methods (`start`, `stop`, `kill`, `restart`, `url`, `pid`). They run as an unprivileged account if we are root,
keep their data under `directory`, and never outlive the process that started them.
"""

from devstack.servers.elasticsearch import ElasticsearchServer
from devstack.servers.errors import AlreadyRunning, Missing, NoJdk, PortBusy, ServerError
from devstack.servers.local_server import LocalServer
from devstack.servers.nats import ClusterSeat, NatsServer
from devstack.servers.postgres import PostgresServer
from devstack.servers.progress import Listener, Progress
from devstack.servers.stack import LocalServers, Ports

__all__ = [
    "AlreadyRunning",
    "ClusterSeat",
    "ElasticsearchServer",
    "Listener",
    "LocalServer",
    "LocalServers",
    "Missing",
    "NatsServer",
    "NoJdk",
    "PortBusy",
    "Ports",
    "PostgresServer",
    "Progress",
    "ServerError",
]
