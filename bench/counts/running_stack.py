"""Runs the services in this process, each behind a proxy to the server whose work is counted."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import grpc
import nats
import psycopg
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from tandem.orders.v1.order_command_service_pb2_grpc import OrderCommandServiceStub
from tandem.orders.v1.order_query_service_pb2_grpc import OrderQueryServiceStub

import command_service.bootstrap
import query_service.bootstrap
from bench.counts.http_tap import HttpTraffic
from bench.counts.nats_tap import NatsTraffic
from bench.counts.postgres_tap import PostgresTap
from bench.counts.shard_work import ReadModelIndices
from bench.counts.tcp_proxy import TcpProxy
from command_service.config import CommandSettings
from command_service.storage import schema
from devstack.servers.ports import HOST, free_port
from query_service.config import QuerySettings
from relay.bootstrap import Relay
from relay.config import RelaySettings

Service = Callable[[asyncio.Event], Awaitable[None]]
"""Serves until the event is set."""
START_SECONDS = 120.0
_ANY_PORT = f"{HOST}:0"
DATABASE = "counts"
#: The command service's clock. All times have the same number of bytes, as text and as numbers, since the fraction of a
#: second is always the same. The day is in the middle of a month, in each time zone. It is to come, so that no order
#: seems to be so old that a search must show it already. Sessions find this clock before the real one if its schema is
#: first in their search path.
_CLOCK = """
DO $$ BEGIN
  CREATE SCHEMA counts_clock;
  EXECUTE format($function$
    CREATE FUNCTION counts_clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $sql$
      SELECT timestamptz '2030-05-15 12:00:00.500001Z'
        + date_trunc('second', pg_catalog.clock_timestamp() - timestamptz %L)
    $sql$ $function$, pg_catalog.clock_timestamp());
END $$"""
_CLOCK_FIRST = "-c search_path=counts_clock,pg_catalog,public"
#: Transaction ids from here on have four digits for the next thousands.
_USE_UP_SHORT_IDS = """DO $$ BEGIN
  WHILE pg_current_xact_id()::text::bigint < 1100 LOOP COMMIT; END LOOP;
END $$"""


@dataclass(frozen=True, slots=True)
class ServerUrls:
    """Servers to count on. The Postgres must be new: the length of log positions in messages depends on its age."""

    postgres: str
    nats: str
    elasticsearch: str


class Traffic:
    """What the services exchange with their servers, and the proxies that see it."""

    def __init__(self) -> None:
        self.relay_and_nats, self.projector_and_nats = NatsTraffic(), NatsTraffic()
        self.projector_and_elasticsearch, self.serve_and_elasticsearch = HttpTraffic(), HttpTraffic()
        self.command_to_postgres = TcpProxy(PostgresTap)
        self.relay_to_nats = TcpProxy(self.relay_and_nats.tap)
        self.projector_to_nats = TcpProxy(self.projector_and_nats.tap)
        self.projector_to_elasticsearch = TcpProxy(self.projector_and_elasticsearch.tap)
        self.serve_to_elasticsearch = TcpProxy(self.serve_and_elasticsearch.tap)


class RunningStack:
    """Command service, relay, projector and query service, with stubs to call them.

    `refreshes_a_minute` is how often the read model's indices refresh themselves by their settings. While counts are
    taken they do not, because a refresh in the middle of a sample would be chance.
    """

    commands: Any
    queries: Any
    refreshes_a_minute: int

    def __init__(self, urls: ServerUrls) -> None:
        self.urls = urls
        self.traffic = Traffic()
        # Names of a fixed length, since messages and answers contain them.
        name = f"counts{secrets.token_hex(4)}"
        self.stream = name.upper()
        self.subjects = f"{name}.v1."
        self.barrier = f"{self.subjects}barrier"
        self.indices = ReadModelIndices(urls.elasticsearch, f"{name}-")
        self.database_url = urls.postgres.rpartition("/")[0] + f"/{DATABASE}"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs the services within the block, over a new database, stream and indices."""
        commands, queries = f"{HOST}:{free_port()}", f"{HOST}:{free_port()}"
        async with contextlib.AsyncExitStack() as opened:
            for proxy, url in self._ways():
                parts = urlsplit(url)
                await opened.enter_async_context(proxy.passing_to(parts.hostname or HOST, parts.port or 0))
            await self._write_model()
            opened.push_async_callback(self._drop)
            services: list[asyncio.Future[None]] = []

            async def start(*more: Service) -> None:
                services.extend([await opened.enter_async_context(_in_background(service)) for service in more])

            await start(self._serve_commands(commands), self._relay())
            await _while_running(services, self._read_model())
            await start(self._project(), self._serve_queries(queries))
            channels = [await opened.enter_async_context(grpc.aio.insecure_channel(at)) for at in (commands, queries)]
            for channel in channels:
                await _while_running(services, channel.channel_ready())
            self.commands, self.queries = OrderCommandServiceStub(channels[0]), OrderQueryServiceStub(channels[1])
            yield

    def _ways(self) -> Sequence[tuple[TcpProxy[Any], str]]:
        traffic, urls = self.traffic, self.urls
        return (
            (traffic.command_to_postgres, urls.postgres),
            (traffic.relay_to_nats, urls.nats),
            (traffic.projector_to_nats, urls.nats),
            (traffic.projector_to_elasticsearch, urls.elasticsearch),
            (traffic.serve_to_elasticsearch, urls.elasticsearch),
        )

    async def _write_model(self) -> None:
        async with await psycopg.AsyncConnection.connect(self.urls.postgres, autocommit=True) as connection:
            await connection.execute(f"CREATE DATABASE {DATABASE}")
        await asyncio.to_thread(schema.migrate, self.database_url)
        async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection:
            await connection.execute(_CLOCK)
            await connection.execute(_USE_UP_SHORT_IDS)
            await connection.execute("CREATE EXTENSION pg_walinspect")

    def _serve_commands(self, address: str) -> Service:
        url = _through(self.traffic.command_to_postgres, self.database_url)
        options = f"sslmode=disable&gssencmode=disable&options={quote(_CLOCK_FIRST)}"
        values = {"database_url": f"{url}?{options}", "listen": address, "export_listen": "", "pool_size": 1}
        settings = CommandSettings.model_validate({"probes_listen": _ANY_PORT, **values})
        return lambda stop: command_service.bootstrap.serve(settings, stop)

    def _relay(self) -> Service:
        settings = {
            "database_url": self.database_url,
            "nats_url": _through(self.traffic.relay_to_nats, self.urls.nats),
            "stream": self.stream,
            "stream_max_bytes": 1 << 28,
            "subject_template": self.subjects + "{partition}.{event_type}",
            "barrier_subject": self.barrier,
            "mode": "wal",
            "publish": "chain",  # else the relay measures the server, and a slow disk changes what it publishes
            "probes_listen": _ANY_PORT,
        }
        return Relay(RelaySettings.model_validate(settings)).run

    def _query_settings(self, elasticsearch_url: str, nats_url: str, listen: str = _ANY_PORT) -> QuerySettings:
        settings = {
            "elasticsearch_url": elasticsearch_url,
            "nats_url": nats_url,
            "index_prefix": self.indices.prefix,
            "stream": self.stream,
            "consumer": "projector",
            "listen": listen,
            "probes_listen": _ANY_PORT,
            "drift_budget": 0.0,
            "read_timeout_seconds": 20.0,
        }
        return QuerySettings.model_validate(settings)

    async def _read_model(self) -> None:
        """Creates the read model once the relay has created the stream. Its indices do not refresh themselves."""
        async with _connected(self.urls.nats) as client:
            while True:
                with contextlib.suppress(NotFoundError):
                    await client.jetstream().stream_info(self.stream)
                    break
                await asyncio.sleep(0.02)
        await query_service.bootstrap.migrate(self._query_settings(self.urls.elasticsearch, self.urls.nats))
        self.refreshes_a_minute = await self.indices.refreshes_a_minute()
        await self.indices.stop_refreshing()

    def _project(self) -> Service:
        traffic, urls = self.traffic, self.urls
        settings = self._query_settings(
            _through(traffic.projector_to_elasticsearch, urls.elasticsearch),
            _through(traffic.projector_to_nats, urls.nats),
        )
        return lambda stop: query_service.bootstrap.project(settings, stop)

    def _serve_queries(self, address: str) -> Service:
        elasticsearch_url = _through(self.traffic.serve_to_elasticsearch, self.urls.elasticsearch)
        settings = self._query_settings(elasticsearch_url, self.urls.nats, address)
        return lambda stop: query_service.bootstrap.serve(settings, stop)

    async def _drop(self) -> None:
        async with _connected(self.urls.nats) as client:
            with contextlib.suppress(NotFoundError):
                await client.jetstream().delete_stream(self.stream)
        await self.indices.drop()


def _through(proxy: TcpProxy[Any], url: str) -> str:
    """Returns the URL of a server with the proxy's address in place of the server's."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{at}{HOST}:{proxy.port}").geturl()


@contextlib.asynccontextmanager
async def _connected(nats_url: str) -> AsyncIterator[Client]:
    client = await nats.connect(nats_url)
    try:
        yield client
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def _in_background(service: Service) -> AsyncIterator[asyncio.Future[None]]:
    """Runs a service within the block, and raises its error at the end."""
    stop = asyncio.Event()
    task = asyncio.ensure_future(service(stop))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait_for(task, START_SECONDS)


async def _while_running(services: Sequence[asyncio.Future[None]], work: Awaitable[Any]) -> None:
    """Waits for `work`. Raises the error of a service that ends before, and TimeoutError."""
    working = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({working, *services}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    if working not in done:
        working.cancel()
    for task in done:
        task.result()
    if working not in done:
        raise TimeoutError(f"the services did not start within {START_SECONDS:.0f} s")
